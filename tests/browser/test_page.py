"""The page of `make demo`: a person watches, plays and changes the service."""

import re
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


@pytest.fixture
def page(demo_page, window):
    """Return a function that opens the page and records its errors and its requests to other machines."""

    def open_page(*arguments, **options):
        page = window(*arguments, **options)
        page.elsewhere = []
        page.on("request", lambda request: request.url.startswith(demo_page) or page.elsewhere.append(request.url))
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("console", lambda line: line.type in ("error", "warning") and page.errors.append(line.text))
        page.goto(demo_page)
        expect(page.locator("canvas")).to_have_attribute("data-frame", re.compile(r"\d"))
        return page

    return open_page


def test_a_person_watches_and_plays(page, screenshots):
    page = page(1280, 1000)
    canvas = page.locator("canvas")
    page.get_by_role("combobox", name="speed").select_option("40")
    page.get_by_role("button", name="Play").click()
    expect(canvas).to_have_attribute("data-elapsed-steps", re.compile(r"^[1-9]\d"))
    page.get_by_role("combobox", name="second policy").select_option("static")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    expect(page.locator(".asr-bar strong")).to_contain_text("SINE_CURVE, evaluation day 0")

    page.get_by_role("textbox", name="day").fill("-3")
    page.get_by_role("textbox", name="day").press("Enter")
    expect(page.locator(".asr-error[data-control=seed]")).to_contain_text("day = '-3': must be a whole number")
    page.screenshot(path=screenshots / "page_refused.png", full_page=True)
    page.get_by_role("textbox", name="day").fill("7")
    page.get_by_role("textbox", name="day").press("Enter")
    expect(page.locator(".asr-error[data-control=seed]")).to_be_empty()

    page.get_by_role("combobox", name="length").select_option("24")
    page.get_by_role("combobox", name="first policy").select_option("you")
    expect(page.get_by_role("button", name="add 1")).to_be_visible()
    page.locator(".asr").focus()
    for step, key in enumerate(("ArrowUp", "ArrowUp", "ArrowDown"), start=1):
        page.keyboard.press(key)
        expect(canvas).to_have_attribute("data-elapsed-steps", str(step))
    expect(page.locator("section.asr-lane").first).to_contain_text("26 ready, 0 booting")
    page.get_by_role("button", name="Play").click()
    score = page.locator(".asr-score")
    expect(score.get_by_role("columnheader", name="optimum")).to_be_visible()
    costs = [float(text[1:]) for text in score.get_by_role("row", name="Cost").get_by_role("cell").all_text_contents()]
    assert len(costs) == 3 and costs[2] == min(costs)
    assert page.locator("output.asr-cost").first.text_content() == f"${costs[0]:,.2f}"
    page.screenshot(path=screenshots / "page_score.png", full_page=True)

    page.get_by_role("button", name="Play the day again").click()
    expect(score).to_be_empty()
    page.get_by_role("button", name="Play", exact=True).click()
    expect(score.get_by_role("columnheader", name="optimum")).to_be_visible()
    page.get_by_role("button", name="Replay with both fleets").click()
    page.get_by_role("button", name="Show side by side").click()
    expect(page.get_by_role("button", name="Overlay the fleets")).to_be_visible()
    assert page.elsewhere == [] and page.errors == []


def test_a_slider_restarts_the_day(page):
    page = page()
    page.get_by_role("button", name="Step").click()
    expect(page.locator("canvas")).to_have_attribute("data-elapsed-steps", "1")
    page.get_by_text("The service: boot delay").click()
    page.get_by_role("slider", name="boot delay").fill("5")
    expect(page.locator("canvas")).to_have_attribute("data-elapsed-steps", "0")
    expect(page.locator("input[type=text][data-control=boot_steps]")).to_have_value("5")


def test_a_trace_from_a_file_is_played(page, tmp_path):
    trace = tmp_path / "mine.csv"
    trace.write_text("step,requests\n" + "".join(f"{step},{step % 97}\n" for step in range(3 * 288)))
    page = page()
    page.locator("input[type=file]").set_input_files(trace)
    expect(page.get_by_role("combobox", name="workload")).to_have_value("mine")
    expect(page.locator(".asr-bar strong")).to_contain_text("mine, evaluation day 0")


def test_after_a_choice_with_the_mouse_the_arrow_keys_play(page):
    page = page()
    first = page.get_by_role("combobox", name="first policy")
    first.dispatch_event("pointerdown")  # the list of a menu is not part of the page and cannot be clicked
    first.focus()
    first.select_option("you")
    expect(page.get_by_role("button", name="add 1")).to_be_visible()
    page.keyboard.press("ArrowUp")
    expect(page.locator("canvas")).to_have_attribute("data-elapsed-steps", "1")
    expect(first).to_have_value("you")


@pytest.fixture(scope="module")
def finished_day(demo_page, shared_window):
    """Return the page after a game, on a screen of high density."""
    page = shared_window(1280, density=2)
    page.goto(demo_page)
    page.get_by_role("combobox", name="speed").select_option("100")
    page.get_by_role("combobox", name="workload").select_option("SPIKE")
    page.get_by_role("combobox", name="first policy").select_option("you")
    page.get_by_role("button", name="Play").click()
    expect(page.locator(".asr-score").get_by_role("columnheader", name="optimum")).to_be_visible()
    return page


@pytest.mark.parametrize("width", [1280, 1920, 390])
def test_the_page_fits_its_window(finished_day, screenshots, width):
    page = finished_day
    page.set_viewport_size({"width": width, "height": 1000})
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        expect(page.locator(".asr")).to_have_attribute("data-theme", theme)
        page.wait_for_function(
            "document.querySelector('canvas').width === 2 * document.querySelector('.asr-chart').clientWidth"
        )
        page.screenshot(path=screenshots / f"page_{width}_{theme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("[...document.querySelectorAll('.asr *')].every((one) => one.scrollWidth <= innerWidth)")
        table = page.locator(".asr-scroll")
        assert table.evaluate("(box) => box.scrollWidth <= box.clientWidth")
        canvas = page.locator("canvas").bounding_box()
        assert page.evaluate("document.querySelector('canvas').width") == 2 * round(canvas["width"])


def test_requests_for_another_host_are_refused(demo_page):
    with urllib.request.urlopen(demo_page) as answer:
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    for headers in ({"Host": "example.com"}, {"Host": "rebound.example:80"}):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(urllib.request.Request(demo_page, headers=headers))
