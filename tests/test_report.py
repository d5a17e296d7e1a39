import json
import re

import pytest

from autoscaler_env.paths import Folders, project_root
from autoscaler_env.report import BLOCKS, bill_table, block_of, refresh_readme

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
        bill_table(Folders(tmp_path))
