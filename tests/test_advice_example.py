"""The example of the README: a generated month, read as an export is, and answered."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autoscaler_env.advice.setup import Setup
from autoscaler_env.cli.main import main
from autoscaler_env.traffic.reading import read_traffic
from autoscaler_env.traffic.trace import cut_days

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    """Return the file of the generated month."""
    path = tmp_path_factory.mktemp("month") / "month.csv"
    with path.open("w") as file:
        subprocess.run([sys.executable, str(EXAMPLES / "make_month.py")], stdout=file, check=True, timeout=60)
    return path


def test_the_month_is_30_days_with_a_gap_and_a_change_of_the_clock(month):
    days = cut_days(read_traffic(month))
    assert (len(days.requests), days.step_seconds) == (30, 300)
    assert (days.labels[0], days.labels[-1]) == ("2026-03-02", "2026-03-31")
    clock, gap = days.notes
    assert "clocks go forward by 1 h" in clock and "1 gap" in gap and "4 intervals" in gap


def test_the_service_of_the_example_is_sound_and_large_enough(month):
    days = cut_days(read_traffic(month))
    service = Setup.from_toml(EXAMPLES / "service.toml").service_for(days)
    assert days.requests.max() < service.capacity_per_instance * service.max_instances


def sound(folder):
    """Assert that an answer keeps its promise: within 1 % of the cheapest, or it says why not."""
    plain = json.loads((folder / "advice.json").read_text())
    costs = {name: np.mean(policy["costs"]) for name, policy in plain["policies"].items()}
    optimum = costs.pop("optimum")
    chosen = plain["recommendation"]["policy"]
    near = costs[chosen] <= 1.01 * min(costs.values())
    assert near or any("than the cheapest" in limit for limit in plain["limits"])
    assert optimum <= min(costs.values())
    return plain


@pytest.mark.slow
def test_the_month_is_answered_with_every_policy_and_the_answer_keeps_its_promise(month, tmp_path):
    arguments = [
        "advise",
        str(month),
        "--service",
        str(EXAMPLES / "service.toml"),
        "--quick",
        "--output",
        str(tmp_path),
    ]
    assert main(arguments) == 0
    plain = sound(tmp_path)
    assert set(plain["policies"]) >= {"today", "fixed", "threshold", "hpa-cpu", "target-tracking", "forecast"}
    assert set(plain["policies"]) >= {"q-learning", "dqn", "ppo", "optimum"}


@pytest.mark.slow
def test_trainings_of_networks_give_the_same_page_again(month, tmp_path, monkeypatch):
    monkeypatch.setattr("autoscaler_env.advice.compare.BUDGETS", {True: {"dqn": 3_000, "ppo": 3_000}, False: {}})
    pages = []
    for name in ("one", "two"):
        folder = tmp_path / name
        service = str(EXAMPLES / "service.toml")
        assert main(["advise", str(month), "--service", service, "--quick", "--output", str(folder)]) == 0
        pages.append((folder / "advice.html").read_bytes())
    assert pages[0] == pages[1]
