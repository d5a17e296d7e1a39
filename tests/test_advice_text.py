"""The headline and the reason, read for every kind of recommendation: they agree with each other and with the costs."""

import dataclasses
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from advice_cases import answer_for, wavy
from cases import cases

from autoscaler_env.advice.recommend import choose, quoted
from autoscaler_env.advice.text import headline, reason, sacrifice
from autoscaler_env.policies.registry import LEARNERS

TODAY = 100 + np.random.default_rng(0).normal(0, 1, 12)
NOISE = np.random.default_rng(1).normal(0, 6, 12)
EARLY = np.where(np.arange(12) < 6, 1.0, 0.0)
"""1 on the days that the choice is made on, 0 on those that the saving is measured on."""

LATE = "serves only 98.50 % of the requests in time (today's rule: 99.98 %)"
QUICK = "had a small training budget (--quick)"

CASES = {  # what policies save on each day, what else holds; the policy recommended, and parts of the two texts
    "the learner is dearer": (
        {"threshold": 20, "ppo": 10},
        {},
        "threshold",
        ("$20.00 a day",),
        ("You do not need reinforcement learning here. PPO is dearer than threshold by $10.00",),
    ),
    "the learner saves too little": (
        {"threshold": 20, "ppo": 20.5},
        {},
        "threshold",
        (
            "PPO would cost $0.50 a day less ($0.50 to $0.50), "
            "but that is below 1 %: too little to pay for a learned policy.",
        ),
        ("simplest policy within 1 % of the cheapest",),
    ),
    "chance may explain what the learner saves": (
        {"threshold": 20, "ppo": 22 + NOISE - NOISE[6:].mean()},
        {},
        "threshold",
        ("$20.00 a day",),
        ("PPO and threshold cannot be told apart: PPO saves +$2.00 a day (95 % interval -$",),
    ),
    "the learner serves fewer in time": (
        {"threshold": 20, "ppo": 30},
        {"refused": {"ppo": LATE}},
        "threshold",
        (f"PPO would cost $10.00 a day less ($10.00 to $10.00), but it {LATE}.",),
        ("cheapest of the policies that may be recommended",),
    ),
    "the learner had a small budget": (
        {"threshold": 20, "ppo": 30},
        {"refused": {"ppo": QUICK}},
        "threshold",
        (f"PPO would cost $10.00 a day less ($10.00 to $10.00), but it {QUICK}.",),
        ("cheapest of the policies that may be recommended",),
    ),
    "the learner was cheaper only later": (
        {"threshold": 20, "ppo": 20 + 20 * (1 - EARLY)},
        {},
        "threshold",
        (
            "PPO would cost $20.00 a day less ($20.00 to $20.00), "
            "but on the days of the choice that extra saving was not certain, or ",
        ),
        ("; but on the days of the choice that extra saving was not certain, or below your limit of 1 %.",),
    ),
    "the learner is recommended": (
        {"threshold": 20, "ppo": 30},
        {},
        "ppo",
        ("An experiment: the PPO policy", "calibration alone (threshold) saves $20.00 a day, learning $10.00."),
        ("learning is worth $3,650 a year here",),
    ),
    "calibration saves nothing": (
        {"threshold": -20, "ppo": 30},
        {},
        "ppo",
        ("An experiment: ", "Calibration alone saves nothing; all of this comes from learning."),
        ("PPO is cheaper than today's rule by $30.00",),
    ),
    "nothing is cheaper": (
        {"threshold": -20, "ppo": -30},
        {},
        "today",
        (": no policy that may be recommended is cheaper.",),
        ("You do not need reinforcement learning here. PPO is dearer than today's rule by $30.00",),
    ),
    "the cheapest saves too little": (
        {"threshold": 0.5, "ppo": -30},
        {},
        "today",
        (": the cheapest policy that may be recommended saves less than 1 %.",),
        ("Threshold is cheaper than today's rule by $0.50 a day", "too little to pay for a more complex policy"),
    ),
    "chance may explain what the cheapest saves": (
        {"threshold": 2 + NOISE - NOISE[6:].mean()},
        {},
        "today",
        (": no change is certain to save 1 % without harming requests.",),
        ("Threshold may be $2.00 a day cheaper, but 6 days cannot show it; today's rule is simpler.",),
    ),
    "only a learner is cheaper, and too little": (
        {"threshold": -5, "ppo": 0.5},
        {},
        "today",
        ("saves less than 1 %. PPO would cost $0.50 a day less ($0.50 to $0.50), but that is below 1 %",),
        ("PPO is cheaper than today's rule by $0.50 a day",),
    ),
    "only a learner is cheaper, and serves fewer in time": (
        {"threshold": -5, "ppo": 9},
        {"refused": {"ppo": LATE}},
        "today",
        (f"PPO would cost $9.00 a day less ($9.00 to $9.00), but it {LATE}.",),
        (),
    ),
    "the saving is not confirmed": (
        {"threshold": 20 * EARLY, "ppo": -3},
        {},
        "today",
        (": the saving of threshold was not confirmed on days that the choice had not seen.",),
        ("Threshold looked cheaper",),
    ),
    "a rule was cheaper only later": (
        {"threshold": 20 * (1 - EARLY)},
        {},
        "today",
        (": no change was worth it on the days of the choice.",),
        ("Threshold is cheaper than today's rule by $20.00 a day", "but on the days of the choice that extra saving"),
    ),
    "the traffic is steady": (
        {"fixed": 1.2, "ppo": 9},
        {"steady": True},
        "fixed",
        (
            "Run a fixed fleet of ",
            "PPO would cost $7.80 a day less ($7.80 to $7.80), but steady traffic needs no autoscaler.",
        ),
        ("The traffic is steady",),
    ),
    "the traffic is steady and so is today's fleet": (
        {"fixed": 0.1, "ppo": 9},
        {"steady": True, "fixed": True},
        "today",
        (": the traffic is steady, so an autoscaler has nothing to do.",),
        ("The traffic is steady",),
    ),
    "a simpler rule costs as good as nothing more": (
        {"threshold": 19.8, "target-tracking": 20},
        {},
        "threshold",
        ("$19.80 a day",),
        ("simplest policy within 1 % of the cheapest. Ideal target tracking is cheaper than threshold by $0.20",),
    ),
}


