"""Objectives: what they are, the rules and learners that keep them, and the late price that they imply."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from cases import cases

from autoscaler_env.cli.main import main
from autoscaler_env.evaluation.calibration import RESERVES, TARGETS, ServiceLevel, _Tried, settings_that_keep
from autoscaler_env.evaluation.grids import RULE_GRIDS
from autoscaler_env.evaluation.metrics import evaluate
from autoscaler_env.evaluation.objective import Objective, share_interval, trained_for
from autoscaler_env.evaluation.report import objective_report
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.evaluation.statistics import Interval, mean_interval
from autoscaler_env.paths import Folders
from autoscaler_env.policies.registry import find_policy
from autoscaler_env.policies.rules import Static, TargetTracking
from autoscaler_env.service import Service
from autoscaler_env.storage.models import read_description
from autoscaler_env.traffic.patterns import Pattern, day_seeds
from autoscaler_env.training.checkpoint import RunFolder
from autoscaler_env.training.config import LENGTH, TrainingConfig
from autoscaler_env.training.objective import (
    TRAININGS,
    SearchFolder,
    Trial,
    chosen,
    next_price,
    rule_that_keeps,
    shortened,
    train_to_keep,
)
from autoscaler_env.training.train import folder_of, train
from autoscaler_env.verification.check import check

MINUTE = Objective(0.99, 60)
FREE = Service(late_price=0.0, initial_instances=60, fleet_changes=(-5, -1, 0, 1, 5))
"""The reference service without a late price, that can follow the demand."""


# --- what an objective is --------------------------------------------------------------------------------------------


@cases(
    ("values", "message"),
    [
        ((99, 60), "objective.served_in_time = 99: must be a share above 0 and below 1; for 99 % write 0.99"),
        (("99%", 60), "objective.served_in_time = '99%': must be a share above 0 and below 1; for 99 % write 0.99"),
        ((0, 60), "objective.served_in_time = 0: must be a share above 0 and below 1"),
        (
            (1.0, 60),
            "objective.served_in_time = 1.0: must be a share above 0 and below 1; no service can promise it for every "
            "request: write 0.999 if one of 1,000 may miss it",
        ),
        ((True, 60), "objective.served_in_time = True: must be a share above 0 and below 1"),
        ((0.99, -1), "objective.within_seconds = -1: must be a number from 0 to 86400, a day"),
        ((0.99, math.inf), "objective.within_seconds = inf: must be a number from 0 to 86400, a day"),
        ((0.99, 90_000), "objective.within_seconds = 90000: must be a number from 0 to 86400, a day"),
        (
            (0.99, "60 s"),
            "objective.within_seconds = '60 s': must be a number from 0 to 86400, a day; write 60, without quotes or "
            "unit",
        ),
    ],
)
def test_a_bad_objective_is_refused_in_one_line(values, message):
    with pytest.raises(ValueError) as caught:
        Objective(*values)
    assert str(caught.value) == message


def test_an_objective_and_a_late_price_exclude_each_other_in_python_too():
    hour = dataclasses.replace(FREE, steps_per_episode=12)
    for call in (
        lambda objective, service: TrainingConfig("ppo", service=service, objective=objective),
        lambda objective, service: rule_that_keeps(RULE_GRIDS["fixed"], [], service, objective),
        lambda objective, service: evaluate(Static(service), "STEADY", 1, service, objective),
    ):
        with pytest.raises(ValueError, match=r"^objective and late_price = 0.00025: two ways .* a late_price of 0$"):
            call(MINUTE, Service())
        with pytest.raises(ValueError, match=r"within_seconds = 7200: must be at most 3600, a day of the service$"):
            call(Objective(0.99, 7200), hour)


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
        ("objective = 0.9", "objective = 0.9: must be a table of served_in_time and within_seconds"),
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


def searched(share_of, first, cost_of=lambda price: 100 + 5 * math.log10(price), **options):
    """Return the trials of a search whose trainings reach the share and the cost that functions of the price say."""
    trials = []
    while (price := next_price(trials, MINUTE, first, **options)) is not None:
        trials.append(Trial(price, 1, share_of(price), share_of(price), cost_of(price)))
    return trials


def test_the_search_brackets_the_price_from_either_side_with_few_trainings():
    def share_of(price):  # 99 % from a price of 10 on
        return 0.98 + 0.01 * math.log10(price)

    for first, tried in ((3.0, [3, 24, 8.485]), (50.0, [50, 6.25, 17.68])):
        trials = searched(share_of, first)
        assert [each.late_price for each in trials] == pytest.approx(tried, rel=1e-3)
        assert 10 <= chosen(trials, MINUTE).late_price <= 30 and chosen(trials, MINUTE).keeps(MINUTE)
    assert len(searched(share_of, 50.0, falls=False)) == 1, "the first keeps it, and none below is wanted"
    lazy = searched(lambda price: 0.995, 8.0, cost_of=lambda price: {8.0: 100.0, 1.0: 99.5}[price])
    assert [each.late_price for each in lazy] == [8.0, 1.0] and chosen(lazy, MINUTE).cost == 99.5, "1 % less is saved"
    never = searched(lambda price: min(0.97, 0.9 + price), 0.02)
    assert len(never) == TRAININGS and chosen(never, MINUTE).late_price == pytest.approx(0.16), "more would not help"


LENGTHS = {"q-learning": 400, "dqn": 6_000, "ppo": 6_144, "policy-iteration": 2}
SMALL = {"policy-iteration": {"days": 12, "labels": 4, "recogniser_days": 12}}


@pytest.mark.parametrize("algorithm", LENGTHS)
def test_every_learner_searches_its_price_and_goes_on_where_it_was_interrupted(algorithm, tmp_path, monkeypatch):
    service = dataclasses.replace(FREE, steps_per_episode=48)
    length = {LENGTH[algorithm]: LENGTHS[algorithm]}
    config = TrainingConfig(
        algorithm, "STEADY", service=service, objective=Objective(0.9, 60), **length, **SMALL.get(algorithm, {})
    )
    lines, folders, other = [], Folders(tmp_path / "whole"), Folders(tmp_path / "broken")
    whole = train_to_keep(config, folders, progress=False, report=lines.append)
    trials = whole.description["search"]
    assert 2 <= len(trials) == len(lines) <= TRAININGS and "after a warm start" in lines[1]
    assert trials[1]["timesteps"] < trials[0]["timesteps"], "the others are shorter"
    assert whole.description["objective"] == {"served_in_time": 0.9, "within_seconds": 60}
    (price,) = {
        each["late_price"] for each in trials if each["late_price"] == whole.description["service"]["late_price"]
    }
    assert not (folders.logs / config.model_name / "search").exists()

    save, calls = RunFolder.save_state, []

    def break_off(self, *arguments):  # in the second training, when its first state is saved
        save(self, *arguments)
        if "2" in self.folders.root.parts and not calls:
            calls.append(self)
            raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "save_state", break_off)
    with pytest.raises(KeyboardInterrupt):
        train(config, other, progress=False)
    assert folder_of(config, other).progress().startswith("1 training and ")
    np.random.seed(99)  # noqa: NPY002 - a new process has other global generators
    resumed = train(config, other, progress=False, resume=True)
    assert resumed.description["search"] == trials
    model = f"models/{config.model_name}{config.ending}"
    assert (other.root / model).read_bytes() == (folders.root / model).read_bytes(), "bit for bit"
    assert trained_for(read_description(other.root / model)).startswith("trained to keep 90 % of the requests within")
    assert f"{price:.4g}" in f"{resumed.description['service']['late_price']:.4g}"


def test_ppo_imitates_the_rule_of_each_new_price(tmp_path):
    service = dataclasses.replace(FREE, steps_per_episode=48)
    config = TrainingConfig("ppo", "STEADY", service=service, objective=MINUTE, timesteps=4_000, imitation_days=1)
    imitated = config.preset.imitated_timesteps(48)
    assert shortened(config) == imitated + 1, "a quarter of the budget would not do"
    trained = train_to_keep(config, Folders(tmp_path), progress=False, first=1e-6)
    trials = trained.description["search"]
    assert trained.description["keeps_objective"] and trials[0]["share"] < 0.9, (
        "the rule of the first price is too cheap"
    )
    assert all(each["timesteps"] > imitated for each in trials)


def test_a_learner_is_trained_once_where_not_even_all_instances_keep_the_objective(tmp_path, capsys):
    service = dataclasses.replace(FREE, max_instances=3, initial_instances=3, steps_per_episode=24)
    lines = []
    config = TrainingConfig("q-learning", "STEADY", episodes=20, service=service, objective=MINUTE)
    trained = train_to_keep(config, Folders(tmp_path), progress=False, report=lines.append)
    assert lines[0].startswith(
        "Nothing can keep this objective: a fleet that grows to all 3 instances as fast as it may"
    )
    assert len(lines) == 2 and len(trained.description["search"]) == 1 and not trained.description["keeps_objective"]
    words = "trained to keep 99 % of the requests within 60 s, which it missed on the days of the search, with a late "
    model = SearchFolder(config, Folders(tmp_path)).model
    assert words in check(str(model), "final", 1)["reason"], "verify says it"
    find_policy(str(model), service, Folders(tmp_path))
    told = capsys.readouterr().err
    assert words in told and "another service" not in told, "evaluate says it"


def test_a_learner_keeps_its_objective_on_other_days_with_the_price_that_was_found(tmp_path):
    service = dataclasses.replace(FREE, fleet_changes=(-1, 0, 1))
    config = TrainingConfig("q-learning", "SINUSOIDAL", episodes=2000, service=service, objective=MINUTE)
    trained = train(config, Folders(tmp_path), progress=False)
    assert trained.description["keeps_objective"]
    days = Pattern("SINUSOIDAL", service).evaluation_days(100)
    assert MINUTE.share(simulate(trained.policy, days, service), independent=True).mean >= 0.99
    starved = dataclasses.replace(service, late_price=trained.description["service"]["late_price"] / 1000)
    poor = train(dataclasses.replace(config, service=starved, objective=None), Folders(tmp_path / "b"), progress=False)
    assert MINUTE.verdict(MINUTE.share(simulate(poor.policy, days, service), independent=True)) == "missed"


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
