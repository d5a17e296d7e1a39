"""The page of `make demo`: a person watches, plays and changes the service."""

import os
import re
import sys
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
    expect(page.locator(".asr-bar strong")).to_have_text(re.compile(r"SINE_CURVE, game day [1-9]\d{6}, \d\d:\d\d"))

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
    expect(canvas).to_have_attribute("data-elapsed-steps", "6")
    for step, key in enumerate(("ArrowUp", "ArrowUp", "ArrowDown"), start=7):
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
    expect(page.locator("canvas")).to_have_attribute("data-elapsed-steps", "73")
    page.get_by_text("The service: boot delay").click()
    page.get_by_role("slider", name="boot delay").fill("5")
    expect(page.locator("canvas")).to_have_attribute("data-elapsed-steps", "72")
    expect(page.locator("input[type=text][data-control=boot_steps]")).to_have_value("5")


def test_a_price_carries_the_unit_of_the_service(page):
    page = page()
    page.get_by_text("The service: boot delay").click()
    box = page.locator("input[type=text][data-control=late_price]")
    expect(box).to_have_value("0.00025")
    page.get_by_role("slider", name="lateness price").fill("0.0025")
    expect(box).to_have_value("0.0025")
    expect(page.locator(".asr-code")).to_contain_text("Service(late_price=0.0025)")
    box.fill("0.25")
    box.press("Enter")
    message = page.locator(".asr-error[data-control=late_price]")
    expect(message).to_have_text(
        "late_price = '0.25': must be a number from 0 to 0.0025, in $ per waiting request and step"
    )


def test_a_trace_from_a_file_is_played(page, tmp_path):
    trace = tmp_path / "mine.csv"
    trace.write_text("step,requests\n" + "".join(f"{step},{step % 97}\n" for step in range(3 * 288)))
    page = page()
    page.locator("input[type=file]").set_input_files(trace)
    expect(page.get_by_role("combobox", name="workload")).to_have_value("mine")
    expect(page.locator(".asr-bar strong")).to_contain_text("mine, game day")


def test_after_a_choice_with_the_mouse_the_arrow_keys_play(page):
    page = page()
    second = page.get_by_role("combobox", name="second policy")
    second.dispatch_event("pointerdown")  # the list of a menu is not part of the page and cannot be clicked
    second.focus()
    second.select_option("static")
    page.keyboard.press("ArrowUp")
    expect(page.locator("canvas")).to_have_attribute("data-elapsed-steps", "73")
    expect(second).to_have_value("static")


def test_keys_play_after_a_click_beside_the_card_and_after_a_choice_by_keyboard(page):
    page = page()
    canvas = page.locator("canvas")
    page.mouse.click(4, 400)
    page.keyboard.press("ArrowUp")
    expect(canvas).to_have_attribute("data-elapsed-steps", "73")
    page.keyboard.press(".")
    expect(canvas).to_have_attribute("data-elapsed-steps", "74")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    page.get_by_role("button", name="Restart").click()

    first = page.get_by_role("combobox", name="first policy")
    first.select_option("static")
    expect(page.get_by_role("button", name="add 1")).to_have_count(0)
    first.focus()
    page.keyboard.press("Home")
    expect(page.get_by_role("button", name="add 1")).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(canvas).to_have_attribute("data-elapsed-steps", "73")
    expect(first).to_have_value("you")


def test_keys_in_a_form_field_play_nothing(page):
    page = page()
    day = page.get_by_role("textbox", name="day")
    day.fill("")
    for key in ("1", ".", "Space", "ArrowUp", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    expect(day).to_have_value("1. ")
    page.get_by_role("combobox", name="speed").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("combobox", name="speed")).to_have_value("10")
    expect(page.locator("canvas")).to_have_attribute("data-elapsed-steps", "72")


