"""The figure of an answer draws the numbers it is given."""

import pandas as pd
import pytest

from autoscaler_env.plotting.advice import OFFER_COLOURS, plot_offer
from autoscaler_env.plotting.style import POLICY_COLOURS

OFFER = pd.DataFrame(
    {
        "label": ["today's rule", "threshold", "PPO"],
        "cost": [20.0, 15.0, 14.0],
        "low": [18.0, 14.5, 13.0],
        "high": [23.0, 15.5, 15.0],
    },
    index=["today", "threshold", "ppo"],
)


@pytest.fixture
def axes():
    return plot_offer(OFFER, 12.0, "ppo", "PPO was the cheapest").axes[0]


def test_a_bar_is_as_long_as_the_cost(axes):
    assert [bar.get_width() for bar in axes.patches] == [20.0, 15.0, 14.0]
    assert axes.get_xlabel().startswith("mean cost ($ a day)")


def test_intervals_and_the_optimum_stand_where_they_are(axes):
    (bars,) = axes.collections
    ends = [tuple(segment[:, 0]) for segment in bars.get_segments()]
    assert ends == [(18.0, 23.0), (14.5, 15.5), (13.0, 15.0)]
    assert 12.0 in [line.get_xdata()[0] for line in axes.lines]


def test_only_the_recommended_policy_is_bold(axes):
    weights = [label.get_fontweight() for label in axes.get_yticklabels()]
    assert weights == ["normal", "normal", "bold"]


def test_policies_keep_their_colours_everywhere():
    assert {name: OFFER_COLOURS[name] for name in POLICY_COLOURS} == POLICY_COLOURS
    assert len({OFFER_COLOURS[name] for name in ("fixed", "today", "threshold", "hpa-cpu", "hpa-demand", "ppo")}) == 6
