"""The page: complete in itself, in two themes, and true to the JSON."""

import copy
import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from advice_cases import shop_answer

from autoscaler_env.advice.page import page

BUDGETS = {"q-learning": 20, "dqn": 500, "ppo": 500}


@pytest.fixture(scope="module")
def answer():
    """Return the answer for the shop, with all learners."""
    return shop_answer(budgets=BUDGETS)


@pytest.fixture(scope="module")
def html(answer):
    """Return its page."""
    return page(answer)


class Elements(HTMLParser):
    """Collects what a page refers to, and checks that its elements are closed."""

    VOID = ("meta", "br", "img", "link", "hr", "input")

    def __init__(self):
        super().__init__()
        self.open, self.references, self.ids = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href"):
                self.references.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()


@pytest.fixture(scope="module")
def elements(html):
    """Return the elements of the page."""
    elements = Elements()
    elements.feed(html)
    return elements


def test_the_page_needs_nothing_from_outside_and_is_no_heavier_than_a_photo(html, elements):
    assert elements.open == [] and elements.references
    assert all(reference.startswith("#") for reference in elements.references)
    assert not re.search(r"url\((?!#)|@import|<script|<link", html)
    assert len(html) < 1_500_000


def test_what_the_page_refers_to_is_on_it_once(html, elements):
    assert len(set(elements.ids)) == len(elements.ids)
    used = {reference[1:] for reference in elements.references} | set(re.findall(r"url\(#(.*?)\)", html))
    assert used == set(elements.ids)


def test_names_are_text_on_the_page_and_no_elements(html):
    assert "What should a &#34;shop&#34; &lt;b&gt; deploy?" in html and "<b>?" not in html


def test_below_six_days_the_page_has_no_yearly_figure(answer, html):
    assert len(answer.comparison.days.later) == 4
    assert not re.search(r"\$[0-9,.]+ a year", html) and "too few days for a year" in html
    assert "saved, $ a day" in html


def test_what_may_be_wrong_with_the_traffic_stands_above_the_headline_and_only_there(answer):
    days = copy.copy(answer.comparison.days)
    days.doubts = ("All counts are 0 for 24 h.",)
    comparison = dataclasses.replace(answer.comparison, days=days)
    html = page(dataclasses.replace(answer, comparison=comparison, limits=[*days.doubts, "Days are few."]))
    html = html.replace("\N{NO-BREAK SPACE}", " ")
    assert html.count(days.doubts[0]) == 1 and html.count("Days are few.") == 1
    assert html.index(days.doubts[0]) < html.index('class="answer"')


def luminance(colour):
    """Return the relative luminance of a colour like #12171d (WCAG 2)."""
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_each_figure_is_there_in_a_light_and_a_dark_theme_and_can_be_seen(html):
    figures = re.findall(r'<div class="(wide|narrow) (light|dark)">(<svg.*?</svg>)</div>', html, flags=re.DOTALL)
    kinds = [(width, theme) for width, theme, _ in figures]
    assert kinds.count(("wide", "light")) == kinds.count(("wide", "dark")) == 2
    assert kinds.count(("narrow", "light")) == kinds.count(("narrow", "dark")) == 3
    papers, grids = {"light": "#ffffff", "dark": "#12171d"}, {"light": "#e2e2e2", "dark": "#2a323b"}
    for width, theme, svg in figures:
        colours = {colour.lower() for colour in re.findall(r"#[0-9a-fA-F]{6}\b", svg)}
        shapes = colours - {grids[theme]}
        assert len(shapes) >= 4, "a figure of several colours"
        for colour in shapes:
            lighter, darker = sorted((luminance(colour), luminance(papers[theme])), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) > 1.7, f"{colour} on {theme} paper, {width}"


def test_the_page_says_what_the_json_says(answer, html):
    plain = answer.as_dict()
    text = re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL).replace("\N{NO-BREAK SPACE}", " ")
    text = re.sub(r"</p>\n<p>", " ", re.sub(r"</?span>", "", text.replace("&#39;", "'")))
    for name, policy in plain["policies"].items():
        assert f"${policy['dollars_a_day']['mean']:,.2f}" in text, name
        assert policy["setting"] in text
        assert f"{100 * policy['in_time_share']:.2f} %" in text and f"{100 * policy['late_share']:.2f} %" in text
    sentences = [
        plain["recommendation"]["headline"],
        plain["recommendation"]["reason"],
        plain["method"],
        plain["plausibility"],
    ]
    sentences += [plain["recommendation"]["requests"], plain["recommendation"]["sacrifice"] or "", *plain["doubts"]]
    for sentence in [*sentences, *plain["limits"], *plain["why_did_it_scale"], plain["worst_day"]["day"]]:
        assert sentence in text


def test_the_same_seed_gives_the_same_page_and_another_does_not(answer, html):
    assert page(shop_answer(budgets=BUDGETS)) == html
    assert answer.as_dict()["policies"] != shop_answer(budgets=BUDGETS, seed=1).as_dict()["policies"]
