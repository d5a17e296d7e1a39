"""The page of an answer, as a person sees it: on a screen, on a phone, in the dark, on paper."""

import re

import pytest
from advice_cases import recommending, shop_answer

from autoscaler_env.advice.advise import write_answer

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Return the address of a page that recommends HPA, which has the longest text to copy."""
    folder = tmp_path_factory.mktemp("advice")
    write_answer(recommending(shop_answer(), "hpa-demand"), folder)
    return (folder / "advice.html").as_uri()


def test_the_theme_and_the_width_choose_the_figures(address, shared_window):
    for width, dark in ((1280, False), (1280, True), (390, False), (390, True)):
        page = shared_window(width, dark=dark)
        page.goto(address)
        kinds = [
            svg.locator("..").get_attribute("class") for svg in page.locator("figure svg").all() if svg.is_visible()
        ]
        assert set(kinds) == {f"{'narrow' if width < 700 else 'wide'} {'dark' if dark else 'light'}"}
        assert len(kinds) == (3 if width < 700 else 2)


def test_nothing_is_cut_at_the_right_on_a_phone(address, shared_window):
    page = shared_window(390, 844)
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    code = page.locator("pre")
    assert code.evaluate("pre => pre.scrollWidth <= pre.clientWidth")
    for svg in page.locator("figure svg").all():
        assert not svg.is_visible() or svg.evaluate("svg => svg.getBoundingClientRect().right") <= 390


def test_axe_finds_nothing_serious_on_the_page(address, shared_window, violations):
    for width, dark in ((1280, False), (1280, True), (390, False), (390, True)):
        page = shared_window(width, dark=dark)
        page.goto(address)
        assert violations(page) == []


def test_the_page_prints_on_two_pages_in_the_light_theme(address, shared_window):
    for dark in (False, True):
        page = shared_window(dark=dark)
        page.goto(address)
        assert len(re.findall(rb"/Type /Page\b", page.pdf(prefer_css_page_size=True))) == 2
        page.emulate_media(media="print", color_scheme="dark" if dark else "light")
        assert page.locator(".wide.light svg").first.is_visible() and not page.locator(".dark svg").first.is_visible()
