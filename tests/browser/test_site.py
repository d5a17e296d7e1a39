"""The site in a browser: no errors, no other host, a search, pages that fit a phone and that everybody can read."""

import functools
import http.server
import importlib.util
import threading

import nbformat
import pytest
from needs import is_missing
from playwright.sync_api import expect

from autoscaler_env.paths import Folders, project_root
from autoscaler_env.site.build import build

pytestmark = pytest.mark.browser

NOTEBOOK = "03_train_q_learning"
PAGES = ("index", f"course/{NOTEBOOK}", "policies/ppo", "results", "api/policies")
OTHER_PAGES = ("policies/index", "glossary", "search", "404")
PHONE = {"width": 390, "height": 844}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of a site that was built now; the build fails for a warning or a dead link."""
    if importlib.util.find_spec("sphinx") is None:
        is_missing("needs what builds the site: pip install -e .[site]")
    folder = tmp_path_factory.mktemp("site") / "site"
    faults = build(project_root(), folder)
    assert not faults
    return folder


@pytest.fixture(scope="module")
def address(site):
    """Return the address of a plain server of the site's files, as any static host is one."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def open_page(address, shared_window):
    """Return a function that opens a page, and notes its errors and its requests to other hosts, which are blocked."""

    def opened(name, **window):
        page = shared_window(**window)
        page.asked, page.errors = [], []
        page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: page.errors.append(str(error)))

        def only_ours(route):
            if route.request.url.startswith((address, "data:")):
                route.continue_()
            else:
                page.asked.append(route.request.url)
                route.abort()

        page.context.route("**/*", only_ours)
        page.goto(f"{address}{name}.html")
        return page

    return opened


def test_the_site_is_small(site):
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    assert size < 40e6


def test_pages_load_without_errors_ask_no_other_host_and_fit_a_phone(site, address, open_page):
    page = open_page("index", **PHONE)
    names = sorted(path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html"))
    assert len(names) > 40
    wide = {}
    for name in names:
        page.goto(f"{address}{name}.html")
        if (width := page.evaluate("document.documentElement.scrollWidth")) > PHONE["width"]:
            wide[name] = width
    assert not wide and not page.errors and not page.asked


def test_a_search_finds_a_word_of_a_notebook(open_page):
    page = open_page("search")
    page.goto(f"{page.url}?q=Bellman")
    expect(page.locator("#search-results li").first).to_be_visible()
    assert "Train Q-learning" in " ".join(page.locator("#search-results li").all_inner_texts())
    assert not page.errors and not page.asked


def test_a_notebook_shows_its_figures_with_texts_and_opens_in_colab(open_page):
    executed = nbformat.read(Folders(project_root()).executed / f"{NOTEBOOK}.ipynb", as_version=4)
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    count = sum("image/png" in output.get("data", {}) for output in outputs)
    page = open_page(f"course/{NOTEBOOK}")
    figures = page.locator(".cell_output img")
    assert figures.count() == count > 0
    for figure in figures.all():
        figure.scroll_into_view_if_needed()
        assert figure.evaluate("async (image) => { await image.decode(); return image.naturalWidth; }") > 300
        assert len(figure.get_attribute("alt")) > 20
    colab = page.get_by_role("link", name="Open in Colab")
    assert colab.get_attribute("href").startswith("https://colab.research.google.com/github/")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == f"{NOTEBOOK}.ipynb"


def test_formulas_are_drawn_and_themes_choose_figures(open_page):
    for dark in (False, True):
        page = open_page("policies/ppo", dark=dark)
        assert page.locator("math").first.bounding_box()["width"] > 100
        base, index = page.locator("math msub").first.locator("> *").all()
        ends = [part.evaluate("(part) => part.getBoundingClientRect().bottom") for part in (base, index)]
        assert ends[1] > ends[0] + 1, "without the font of formulas an index stands as high as its letter"
        shown = [image.get_attribute("src") for image in page.locator("article img").all() if image.is_visible()]
        theme = "dark" if dark else "light"
        assert [name.rpartition("/")[2] for name in shown] == [f"ppo-savings-{theme}.svg", f"ppo-curve-{theme}.svg"]


def test_the_keyboard_reaches_the_content_and_stops_the_film(open_page):
    page = open_page("index")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to main content")
    film = page.locator("img.asr-film").first
    assert film.get_attribute("src").endswith("demo.gif")
    page.get_by_role("button", name="Pause the film").first.focus()
    page.keyboard.press("Enter")
    assert film.get_attribute("src").endswith("demo.png")
    assert film.evaluate("async (image) => { await image.decode(); return image.naturalWidth; }") > 300
    page.emulate_media(reduced_motion="reduce")
    page.reload()
    assert not [
        image for image in page.locator("img.asr-film").all() if not image.get_attribute("src").endswith(".png")
    ]
    expect(page.get_by_role("button", name="Play the film").first).to_be_visible()


PLACE = """() => {
    const { activeElement: focused } = document, style = getComputedStyle(focused);
    const marked = style.outlineStyle !== "none" || style.boxShadow !== "none";
    return focused === document.body ? null : [focused.outerHTML.slice(0, 120), marked];
}"""
REACHABLE = """() => [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]')]
    .filter((each) => each.getClientRects().length && getComputedStyle(each).visibility !== "hidden").length"""


def test_tab_alone_reaches_everything_and_shows_where_it_is(open_page):
    for name in ("index", f"course/{NOTEBOOK}", "policies/ppo", "search"):
        page = open_page(name)
        places = []
        while len(places) < 300:
            page.keyboard.press("Tab")
            if (place := page.evaluate(PLACE)) is None:
                break
            places.append(place)
        assert len(places) == page.evaluate(REACHABLE) > 10, name
        assert not [element for element, marked in places if not marked]


def test_the_page_for_a_wrong_address_leads_to_the_front_page(address, open_page):
    page = open_page("404")
    page.get_by_role("link", name="The front page").click()
    expect(page).to_have_title("Smart AutoScaler")
    assert page.url == address and not page.errors and not page.asked


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious_on_the_site(name, open_page, violations):
    for dark in (False, True):
        for width, height in ((1280, 800), (390, 844)):
            assert violations(open_page(name, width=width, height=height, dark=dark)) == []


def test_axe_finds_nothing_serious_on_other_kinds_of_pages(address, open_page, violations):
    for page in (open_page("index", dark=True), open_page("index", **PHONE)):
        for name in OTHER_PAGES:
            page.goto(f"{address}{name}.html")
            assert violations(page) == [], name
