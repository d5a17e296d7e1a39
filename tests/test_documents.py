"""README and docs hold what the committed tables say, and their programs run."""

import json
import re
import subprocess
import sys

import pytest

from autoscaler_env import Optimum, Pattern, Service, Threshold, simulate
from autoscaler_env.cli.main import main
from autoscaler_env.course import Executed
from autoscaler_env.documents import (
    BLOCKS,
    TIMES,
    document_of,
    refresh_documents,
    workers_sentence,
)
from autoscaler_env.evaluation.report import cost_table
from autoscaler_env.markdown import read_block, replace_block
from autoscaler_env.paths import Folders, project_root

COMMITTED = Folders(project_root())


def test_every_generated_part_says_what_the_committed_tables_say():
    stale = {
        mark: (document_of(mark, COMMITTED).name, block.make(COMMITTED))
        for mark, block in BLOCKS.items()
        if read_block(document_of(mark, COMMITTED).read_text(), mark) != block.make(COMMITTED)
    }
    assert not stale, "run: make refresh"


def test_readme_says_how_many_learners_cost_less_than_one_setting_and_which_by_one_percent():
    """The table above the sentence says so too: learners have timesteps, and a saving with an interval."""
    block = read_block((COMMITTED.root / "README.md").read_text(), "results")
    learner = re.compile(
        r"\| (?P<name>[^|]+), [\d,]+ timesteps +\| (?P<cost>[\d.]+) +\| (?P<saved>[-+\d.]+) \((?P<low>\S+)"
    )
    found = [match.groupdict() for match in learner.finditer(block)]
    cheaper = [row for row in found if float(row["low"]) > 0]
    worth = [row for row in cheaper if float(row["saved"]) >= 0.01 * (float(row["cost"]) + float(row["saved"]))]
    (sentence,) = (line for line in block.splitlines() if line.startswith("- Where the pattern is not known"))
    assert f"{len(cheaper)} of {len(found)} learners cost less" in sentence and len(found) == 8
    named = sentence.split(" less: ")[1]
    assert sum(named.count(name) for name in ("Q-learning", "DQN", "PPO", "policy iteration")) == len(worth)
    assert len(sentence) < 300


def test_documents_have_no_part_that_nothing_makes():
    texts = [path.read_text() for path in (COMMITTED.root / "README.md", *(COMMITTED.root / "docs").glob("*.md"))]
    assert sum(text.count(": begin -->") for text in texts) == len(BLOCKS) + 1  # and the times of a run


def test_reference_models_are_those_of_the_committed_results():
    results = json.loads((COMMITTED.results / "evaluation_results.json").read_text())
    for name in ("q_learning_mixed", "dqn_mixed", "ppo_mixed"):
        assert name in results["mean"] and json.loads((COMMITTED.models / f"{name}.json").read_text())["seed"] == 0


def test_refreshing_changes_only_what_stands_between_the_marks(tmp_path):
    for name in {block.document for block in BLOCKS.values()}:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((COMMITTED.root / name).read_bytes())
    for name in ("results", "pyproject.toml"):
        (tmp_path / name).symlink_to(COMMITTED.root / name)
    readme, times = tmp_path / "README.md", tmp_path / TIMES
    readme.write_text(replace_block(readme.read_text(), "results", "STALE"))
    runs = [Executed("01_first", 30.0, None, 30.0), Executed("02_second", 90.0, None, 100.0)]
    refresh_documents(Folders(tmp_path), runs)
    assert readme.read_text() == (COMMITTED.root / "README.md").read_text()
    assert "ran in 1.7 minutes" in times.read_text() and "longest: notebook 02, 1.5 minutes" in times.read_text()


def test_a_part_without_its_two_marks_is_refused():
    for text in (
        "",
        "<!-- a: begin -->\n",
        "<!-- a: end -->\n<!-- a: begin -->\n",
        2 * "<!-- a: begin -->\nx\n<!-- a: end -->\n",
    ):
        with pytest.raises(ValueError, match=r"^a: the marks begin and end"):
            read_block(text, "a")


def test_missing_results_are_named_with_the_command_that_makes_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="autoscaler run --only 06_compare_policies"):
        cost_table(Folders(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"python benchmarks/bench_study\.py"):
        workers_sentence(Folders(tmp_path))


def test_the_gain_of_several_workers_is_told(tmp_path):
    folders = Folders(tmp_path)
    folders.results.mkdir()
    rows = ["workers,runs,start_seconds,seconds,times_faster,processors", "1,16,1.8,100,1,2", "2,16,2,54.6,1.832,2"]
    (folders.results / "benchmark_study.csv").write_text("\n".join(rows))
    text = workers_sentence(folders)
    assert "16 small trainings with their tests took 100 s with one worker, 55 s with 2 (1.83 times faster)" in text


def python_of(document):
    """Return the Python blocks of a document."""
    return re.findall(r"^```python\n(.*?)^```", (COMMITTED.root / document).read_text(), flags=re.DOTALL | re.MULTILINE)


def test_the_program_in_the_readme_runs():
    (program,) = python_of("README.md")
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=COMMITTED.root, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stderr
    assert "ppo_mixed SPIKE" in result.stdout and "saving_high" in result.stdout
    (own,) = (line for line in result.stdout.splitlines() if line.startswith("my rule"))
    assert float(own.split()[-2]) > 0, "the rule calibrated for the prices does not save for certain"


def test_the_policy_in_the_engineers_guide_is_evaluated(tmp_path, monkeypatch, capsys):
    (policy,) = (program for program in python_of("docs/engineers.md") if "class AddWhenShort" in program)
    (tmp_path / "mine.py").write_text(policy)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert main(["evaluate", "mine:AddWhenShort", "threshold", "--pattern", "STEADY", "--episodes", "5"]) == 0
    assert "AddWhenShort" in capsys.readouterr().out


def test_the_text_of_the_game_has_the_costs_of_its_day():
    alt = re.search(r'figures/demo.gif"[^>]*alt="([^"]+)"', (COMMITTED.root / "README.md").read_text())[1]
    service = Service()
    day = Pattern("SPIKE", service).evaluation_days(1)
    for policy in (Threshold(service), Optimum(service)):
        assert f"{policy.name} ${simulate(policy, day, service).cost.sum():.2f}" in alt