def test_the_page_opens_with_a_day_that_the_other_policy_has_begun(page):
    page = page()
    costs = page.locator("output.asr-cost").all_text_contents()
    assert costs[0] == costs[1] and float(costs[0][1:]) > 1
    call = page.locator(".asr-call")
    expect(call).to_contain_text(f"It is 06:00. The policy threshold has run the service so far, for {costs[0]}.")
    expect(call).to_contain_text("Lower cost wins. A new instance is ready one step later.")
    call.get_by_role("button", name="Take over (starts the clock)").click()
    expect(call).to_be_hidden()
    expect(page.locator("canvas")).to_have_attribute("data-elapsed-steps", re.compile(r"^(7[3-9]|[89]\d)$"))
    number = page.get_by_role("textbox", name="day").input_value()
    page.get_by_role("button", name="New day").click()
    expect(call).to_be_visible()
    expect(page.get_by_role("textbox", name="day")).not_to_have_value(number)


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_chart_and_buttons_are_in_one_view_and_a_message_keeps_the_lanes_aligned(page, screenshots, width, height):
    page = page(width, height)

    def edges(selector):
        box = page.locator(selector).first.bounding_box()
        return box["y"], box["y"] + box["height"]

    def fits():
        (top, bottom), (first, last) = edges("canvas"), edges(".asr-player")
        return top >= 0 and bottom <= height and last <= height and (last <= top or bottom <= first)

    page.get_by_role("button", name="Take over").click()
    expect(page.locator("canvas")).to_have_attribute("data-elapsed-steps", re.compile(r"^(7[3-9]|[89]\d)$"))
    assert fits()
    page.screenshot(path=screenshots / f"page_playing_{width}.png")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("combobox", name="second policy").select_option("optimum")
    expect(page.locator(".asr-error[data-control=lane2]")).to_contain_text("from its start")
    page.wait_for_function(
        "(height) => document.querySelector('canvas').getBoundingClientRect().bottom <= height", arg=height
    )
    assert fits()
    for part in ("asr-cost", "asr-now"):
        boxes = [one.bounding_box() for one in page.locator(f".{part}").all()]
        assert boxes[0]["y"] == boxes[1]["y"], part


SLOW_POLICY = """import pathlib, time

class Slow:
    def __init__(self, service): pass
    def reset(self, days): pass
    def predict(self, observations):
        while pathlib.Path({folder!r}, "busy").exists(): time.sleep(0.05)
        return [1] * len(observations)
"""


def test_the_page_says_that_the_server_is_busy_until_the_answer_comes(benchmark_module, window, tmp_path):
    (tmp_path / "slow.py").write_text(SLOW_POLICY.format(folder=str(tmp_path)))
    bench_demo = benchmark_module("bench_demo")
    places = f"PYTHONPATH={os.pathsep.join([str(tmp_path), *sys.path])}"
    command = ["env", places, *bench_demo.DEMO, "--policy=slow:Slow,static"]
    with bench_demo.demo_server(tmp_path, command) as address:
        page = window()
        page.goto(address)
        canvas, status = page.locator("canvas"), page.locator(".asr-busy-note span")
        expect(canvas).to_have_attribute("data-elapsed-steps", "72")
        (tmp_path / "busy").touch()
        page.keyboard.press(".")
        expect(status).to_have_text("The server is busy. It carries out your last press when it is free.")
        for _ in range(3):
            page.keyboard.press(".")
        (tmp_path / "busy").unlink()
        expect(status).to_be_empty()
        expect(canvas).to_have_attribute("data-elapsed-steps", "73")


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
    page.get_by_text("The service: boot delay").click()
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


@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_serious_in_the_control_room(width, demo_page, window, violations):
    for dark in (False, True):
        page = window(width, dark=dark)
        page.goto(demo_page)
        expect(page.locator("canvas")).to_have_attribute("data-frame", re.compile(r"\d"))
        assert violations(page) == []


def test_requests_for_another_host_are_refused(demo_page):
    with urllib.request.urlopen(demo_page) as answer:
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    for headers in ({"Host": "example.com"}, {"Host": "rebound.example:80"}):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(urllib.request.Request(demo_page, headers=headers))
