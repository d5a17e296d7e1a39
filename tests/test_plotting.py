"""Figures of comparisons and days: they show their data, look alike and change no settings."""

import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from cases import every_service

from autoscaler_env import plotting
from autoscaler_env.evaluation.calibration import RESERVES, TARGETS
from autoscaler_env.evaluation.metrics import evaluate, savings, summarise
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders
from autoscaler_env.plotting.alt import describe
from autoscaler_env.plotting.comparison import (
    plot_calibration,
    plot_cost_items,
    plot_cost_spread,
    plot_costs,
    plot_operating_regions,
    plot_savings,
    plot_scaling_actions,
)
from autoscaler_env.plotting.days import plot_day, plot_patterns, plot_side_by_side
from autoscaler_env.plotting.style import (
    POLICY_COLOURS,
    UNKNOWN_COLOUR,
    colour_of,
    new_figure,
    png_metadata,
    png_of,
    save_figure,
)
from autoscaler_env.policies.registry import POLICY_LABELS, label_of
from autoscaler_env.policies.rules import Random, Static, TargetTracking, Threshold
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import PATTERNS, Pattern, day_seeds

COURSE_POLICIES = [
    "random",
    "static",
    "threshold",
    "hpa-cpu",
    "hpa-demand",
    "kpa",
    "target-tracking-mixed",
    "target-tracking-per-pattern",
    "q_learning_mixed",
    "dqn_mixed",
    "ppo_mixed",
    "optimum",
]


@pytest.fixture(scope="module")
def episodes():
    """Return three rules on four days of two patterns."""
    policies = [Static(), Threshold(), TargetTracking()]
    return pd.concat([evaluate(policies, pattern, episodes=4) for pattern in ("STEADY", "SPIKE")], ignore_index=True)


@pytest.fixture(scope="module")
def trajectories():
    """Return two rules on the same two days."""
    days = Pattern("SPIKE", Service()).draw(day_seeds("training", 2))
    return {policy.name: simulate(policy, days) for policy in (Threshold(), TargetTracking())}


@pytest.fixture(scope="module")
def figures(episodes, trajectories):
    """Return one figure of each kind, by the name of the function that drew it."""
    summary = summarise(episodes)
    grid = pd.DataFrame(np.add.outer(TARGETS, RESERVES), pd.Index(TARGETS, name="target"), RESERVES)
    days = {name: Pattern(name, Service()).draw(day_seeds("training", 2)) for name in PATTERNS}
    return {
        "costs": plot_costs(summary),
        "cost items": plot_cost_items(summary),
        "savings": plot_savings(savings(episodes, "threshold"), "threshold"),
        "cost spread": plot_cost_spread(episodes),
        "scaling actions": plot_scaling_actions(episodes),
        "operating regions": plot_operating_regions(trajectories),
        "calibration": plot_calibration(grid),
        "patterns": plot_patterns(days, Service()),
        "day": plot_day(trajectories["threshold"], "threshold"),
        "side by side": plot_side_by_side(trajectories),
    }


UNITS = {
    "costs": "mean daily cost ($)",
    "cost items": "mean daily cost ($)",
    "savings": "daily saving against threshold ($)",
    "cost spread": "daily cost ($)",
    "scaling actions": "scaling actions a day",
    "operating regions": "utilisation (share of ready capacity in use)",
    "calibration": "reserve (instances)",
    "patterns": "arrivals (requests per step)",
    "day": "cost so far ($)",
    "side by side": "queue\n(requests)",
}
"""A label that each figure must have."""


def texts(figure):
    """Return every text of a figure."""
    return "\n".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def bars_of(axes):
    """Return the bars of a panel that has one row of them."""
    (bars,) = [group for group in axes.containers if isinstance(group, mpl.container.BarContainer)]
    return bars


