"""Every rival of the learners is calibrated with the same effort, and has a name on the command line."""

import dataclasses

import numpy as np
import pytest
from cases import cases

from autoscaler_env.evaluation import rivals
from autoscaler_env.evaluation.calibration import calibrate, read_calibrations, setting_costs
from autoscaler_env.evaluation.rivals import (
    RIVAL_GRIDS,
    TUNED,
    VENDOR_GRIDS,
    CalibratedRule,
    calibrate_rule,
    read_calibrated_rules,
    save_calibrated_rules,
    tuned_rule,
)
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders
from autoscaler_env.policies.knative import Kpa
from autoscaler_env.policies.kubernetes import HpaCpu, HpaDemand
from autoscaler_env.policies.registry import (
    BASELINES,
    CALIBRATED,
    POLICY_LABELS,
    VENDOR_RULES,
    find_policies,
    find_policy,
)
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Pattern, day_seeds, purpose_of
from autoscaler_env.traffic.trace import Trace

SMALL = Service(steps_per_episode=30, boot_steps=2)


def days_of(pattern, service=SMALL, count=4):
    """Return calibration days of a pattern, shape (count, steps)."""
    return Pattern(pattern, service).draw(day_seeds("calibration", count))


def test_the_rules_that_the_issue_names_are_calibrated():
    assert set(RIVAL_GRIDS) == set(CALIBRATED) == {"threshold", "target-tracking", "hpa-cpu", "hpa-demand", "kpa"}
    assert set(TUNED) == set(CALIBRATED) - {"target-tracking"}


def test_every_rule_gets_the_same_effort():
    grids = RIVAL_GRIDS | VENDOR_GRIDS
    sizes = {name: len(set(grid.grid(Service()))) for name, grid in grids.items()}
    assert min(sizes.values()) >= 150 and max(sizes.values()) <= 156
    for name, grid in grids.items():
        assert sum(step > 0 for step in grid.fine) == 2, name
        assert len(grid.grid(Service())) == sizes[name], "a setting is tried twice"


@cases("name", RIVAL_GRIDS)
def test_settings_side_by_side_cost_what_each_costs_alone(name):
    grid, days = RIVAL_GRIDS[name], days_of("SPIKE")
    some = grid.grid(SMALL)[::19]
    together = setting_costs(grid, some, days, SMALL)
    for values, costs in zip(some, together, strict=True):
        rule = grid.policy(SMALL, dict(zip(grid.settings, values, strict=True)))
        assert simulate(rule, days, SMALL).cost.sum(axis=1) == pytest.approx(costs, rel=1e-12), values


SETTINGS_OF_ONE = ((HpaCpu, {"downscale_window": 900.0}), (HpaDemand, {"tolerance": 0.0}), (Kpa, {"stable_steps": 5}))


@cases("one", SETTINGS_OF_ONE)
def test_a_setting_for_each_service_equals_one_setting_for_all(one):
    make, settings = one
    days = days_of("SPIKE", Service())
    alone = simulate(make(Service(), **settings), days)
    each = simulate(make(Service(), **{name: np.full(len(days), value) for name, value in settings.items()}), days)
    assert np.array_equal(alone.fleet, each.fleet)


@cases("name", RIVAL_GRIDS)
def test_the_search_finds_the_cheapest_of_all_settings_tried(name, monkeypatch):
    whole = RIVAL_GRIDS[name]
    grid = dataclasses.replace(whole, grid=lambda service: whole.grid(service)[::17])
    monkeypatch.setitem(RIVAL_GRIDS, name, grid)
    found = calibrate_rule(name, ["SPIKE"], SMALL, 4)["SPIKE"]
    days = days_of("SPIKE")
    coarse = setting_costs(grid, grid.grid(SMALL), days, SMALL).mean(axis=1)
    best = dict(zip(grid.settings, grid.grid(SMALL)[int(coarse.argmin())], strict=True))
    fine = setting_costs(grid, grid.near(SMALL, best), days, SMALL).mean(axis=1)
    assert found.cost == pytest.approx(min(coarse.min(), fine.min()))
    assert found.tried == len(coarse) + len(fine)
    assert simulate(found.policy(SMALL), days, SMALL).cost.sum(axis=1).mean() == pytest.approx(found.cost)


def test_one_setting_for_all_patterns_is_cheapest_on_their_mean():
    found = calibrate_rule("kpa", (MIXED, *PATTERNS), SMALL, 2)
    own = np.mean([found[pattern].cost for pattern in PATTERNS])
    shared = found[MIXED].policy(SMALL)
    costs = [simulate(shared, days_of(pattern, count=2), SMALL).cost.sum(axis=1).mean() for pattern in PATTERNS]
    assert found[MIXED].cost == pytest.approx(np.mean(costs)) and own <= found[MIXED].cost + 1e-9


def test_rules_are_calibrated_on_calibration_days_only():
    asked = []

    class Recorder(Pattern):
        def draw(self, seeds):
            asked.extend(purpose_of(seed) for seed in seeds)
            return super().draw(seeds)

    calibrate_rule("threshold", [Recorder("STEADY", SMALL)], SMALL, 3)
    assert asked == ["calibration"] * 3


WRONG = (
    (("nope",), r"rule = 'nope': must be one of threshold, "),
    (("kpa", ()), r"patterns = \[\], days = 100: must be at least one"),
    (("kpa", ("STEADY",), SMALL, 0), r"days = 0: must be at least one"),
    (("kpa", ("NOPE",)), r"NOPE"),
)


