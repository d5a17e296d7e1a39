import json
import re

import pytest

from autoscaler_env.paths import Folders, project_root
from autoscaler_env.readme import BLOCKS, block_of, cost_table, refresh_readme, workers_markdown

MARKS = ("results", "seeds", "times")
COMMITTED = Folders(project_root())
README = (COMMITTED.root / "README.md").read_text()


@pytest.mark.parametrize("mark", [mark for mark in BLOCKS if f"<!-- {mark}: begin -->" in README])
def test_readme_holds_what_the_committed_tables_say(mark):
    assert block_of(README, mark) == BLOCKS[mark](COMMITTED)


def test_readme_has_no_block_that_nothing_makes():
    begins = re.findall(r"<!-- (\w+): begin -->", README)
    assert set(MARKS) <= set(begins) <= {*BLOCKS, "times"}


def test_reference_models_are_those_of_the_committed_results():
    results = json.loads((COMMITTED.results / "evaluation_results.json").read_text())
    for name in ("q_learning_mixed", "dqn_mixed", "ppo_mixed"):
        assert name in results["mean"] and json.loads((COMMITTED.models / f"{name}.json").read_text())["seed"] == 0


def test_refresh_changes_what_stands_between_the_marks_only(tmp_path):
    lines = ["before", *(f"<!-- {mark}: begin -->\nSTALE\n<!-- {mark}: end -->" for mark in MARKS), "after"]
    (tmp_path / "README.md").write_text("\n".join(lines))
    (tmp_path / "results").mkdir()
    for name in ("evaluation_results.json", "study_budgets.csv", "study_long.csv"):
        (tmp_path / "results" / name).write_bytes((COMMITTED.results / name).read_bytes())
    refresh_readme(Folders(tmp_path), {"01_first": 30.0, "02_second": 90.0})
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("before\n") and text.endswith("\nafter") and "STALE" not in text
    assert "2.0 minutes" in text and "longest: notebook 02, 1.5 minutes" in text


def test_missing_results_are_said_with_the_command_that_makes_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="autoscaler run --only 06_compare_policies"):
        cost_table(Folders(tmp_path))


def test_workers_are_said_with_what_two_of_them_gain(tmp_path):
    folders = Folders(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"python benchmarks/bench_study\.py"):
        workers_markdown(folders)
    folders.results.mkdir()
    rows = ["workers,runs,start_seconds,seconds,times_faster,processors", "1,16,1.8,100,1,2", "2,16,2,54.6,1.832,2"]
    (folders.results / "benchmark_study.csv").write_text("\n".join(rows))
    text = workers_markdown(folders)
    assert "16 small trainings with their tests took 100 s with one worker, 55 s with 2 (1.83 times faster)" in text
