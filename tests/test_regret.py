"""Dollars above the optimum: by hand arithmetic, and over the committed table."""

import numpy as np
import pandas as pd
import pytest
from cases import cases
from scipy import stats

from autoscaler_env.evaluation import regret as module
from autoscaler_env.evaluation.metrics import MEAN, evaluate, evaluate_patterns
from autoscaler_env.evaluation.regret import (
    ITEMS,
    OPTIMUM_DAYS,
    find_optima,
    losses,
    read_optima,
    regret,
    save_optima,
)
from autoscaler_env.paths import Folders
from autoscaler_env.policies.oracle import Optimum
from autoscaler_env.policies.rules import TargetTracking, Threshold
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import PATTERNS

COSTS = {"STEADY": [5.0, 6.0, 9.0], "SPIKE": [7.0, 7.0, 7.0]}
BEST = {"STEADY": [4.0, 4.0, 4.0], "SPIKE": [6.0, 5.0, 4.0]}


def episodes(costs, policy="rule"):
    """Return what `evaluate` might: costs of each pattern's first days, with a hundred requests each."""
    tables = [
        pd.DataFrame({"policy": policy, "pattern": name, "episode": range(len(each)), "arrivals": 100, "cost": each})
        for name, each in costs.items()
    ]
    return pd.concat(tables, ignore_index=True)


def optima(costs):
    return episodes(costs).drop(columns="policy").rename(columns={"episode": "day"})


def test_regret_is_the_mean_difference_with_students_interval():
    row = regret(episodes({"STEADY": COSTS["STEADY"]}), optima(BEST)).loc[("rule", "STEADY")]
    low, high = stats.t.interval(0.95, 2, 8 / 3, stats.sem([1, 2, 5]))
    assert row.tolist() == pytest.approx([3, 8 / 3, low, high])


def test_the_mean_over_patterns_averages_within_an_episode_first():
    # (1 + 1) / 2, (2 + 2) / 2, (5 + 3) / 2
    table = regret(episodes(COSTS), optima(BEST))
    low, high = stats.t.interval(0.95, 2, 7 / 3, stats.sem([1, 2, 4]))
    assert table.index.get_level_values("pattern").tolist() == ["STEADY", "SPIKE", MEAN]
    assert table.loc[("rule", MEAN)].tolist() == pytest.approx([3, 7 / 3, low, high])


def test_only_days_whose_optimum_is_known_count():
    table = regret(episodes(COSTS), optima({name: best[:2] for name, best in BEST.items()}))
    assert table.loc[("rule", "STEADY"), ["days", "regret"]].tolist() == [2, 1.5]


def test_the_optimum_among_the_policies_serves_as_well():
    together = pd.concat([episodes(COSTS), episodes(BEST, policy="optimum")])
    assert regret(together).equals(regret(episodes(COSTS), optima(BEST)))
    assert regret(together, optima(BEST)).equals(regret(together))


def with_items(costs, policy, shares):
    """Return what `evaluate` might, each cost split into its items by the shares."""
    table = episodes(costs, policy)
    return table.assign(**{item: share * table["cost"] for item, share in zip(ITEMS, shares, strict=True)})


def test_losses_are_the_items_above_the_optimum_s_on_the_days_it_played():
    rule = with_items({"STEADY": [10.0, 20.0, 900.0]}, "rule", (0.5, 0.3, 0.2))
    best = with_items({"STEADY": [8.0, 12.0]}, "optimum", (1.0, 0.0, 0.0))
    # instances 5 - 8 and 10 - 12, lateness 3 and 6, drops 2 and 4; the third day has no optimum
    assert losses(pd.concat([rule, best])).loc[("rule", "STEADY")].tolist() == pytest.approx([-2.5, 4.5, 3])


def test_losses_add_up_to_the_regret_on_every_pattern_and_on_their_mean():
    together = evaluate_patterns(lambda _: [TargetTracking(), Threshold(), Optimum()], ["STEADY", "SPIKE"], 3)
    assert losses(together).sum(axis=1).to_numpy() == pytest.approx(regret(together)["regret"].to_numpy())
    assert list(losses(together).index) == list(regret(together).index)


@cases("known", [None, optima({"SPIKE": [1.0]})])
def test_a_pattern_without_optimum_is_named(known):
    with pytest.raises(ValueError, match="optima: none of the days of 'STEADY'"):
        regret(episodes({"STEADY": [1.0]}), known)


@cases("wrong", [{"arrivals": 99}, {"cost": 5.5}])
def test_optima_of_other_days_or_services_are_refused(wrong):
    with pytest.raises(
        ValueError, match=r"not of these days or this service: on day 0 of STEADY rule pays 5.00 for 100"
    ):
        regret(episodes(COSTS), optima(BEST).assign(**wrong))


def test_optima_come_back_as_they_were_saved(tmp_path):
    found = find_optima(["SPIKE"], days=3)
    path = save_optima(found, Folders(tmp_path))
    assert path == tmp_path / "results" / "optimum.csv"
    pd.testing.assert_frame_equal(read_optima(Folders(tmp_path)), found, check_exact=False, rtol=1e-9)


def test_a_missing_table_says_how_it_is_made(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"results/optimum.csv is missing; make it with: python -m .*\.regret"):
        read_optima(Folders(tmp_path))


def test_the_command_writes_the_table_and_says_the_means(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "Folders", lambda: Folders(tmp_path))
    monkeypatch.setattr(module, "find_optima", lambda patterns: find_optima(patterns, days=2))
    module.main()
    said = capsys.readouterr().out
    assert len(read_optima(Folders(tmp_path))) == 2 * len(PATTERNS)
    assert all(pattern in said for pattern in PATTERNS) and "Wrote results/optimum.csv." in said


def test_the_optimum_of_another_service_is_its_own():
    service = Service(steps_per_episode=12, max_instances=30, boot_steps=2)
    played = evaluate([TargetTracking(service), Optimum(service)], "SPIKE", 5, service)
    both = [regret(played), regret(played, find_optima(["SPIKE"], 5, service))]
    pd.testing.assert_frame_equal(*both)
    assert both[0].loc[("target-tracking", "SPIKE"), "regret"] > 0


# --- the committed table ---------------------------------------------------------------------------------------------


def test_the_committed_table_has_the_first_days_of_each_pattern():
    table = read_optima(Folders.course())
    assert table.groupby("pattern", sort=False)["day"].agg(list).to_dict() == {
        pattern: list(range(OPTIMUM_DAYS)) for pattern in PATTERNS
    }


def test_the_committed_table_holds_what_is_found_now():
    found, table = find_optima(days=3), read_optima(Folders.course())
    kept = table[table["day"] < 3].reset_index(drop=True)
    assert np.array_equal(kept["arrivals"], found["arrivals"])
    assert kept["cost"].to_numpy() == pytest.approx(found["cost"].to_numpy(), abs=1e-6)


def test_no_rule_is_below_the_committed_optima():
    played = evaluate_patterns(lambda _: [TargetTracking(), Threshold()], PATTERNS, OPTIMUM_DAYS)
    table = regret(played, read_optima(Folders.course()))
    assert set(table["days"]) == {OPTIMUM_DAYS} and (table["low"] > 0).all()
