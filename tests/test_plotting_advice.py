"""The figures of an answer draw the numbers they are given, for light and dark paper, for screens and phones."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.plotting.advice import plot_policy_costs, plot_worst_day
from autoscaler_env.plotting.style import POLICY_COLOURS, colour_of, theme
from autoscaler_env.policies.rules import Static, Threshold
from autoscaler_env.service import Service

COSTS = pd.DataFrame(
    {
        "label": ["today's rule", "threshold", "PPO"],
        "cost": [20.0, 15.0, 14.0],
        "low": [18.0, 14.5, 13.0],
        "high": [23.0, 15.5, 15.0],
    },
    index=["today", "threshold", "ppo"],
)


@pytest.fixture(scope="module")
def axes():
    return plot_policy_costs(COSTS, 12.0, "ppo", "PPO costs least").axes[0]


def test_a_bar_is_as_long_as_the_cost_and_has_the_colour_of_its_policy(axes):
    assert [bar.get_width() for bar in axes.patches] == [20.0, 15.0, 14.0]
    assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [colour_of(name).lower() for name in COSTS.index]
    assert axes.get_xlabel().startswith("mean cost ($ a day)")


def test_intervals_and_the_optimum_stand_where_they_are(axes):
    (bars,) = axes.collections
    ends = [tuple(segment[:, 0]) for segment in bars.get_segments()]
    assert ends == [(18.0, 23.0), (14.5, 15.5), (13.0, 15.0)]
    assert 12.0 in [line.get_xdata()[0] for line in axes.lines]


def test_only_the_recommended_policy_is_bold(axes):
    weights = [label.get_fontweight() for label in axes.get_yticklabels()]
    assert weights == ["normal", "normal", "bold"]


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
            figures = [plot_policy_costs(COSTS, 12.0, "ppo", long_title, width, paper)]
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
