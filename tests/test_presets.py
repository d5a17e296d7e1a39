"""The presets of `examples/`: their traffic is what they say, and their rules do on it what the README says."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autoscaler_env import simulate
from autoscaler_env.advice.setup import Setup
from autoscaler_env.evaluation.objective import Objective
from autoscaler_env.evaluation.simulation import served_within, simulate_through
from autoscaler_env.traffic.reading import read_traffic
from examples.llm_serving import LlmDays, generated

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


def test_llm_traffic_agrees_with_the_recorded_hour_as_closely_as_the_readme_says():
    lines = (EXAMPLES / "README.md").read_text().partition("| | chats, recorded")[2].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    table = {name: [float(number.replace(",", "")) for number in numbers] for name, *numbers in rows}
    chats, code = generated()
    assert list(table) == list(chats) and len(table) == 8
    for name, (recorded_chats, made_chats, recorded_code, made_code) in table.items():
        assert [made_chats, made_code] == pytest.approx([chats[name], code[name]], abs=0.01)
        for recorded, made in ((recorded_chats, made_chats), (recorded_code, made_code)):
            if name.startswith("autocorrelation"):
                assert abs(made - recorded) < (1 if "300" in name else 0.1)
            elif name.startswith("share"):
                assert abs(made - recorded) < 0.05
            else:
                assert made == pytest.approx(recorded, rel=0.2 if "60 s" in name else 0.1)


def test_the_rule_recommended_for_the_llm_is_cheaper_than_todays_and_keeps_the_objective(tmp_path):
    setup, days, service = setup_and_days("llm_serving", tmp_path / "llm.csv", "--days", "7")
    assert (service.boot_steps, service.instance_price_per_hour, setup.objective) == (5, 6.0, Objective(0.99, 60))
    week = days.requests
    assert np.array_equal(LlmDays(service).draw(np.arange(7, dtype=np.uint64)), week)
    advised = {"target": 0.8, "scale_out_cooldown": 600, "scale_in_cooldown": 840}
    today = simulate_through(setup.policy(service, days), week, service)
    better = simulate_through(
        setup.grids(days)["aws-target-tracking"].policy(service, advised, "advised"), week, service
    )
    assert better.cost.sum() < 0.8 * today.cost.sum()
    for trajectory in (today, better):
        assert served_within(trajectory, 60).sum() >= 0.99 * week.sum()
