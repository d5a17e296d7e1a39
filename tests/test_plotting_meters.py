"""Figures of meters show the readings of each meter and its ranking of the policies."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from autoscaler_env.plotting.meters import BY_HAND, plot_rankings, plot_readings
from autoscaler_env.plotting.style import colour_of, png_of

READINGS = {
    "ours": np.array([1.0, 2.0, 3.0]),
    "theirs": np.array([0.0, 40.0, 40.0]),
    BY_HAND: np.array([1.0, 2.0, 3.0]),
}
COSTS = pd.DataFrame(
    {"cost": [200.0, 500.0, 499.0], "cost_low": [190.0, 450.0, 450.0], "cost_high": [210.0, 550.0, 548.0]},
    index=pd.MultiIndex.from_product([["threshold", "static", "mine"], ["MEAN"]], names=["policy", "pattern"]),
)


def lines_of(axes):
    """Return the lines of a panel by their labels."""
    return {line.get_label(): line for line in axes.get_lines()}


def test_a_reading_starts_at_0_and_rises_at_the_end_of_each_step():
    (axes,) = plot_readings(READINGS, step_seconds=1800).axes
    theirs = lines_of(axes)["theirs"]
    assert theirs.get_xydata().tolist() == [[0, 0], [0.5, 0], [1, 40], [1.5, 40]]
    assert theirs.get_drawstyle() == "steps-post" and "($)" in axes.get_ylabel()


def test_the_reading_by_hand_is_dashed_and_on_top():
    lines = lines_of(plot_readings(READINGS, 300).axes[0])
    assert lines[BY_HAND].get_linestyle() == "--"
    assert lines[BY_HAND].get_zorder() > max(lines["ours"].get_zorder(), lines["theirs"].get_zorder())


def test_a_logarithmic_axis_has_no_readings_of_0():
    (axes,) = plot_readings(READINGS, 300, log=True).axes
    assert axes.get_yscale() == "log"
    assert lines_of(axes)["theirs"].get_ydata().compressed().tolist() == [40, 40]


def test_dollar_signs_in_a_title_are_not_a_formula():
    figure = plot_readings(READINGS, 300, "$3 on paper, $40 by theirs")
    (title,) = [text for text in figure.findobj(mpl.text.Text) if text.get_text().startswith("$3")]
    assert not title.get_parse_math()


def test_no_readings_and_readings_of_different_lengths_are_refused():
    for readings in ({}, {"ours": np.ones(3), "theirs": np.ones(4)}):
        with pytest.raises(ValueError, match="all of the same length"):
            plot_readings(readings, 300)


def test_each_meter_has_a_panel_with_its_costs_and_ranks():
    theirs = COSTS.assign(cost=[4e5, 6e5, 7e3], cost_low=[4e5, 6e5, 7e3], cost_high=[4e5, 6e5, 7e3])
    panels = plot_rankings({"ours": COSTS, "theirs": theirs}).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["ours", "theirs"]
    ranks = [[text.get_text() for text in axes.texts] for axes in panels]
    assert ranks == [["1:  $200", "3:  $500", "2:  $499"], ["2:  $400,000", "3:  $600,000", "1:  $7,000"]]


def test_bars_have_the_costs_the_intervals_and_the_colours_of_the_policies():
    (axes,) = plot_rankings({"ours": COSTS}).axes
    (bars,) = [group for group in axes.containers if isinstance(group, mpl.container.BarContainer)]
    assert [bar.get_width() for bar in bars] == COSTS["cost"].tolist()
    assert to_hex(bars[0].get_facecolor()) == colour_of("threshold").lower()
    (ends,) = [group for group in axes.collections if isinstance(group, mpl.collections.LineCollection)]
    assert [segment[:, 0].tolist() for segment in ends.get_segments()] == COSTS[
        ["cost_low", "cost_high"]
    ].values.tolist()


def test_meters_with_different_policies_are_refused():
    with pytest.raises(ValueError, match="same policies"):
        plot_rankings({"ours": COSTS, "theirs": COSTS.iloc[:2]})


def test_figures_can_be_written_and_change_no_settings():
    before = dict(mpl.rcParams)
    assert png_of(plot_readings(READINGS, 300, log=True), dpi=40).startswith(b"\x89PNG")
    assert png_of(plot_rankings({"ours": COSTS}), dpi=40).startswith(b"\x89PNG")
    assert dict(mpl.rcParams) == before
