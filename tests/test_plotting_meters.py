"""Figures of meters show what each of them has counted, and in which order it puts the policies."""

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


def test_a_reading_begins_at_nothing_and_jumps_when_its_step_ends():
    (axes,) = plot_readings(READINGS, step_seconds=1800).axes
    theirs = lines_of(axes)["theirs"]
    assert theirs.get_xydata().tolist() == [[0, 0], [0.5, 0], [1, 40], [1.5, 40]]
    assert theirs.get_drawstyle() == "steps-post" and "($)" in axes.get_ylabel()


def test_what_is_worked_out_by_hand_lies_dashed_over_the_meters():
    lines = lines_of(plot_readings(READINGS, 300).axes[0])
    assert lines[BY_HAND].get_linestyle() == "--"
    assert lines[BY_HAND].get_zorder() > max(lines["ours"].get_zorder(), lines["theirs"].get_zorder())


def test_a_logarithmic_axis_leaves_out_what_is_nothing():
    (axes,) = plot_readings(READINGS, 300, log=True).axes
    assert axes.get_yscale() == "log"
    assert lines_of(axes)["theirs"].get_ydata().compressed().tolist() == [40, 40]


def test_dollars_in_a_title_are_no_formula():
    figure = plot_readings(READINGS, 300, "$3 on paper, $40 by theirs")
    (title,) = [text for text in figure.findobj(mpl.text.Text) if text.get_text().startswith("$3")]
    assert not title.get_parse_math()


@pytest.mark.parametrize("readings", [{}, {"ours": np.ones(3), "theirs": np.ones(4)}])
def test_readings_of_different_lengths_or_none_are_refused(readings):
    with pytest.raises(ValueError, match="all of one length"):
        plot_readings(readings, 300)


def test_each_meter_has_a_panel_with_its_costs_and_places():
    theirs = COSTS.assign(cost=[4e5, 6e5, 7e3], cost_low=[4e5, 6e5, 7e3], cost_high=[4e5, 6e5, 7e3])
    panels = plot_rankings({"ours": COSTS, "theirs": theirs}).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["ours", "theirs"]
    places = [[text.get_text() for text in axes.texts] for axes in panels]
    assert places == [["1:  $200", "3:  $500", "2:  $499"], ["2:  $400,000", "3:  $600,000", "1:  $7,000"]]


def test_bars_end_at_the_costs_with_their_intervals_in_the_colours_of_the_policies():
    (axes,) = plot_rankings({"ours": COSTS}).axes
    (bars,) = [group for group in axes.containers if isinstance(group, mpl.container.BarContainer)]
    assert [bar.get_width() for bar in bars] == COSTS["cost"].tolist()
    assert to_hex(bars[0].get_facecolor()) == colour_of("threshold").lower()
    (ends,) = [group for group in axes.collections if isinstance(group, mpl.collections.LineCollection)]
    assert [segment[:, 0].tolist() for segment in ends.get_segments()] == COSTS[
        ["cost_low", "cost_high"]
    ].values.tolist()


def test_meters_that_counted_other_policies_are_refused():
    with pytest.raises(ValueError, match="same policies"):
        plot_rankings({"ours": COSTS, "theirs": COSTS.iloc[:2]})


def test_figures_can_be_written_and_change_no_settings():
    before = dict(mpl.rcParams)
    assert png_of(plot_readings(READINGS, 300, log=True), dpi=40).startswith(b"\x89PNG")
    assert png_of(plot_rankings({"ours": COSTS}), dpi=40).startswith(b"\x89PNG")
    assert dict(mpl.rcParams) == before
