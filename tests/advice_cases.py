"""Traffic, services and answers that several test modules of `advise` share."""

import dataclasses

import numpy as np

from autoscaler_env.advice.compare import compare_candidates
from autoscaler_env.advice.report import answer_of
from autoscaler_env.advice.setup import Limits, Setup
from autoscaler_env.traffic.trace import Trace

CHANGES = [-32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32]
WIDE = {"capacity_per_instance": 100, "fleet_changes": CHANGES, "max_instances": 40, "queue_limit": 2000}
"""A service whose fleet reaches any size within a step or two."""

SHOP = Setup('a "shop" <b>', {"capacity_per_instance": 100, "max_instances": 40, "fleet_changes": [-5, -1, 0, 1, 5]})
"""A small service with a name that HTML and Kubernetes cannot take as it is."""

SHOP_DAYS = np.rint(np.random.default_rng(0).uniform(500, 700, (8, 1)) * (2 + np.sin(np.arange(24) / 4))).astype(int)
"""Eight days of one-hour steps for it."""


def wavy(days=10, steps=24, seed=0):
    """Return days of a smooth shape and various levels: arrivals, shape (days, steps)."""
    hours = np.arange(steps) * 24 / steps
    levels = np.random.default_rng(seed).uniform(800, 1200, days)
    return np.rint(levels[:, None] * (1 + 0.6 * np.sin(2 * np.pi * (hours - 9) / 24))).astype(np.int64)


def answer_for(requests, fields=None, today=None, limits=None, objective=None, **options):
    """Return the answer for days of the wide service, without learners by default."""
    today = today or {"rule": "threshold", "add_above": 0.7, "remove_below": 0.4}
    setup = Setup("shop", WIDE | (fields or {}), today, limits or Limits(), objective)
    days = Trace("traffic", requests, 86_400 // requests.shape[1])
    return answer_of(compare_candidates(setup, days, **{"budgets": {}} | options))


def shop_answer(**options):
    """Return the answer for the shop, with a small table as the only learner."""
    days = Trace("traffic", SHOP_DAYS, 3600)
    return answer_of(compare_candidates(SHOP, days, **{"budgets": {"q-learning": 20}} | options))


def recommending(answer, policy):
    """Return an answer with another policy in the place of the recommended one."""
    return dataclasses.replace(answer, recommendation=dataclasses.replace(answer.recommendation, policy=policy))
