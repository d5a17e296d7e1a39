"""Figures of learning show their data."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from autoscaler_env.plotting import learning
from autoscaler_env.plotting.style import ACTION_COLOURS, colour_of, png_of
from autoscaler_env.policies.q_learning import Discretisation, QTable
from autoscaler_env.service import Service

CURVE = pd.DataFrame({"timesteps": [0, 100, 200], "seconds": [0.0, 1.0, 2.5], "mean_return": [-900.0, -180.0, -150.0]})
OTHER = CURVE.assign(mean_return=[-800.0, -160.0, -140.0])


def lines_of(axes):
    """Return the lines of a panel by their labels."""
    return {line.get_label(): line for line in axes.get_lines()}


def test_a_learning_curve_has_its_points_against_timesteps_and_seconds():
    timesteps, seconds = learning.plot_learning_curves({"ppo_mixed": [CURVE]}).axes
    assert lines_of(timesteps)["PPO"].get_xydata().tolist() == [[0, 900], [100, 180], [200, 150]]
    assert lines_of(seconds)["PPO"].get_xdata().tolist() == [0, 1, 2.5]
    assert timesteps.get_xlabel() == "timesteps" and seconds.get_xlabel() == "training time (seconds)"
    assert timesteps.get_ylabel() == "mean daily cost ($)"


def test_several_seeds_are_a_mean_an_interval_and_thin_lines():
    axes = learning.plot_learning_curves({"dqn_mixed": [CURVE, OTHER]}, against=["timesteps"]).axes[0]
    mean = lines_of(axes)["DQN, mean of 2 seeds, 95 % interval"]
    assert mean.get_ydata().tolist() == [850, 170, 145] and len(axes.get_lines()) == 3
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    # Student's t at one degree of freedom is 12.706; the standard errors are 50, 10 and 5
    assert (band.max(), band.min()) == pytest.approx((850 + 635.3, 170 - 127.06), rel=1e-3)


def test_rules_are_lines_in_their_colours():
    axes = learning.plot_learning_curves({"ppo_mixed": [CURVE]}, {"threshold": 203.0}).axes[0]
    rule = lines_of(axes)["threshold"]
    assert set(rule.get_ydata()) == {203} and to_hex(rule.get_color()) == colour_of("threshold").lower()


def test_two_settings_of_one_rule_have_one_colour_and_other_dashes():
    rules = {"threshold": 203.0, "target-tracking-mixed": 148.0, "threshold-mixed": 149.0}
    lines = lines_of(learning.plot_learning_curves({"ppo_mixed": [CURVE]}, rules, against=["timesteps"]).axes[0])
    default, tuned = lines["threshold"], lines["threshold, one setting"]
    assert default.get_color() == tuned.get_color() and default.get_linestyle() != tuned.get_linestyle()


def test_the_texts_of_three_starts_stand_above_the_lines_of_the_rules():
    curves = {name: [CURVE] for name in ("my_ppo", "ppo_mixed", "dqn_mixed")}
    figure = learning.plot_learning_curves(
        curves, {"threshold": 203.6, "threshold-mixed": 149.4}, against=["timesteps"]
    )
    figure.draw_without_rendering()
    (axes,) = figure.axes
    lowest = min(text.get_window_extent().y0 for text in axes.texts)
    assert len(axes.texts) == 3 and lowest > axes.transData.transform((0, 203.6))[1]


def test_an_untrained_start_far_above_the_rules_is_a_text():
    axes = learning.plot_learning_curves({"ppo_mixed": [CURVE]}, {"threshold": 203.0}).axes[0]
    assert 203 < axes.get_ylim()[1] < 300 and axes.get_ylim()[0] > 0
    assert [text.get_text() for text in axes.texts] == ["PPO untrained: 900"]


def test_the_legend_fits_into_the_figure():
    rules = {"threshold": 203.0, "target-tracking-mixed": 148.0}
    for against in (["timesteps"], ["timesteps", "seconds"]):
        figure = learning.plot_learning_curves({"q_learning_mixed": [CURVE]}, rules, against=against)
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width, against


def test_no_curve_an_unknown_panel_and_seeds_with_other_timesteps_are_refused():
    for arguments in (({},), ({"ppo": []},), ({"ppo": [CURVE]}, {}, "t", ["days"]), ({"ppo": [CURVE]}, {}, "t", [])):
        with pytest.raises(ValueError, match="against timesteps or seconds"):
            learning.plot_learning_curves(*arguments)
    with pytest.raises(ValueError, match=r"'ppo'.*same timesteps"):
        learning.plot_learning_curves({"ppo": [CURVE, OTHER.assign(timesteps=[0, 90, 200])]})


GRID = Discretisation(spare_capacities=(0, 2), changes=(1,))


def small_table(changes=(-1, 0, 1), grid=GRID):
    """Return a table whose best actions are 0, 1, 2, 0, 1, 2, ... from cell to cell."""
    table = QTable.zeros(Service(fleet_changes=changes), grid)
    cells = np.arange(len(table.values))
    table.values[cells, cells % len(changes)] = 1
    return table


def test_the_figure_of_a_table_shows_the_best_action_of_each_cell():
    axes = learning.plot_q_policy(small_table()).axes[0]
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    rows = [[texts[column + 0.5, row + 0.5] for column in range(2)] for row in range(3)]
    assert rows == [["-1", "0"], ["+1", "-1"], ["0", "+1"]]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["0", "2"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1"]


def test_cells_have_the_colour_of_their_kind_of_action():
    table = small_table((0, 5, -3))
    mesh = learning.plot_q_policy(table).axes[0].collections[0]
    mesh.update_scalarmappable()
    colours = [to_hex(colour).upper() for colour in mesh.get_facecolors()[:3]]
    assert colours == [ACTION_COLOURS[kind] for kind in ("hold", "add", "remove")]


def test_cells_without_a_visit_are_blank_and_the_others_show_their_share():
    figure = learning.plot_q_policy(small_table(), np.array([0, 5, 0, 10, 85, 0]))
    assert len(figure.axes[0].texts) == 3
    assert figure.axes[1].collections[0].get_array().compressed().tolist() == [5, 10, 85]


def test_each_level_of_arrivals_has_a_panel():
    grid = Discretisation(spare_capacities=(0,), changes=(), levels=(0.3, 0.6))
    figure = learning.plot_q_policy(small_table(grid=grid), np.arange(6))
    titles = [axes.get_title(loc="left") for axes in figure.axes[:3]]
    assert titles == ["arrivals below 30 % of P", "arrivals 30 to 60 % of P", "arrivals from 60 % of P"]


def test_each_panel_of_rewards_has_their_standard_deviation():
    figure = learning.plot_reward_spread({"plain": np.array([[-4.0, 4.0]]), "paired": np.array([-1.0, 1.0])})
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["plain: standard deviation $4.00", "paired: standard deviation $1.00"]


def test_the_clipped_and_the_plain_objective_are_drawn():
    ratios = np.array([0.5, 1.0, 2.0])
    figure = learning.plot_clipped_objective(ratios, {1.0: np.array([0.5, 1.0, 1.2]), -2.0: -2 * ratios}, 0.2)
    better, worse = figure.axes
    assert lines_of(better)["clipped"].get_ydata().tolist() == [0.5, 1.0, 1.2]
    assert lines_of(worse)["ratio x advantage"].get_ydata().tolist() == [-1, -2, -4]


def test_trials_are_a_point_for_each_training_and_a_line_of_means():
    trials = pd.DataFrame({"value": [0.1, 0.1, 0.02, 0.02], "seed": [0, 1, 0, 1], "cost": [150.0, 170, 300, 200]})
    axes = learning.plot_tried_values(trials, "clip_range").axes[0]
    assert lines_of(axes)["mean"].get_xydata().tolist() == [[0, 160], [1, 250]]
    points = [line.get_ydata().tolist() for line in axes.get_lines() if line.get_marker() == "o"]
    assert points == [[150, 170], [300, 200]] and axes.get_xlabel() == "clip_range"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.1", "0.02"]


def test_update_times_have_a_line_per_device():
    times = pd.DataFrame({"device": ["cpu", "cpu", "cuda"], "width": [64, 256, 64], "milliseconds": [1.0, 9.0, 3.0]})
    axes = learning.plot_update_times(times).axes[0]
    lines = lines_of(axes)
    assert lines["cpu"].get_ydata().tolist() == [1, 9] and lines["cuda"].get_xdata().tolist() == [64]


def test_figures_can_be_written_and_change_no_settings():
    before = dict(mpl.rcParams)
    for curve in (CURVE, CURVE.iloc[:1]):  # trained, and untrained
        assert png_of(learning.plot_learning_curves({"ppo_mixed": [curve]})).startswith(b"\x89PNG")
    assert png_of(learning.plot_q_policy(QTable.zeros(), np.zeros(len(QTable.zeros().values)))).startswith(b"\x89PNG")
    assert dict(mpl.rcParams) == before
