"""Submitted models are checked and played where none of their code runs."""

import io
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from autoscaler_env.evaluation.metrics import evaluate_patterns
from autoscaler_env.grading import model_score
from autoscaler_env.grading.model_score import grade_models, refusal_of, rule_cost, score
from autoscaler_env.grading.rubric import Costs, Models, Rubric
from autoscaler_env.grading.submission import Submission, find_work
from autoscaler_env.paths import Folders
from autoscaler_env.policies.rules import Threshold
from autoscaler_env.service import Service
from autoscaler_env.storage.models import load_policy, save_q_table
from autoscaler_env.traffic.patterns import PATTERNS
from autoscaler_env.training.deep import build_learner
from autoscaler_env.training.presets import PRESETS
from autoscaler_env.verification.workers import Workers

SHIPPED = Folders.course().models
RUBRIC = Rubric(models=Models(("q_learning_mixed", "trap", "absent")), costs=Costs(days=5, seed=0))

pytestmark = pytest.mark.slow


def test_costs_are_those_of_the_evaluation_days_from_the_seed_on():
    expected = evaluate_patterns(lambda pattern: [Threshold()], PATTERNS, 5)["cost"].mean()
    assert rule_cost("threshold", 0, 5) == pytest.approx(expected)
    assert rule_cost("threshold", 2**60, 5) != pytest.approx(expected)


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


@pytest.fixture(scope="module")
def workers():
    """Return the processes that all tests share."""
    with Workers() as shared:
        yield shared


@pytest.fixture
def graded(tmp_path, workers):
    """Grade a folder of models with RUBRIC; return items by part and name, and the hashes of actions."""

    def grade(models):
        (tmp_path / "copy").mkdir()
        submission = find_work(models.parent, tmp_path / "copy", [], RUBRIC.models.expected, SHIPPED, workers)
        works, costs, actions = grade_models(submission, RUBRIC, 0, SHIPPED, workers)
        return {item.name: item for item in works}, {item.name: item for item in costs}, actions

    return grade


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "in" / "models"
    folder.mkdir(parents=True)
    return folder


def evaluate_own(path):
    return evaluate_patterns(lambda pattern: [load_policy(path)], PATTERNS, 5)["cost"].mean()


def test_a_student_s_own_model_earns_its_points(models, graded, workers):
    table = load_policy(SHIPPED / "q_learning_mixed.pkl")
    table.values *= 1 + 0.01 * np.random.default_rng(0).standard_normal(table.values.shape)
    save_q_table(table, models / "q_learning_mixed.pkl")
    works, costs, actions = graded(models)
    assert works["q_learning_mixed"].state in ("ok", "poor") and works["q_learning_mixed"].points > 0
    own = score(workers, models / "q_learning_mixed.pkl", 0, 5).cost
    assert own == pytest.approx(evaluate_own(models / "q_learning_mixed.pkl"))
    assert costs["q_learning_mixed"].state == f"${own:.2f} a day"
    assert list(actions) == ["actions of q_learning_mixed"]


def test_a_model_that_acts_like_the_course_s_own_earns_nothing(models, graded):
    table = load_policy(SHIPPED / "q_learning_mixed.pkl")
    table.values *= 2  # another file that acts alike
    save_q_table(table, models / "q_learning_mixed.pkl")
    works, costs, actions = graded(models)
    assert works["q_learning_mixed"].state == "the course's own"
    assert works["q_learning_mixed"].points == costs["q_learning_mixed"].points == 0
    assert actions == {}


def test_a_copy_of_the_course_s_model_with_a_little_noise_is_no_training(models, graded):
    table = load_policy(SHIPPED / "q_learning_mixed.pkl")
    table.values *= 1 + 0.001 * np.random.default_rng(0).standard_normal(table.values.shape)
    save_q_table(table, models / "q_learning_mixed.pkl")
    works, _, _ = graded(models)
    assert (
        works["q_learning_mixed"].state == "the course's own" and "% of the steps" in works["q_learning_mixed"].reason
    )


def test_one_model_counts_once_and_only_under_the_name_of_its_algorithm(tmp_path, workers):
    table = load_policy(SHIPPED / "q_learning_mixed.pkl")
    table.values *= 1 + 0.01 * np.random.default_rng(0).standard_normal(table.values.shape)
    paths = {name: tmp_path / f"{name}.pkl" for name in ("q_learning_mixed", "q_learning_spike", "ppo_mixed")}
    for path in paths.values():
        save_q_table(table, path)
    work = Submission("ann", tmp_path, {}, paths)
    rubric = Rubric(models=Models(tuple(paths)), costs=Costs(days=2, seed=0))
    works, costs, _ = grade_models(work, rubric, 0, SHIPPED, workers)
    assert [item.state for item in works[1:]] == ["handed in twice", "another algorithm"]
    assert works[0].points > 0 and sum(item.points for item in (*works[1:], *costs[1:])) == 0


def test_a_report_names_the_origin_of_a_network_and_takes_no_points_for_it(tmp_path, workers):
    copy = load_policy(SHIPPED / "dqn_mixed.zip")
    generator = torch.Generator().manual_seed(0)
    with zipfile.ZipFile(SHIPPED / "dqn_mixed.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = copy.network.state_dict()
    for value in weights.values():
        value *= 1 + 0.05 * torch.randn(value.shape, generator=generator)
    torch.save(weights, buffer := io.BytesIO())
    with zipfile.ZipFile(tmp_path / "noise.zip", "w") as archive:
        for name, content in (members | {"policy.pth": buffer.getvalue()}).items():
            archive.writestr(name, content)
    build_learner("dqn", PRESETS["dqn"], "MIXED", Service(), seed=5, device="cpu").save(tmp_path / "other.zip")
    work = Submission("ann", tmp_path, {}, {"dqn_noise": tmp_path / "noise.zip", "dqn_other": tmp_path / "other.zip"})
    rubric = Rubric(models=Models(tuple(work.models)), costs=Costs(days=5))
    works, costs, _ = grade_models(work, rubric, 0, SHIPPED, workers)
    assert "correlate with those of the course's model by 1.00" in works[0].reason
    assert "correlate" not in works[1].reason
    assert works[0].points > 0 and costs[0].points > 0


def test_the_algorithm_of_a_model_is_known_when_its_days_cannot_be_played(workers, monkeypatch):
    monkeypatch.setattr(model_score, "SCORE_MEGABYTES", 1)
    result = score(workers, SHIPPED / "q_learning_mixed.pkl", 0, 200)
    assert result.cost is None and "memory" in result.error
    assert refusal_of(result, "ppo_mixed", None) == ("another algorithm", "the file holds a model of Q-learning")


def test_a_hostile_file_is_broken_and_runs_nothing_and_an_absent_one_is_no_error(models, graded, tmp_path):
    (models / "trap.pkl").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    shutil.copy(SHIPPED / "q_learning_mixed.json", models / "trap.json")
    works, costs, _ = graded(models)
    assert (works["trap"].state, costs["trap"].state) == ("broken", "no cost")
    assert works["absent"].state == costs["absent"].state == "not submitted"
    assert sum(item.points for item in (*works.values(), *costs.values())) == 0
    assert not (tmp_path / "sprung").exists()
