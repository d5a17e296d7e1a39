"""Objectives: what they are, the rules and learners that keep them, and the late price that they imply."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from cases import cases

from autoscaler_env.cli.main import main
from autoscaler_env.evaluation.calibration import (
    RESERVES,
    RULE_GRIDS,
    TARGETS,
    ServiceLevel,
    _Tried,
    settings_that_keep,
)
from autoscaler_env.evaluation.metrics import evaluate
from autoscaler_env.evaluation.objective import Objective, share_interval
from autoscaler_env.evaluation.report import objective_report
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.evaluation.statistics import Interval, mean_interval
from autoscaler_env.paths import Folders
from autoscaler_env.policies.rules import Static, TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Pattern, day_seeds
from autoscaler_env.training.config import TrainingConfig
from autoscaler_env.training.objective import late_price_for, rule_that_keeps, search_price, with_price
from autoscaler_env.training.train import train

MINUTE = Objective(0.99, 60)
FREE = Service(late_price=0.0, initial_instances=60, fleet_changes=(-5, -1, 0, 1, 5))
"""The reference service without a late price, that can follow the demand."""


# --- what an objective is --------------------------------------------------------------------------------------------


@cases(
    ("values", "message"),
    [
        ((99, 60), "objective.served_in_time = 99: must be a share above 0 and below 1; for 99 % write 0.99"),
        ((1, 60), "objective.served_in_time = 1: must be a share above 0 and below 1"),
        ((True, 60), "objective.served_in_time = True: must be a share above 0 and below 1"),
        ((0.99, -1), "objective.within_seconds = -1: must be a finite number of at least 0"),
        ((0.99, math.inf), "objective.within_seconds = inf: must be a finite number of at least 0"),
        ((0.99, "60"), "objective.within_seconds = '60': must be a finite number of at least 0"),
    ],
)
def test_a_bad_objective_is_refused_in_one_line(values, message):
    with pytest.raises(ValueError) as caught:
        Objective(*values)
    assert str(caught.value) == message


def test_a_file_gives_the_objective_and_the_service_without_a_late_price(tmp_path):
    path = tmp_path / "service.toml"
    path.write_text("max_instances = 50\n[objective]\nserved_in_time = 0.95\nwithin_seconds = 30\n")
    assert Objective.from_toml(path) == Objective(0.95, 30)
    assert Service.from_toml(path) == Service(max_instances=50, late_price=0.0)
    path.write_text("max_instances = 50\n")
    assert Objective.from_toml(path) is None and Service.from_toml(path).late_price == 0.00025


@cases("command", ["evaluate static", "train q-learning", "advise traffic.csv"])
@cases(
    ("content", "message"),
    [
        (
            "late_price = 0.1\n[objective]\nserved_in_time = 0.9\nwithin_seconds = 1",
            "objective and late_price: two ways",
        ),
        (
            "late_price_per_1000_per_minute = 0.1\n[objective]\nserved_in_time = 0.9\nwithin_seconds = 1",
            "objective and late_price_per_1000_per_minute: two ways to say what a late request may cost; write only",
        ),
        ("[objective]\nserved_in_time = 0.9", "must be a table of served_in_time and within_seconds"),
        ("min_instances = 9\nmax_instances = 4", "max_instances = 4: must be at least min_instances = 9"),
    ],
)
def test_bad_combinations_cost_one_line(command, content, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text(content)
    (tmp_path / "traffic.csv").write_text("step,requests\n" + "".join(f"{t},5\n" for t in range(600)))
    assert main([*command.split(), "--service", "bad.toml"]) != 0
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_share_counts_requests_and_its_interval_is_over_days():
    in_time, arrivals = np.array([90.0, 1000.0, 480.0]), np.array([100, 1000, 500])
    share = share_interval(in_time, arrivals)
    assert share.mean == pytest.approx(1570 / 1600)
    # days of equal size: the interval of the daily shares
    daily = np.array([0.97, 0.99, 0.98, 0.985])
    assert share_interval(1000 * daily, np.full(4, 1000)) == pytest.approx(mean_interval(daily))
    assert share_interval(np.zeros(2), np.zeros(2, dtype=int)) == Interval(2, 1.0, 1.0, 1.0), "nothing came in"
    assert MINUTE.verdict(Interval(9, 0.98, 0.97, 0.985)) == "missed"


def test_calibration_compares_a_share_that_is_likely_to_hold():
    assert MINUTE.surely(Interval(9, 0.995, 0.992, 0.998)) == 0.992, "the lower end"
    assert MINUTE.surely(Interval(1, 0.997, -math.inf, math.inf)) == pytest.approx(0.992), "half of 1 % is kept back"


# --- rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["SINE_CURVE", "SPIKE"])
def test_a_rule_has_the_cheapest_setting_that_keeps_the_objective_and_keeps_it_on_other_days(pattern):
    workload, level = Pattern(pattern, FREE), ServiceLevel(0.99, 1.0, MINUTE)
    rule = rule_that_keeps(RULE_GRIDS["target-tracking"], [workload], FREE, MINUTE, "ours")
    days = workload.evaluation_days(300)
    assert rule.name == "ours" and MINUTE.verdict(MINUTE.share(simulate(rule, days, FREE), independent=True)) == "kept"
    drawn = workload.draw(day_seeds("calibration", 60))
    found = settings_that_keep(RULE_GRIDS["target-tracking"], drawn, FREE, level, in_a_row=False)
    cost = simulate(TargetTracking(FREE, **found.keeping), drawn, FREE).cost.sum()
    for target in TARGETS[::2]:
        for reserve in RESERVES[::4]:
            other = simulate(TargetTracking(FREE, float(target), float(reserve)), drawn, FREE)
            keeps = MINUTE.surely(MINUTE.share(other)) >= 0.99
            assert other.cost.sum() >= cost - 1e-6 or not keeps, (target, reserve)


def tried(cost, sure, waiting):
    shares = np.array(sure)
    settings = [(float(i),) for i in range(len(cost))]
    return _Tried(settings, np.array(cost), shares, np.zeros(len(cost)), shares, np.array(waiting, dtype=float))


def test_the_implied_price_is_the_one_from_which_on_the_cheapest_setting_keeps_the_objective():
    # $1 more saves 100 waits, $4 more 150 waits: from 1 cent a wait on the second is cheapest, from 6 cents the third
    three = tried([10, 11, 14], [0.9, 0.98, 0.995], [200, 100, 50])
    assert three.implied_price(0.95) == pytest.approx(0.01) and three.implied_price(0.99) == pytest.approx(0.06)
    assert three.implied_price(0.9) == 0.0 and math.isnan(three.implied_price(0.999))
    # a setting above the line between its neighbours is never the cheapest
    assert tried([10, 13, 14], [0.9, 0.99, 0.995], [200, 150, 50]).implied_price(0.99) == pytest.approx(4 / 150)


def test_where_no_setting_keeps_the_objective_the_cheapest_of_the_best_is_taken():
    level = ServiceLevel(0.99, 1.0, MINUTE)
    assert tried([10, 20, 90], [0.9, 0.9602, 0.9605], [9, 5, 4]).best(level)[0] == 1
    assert tried([10, 20, 90], [0.9, 0.95, 0.9605], [9, 5, 4]).best(level)[0] == 2


# --- learners --------------------------------------------------------------------------------------------------------


def test_the_search_goes_up_and_says_when_nothing_keeps_the_objective():
    # share = 0.98 + 0.01 log10(price): 99 % from a price of 10 on
    found = search_price(lambda price: 0.98 + 0.01 * math.log10(price), MINUTE, 3.0, trainings=8)
    assert found.keeps and 10 <= found.price < 11
    assert search_price(lambda price: 0.98 + 0.01 * math.log10(price), MINUTE, 50.0) == (50.0, True)
    never = search_price(lambda price: min(0.97, 0.9 + price), MINUTE, 0.02)
    assert not never.keeps and never.price == pytest.approx(0.08), "more would not help"


def test_a_learner_is_trained_with_the_price_that_makes_it_keep_the_objective(tmp_path):
    service = dataclasses.replace(FREE, fleet_changes=(-1, 0, 1))
    config = TrainingConfig("q-learning", "SINUSOIDAL", episodes=2000, service=service)
    lines = []
    price, keeps = late_price_for(config, MINUTE, lines.append)
    assert keeps and price > 0 and 2 <= len(lines) <= 9 and "500 episodes" in lines[0]
    policy = train(with_price(config, price), Folders(tmp_path), progress=False).policy
    days = Pattern("SINUSOIDAL", service).evaluation_days(100)
    assert MINUTE.verdict(MINUTE.share(simulate(policy, days, service), independent=True)) == "kept"
    starved = train(with_price(config, price / 1000), Folders(tmp_path), progress=False).policy
    assert MINUTE.verdict(MINUTE.share(simulate(starved, days, service), independent=True)) == "missed"


# --- evaluations -----------------------------------------------------------------------------------------------------


def test_an_evaluation_reports_each_policy():
    episodes = evaluate([Static(FREE), TargetTracking(FREE, 1.3)], "STEADY", 20, FREE, MINUTE)
    lines = objective_report(episodes, MINUTE).splitlines()
    assert lines[0] == "Objective: 99 % of the requests within 60 s."
    assert lines[1].startswith("static: kept, 100.00 % (95 % interval 100.00 % to 100.00 %)")
    assert lines[2].startswith("target-tracking: missed")
    assert isinstance(episodes, pd.DataFrame) and (episodes["served_within"] <= episodes["arrivals"]).all()


def test_the_command_line_calibrates_rules_for_the_objective(tmp_path, capsys):
    path = tmp_path / "o.toml"
    path.write_text(
        "initial_instances = 60\nfleet_changes = [-5, -1, 0, 1, 5]\n[objective]\nserved_in_time = 0.99\n"
        "within_seconds = 60\n"
    )
    words = ["target-tracking-sine_curve", "static", "--pattern", "SINE_CURVE", "--episodes", "50"]
    assert main(["evaluate", *words, "--service", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "Objective: 99 % of the requests within 60 s." in printed
    assert "target-tracking-sine_curve: kept, 99." in printed and "static: kept, 100.00 %" in printed
