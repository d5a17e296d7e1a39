"""The presets of `examples/`: their traffic is what they say, and their rules do on it what the README says."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from autoscaler_env import simulate
from autoscaler_env.advice.setup import Setup
from autoscaler_env.traffic.reading import read_traffic

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def setup_and_days(name, path, *options):
    """Return the set-up of a preset, the days of its traffic, and the service that fits them."""
    with path.open("w") as file:
        subprocess.run([sys.executable, str(EXAMPLES / f"{name}.py"), *options], stdout=file, check=True)
    setup = Setup.from_toml(EXAMPLES / f"{name}.toml")
    days = setup.cut(read_traffic(str(path)))
    return setup, days, setup.service_for(days)


def test_the_small_web_service_sleeps_at_night_under_hpa_on_demand_and_not_under_todays_rule(tmp_path):
    setup, days, service = setup_and_days("small_web_service", tmp_path / "small.csv")
    night = np.r_[0 : 7 * 60, 22 * 60 + 2 : 24 * 60]  # minutes of the day without a request
    assert days.requests.shape == (28, 1440) and not days.requests[:, night].any()
    assert service.min_instances == 0 and service.boot_seconds == 20 and service.step_seconds == 60
    week = days.requests[7:14]
    today = simulate(setup.policy(service, days), week, service)
    asleep = simulate(setup.grids(days)["hpa-demand"].policy(service, {"target": 0.865}, "asleep"), week, service)
    at_three = 3 * 60
    assert (today.ready[:, at_three] == 1).all() and (asleep.ready[:, at_three] == 0).all()
    assert (today.ready[:5, 8 * 60 + 5 : 18 * 60] >= 4).all(), "the schedule, five minutes after it begins"
    assert asleep.cost.sum() < 0.8 * today.cost.sum()
    first = asleep.queue[:, 7 * 60 : 7 * 60 + 5].sum()
    assert first > 0 and asleep.queue.sum() + asleep.dropped.sum() < 0.001 * week.sum(), "only the first ones wait"