def test_the_package_loads_matplotlib_at_the_first_use_of_a_name():
    code = (
        "import sys\nfrom autoscaler_env import plotting\nassert 'matplotlib' not in sys.modules\n"
        "plotting.plot_costs\nassert 'matplotlib' in sys.modules"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert all(hasattr(plotting, name) for name in plotting.__all__)


def test_each_policy_of_the_course_has_its_own_colour_and_label():
    assert len({colour_of(name) for name in COURSE_POLICIES}) == len(COURSE_POLICIES)
    assert len({label_of(name) for name in COURSE_POLICIES}) == len(COURSE_POLICIES)
    assert UNKNOWN_COLOUR not in POLICY_COLOURS.values()
    assert set(POLICY_COLOURS) <= set(POLICY_LABELS)


def test_a_learner_has_one_colour_for_all_its_training_workloads():
    for learner in ("q_learning", "dqn", "ppo"):
        assert colour_of(f"{learner}_mixed") == colour_of(f"{learner}_sine_curve") == colour_of(learner) != "#000000"
        assert label_of(f"{learner}_sine_curve") == f"{label_of(learner)} (sine_curve)"


def test_an_unknown_policy_is_black_and_keeps_its_name():
    assert (colour_of("my_rule"), label_of("my_rule")) == ("#000000", "my_rule")
    assert colour_of("ppology") == "#000000"


def test_every_figure_names_its_units_and_can_be_displayed(figures):
    assert set(figures) == set(UNITS)
    for kind, figure in figures.items():
        assert UNITS[kind] in texts(figure), kind
        assert png_of(figure, dpi=40).startswith(b"\x89PNG"), kind
        assert any(character.isdigit() for character in describe(figure)), kind
    assert figures["costs"]._repr_png_() == (png_of(figures["costs"]), png_metadata(figures["costs"]))


def test_figures_change_neither_pyplot_nor_the_settings(figures, episodes):
    before = dict(mpl.rcParams)
    plot_costs(summarise(episodes))
    assert dict(mpl.rcParams) == before
    assert figures and plt.get_fignums() == []


def test_a_saved_figure_is_the_displayed_picture(figures, tmp_path):
    folders = Folders(tmp_path)
    assert save_figure(figures["day"], folders, "01_day") is figures["day"]
    saved = (folders.figures / "01_day.png").read_bytes()
    assert figures["day"]._repr_png_()[0] == png_of(figures["day"]) == saved
    axes = figures["day"].axes[0]
    titled = axes.get_title(loc="left")
    axes.set_title("changed", loc="left")
    assert png_of(figures["day"]) != saved
    axes.set_title(titled, loc="left")
    axes.patch.set_facecolor("#123456")  # no word of it changes
    assert png_of(figures["day"]) != saved
    for name in ("", "a/b", "../up", "day.png"):
        with pytest.raises(ValueError, match=r"^name = .*: must be a plain file name without an ending$"):
            save_figure(new_figure(), folders, name)


def test_bars_have_the_lengths_colours_and_labels_of_their_policies(episodes):
    summary = summarise(episodes)
    figure = plot_costs(summary)
    names = ["static", "threshold", "target-tracking"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["STEADY", "SPIKE"]
    for axes, pattern in zip(figure.axes, ("STEADY", "SPIKE"), strict=True):
        bars = bars_of(axes)
        assert [bar.get_width() for bar in bars] == summary.xs(pattern, level="pattern")["cost"].tolist()
        assert [mpl.colors.to_hex(bar.get_facecolor()) for bar in bars] == [colour_of(name).lower() for name in names]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [label_of(name) for name in names]


def test_stacked_items_end_at_the_cost(episodes):
    summary = summarise(episodes)
    for axes, pattern in zip(plot_cost_items(summary).axes, ("STEADY", "SPIKE"), strict=True):
        ends = [bar.get_x() + bar.get_width() for bar in axes.containers[-1]]
        assert ends == pytest.approx(summary.xs(pattern, level="pattern")["cost"].tolist())


def test_savings_are_points_with_their_intervals(episodes):
    saved = savings(episodes, "threshold").xs("target-tracking", level="policy", drop_level=False)
    (container,) = plot_savings(saved, "threshold").axes[0].containers
    line, _, (bars,) = container
    assert line.get_xdata().tolist() == saved["saving"].tolist()
    ends = np.array([segment[:, 0] for segment in bars.get_segments()])
    assert ends == pytest.approx(saved[["low", "high"]].to_numpy())


def test_a_pattern_apart_has_a_panel_of_its_own_below_the_others(episodes):
    saved = savings(episodes, "threshold")
    patterns = list(saved.index.unique("pattern"))
    above, below = plot_savings(saved, "threshold", apart=patterns[:1]).axes
    names = [[label.get_text() for label in axes.get_yticklabels()] for axes in (above, below)]
    assert names == [patterns[1:], patterns[:1]] and above.get_xlim() != below.get_xlim()


def test_a_frame_marks_the_cheapest_setting(figures):
    (mark,) = [patch for patch in figures["calibration"].axes[0].patches if isinstance(patch, mpl.patches.Rectangle)]
    assert mark.get_xy() == (0, 0)


def test_a_day_shows_its_fleet_demand_queue_and_cost(trajectories):
    fleet_axes, queue_axes, cost_axes = plot_day(trajectories["threshold"], "threshold", day=1).axes
    heights = [patch.get_data().values for patch in fleet_axes.patches]
    assert heights[0].tolist() == trajectories["threshold"].fleet[1].tolist()
    assert heights[-1] * 87 == pytest.approx(trajectories["threshold"].arrivals[1])
    assert queue_axes.patches[0].get_data().values.tolist() == trajectories["threshold"].queue[1].tolist()
    top = cost_axes.collections[-1].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(trajectories["threshold"].cost[1].sum())


def test_panels_side_by_side_share_a_scale_that_holds_all_values():
    days = Pattern("SINE_CURVE", Service()).draw(day_seeds("training", 1))
    trajectories = {policy.name: simulate(policy, days) for policy in (TargetTracking(), Static(), Random())}
    panels = np.array(plot_side_by_side(trajectories).axes).reshape(3, 3)
    for row in panels:
        assert len({axes.get_ylim() for axes in row}) == 1
    assert panels[2, 0].get_ylim()[1] > max(trajectory.cost[0].sum() for trajectory in trajectories.values())


def test_different_days_side_by_side_are_refused(trajectories):
    other = simulate(Static(), Pattern("STEADY", Service()).draw(day_seeds("training", 2)))
    with pytest.raises(ValueError, match="different arrivals"):
        plot_side_by_side(trajectories | {"static": other})


@every_service
def test_figures_fit_services_of_any_shape(any_service):
    days = Pattern("SPIKE", any_service).draw(day_seeds("training", 1))
    trajectory = simulate(Threshold(any_service), days, any_service)
    assert png_of(plot_day(trajectory, "threshold"), dpi=40)
    assert png_of(plot_operating_regions({"threshold": trajectory}), dpi=40)
