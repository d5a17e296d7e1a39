"""Figures show what the data say, look alike, and leave nothing behind."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from autoscaler_env.evaluation.calibration import RESERVES, TARGETS
from autoscaler_env.evaluation.metrics import evaluate, savings, summarise
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders
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
from autoscaler_env.plotting.style import POLICY_COLOURS, UNKNOWN_COLOUR, colour_of, new_figure, png_of, save_figure
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


def words(figure):
    """Return every text that a figure shows or labels its axes with."""
    texts = [text.get_text() for text in figure.findobj(mpl.text.Text)]
    return "\n".join(texts)


def test_each_policy_of_the_course_has_a_colour_and_a_label_of_its_own():
    assert len({colour_of(name) for name in COURSE_POLICIES}) == len(COURSE_POLICIES)
    assert len({label_of(name) for name in COURSE_POLICIES}) == len(COURSE_POLICIES)
    assert UNKNOWN_COLOUR not in POLICY_COLOURS.values()
    assert set(POLICY_COLOURS) <= set(POLICY_LABELS)


@pytest.mark.parametrize("learner", ["q-learning", "dqn", "ppo"])
def test_a_learner_keeps_its_colour_whatever_it_trained_on(learner):
    assert colour_of(f"{learner}_mixed") == colour_of(f"{learner}_sine_curve") == colour_of(learner)
    assert label_of(f"{learner}_sine_curve") == f"{label_of(learner)} (sine_curve)"


def test_policy_without_a_colour_is_black_under_its_own_name():
    assert (colour_of("my_rule"), label_of("my_rule")) == ("#000000", "my_rule")
    assert colour_of("ppology") == "#000000"


@pytest.mark.parametrize(
    ("kind", "unit"),
    [
        ("costs", "$ a day"),
        ("cost items", "$ a day"),
        ("savings", "$ a day"),
        ("cost spread", "($)"),
        ("scaling actions", "a day"),
        ("operating regions", "(instances)"),
        ("calibration", "$ a day"),
        ("patterns", "requests per step"),
        ("day", "($)"),
        ("side by side", "(requests)"),
    ],
)
def test_every_figure_names_its_units_and_is_a_picture(figures, kind, unit):
    assert unit in words(figures[kind])
    assert png_of(figures[kind], dpi=40).startswith(b"\x89PNG")


def test_figures_leave_pyplot_and_the_user_s_settings_alone(figures, episodes):
    before = dict(mpl.rcParams)
    plot_costs(summarise(episodes))
    assert dict(mpl.rcParams) == before
    assert figures and plt.get_fignums() == []


def test_notebooks_show_a_figure_by_itself(figures):
    assert figures["costs"]._repr_png_() == png_of(figures["costs"])


def test_saved_figure_is_the_picture_that_is_shown(figures, tmp_path):
    folders = Folders(tmp_path)
    assert save_figure(figures["day"], folders, "01_day") is figures["day"]
    assert (folders.figures / "01_day.png").read_bytes() == png_of(figures["day"])


@pytest.mark.parametrize("name", ["", "a/b", "../up", "day.png"])
def test_saving_under_a_bad_name_is_refused_by_name(tmp_path, name):
    with pytest.raises(ValueError, match=r"^name = .*: must be a plain file name without an ending$"):
        save_figure(new_figure(), Folders(tmp_path), name)


def test_bars_are_as_long_as_the_costs(episodes):
    summary = summarise(episodes)
    figure = plot_costs(summary)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["STEADY", "SPIKE"]
    for axes, pattern in zip(figure.axes, ("STEADY", "SPIKE"), strict=True):
        (bars,) = [group for group in axes.containers if isinstance(group, mpl.container.BarContainer)]
        assert [bar.get_width() for bar in bars] == summary.xs(pattern, level="pattern")["cost"].tolist()


def test_bars_have_the_colours_and_labels_of_their_policies(figures):
    axes = figures["costs"].axes[0]
    names = ["static", "threshold", "target-tracking"]
    (bars,) = [group for group in axes.containers if isinstance(group, mpl.container.BarContainer)]
    assert [mpl.colors.to_hex(bar.get_facecolor()) for bar in bars] == [colour_of(name).lower() for name in names]
    assert [label.get_text() for label in axes.get_yticklabels()] == [label_of(name) for name in names]


def test_stacked_items_end_where_the_cost_does(episodes):
    summary = summarise(episodes)
    for axes, pattern in zip(plot_cost_items(summary).axes, ("STEADY", "SPIKE"), strict=True):
        ends = [bar.get_x() + bar.get_width() for bar in axes.containers[-1]]
        assert ends == pytest.approx(summary.xs(pattern, level="pattern")["cost"].tolist())


def test_savings_stand_where_they_are_with_their_intervals(episodes):
    saved = savings(episodes, "threshold").xs("target-tracking", level="policy", drop_level=False)
    (container,) = plot_savings(saved, "threshold").axes[0].containers
    line, _, (bars,) = container
    assert line.get_xdata().tolist() == saved["saving"].tolist()
    ends = np.array([segment[:, 0] for segment in bars.get_segments()])
    assert ends == pytest.approx(saved[["low", "high"]].to_numpy())


def test_calibration_marks_the_cheapest_setting(figures):
    (mark,) = [patch for patch in figures["calibration"].axes[0].patches if isinstance(patch, mpl.patches.Rectangle)]
    assert mark.get_xy() == (0, 0)


def test_day_holds_the_steps_as_they_were(trajectories):
    fleet_axes, queue_axes, cost_axes = plot_day(trajectories["threshold"], "threshold", day=1).axes
    heights = [patch.get_data().values for patch in fleet_axes.patches]
    assert heights[0].tolist() == trajectories["threshold"].fleet[1].tolist()
    assert heights[-1] * 87 == pytest.approx(trajectories["threshold"].arrivals[1])
    assert queue_axes.patches[0].get_data().values.tolist() == trajectories["threshold"].queue[1].tolist()
    top = cost_axes.collections[-1].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(trajectories["threshold"].cost[1].sum())


def test_panels_side_by_side_have_one_scale_that_holds_them_all():
    days = Pattern("SINE_CURVE", Service()).draw(day_seeds("training", 1))
    trajectories = {policy.name: simulate(policy, days) for policy in (TargetTracking(), Static(), Random())}
    panels = np.array(plot_side_by_side(trajectories).axes).reshape(3, 3)
    for row in panels:
        assert len({axes.get_ylim() for axes in row}) == 1
    assert panels[2, 0].get_ylim()[1] > max(trajectory.cost[0].sum() for trajectory in trajectories.values())


def test_days_that_differ_are_not_put_side_by_side(trajectories):
    other = simulate(Static(), Pattern("STEADY", Service()).draw(day_seeds("training", 2)))
    with pytest.raises(ValueError, match="different days"):
        plot_side_by_side(trajectories | {"static": other})


def test_figures_fit_any_service(any_service):
    days = Pattern("SPIKE", any_service).draw(day_seeds("training", 1))
    trajectory = simulate(Threshold(any_service), days, any_service)
    assert png_of(plot_day(trajectory, "threshold"), dpi=40)
    assert png_of(plot_operating_regions({"threshold": trajectory}), dpi=40)