@cases("wrong", WRONG)
def test_wrong_arguments_are_refused_in_one_line(wrong):
    arguments, message = wrong
    with pytest.raises(ValueError, match=message) as caught:
        calibrate_rule(*arguments)
    assert "\n" not in str(caught.value)


def test_rules_as_vendors_run_them_are_calibrated_when_a_user_names_them(capsys):
    days = days_of("STEADY")
    policies = find_policies(
        ["target-tracking-spike", *(f"{name}-calibrated" for name in VENDOR_GRIDS)],
        SMALL,
        None,
        Trace("shop", np.tile(days[:1], (6, 1))),
    )
    assert [policy.name for policy in policies] == [
        "ideal-target-tracking-spike",
        *(f"{name}-calibrated" for name in VENDOR_GRIDS),
    ], "beside AWS' rule ours is an ideal"
    assert set(VENDOR_RULES) == set(VENDOR_GRIDS) < set(BASELINES) & set(POLICY_LABELS)
    printed = capsys.readouterr().err
    assert all(f"Calibrating {name}-calibrated on the earlier days of shop." in printed for name in VENDOR_GRIDS)
    costs = [
        simulate(policy, days[:1], SMALL).cost.sum() for policy in (policies[1], find_policy(VENDOR_RULES[0], SMALL))
    ]
    assert costs[0] < costs[1]


# --- the table and the names -----------------------------------------------------------------------------------------


def test_saved_rules_are_read_back(tmp_path):
    settings = {"target": 0.7, "stable_steps": 2.0}
    rules = {"kpa": {"SPIKE": CalibratedRule("kpa", settings, 170.123, 195)}}
    save_calibrated_rules(rules, Folders(tmp_path))
    assert read_calibrated_rules(Folders(tmp_path)) == rules
    policy = tuned_rule("kpa", "SPIKE", Folders(tmp_path))
    assert (policy.name, policy.target) == ("kpa-spike", 0.7)
    assert tuned_rule("kpa", "SPIKE", Folders(tmp_path), name="mine").name == "mine"
    found = find_policy("KPA-Spike", folders=Folders(tmp_path))
    assert (found.name, found.target) == ("kpa-spike", 0.7)


def test_a_missing_table_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"calibrated_rules.csv is missing; .* python -m .*\.rivals$"):
        read_calibrated_rules(Folders(tmp_path))


def test_the_command_writes_the_table_and_prints_the_settings(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rivals, "Folders", lambda: Folders(tmp_path))
    monkeypatch.setattr(rivals, "calibrate_rule", lambda rule: calibrate_rule(rule, (MIXED, "SPIKE"), SMALL, 1))
    rivals.main()
    printed = capsys.readouterr().out
    assert set(read_calibrated_rules(Folders(tmp_path))) == set(RIVAL_GRIDS)
    assert all(rule in printed for rule in RIVAL_GRIDS) and "Wrote results/calibrated_rules.csv." in printed


@cases("rule", CALIBRATED)
def test_calibrated_rules_have_names_and_labels(rule):
    assert find_policy(f"{rule}-mixed", folders=Folders.course()).name == f"{rule}-mixed"
    assert find_policy(f"{rule}-sine-curve", folders=Folders.course()).name == f"{rule}-sine_curve"
    assert POLICY_LABELS[f"{rule}-mixed"] == f"{POLICY_LABELS[rule]}, one setting"
    assert POLICY_LABELS[f"{rule}-per-pattern"] == f"{POLICY_LABELS[rule]}, per pattern"
    with pytest.raises(ValueError, match=f"policy = '{rule}-nope': pattern = 'NOPE': must be one of STEADY"):
        find_policy(f"{rule}-nope", folders=Folders.course())


@cases("rule", CALIBRATED)
def test_a_rule_is_calibrated_on_the_earlier_days_of_a_trace(rule, capsys):
    days = np.tile(days_of("STEADY")[:1], (6, 1))
    policy = find_policy(f"{rule}-calibrated", SMALL, workload=Trace("shop", days))
    assert policy.name == f"{rule}-calibrated"
    assert f"Calibrating {rule}-calibrated on the earlier days of shop." in capsys.readouterr().err


# --- the committed table ---------------------------------------------------------------------------------------------


def test_calibrating_again_gives_the_committed_table():
    committed = read_calibrated_rules(Folders.course())
    assert set(committed) == set(RIVAL_GRIDS)
    assert all(set(by_pattern) == {MIXED, *PATTERNS} for by_pattern in committed.values())
    for rule in RIVAL_GRIDS:
        again = calibrate_rule(rule, ["SPIKE"])["SPIKE"]
        assert again.settings == committed[rule]["SPIKE"].settings
        assert again.cost == pytest.approx(committed[rule]["SPIKE"].cost)


def test_calibration_helps_every_rule_on_the_calibration_days():
    for rule in TUNED:
        for pattern in PATTERNS:
            cost = simulate(find_policy(rule), days_of(pattern, Service(), 100)).cost.sum(axis=1).mean()
            assert read_calibrated_rules(Folders.course())[rule][pattern].cost < cost, (rule, pattern)


def test_fine_steps_would_save_target_tracking_less_than_a_third_of_a_percent():
    """The setting that trainings were compared with has no fine steps; here is what this can be worth."""
    grid_alone = read_calibrations(Folders.course())
    refined = read_calibrated_rules(Folders.course())["target-tracking"]
    for pattern in (MIXED, *PATTERNS):
        assert 0 <= grid_alone[pattern].cost - refined[pattern].cost < grid_alone[pattern].cost / 300, pattern
    assert calibrate(["SPIKE"]).cost == grid_alone["SPIKE"].cost
