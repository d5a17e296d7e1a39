"""A learned policy on a real service sees and does what it saw and did in the simulation."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from advice_cases import shop_answer

from autoscaler_env import AutoscalerEnv, Service, dynamics
from autoscaler_env.advice.deploy import deployment_files, model_file, service_toml
from autoscaler_env.advice.runtime import Autoscaler

SERVICE = Service(
    capacity_per_instance=10,
    min_instances=1,
    max_instances=8,
    initial_instances=2,
    queue_limit=40,
    peak_arrivals=25,
    boot_steps=2,
    steps_per_episode=288,
)


class Recorder:
    """A policy that notes what it is asked."""

    name = "recorder"

    def __init__(self):
        self.days, self.observations = 0, []

    def reset(self, days):
        self.days += 1

    def predict(self, observations):
        self.observations.append(observations)
        return np.array([1])


@pytest.fixture
def scaler(tmp_path, monkeypatch):
    """Return an autoscaler of the small service, with a recorder for its policy."""
    (tmp_path / "service.toml").write_text(service_toml(SERVICE, {"drop_price_per_1000": 2.5}))
    monkeypatch.setattr("autoscaler_env.advice.runtime.load_policy", lambda path, service: Recorder())
    return Autoscaler("any.pkl", tmp_path / "service.toml")


def test_what_is_observed_is_what_the_environment_shows(scaler):
    """A simulated day of random actions, with queues that fill and drain, drops, and spikes beyond the scale."""
    rng = np.random.default_rng(0)
    day = rng.poisson(20, 288) * rng.choice([0, 1, 1, 1, 2, 6], 288)
    env = AutoscalerEnv(service=SERVICE)
    shown, _ = env.reset(options={"day": day})
    counts = {"ready": SERVICE.initial_instances, "booting": 0, "queue": 0, "arrivals": int(day[0])}
    drained, beyond = 0, 0
    for step in range(288):
        observed = scaler.observe(**counts)[0]
        assert np.array_equal(observed, shown), step
        queue_before = counts["queue"]
        shown, _, _, _, info = env.step(int(rng.integers(3)))
        counts = {name: info[name] for name in ("ready", "booting", "queue", "arrivals")}
        drained += bool(queue_before and not info["queue"] and info["served"] > info["arrivals"])
        beyond += info["arrivals"] > SERVICE.arrivals_scale
    assert drained > 10 and beyond > 5, "the day has what it should test"


def test_the_step_that_drains_a_queue_serves_the_queue_too(scaler):
    scaler.observe(ready=3, booting=0, queue=12, arrivals=50)
    utilisation = scaler.observe(ready=3, booting=0, queue=0, arrivals=13)[0, 2]
    assert utilisation == np.float32((12 + 13) / 30)
    assert scaler.observe(ready=3, booting=0, queue=0, arrivals=13)[0, 2] == np.float32(13 / 30)
    assert scaler.observe(ready=3, booting=0, queue=1, arrivals=99)[0, 2] == 1


def test_counts_above_their_scale_are_clipped(scaler):
    for counts in (
        {"ready": 9, "booting": 5, "queue": 41, "arrivals": 10**12},
        {"ready": 7, "booting": 5, "queue": 10**12, "arrivals": 0},
    ):
        observation = scaler.observe(**counts)[0]
        assert (observation >= dynamics.OBSERVATION_LOW).all() and (observation <= dynamics.OBSERVATION_HIGH).all()
        assert observation[0] + observation[1] == 1 and observation[3] == 1, "the whole fleet, and a full queue"


def test_the_day_begins_at_midnight_of_the_clock(scaler):
    counts = {"ready": 2, "booting": 0, "queue": 0, "arrivals": 20}
    days = {}
    for clock in ("03-01 17:35", "03-01 23:50", "03-01 23:55", "03-01 23:59:58", "03-02 00:05", "03-02 23:55"):
        now = datetime.fromisoformat(f"2026-{clock}" if clock.count(":") == 2 else f"2026-{clock}:00")
        scaler.decide(**counts, now=now)
        days[clock] = scaler._policy.days
    assert list(days.values()) == [1, 1, 1, 2, 2, 2], "two seconds before midnight is midnight"
    for _ in range(300):
        scaler.decide(**counts, now=datetime(2026, 3, 2, 23, 56))
    assert scaler._policy.days == 2, "the number of calls does not matter"


def test_without_a_time_the_clock_of_the_machine_counts(scaler, monkeypatch):
    class Clock(datetime):
        @classmethod
        def now(cls):
            return datetime(2026, 3, 1, 12) + timedelta(days=scaler._policy.days)

    monkeypatch.setattr("autoscaler_env.advice.runtime.datetime", Clock)
    for _ in range(3):
        scaler.decide(ready=2, booting=0, queue=0, arrivals=20)
    assert scaler._policy.days == 3


def test_impossible_counts_cost_one_line(scaler):
    good = {"ready": 3, "booting": 0, "queue": 0, "arrivals": 5}
    for name, value, least in (("ready", 0, 1), ("booting", -1, 0), ("queue", -1, 0), ("arrivals", -1, 0)):
        with pytest.raises(ValueError, match=f"^{name} = {value}: must be at least {least}$"):
            scaler.decide(**good | {name: value})


@pytest.mark.parametrize("policy", ["q-learning", "ppo"])
def test_a_model_decides_live_as_it_did_on_the_page(policy, tmp_path):
    """Over several days: a network forgets the past at midnight, live as on the page."""
    answer = shop_answer(budgets={policy: 20 if policy == "q-learning" else 500})
    for name, content in deployment_files(answer.comparison, policy).items():
        (tmp_path / name).write_bytes(content)
    scaler = Autoscaler(tmp_path / model_file(policy), tmp_path / "service.toml")
    trajectory, service = answer.comparison.candidates[policy].trajectory, answer.comparison.service
    names = ("ready", "booting", "queue", "arrivals")
    seen = np.column_stack([getattr(trajectory, name).reshape(-1) for name in names]).tolist()
    # The first decision sees the first step's arrivals as if they had come before.
    counts = [[service.initial_instances, 0, 0, seen[0][3]], *seen[:-1]]
    decisions = [
        scaler.decide(**dict(zip(names, row, strict=True)), now=datetime(2026, 3, 1) + timedelta(hours=hour))
        for hour, row in enumerate(counts)
    ]
    assert decisions == [service.fleet_changes[action] for action in trajectory.actions.reshape(-1)]
    assert len(set(decisions)) > 1 and len(decisions) == 4 * 24
