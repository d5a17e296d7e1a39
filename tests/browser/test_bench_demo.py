"""The benchmark of the control room measures both places; the person of the README's recording follows the demand."""

import re
from contextlib import nullcontext

import pandas as pd
import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("default")]


@pytest.fixture
def bench_demo(benchmark_module, monkeypatch, browser, demo_page, lab):
    """Return the benchmark with the browser and the servers that already run for the other tests."""
    module = benchmark_module("bench_demo")
    monkeypatch.setattr(module, "chromium", lambda: nullcontext(browser))
    monkeypatch.setattr(module, "demo_server", lambda folder: nullcontext(demo_page))
    monkeypatch.setattr(module, "jupyter_lab", lambda folder: nullcontext(lab))
    return module


def test_the_benchmark_measures_steps_and_pictures_in_both_places(bench_demo, tmp_path, capsys):
    bench_demo.main(["--quick", "--output", str(tmp_path)])
    table = pd.read_csv(tmp_path / "results" / "benchmark_demo.csv")
    assert table["place"].tolist() == ["page of make demo", "JupyterLab"]
    assert (table[["steps_per_s", "pictures_per_s", "median_lag_ms"]] > 0).all(axis=None)
    assert "asked_steps_per_s" in capsys.readouterr().out


def test_the_person_of_the_recording_follows_the_demand(benchmark_module, window, demo_page):
    readme_pictures = benchmark_module("readme_pictures")
    keys = {"Spare capacity: 1,262 requests.": "ArrowDown", "Spare capacity: 0 requests.": "ArrowRight"}
    keys["Capacity is short by 9."] = "ArrowUp"
    assert {words: readme_pictures.choose_key(words) for words in keys} == keys
    page = window()
    page.goto(demo_page)
    page.get_by_role("combobox", name="first policy").select_option("you")
    expect(page.get_by_role("button", name="add 1")).to_be_visible()
    page.locator(".asr").focus()
    readme_pictures.press(page)
    explanation = page.locator(".asr-why p").first
    expect(explanation).to_contain_text(re.compile(r"Spare capacity: [\d,]+ request|Capacity is short by [\d,]+\."))
