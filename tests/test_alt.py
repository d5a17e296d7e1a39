"""Figures say in words what they show, with the numbers that are drawn."""

import io

import numpy as np
import pandas as pd
from PIL import Image

from autoscaler_env import Folders, plotting
from autoscaler_env.plotting.alt import MOST_LETTERS, MOST_SERIES, describe
from autoscaler_env.plotting.style import new_figure, png_of


def test_bars_have_the_names_of_their_ticks():
    figure = new_figure()
    axes = figure.subplots()
    axes.barh([0, 1], [202.28, 147.5], label="instances")
    axes.set_yticks([0, 1], ["threshold", "target tracking"])
    axes.set_xlabel("$ a day")
    assert describe(figure) == "(across: $ a day): instances: threshold 202, target tracking 148."


def test_long_lines_have_ends_and_extremes_and_short_ones_each_value():
    figure = new_figure()
    axes = figure.subplots()
    axes.plot(range(100), np.r_[5.0, np.zeros(98), 1234.6], label="long")
    axes.plot([0, 1], [0.5, 0.25], label="short")
    axes.axhline(3.0, label="limit")
    figure.suptitle("A\ntitle")
    assert describe(figure) == "A title. long: from 5 to 1,235, lowest 0, highest 1,235; short: 0.5, 0.25; limit: 3."


def test_points_with_intervals_have_the_name_of_their_row():
    index = pd.MultiIndex.from_product([["first", "second"], ["SPIKE", "STEADY"]], names=["variant", "pattern"])
    table = pd.DataFrame({"saving": [1.5, -2, 3, 0], "low": [1.0, -3, 2, -1], "high": [2.0, -1, 4, 1]}, index=index)
    text = describe(plotting.plot_variants(table, "ppo", "A title"))
    across = "across: saved ($ a day), with its 95 % interval"
    assert text == f"A title. {across}. first: SPIKE 1.5, STEADY -2. second: SPIKE 3, STEADY 0."


def test_a_matrix_is_read_row_by_row(tmp_path):
    text = describe(plotting.study.draw("09_matrix", Folders(), Folders(tmp_path)))
    assert "columns STEADY, SINE_CURVE, SINUSOIDAL, SPIKE, POISSON, RANDOM; MIXED: " in text


def test_a_text_ends_somewhere():
    figure = new_figure()
    for axes in figure.subplots(1, 9):
        for number in range(2 * MOST_SERIES):
            axes.plot([number, 2.0, 3.0], label=f"{number} of many lines")
    text = describe(figure)
    assert len(text) <= MOST_LETTERS and text.endswith("...") and f"and {MOST_SERIES} more" in text


def test_notebooks_and_files_carry_the_text():
    figure = new_figure()
    figure.subplots().plot([1.0, 2.0, 4.0], label="PPO")
    _, metadata = figure._repr_png_()
    assert metadata == {"alt": "PPO: 1, 2, 4.", "width": 900}
    assert Image.open(io.BytesIO(png_of(figure))).text["Description"] == "PPO: 1, 2, 4."
    figure.alt = "Two boxes."
    assert describe(figure) == "Two boxes."
