"""Figures of the cost above the optimum and of lateness show their tables."""

import itertools

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from autoscaler_env.plotting.limits import frontier, plot_branches, plot_decisions, plot_frontier, plot_losses, spread
from autoscaler_env.plotting.style import png_of
from autoscaler_env.policies.registry import label_of
from autoscaler_env.service import Service

ITEMS = ["instance_cost", "late_cost", "drop_cost"]
RULES = ["threshold", "hpa-cpu"]
NAMES = pd.MultiIndex.from_product([RULES, ["STEADY", "SPIKE"]], names=["policy", "pattern"])
LOSSES = pd.DataFrame([[30.0, -2.0, 1.0], [10.0, 5.0, 5.0], [20.0, 0.0, 0.0], [-4.0, 8.0, 6.0]], NAMES, ITEMS)
REGRETS = LOSSES.sum(axis=1).to_frame("regret").assign(low=lambda table: table["regret"] - 3)
REGRETS["high"] = REGRETS["regret"] + 3


def summary(rows):
    """Return a table as from `summarise` for one pattern: cost and share served in time, by policy."""
    index = pd.MultiIndex.from_product([list(rows), ["SPIKE"]], names=["policy", "pattern"])
    table = pd.DataFrame(list(rows.values()), index, ["cost", "in_time"])
    return table.assign(cost_low=table["cost"] - 1, cost_high=table["cost"] + 1)


SCATTER = {"threshold": (200.0, 0.99), "kpa": (170.0, 0.95), "dqn_mixed": (170.2, 0.90), "optimum": (120.0, 0.98)}


@pytest.fixture(scope="module")
def losses():
    return plot_losses(LOSSES, REGRETS)


@pytest.fixture(scope="module")
def scatter():
    return plot_frontier(summary(SCATTER))


def test_items_above_the_optimum_lie_right_of_zero_and_items_below_it_left(losses):
    instances, lateness, drops = (
        group for group in losses.axes[0].containers if isinstance(group, mpl.container.BarContainer)
    )
    ends = [(bars[0].get_x(), bars[0].get_x() + bars[0].get_width()) for bars in (instances, lateness, drops)]
    assert ends == [(0, 30), (0, -2), (30, 31)]  # threshold on STEADY


def test_diamonds_are_at_the_regret_with_its_interval(losses):
    for axes, pattern in zip(losses.axes, ("STEADY", "SPIKE"), strict=True):
        (points,) = [group for group in axes.containers if isinstance(group, mpl.container.ErrorbarContainer)]
        line, _, (bars,) = points
        rows = REGRETS.xs(pattern, level="pattern")
        assert line.get_xdata().tolist() == rows["regret"].tolist()
        assert [list(segment[:, 0]) for segment in bars.get_segments()] == rows[["low", "high"]].to_numpy().tolist()
        assert {text.get_text() for text in axes.texts} == {f"{value:.1f}" for value in rows["regret"]}


def test_figures_name_their_units_and_can_be_displayed(losses, scatter):
    for figure, label in ((losses, "daily cost above the optimum ($)"), (scatter, "mean daily cost ($)")):
        assert label in [text.get_text() for text in figure.findobj(mpl.text.Text)]
        assert png_of(figure, dpi=40).startswith(b"\x89PNG")


def test_every_policy_has_a_label_beside_the_scatter_and_no_labels_overlap(scatter):
    scatter.draw_without_rendering()
    (axes,) = scatter.axes
    assert {text.get_text() for text in axes.texts} == {label_of(policy) for policy in SCATTER}
    # the extent of the text only, without the line from it to the point
    boxes = sorted((mpl.text.Text.get_window_extent(text) for text in axes.texts), key=lambda box: box.y0)
    assert all(above.y0 >= below.y1 for below, above in itertools.pairwise(boxes))
    assert all(box.x0 > axes.get_window_extent().x1 for box in boxes)


def test_points_are_at_the_late_share_and_the_cost(scatter):
    points = np.array([container[0].get_xydata()[0] for container in scatter.axes[0].containers])
    assert points == pytest.approx(np.array([(100 * (1 - in_time), cost) for cost, in_time in SCATTER.values()]))


def test_the_drawn_frontier_has_neither_dominated_policies_nor_the_optimum(scatter):
    (line,) = [line for line in scatter.axes[0].lines if line.get_linestyle() == "--"]
    assert line.get_ydata().tolist() == [200, 170]
    assert {text.get_text() for text in scatter.axes[0].texts if text.get_fontweight() == "bold"} == {
        label_of("threshold"),
        label_of("kpa"),
    }


def test_no_policy_dominates_one_on_the_frontier():
    rng = np.random.default_rng(0)
    late, cost = (pd.Series(rng.integers(0, 12, 60).astype(float)) for _ in range(2))
    for name in frontier(late, cost):
        no_worse = (late <= late[name]) & (cost <= cost[name])
        assert not (no_worse & ((late < late[name]) | (cost < cost[name]))).any()
    best = [(late[name], cost[name]) for name in frontier(late, cost)]
    for point in zip(late, cost, strict=True):
        assert any(better[0] <= point[0] and better[1] <= point[1] for better in best)


def test_close_labels_move_apart_and_others_stay():
    moved = spread([0.1, 0.5, 0.5, 0.5, 0.9], 0.1)
    assert moved.tolist() == pytest.approx([0.1, 0.4, 0.5, 0.6, 0.9])


def test_decisions_are_a_cell_per_state_beside_the_demand():
    actions = np.array([[2, 0, 0], [2, 1, 0], [2, 2, 1], [2, 2, 2]])  # by 0 to 3 requests and 0 to 2 instances
    service = Service(capacity_per_instance=2, min_instances=1, max_instances=2, initial_instances=1)
    (axes,) = plot_decisions(actions, service).axes
    assert axes.images[0].get_array().T.tolist() == actions.tolist()
    assert axes.lines[0].get_ydata().tolist() == [0, 0.5, 1, 1.5]
    assert axes.get_ylim() == (0.5, 2.5)


def test_branches_show_a_window_of_fleet_and_arrivals_and_the_cost_against_hold():
    steps, service = 288, Service()
    fleet, queue = np.tile([[29.0], [30.0], [31.0]], steps), np.zeros((3, steps))
    cost, arrivals = np.tile([[0.5], [0.25], [0.125]], steps), np.tile([[5.0], [6.0], [7.0]], steps)
    figure = plot_branches({"same": np.stack([fleet, queue, cost, arrivals])}, 100, service)
    above, below = figure.axes
    assert [line.get_ydata()[0] for line in above.lines[:3]] == [29, 30, 31]
    assert [line.get_ydata()[0] for line in below.lines] == [5, 6, 7]
    assert [line.get_xdata()[[0, -1]].tolist() for line in below.lines] == [[88 / 12, 147 / 12]] * 3
    assert [text.get_text() for text in above.get_legend().texts] == ["remove: +\\$72.00", "hold", "add: -\\$36.00"]
