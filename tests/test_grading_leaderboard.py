"""Models are ranked by their cost on the same hidden days, with intervals, ties and, if asked, without names."""

import csv
import shutil

import numpy as np
import pytest

from autoscaler_env.cli.leaderboard import table_of
from autoscaler_env.cli.main import main
from autoscaler_env.grading.leaderboard import Entry, anonymous, code, rank, rules
from autoscaler_env.grading.model_score import rule_cost
from autoscaler_env.grading.rubric import Costs, Rubric
from autoscaler_env.paths import Folders
from autoscaler_env.storage.models import load_policy, save_q_table

SHIPPED = Folders.course().models
DAYS = np.array([100.0, 200.0, 300.0, 140.0])


def test_the_cheapest_is_first_equal_costs_share_a_rank_and_rules_have_none():
    entries = [
        Entry("cy", "ppo", DAYS + 2),
        Entry("", "threshold", DAYS + 1.5),
        Entry("bob", "ppo", DAYS + 1),
        Entry("dan", "ppo", DAYS + 4),
        Entry("eve", "ppo", DAYS[::-1] + 2.001),
        Entry("ann", "ppo", DAYS),
    ]
    rows = [(row.rank, row.entry.name) for row in rank(entries)]
    assert rows == [(1, "ann"), (2, "bob"), (None, ""), (3, "cy"), (3, "eve"), (5, "dan")]


def test_differences_are_measured_day_by_day():
    noise = np.array([0.1, -0.1, 0.1, -0.1])
    rows = rank(
        [Entry("ann", "ppo", DAYS), Entry("bob", "ppo", DAYS + 1 + noise), Entry("cy", "ppo", DAYS + 5 * noise + 0.1)]
    )
    behind = {row.entry.name: row.behind for row in rows}
    assert behind["ann"][1:] == (0, 0, 0)
    assert behind["bob"].mean == pytest.approx(1) and 0.7 < behind["bob"].low < behind["bob"].high < 1.3
    assert [row.is_as_good for row in rows] == [True, True, False]  # ann, cy, bob: the days differ by 200 dollars


def test_the_table_has_cents_and_marks_ties():
    table = table_of(rank([Entry("ann", "ppo", DAYS), Entry("bob", "dqn", DAYS + 1), Entry("", "static", DAYS + 2)]))
    assert table["rank"].tolist() == ["1", "2", ""] and table["tie"].tolist() == ["=", "", ""]
    assert table["cost"].tolist() == ["185.00", "186.00", "187.00"] and table["behind"].tolist() == [
        "0.00",
        "1.00",
        "2.00",
    ]


def test_without_names_only_codes_are_left_and_rules_keep_theirs():
    entries = [Entry("ann", "ppo", DAYS), Entry("", "threshold", DAYS)]
    names = [entry.name for entry in anonymous(entries, 7)]
    assert names == [code("ann", 7), ""] and code("ann", 7) != code("ann", 8) and "ann" not in names[0]


def test_the_rules_of_the_scale_play_the_same_days():
    found = {entry.policy: entry.cost for entry in rules(Rubric(costs=Costs(days=3)), 5)}
    assert found == {name: pytest.approx(rule_cost(name, 5, 3)) for name in ("threshold", "target-tracking")}


def test_a_folder_without_submissions_is_refused_in_one_line(tmp_path, capsys):
    assert main(["leaderboard", str(tmp_path)]) == 2
    assert "must be a folder with submissions" in capsys.readouterr().err


@pytest.mark.slow
def test_a_class_is_ranked_and_copies_and_broken_files_have_no_rank(tmp_path, capsys):
    for name, noise in (("ann", 0.01), ("bob", 0.01), ("cy", 0.0)):
        (tmp_path / "class" / name).mkdir(parents=True)
        table = load_policy(SHIPPED / "q_learning_mixed.pkl")
        table.values *= 1 + noise * np.random.default_rng(0).standard_normal(table.values.shape)
        save_q_table(table, tmp_path / "class" / name / "q_learning_mixed.pkl")
    (tmp_path / "class" / "bob" / "ppo_mixed.zip").write_bytes(b"no zip")
    shutil.copy(tmp_path / "class" / "ann" / "q_learning_mixed.pkl", tmp_path / "class" / "bob" / "dqn_mixed.pkl")
    (tmp_path / "dan.zip").write_bytes(b"no zip")
    shutil.move(tmp_path / "dan.zip", tmp_path / "class" / "dan.zip")
    (tmp_path / "rubric.toml").write_text("[costs]\ndays = 5\n")
    options = ["--rubric", str(tmp_path / "rubric.toml"), "--output", str(tmp_path / "out")]
    assert main(["leaderboard", str(tmp_path / "class"), "--anonymous", *options]) == 0
    printed = capsys.readouterr().out
    with (tmp_path / "out" / "names.csv").open(newline="") as file:
        codes = {row["name"]: row["code"] for row in csv.DictReader(file)}
    with (tmp_path / "out" / "leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ranked = [(row["rank"], row["name"], row["policy"]) for row in rows if row["rank"]]
    assert sorted(ranked) == sorted(("1", codes[name], "q_learning_mixed") for name in ("ann", "bob"))
    assert {row["policy"] for row in rows if not row["rank"]} == {"threshold", "target-tracking"}
    refused = [line for line in printed.splitlines() if line.startswith("no rank: ")]
    assert [line.split()[2].strip(":") for line in refused] == [codes[name] for name in ("bob", "bob", "cy", "dan")]
    assert "acts like the q_learning_mixed that the course ships" in refused[2]
    assert not [name for name in ("ann", "bob", "cy", "dan") if f" {name}" in printed]
