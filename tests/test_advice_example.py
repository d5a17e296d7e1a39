"""The example: a generated month, read as an export is, and answered."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autoscaler_env.advice.setup import Setup
from autoscaler_env.cli.main import main
from autoscaler_env.traffic.columns import Reading
from autoscaler_env.traffic.reading import read_traffic
from autoscaler_env.traffic.trace import cut_days

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    """Return the file of the generated month."""
    path = tmp_path_factory.mktemp("month") / "month.csv"
    with path.open("w") as file:
        subprocess.run([sys.executable, str(EXAMPLES / "make_month.py")], stdout=file, check=True)
    return path


def test_the_month_is_30_days_with_a_gap_and_a_change_of_the_clock_and_fits_its_service(month):
    days = cut_days(read_traffic(str(month), how=Reading(zone="Europe/Berlin")))
    assert (len(days.requests), days.step_seconds) == (30, 300)
    assert (days.labels[0], days.labels[-1]) == ("2026-03-02", "2026-03-31")
    file, rows, gap, clock = days.notes
    assert "unit count" in file and "every 300 s" in rows and "Europe/Berlin" in rows
    assert "2026-03-29 02:00: clocks go forward by 1 h" in clock and "1 gap" in gap and "4 intervals" in gap
    service = Setup.from_toml(EXAMPLES / "service.toml").service_for(days)
    assert days.requests.max() < service.capacity_per_instance * service.max_instances


@pytest.mark.slow
def test_the_month_is_answered_with_every_policy_and_the_answer_keeps_its_promise(month, tmp_path):
    service = str(EXAMPLES / "service.toml")
    assert (
        main(
            [
                "advise",
                str(month),
                "--zone",
                "Europe/Berlin",
                "--service",
                service,
                "--quick",
                "--output",
                str(tmp_path),
            ]
        )
        == 0
    )
    plain = json.loads((tmp_path / "advice.json").read_text())
    costs = {name: np.mean(policy["costs"]) for name, policy in plain["policies"].items()}
    optimum = costs.pop("optimum")
    rules = {"today", "fixed", "threshold", "hpa-cpu", "hpa-demand", "target-tracking", "forecast"}
    assert set(costs) == rules | {"q-learning", "dqn", "ppo"} and optimum <= min(costs.values())
    chosen = plain["recommendation"]["policy"]
    allowed = set(costs) - set(plain["recommendation"]["refused"])
    near = costs[chosen] <= 1.01 * min(costs[name] for name in allowed)
    assert near or any("than the cheapest" in limit for limit in plain["limits"])
    assert plain["policies"][chosen]["in_time_share"] >= plain["policies"]["today"]["in_time_share"] - 0.001
    assert chosen not in ("q-learning", "dqn", "ppo"), "with --quick no learner is recommended"


def test_the_commands_of_the_example_name_files_that_are_there():
    text = (EXAMPLES / "README.md").read_text()
    commands = [line for block in re.findall(r"```\n(.*?)```", text, flags=re.DOTALL) for line in block.splitlines()]
    assert commands[0] == "mkdir -p build", "a fresh checkout has no such folder"
    commands = [command for command in commands if command != "mkdir -p build"]
    assert len(commands) == 7 and commands[0].startswith("python examples/make_month.py > build/month.csv")
    command = (
        "autoscaler advise build/month.csv --zone Europe/Berlin --service examples/service.toml --output build/advice"
    )
    assert commands[1] == command
    assert commands[2] == "python benchmarks/readme_pictures.py build/advice/advice.html"
    for preset, build, pair in [("small_web_service", "small", commands[3:5]), ("llm_serving", "llm", commands[5:7])]:
        answer = f"--service examples/{preset}.toml --no-learners --output build/{build}"
        assert pair == [
            f"python examples/{preset}.py > build/{build}.csv",
            f"autoscaler advise build/{build}.csv {answer}",
        ]
