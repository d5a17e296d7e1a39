"""The exercises of notebook 11 on a language model and on a web service that sleeps at night."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from grader import graded

from autoscaler_env import LLM_SERVICE, WEB_SERVICE, LlmDays, WebDays, simulate
from autoscaler_env.advice.setup import Setup
from autoscaler_env.evaluation.metrics import served_in_time
from autoscaler_env.grading.exercises import presets
from autoscaler_env.grading.judging import forget_misses
from autoscaler_env.policies.rules import TargetTracking
from autoscaler_env.traffic.trace import Trace


def test_the_services_are_those_of_the_set_ups():
    for service, workload, name in ((LLM_SERVICE, LlmDays, "llm_serving"), (WEB_SERVICE, WebDays, "small_web_service")):
        setup = Setup.from_toml(Path(__file__).parent.parent / "examples" / f"{name}.toml")
        days = Trace(name, workload(service).draw(np.arange(7, dtype=np.uint64)), 60)
        of_traffic = {"peak_arrivals": service.peak_arrivals, "initial_instances": service.initial_instances}
        assert dataclasses.replace(setup.service_for(days), **of_traffic) == service
        assert days.requests.max() <= service.arrivals_scale
        assert setup.objective == (presets.OBJECTIVE if workload is LlmDays else None)
    begins = LlmDays(LLM_SERVICE).draw(np.arange(5, dtype=np.uint64))[:, :10].mean() / LLM_SERVICE.capacity_per_instance
    assert LLM_SERVICE.initial_instances == np.ceil(begins), "what the first minutes of a working day need"


def test_a_day_of_the_web_service_depends_on_its_seed_alone_and_the_night_is_empty():
    workload, seeds = WebDays(WEB_SERVICE), np.array([0, 5, 0], dtype=np.uint64)
    monday, saturday, again = workload.draw(seeds)
    assert np.array_equal(monday, again) and not monday[: 7 * 60].any() and not monday[22 * 60 + 1 :].any()
    assert saturday.sum() == pytest.approx(monday.sum() / 3, rel=0.3)
    with pytest.raises(ValueError, match="step_seconds = 90: must be a multiple of 60, in days of 86,400 s"):
        WebDays(dataclasses.replace(WEB_SERVICE, step_seconds=90))


def test_the_smallest_reserve_keeps_the_objective_and_one_less_does_not():
    right = presets.smallest_reserve()
    assert presets.share_in_time(right - 1) < 0.99 <= presets.share_in_time(right) and right > 5, "for bursts"
    assert presets.check_reserve(right) == "right" == graded(presets.check_reserve, right)
    days = LlmDays(LLM_SERVICE).evaluation_days(presets.DAYS)
    played = simulate(TargetTracking(LLM_SERVICE, 1.0, right), days, LLM_SERVICE)
    assert served_in_time(played).sum() < 0.98 * days.sum(), "60 s are not the step of arrival"
    forget_misses()
    first, second, third = (presets.check_reserve(wrong) for wrong in (right - 1, right + 3, 0))
    assert first != second == third and all(hint.startswith("not yet: ") for hint in (first, second))
    assert str(right) not in first + second.replace("0, 1, 2", "")


def sleeper(**changed):
    return type("Changed", (presets.Sleeper,), changed)


def counting(idle, least=1, use=0.75):
    """Return a policy that sleeps after other steps, keeps other instances, or uses another share of them."""

    def predict(self, observations):
        counts = presets.decode(observations, self.service)
        demand = counts.arrivals + counts.queue
        self._idle = np.where(demand == 0, self._idle + 1, 0)
        needed = np.ceil(demand / (use * self.service.capacity_per_instance))
        wanted = np.where(self._idle < idle, np.maximum(needed, least), needed)
        return presets.step_toward(wanted, counts.ready + counts.booting, self.service)

    return sleeper(predict=predict)


WRONG = [
    counting(9),
    counting(11),
    counting(10_000),
    counting(0),
    counting(10, least=2),
    counting(10, use=1.0),
    sleeper(reset=lambda self, days: None),
    lambda service: SimpleNamespace(predict=lambda observations: [1] * len(observations)),
    lambda service: 1 / 0,
]


def test_the_policy_sleeps_after_ten_steps_and_no_plausible_wrong_one_passes():
    for judge in (presets.check_sleeper, lambda answer: graded(presets.check_sleeper, answer)):
        assert judge(presets.Sleeper) == judge(counting(10)) == "right"
        assert [judge(answer)[:7] for answer in WRONG] == ["not yet"] * len(WRONG)
        assert judge(5) == "a class, please: its name, without brackets"
    forget_misses()
    first, second = (presets.check_sleeper(answer) for answer in WRONG[:2])
    assert first != second and "reset" in presets.check_sleeper(WRONG[6])


def test_sleeping_at_night_pays():
    days = WebDays(WEB_SERVICE).evaluation_days(7)
    awake = dataclasses.replace(WEB_SERVICE, min_instances=1, initial_instances=1)
    costs = [simulate(presets.Sleeper(one), days, one).cost.sum(axis=1).mean() for one in (WEB_SERVICE, awake)]
    night = 9 * 60 - 10 - 1  # from 22:01 to 7:00, without ten idle minutes and the one in which it wakes up
    assert costs[1] - costs[0] == pytest.approx(night / 60 * 0.05, rel=0.2)
