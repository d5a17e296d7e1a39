"""The figures of an answer draw the numbers they are given, for light and dark paper, for screens and phones."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.plotting.advice import plot_cost_and_service, plot_worst_day
from autoscaler_env.plotting.style import POLICY_COLOURS, colour_of, theme
from autoscaler_env.policies.rules import Static, Threshold
from autoscaler_env.service import Service

POLICIES = pd.DataFrame(
    {
        "label": ["today's rule", "threshold", "PPO", "optimum", "fixed fleet"],
        "cost": [20.0, 15.0, 14.0, 12.0, 5_000.0],
        "in_time": [0.9995, 0.999, 0.97, 0.98, 1.0],
        "keeps": [True, True, False, True, True],
    },
    index=["today", "threshold", "ppo", "optimum", "fixed"],
)
SWEEPS = {
    "threshold": np.array([(14.0, 0.99), (16.0, 0.9995)]),
    "ppo": np.array([(13.5, 0.96), (14.0, 0.97), (14.5, 0.98)]),
}
LIMIT = 0.9985


@pytest.fixture(scope="module")
def axes():
    return plot_cost_and_service(POLICIES, SWEEPS, LIMIT, "threshold", "Threshold is recommended").axes[0]


def marks_of(axes):
    """Return the marks of the policies, in their order: those with an edge of their own."""
    return [line for line in axes.lines if line.get_marker() in "so*D" and len(line.get_xdata()) == 1]


def test_a_mark_stands_at_the_cost_and_at_the_share_that_is_late_or_dropped(axes):
    marks = marks_of(axes)
    assert [mark.get_xdata()[0] for mark in marks] == [20.0, 15.0, 14.0, 12.0, 40.0], (
        "the last is twice today's at most"
    )
    lacking = [mark.get_ydata()[0] for mark in marks]
    assert lacking == pytest.approx([0.0005, 0.001, 0.03, 0.02, 0.0])
    low, high = axes.get_ylim()
    assert low > high, "up is better"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["100 %", "99.99 %", "99.9 %", "99 %"]


def test_high_costs_are_written_out():
    policies = POLICIES.assign(cost=POLICIES["cost"] * 100_000)
    sweeps = {name: sweep * [100_000, 1] for name, sweep in SWEEPS.items()}
    axes = plot_cost_and_service(policies, sweeps, LIMIT, "threshold", "Threshold").axes[0]
    axes.figure.canvas.draw()
    assert "2,000,000" in [label.get_text() for label in axes.get_xticklabels()]
    assert not axes.xaxis.get_offset_text().get_text()


def test_an_open_mark_does_not_keep_todays_service_and_the_limit_is_a_line(axes):
    filled = [mark.get_markerfacecolor() != "none" for mark in marks_of(axes)]
    assert filled == [True, True, False, True, True]
    assert marks_of(axes)[1].get_markerfacecolor() == colour_of("threshold")
    assert pytest.approx(1 - LIMIT) in [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == ":"]
    assert "limit: 99.85 % in time" in [text.get_text() for text in axes.texts]


def test_other_settings_of_a_rule_are_a_line_and_the_trainings_of_a_learner_are_points(axes):
    drawn = {len(line.get_xdata()): line for line in axes.lines if line.get_alpha() == 0.4}
    assert drawn[2].get_linestyle() == "-" and drawn[3].get_linestyle() == "None" and drawn[3].get_marker() == "o"
    assert drawn[3].get_xdata() == pytest.approx([13.5, 14.0, 14.5])
    assert drawn[3].get_ydata() == pytest.approx([0.04, 0.03, 0.02])


def test_each_policy_has_a_label_that_covers_no_mark_and_no_other_label_and_the_recommended_one_is_bold(axes):
    axes.figure.draw_without_rendering()
    labels = {text.get_text(): text for text in axes.texts}
    bold = "threshold (recommended)"
    assert set(labels) == {bold, "today's rule", "PPO", "optimum", "fixed fleet $5,000", "limit: 99.85 % in time"}
    assert [text for text, label in labels.items() if label.get_fontweight() == "bold"] == [bold]
    boxes = [Text.get_window_extent(label) for label in labels.values()]
    for one, box in enumerate(boxes):
        assert not any(Bbox.intersection(box, other) for other in boxes[one + 1 :])
        for mark in marks_of(axes):
            assert not box.contains(*axes.transData.transform((mark.get_xdata()[0], mark.get_ydata()[0])))


def test_the_policies_of_an_answer_have_colours_of_their_own():
    names = ("fixed", "today", "threshold", "hpa-cpu", "hpa-demand", "target-tracking", "forecast", "q-learning")
    for paper in ("light", "dark"):
        with theme(paper):
            assert len({colour_of(name) for name in (*names, "dqn", "ppo")}) == len(names) + 2
    assert colour_of("hpa-demand") == POLICY_COLOURS["hpa-demand"], "the theme ends with its block"
    with pytest.raises(ValueError, match="theme = 'sepia': must be one of light, dark"), theme("sepia"):
        pass


def test_no_text_is_cut_on_a_phone_and_all_of_it_can_be_read_on_dark_paper():
    service = Service()
    days = np.full((1, service.steps_per_episode), 2000)
    played = {
        "today": simulate(Static(service), days, service),
        "threshold": simulate(Threshold(service), days, service),
    }
    long_title = "Target tracking costs least, HPA on utilisation is recommended"
    for paper, ink in (("light", "#000000"), ("dark", "#e6eaee")):
        for width in (4.2, 9.0):
            figures = [plot_cost_and_service(POLICIES, SWEEPS, LIMIT, "ppo", long_title, width, paper)]
            one = {"threshold": played["threshold"]}
            figures.append(plot_worst_day(one if width < 6 else played, 0, long_title, width, 5.2, paper))
            for figure in figures:
                figure.draw_without_rendering()
                drawn = figure.get_tightbbox()  # inches
                assert drawn.x0 >= 0 and drawn.x1 <= width, f"cut at {width} inches"
                texts = [text for text in figure.findobj(Text) if text.get_text().strip()]
                assert "recommended" in " ".join(text.get_text() for text in texts)
                for text in texts:
                    assert to_hex(text.get_color()) == ink, f"{text.get_text()!r} on {paper} paper"
