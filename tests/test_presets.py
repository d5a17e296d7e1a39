"""The presets of `examples/`: their traffic is what they say, and their rules do on it what the README says."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autoscaler_env import LlmDays, simulate
from autoscaler_env.advice.setup import Setup
from autoscaler_env.evaluation.objective import Objective
from autoscaler_env.evaluation.simulation import by_day, served_within, simulate_through
from autoscaler_env.traffic.reading import read_traffic
from autoscaler_env.traffic.trace import Trace
from examples.llm_serving import generated

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
    later = days.later
    today = simulate(setup.policy(service, days), later, service)
    asleep = simulate(setup.grids(days)["hpa-demand"].policy(service, {"target": 0.865}, "asleep"), later, service)
    at_three = 3 * 60
    workdays = [weekday < 5 for weekday in days.weekdays[-len(later) :]]
    assert (today.ready[:, at_three] == 1).all() and (asleep.ready[:, at_three] == 0).all()
    assert (today.ready[workdays, 8 * 60 + 5 : 18 * 60] >= 4).all(), "the schedule, five minutes after it begins"
    saved = (today.cost - asleep.cost).sum(axis=1)[6:].mean()  # on the days that the choice has not seen
    stated = re.search(r"than today's rule by \$([0-9.]+) a day", (EXAMPLES / "README.md").read_text())
    assert float(stated[1]) == pytest.approx(saved, abs=0.02), "but for each night's first minute"
    first = asleep.queue[:, 7 * 60 : 7 * 60 + 5].sum()
    assert first > 0 and asleep.queue.sum() + asleep.dropped.sum() < 0.001 * later.sum(), "only the first ones wait"


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


def test_the_setting_recommended_for_the_llm_saves_what_the_readme_says_and_keeps_the_objective(tmp_path):
    setup, printed, service = setup_and_days("llm_serving", tmp_path / "llm.csv", "--days", "2")
    month = LlmDays(service).draw(np.arange(28, dtype=np.uint64))
    assert np.array_equal(printed.requests, month[:2]), "the month as CSV is the workload"
    days = Trace("LLM", month, service.step_seconds)
    service = setup.service_for(days)
    assert (service.boot_steps, service.instance_price_per_hour, setup.objective) == (5, 6.0, Objective(0.99, 60))
    settings = [setup.today_settings, {"target": 0.8, "scale_out_cooldown": 600, "scale_in_cooldown": 840}]
    columns = {name: np.array([setting[name] for setting in settings]) for name in settings[0]}
    through = simulate_through(setup.grids(days)[setup.today["rule"]].policy(service, columns), days.later, service, 2)
    saved = np.subtract(*by_day(through, service).cost.sum(axis=1).reshape(2, -1))[6:].mean()  # the choice saw 6 days
    today, advised = served_within(through, 60).sum(axis=1) / days.later.sum()
    text = (EXAMPLES / "README.md").read_text()
    assert f"by ${saved:.2f} a day" in text and f"serves {100 * advised:.2f} %" in text.replace("\n", " ")
    assert min(today, advised) >= 0.99