@pytest.fixture(scope="module")
def comparison():
    """Return a comparison that gives the policies their settings; PPO is among them."""
    comparison = answer_for(wavy(25), today={"rule": "hpa-cpu", "target": 0.6}).comparison
    learner = dataclasses.replace(comparison.candidates["threshold"], name="ppo")
    return dataclasses.replace(comparison, candidates=comparison.candidates | {"ppo": learner})


def recommended(saved, refused=None, steady=False, fixed=False):
    """Return the recommendation for what each policy saves a day."""
    costs = pd.DataFrame({"today": TODAY} | {name: TODAY - amount for name, amount in saved.items()})
    allowed = [name for name in costs if name not in (refused or {})]
    chosen = quoted(costs, lambda days: choose(days, "fixed" if fixed else "", steady, allowed=allowed), allowed)
    return dataclasses.replace(chosen, refused=refused or {})


def test_a_learner_that_the_headline_names_is_not_told_again_as_a_sacrifice(comparison):
    rule = comparison.candidates["threshold"]
    late = dataclasses.replace(
        rule, name="ppo", in_time=rule.in_time // 2, late_share=0.5, trajectory=comparison.optimum.trajectory
    )
    changed = dataclasses.replace(comparison, candidates=comparison.candidates | {"ppo": late})
    for saved, named in ((30, True), (10, False)):
        chosen = recommended({"threshold": 20, "ppo": saved}, refused={"ppo": LATE})
        assert ("PPO would cost" in headline(changed, chosen)) == named
        assert ("PPO" in sacrifice(changed, chosen)) == (not named)


@cases("name", CASES)
def test_the_headline_says_what_to_do_and_why_and_the_reason_agrees(name, comparison):
    saved, more, policy, in_headline, in_reason = CASES[name]
    chosen = recommended(saved, **more)
    first, second = headline(comparison, chosen), reason(chosen)
    assert chosen.policy == policy, first
    assert all(part in first for part in in_headline), first
    assert all(part in second for part in in_reason), second
    assert first.startswith("Keep today's rule as it is (") == (policy == "today")
    assert ("cheaper than today's rule by $" in first) == (policy != "today"), "no change without its saving"
    assert first.startswith("An experiment: ") == (policy in LEARNERS)
    both = f"{first} {second}"
    if "do not need reinforcement learning" in both:
        assert "PPO is cheaper" not in both and "PPO would cost" not in both
    rival = chosen.rival
    certain = rival is not None and policy not in LEARNERS and rival.saved.mean > 0.01 and rival.saved.low > 0
    assert ("PPO would cost $" in first) == certain, "a learner is named for a certain saving alone"
    if certain:
        assert f"PPO would cost ${rival.saved.mean:,.2f} a day less ($" in first and "), but " in first
    sentences = both.split(". ")
    assert all(one != other for one, other in pairwise(sentences)), "nothing is said twice in a row"


def test_a_sacrifice_that_the_table_beats_is_not_told(comparison):
    rule = comparison.candidates["threshold"]
    half = dataclasses.replace(
        rule, in_time=rule.in_time // 2, late_share=0.5, trajectory=comparison.optimum.trajectory
    )
    told = dataclasses.replace(comparison, candidates=comparison.candidates, cheaper={"threshold": half})
    chosen = recommended({"threshold": 20})
    assert sacrifice(told, chosen).startswith("Cheaper, but worse for your requests: threshold (")
    better = dataclasses.replace(half, name="forecast", in_time=rule.in_time, late_share=rule.late_share)
    beaten = dataclasses.replace(told, candidates=comparison.candidates | {"forecast": better})
    assert "Cheaper, but worse for your requests: threshold (" not in sacrifice(beaten, chosen)
