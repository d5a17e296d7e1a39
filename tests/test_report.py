"""What an evaluation says: the tables, and the place of a policy, against days worked out by hand."""

import pandas as pd
import pytest

from autoscaler_env.evaluation.metrics import evaluate, evaluate_patterns
from autoscaler_env.evaluation.report import cost_report, standing, standing_report
from autoscaler_env.policies.rules import Static, Threshold

COSTS = {"dear": [14.0, 16.0], "mine": [10.0, 12.0], "near": [9.0, 13.0], "cheap": [7.0, 8.0], "far": [20.0, 30.0]}


def days_of(costs=COSTS, pattern="STEADY"):
    """Return two days of each policy with these costs, in the columns that the report reads."""
    rows = [
        {"policy": name, "pattern": pattern, "episode": day, "cost": cost}
        for name, both in costs.items()
        for day, cost in enumerate(both)
    ]
    return pd.DataFrame(rows)


def test_the_table_of_costs_is_aligned():
    costs = cost_report(evaluate([Static(), Threshold()], "STEADY", 3))
    _, _, title, heading, *rows = costs.splitlines()
    assert title == "STEADY, 3 evaluation days" and heading.split()[:2] == ["policy", "cost"]
    assert [row.split()[0] for row in rows] == ["static", "threshold"]
    assert len({len(line) for line in (heading, *rows)}) == 1 and all("% " in row and " to " in row for row in rows)


def test_a_single_policy_gets_one_table_with_a_row_for_each_pattern():
    lines = cost_report(evaluate_patterns(lambda _: [Static()], ["STEADY", "SPIKE"], 2)).splitlines()
    assert lines[2] == "static" and lines[3].split()[0] == "pattern"
    starts = ("STEADY, 2 evaluation days", "SPIKE, 2 evaluation days", "mean of 2 patterns")
    assert [line[: len(start)] for line, start in zip(lines[4:], starts, strict=True)] == list(starts)


def test_policies_stand_in_the_order_of_their_mean_costs():
    table = standing(days_of(), "mine")
    assert list(table.index[[0, 3, 4]]) == ["cheap", "dear", "far"] and list(table["place"]) == [1, 2, 3, 4, 5]
    assert table.loc["dear", ["cost", "saving"]].tolist() == [15.0, 4.0] == [15.0, table.loc["dear", "low"]]
    assert table.loc["cheap", "saving"] == -3.5 and pd.isna(table.loc["mine", "saving"])


def test_the_mean_over_patterns_decides_the_place():
    other = days_of({name: [30.0, 30.0] if name == "cheap" else [10.0, 10.0] for name in COSTS}, "SPIKE")
    table = standing(pd.concat([days_of(), other]), "mine")
    assert table.loc["cheap", "cost"] == 18.75 and table.index[-1] == "cheap"


def test_the_short_table_has_the_neighbours_and_what_must_be_there():
    costs = {name: [10.0 + number, 11.0 + number] for number, name in enumerate("abcdefg")}
    lines = standing_report(standing(days_of(costs), "d"), "d", always=["a", "nobody"], bounds=[("optimum", 5.0)])
    *rows, sentence = lines.splitlines()
    assert [row.split()[:2] for row in rows[2:]] == [["1", "a"], ["3", "c"], ["4", "d"], ["5", "e"]]
    assert rows[1].split() == ["optimum", "5.00"]
    assert sentence.startswith("d costs $13.50 a day and stands at place 4 of 7: dearer than a by $3.00 a day (")
    assert "dearer than c by $1.00 a day" in sentence and "cheaper than e by $1.00 a day" in sentence


def test_the_first_and_the_last_have_one_neighbour():
    for policy, place, other in (("cheap", 1, "mine"), ("far", 5, "dear")):
        text = standing_report(standing(days_of(), policy), policy)
        assert f"place {place} of 5" in text and len(text.splitlines()) == 4, other


def test_neighbours_that_cannot_be_told_apart_are_not_ranked_in_words():
    text = standing_report(standing(days_of(), "mine"), "mine")
    assert "not to be told apart from near (saving $0.00" in text.replace("+", "")


def test_a_policy_that_was_not_evaluated_has_no_place():
    with pytest.raises(ValueError, match="policy = 'nobody': must be one of dear, mine"):
        standing(days_of(), "nobody")
