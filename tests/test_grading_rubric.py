"""Points are what the rubric says, and a bad rubric is refused by name."""

import pytest

from autoscaler_env.grading.rubric import DEFAULT, Costs, Late, Rubric
from autoscaler_env.grading.sandbox import Limits

BAD = {
    "points = 3": "points must be a table",
    "[marks]": "marks: no such table. There are points",
    "[points]\nnotebook = 3": "points.notebook = 3: no such value, did you mean notebooks?",
    "[points]\ncosts = -1": "points.costs = -1: must be a number, at least 0",
    "[points]\ncosts = nan": "points.costs = nan",
    "[costs]\ndays = 0": "costs.days = 0",
    "[costs]\nfull_at = 'magic'": "costs.full_at = 'magic': must be one of random",
    "[models]\npoor = 2": "models.poor = 2",
    "[models]\nexpected = 'ppo'": "models.expected = 'ppo'",
    "[late]\npoints_per_day = -2": "late.points_per_day = -2: must be a number, at least 0",
    "[limits]\nseconds = 1.5": "limits.seconds = 1.5",
    "[weights]\n'01.1' = 'much'": "weights.01.1 = 'much'",
    "[points": "rubric = ",
}


def test_the_file_of_the_default_rubric_has_the_default_values_of_the_code():
    assert Rubric.read(DEFAULT) == Rubric()


def test_points_of_a_part_are_shared_by_weight():
    worth = Rubric(weights={"b": 3, "c": 0}).worth("costs", ["a", "b", "c"])
    assert worth == {"a": 6.25, "b": 18.75, "c": 0}


def test_a_bad_rubric_costs_one_line_that_names_the_value(tmp_path):
    for text, message in BAD.items():
        (tmp_path / "rubric.toml").write_text(text)
        with pytest.raises(ValueError) as caught:
            Rubric.read(tmp_path / "rubric.toml")
        assert message in str(caught.value) and "\n" not in str(caught.value), text


def test_another_rubric_has_another_fingerprint():
    assert Rubric().fingerprint == Rubric().fingerprint
    assert Rubric().fingerprint != Rubric(limits=Limits(seconds=3)).fingerprint != Rubric(weights={"a": 2}).fingerprint


def test_late_days_do_not_change_what_is_graded():
    assert Rubric(late=Late(3)).fingerprint == Rubric().fingerprint


def test_a_cost_beyond_the_rules_earns_neither_more_nor_less():
    assert [Costs(enough=1).share(cost, 200, 100) for cost in (300, 200, 150, 100, 50)] == [0, 0, 0.5, 1, 1]


def test_a_weight_that_no_item_has_is_refused_with_the_item_that_was_meant():
    Rubric(weights={"01_build_environment": 2, "03.1": 0, "ppo_mixed": 3}).check_weights()
    for slip, meant in (("01_build_enviroment", "01_build_environment"), ("ppo_mixt", "ppo_mixed")):
        with pytest.raises(ValueError, match=rf"^weights\.{slip} = 2: no such item, did you mean {meant}\?"):
            Rubric(weights={slip: 2}).check_weights()
