"""Policies are found by the name that a user types, and have one label each."""

import json

import numpy as np
import pytest
from cases import cases

from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import Folders
from autoscaler_env.policies.q_learning import QTable
from autoscaler_env.policies.registry import (
    BASELINES,
    LEARNERS,
    POLICY_LABELS,
    command_for,
    find_policies,
    find_policy,
    label_of,
    learner_of,
    rivals_on,
    showcase,
)
from autoscaler_env.policies.rules import RULES
from autoscaler_env.service import Service
from autoscaler_env.storage.models import save_q_table
from autoscaler_env.traffic.patterns import Pattern, day_seeds

USER_MODULE = """
import numpy as np

class Mine:
    def __init__(self, service):
        self.hold = service.hold
    def reset(self, days):
        pass
    def predict(self, observations):
        return np.full(len(observations), self.hold)

class Library:
    def __init__(self, service):
        pass
    def predict(self, observation, state=None, deterministic=False):
        return np.full(len(observation), 2 if deterministic else 0), None

class NoPolicy:
    def __init__(self, service):
        pass

class Fails:
    def __init__(self, service):
        raise KeyError("no such\\nthing")

class HalfPolicy(NoPolicy):
    def predict(self, observations):
        return np.zeros(len(observations), dtype=int)

class OneDay(NoPolicy):
    def draw(self, seeds):
        return np.full((len(seeds), 288), 1000)
    def evaluation_days(self, episodes):
        return self.draw(range(episodes))

class Taken(Mine):
    name = "ppo_mixed"

class Divides(Mine):
    def predict(self, observations):
        return len(observations) // 0

class NoArgument(Mine):
    def predict(self):
        return 0
"""


@pytest.fixture
def folders(tmp_path):
    """Return folders with one model, an empty Q-table named `mine`."""
    save_q_table(QTable.zeros(), tmp_path / "models" / "mine.pkl")
    return Folders(tmp_path)


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """Put a user's module into the working directory; return its name."""
    (tmp_path / "user_policies.py").write_text(USER_MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "user_policies"


@cases("name", BASELINES)
def test_a_rule_is_found_by_its_name_in_any_case(name, folders):
    for spelling in (name, name.upper(), name.replace("-", "_")):
        assert find_policy(spelling, Service(), folders).name == name


@cases("spelling", ["q_learning_mixed", "qlearning", "q_learning", "Q-Learning", "Q-Learning-mixed", "QLEARNING_MIXED"])
def test_a_q_table_is_found_by_every_spelling_of_its_name(spelling, folders):
    save_q_table(QTable.zeros(), folders.models / "q_learning_mixed.pkl")
    assert find_policy(spelling, folders=folders).name == "q_learning_mixed"


def test_a_model_with_the_very_name_of_its_algorithm_is_found_before_the_one_for_mixed(folders):
    for name in ("q_learning", "q_learning_mixed"):
        save_q_table(QTable.zeros(), folders.models / f"{name}.pkl")
    assert find_policy("q-learning", folders=folders).name == "q_learning"


def test_a_model_is_found_by_its_name_and_by_its_file(folders):
    assert find_policy("mine", folders=folders).name == "mine"
    assert find_policy("mine.pkl", folders=folders).name == "mine"
    assert find_policy(str(folders.models / "mine.pkl"), folders=folders).name == "mine"


def test_a_calibrated_rule_reads_its_setting(folders):
    folders.results.mkdir()
    (folders.results / "calibration.csv").write_text("pattern,target,reserve,cost\nSPIKE,0.9,7,170\n")
    rule = find_policy("target-tracking-spike", folders=folders)
    assert (rule.name, rule.target, rule.reserve) == ("target-tracking-spike", 0.9, 7)


def test_a_rule_that_was_not_calibrated_is_calibrated_for_the_service(folders, capsys):
    small = Service(steps_per_episode=12, max_instances=40)
    rule = find_policy("target-tracking-sine-curve", small, folders)
    assert rule.name == "target-tracking-sine_curve" and rule.service == small
    assert "Calibrating" in capsys.readouterr().err


def test_a_class_of_the_user_is_called_with_the_service(user_module, folders):
    policy = find_policy(f"{user_module}:Mine", Service(), folders)
    assert policy.name == "Mine"
    days = Pattern("STEADY", Service()).draw(day_seeds("evaluation", 2))
    assert np.array_equal(simulate(policy, days).cost, simulate(find_policy("static"), days).cost)


def test_a_class_with_the_predict_of_stable_baselines3_acts_deterministically(user_module, folders):
    policy = find_policy(f"{user_module}:Library", Service(), folders)
    assert policy.name == "Library"
    assert policy.predict(np.zeros((3, 7), dtype=np.float32)).tolist() == [2, 2, 2]


@cases(
    ("spec", "says"),
    [
        ("nope", "random, static, threshold, target-tracking.*models in .*models \\(mine\\).*module:Class"),
        ("treshold", r"no such policy, did you mean threshold\? There are rules"),
        ("mime", r"no such policy, did you mean mine\?"),
        ("target-tracking-stedy", "must be one of STEADY"),
        ("qlearning", "q_learning_mixed is missing .*autoscaler train q-learning --pattern MIXED"),
        ("Q-Learning-Spike", "autoscaler train q-learning --pattern SPIKE"),
        ("ppo_mixed", "missing in .*models; make it with: autoscaler train ppo --pattern MIXED"),
        ("q_learning_spike", "make it with: autoscaler train q-learning --pattern SPIKE"),
        ("target-tracking-nope", "must be one of STEADY"),
        ("nope.zip", "no such model file"),
        ("no_such_module:Class", "ModuleNotFoundError"),
        ("user_policies:Nope", "no attribute 'Nope'"),
        ("user_policies.py:Mine", "write user_policies:Mine, without .py"),
        ("user_policies:NoPolicy", r"must have reset\(days\) and predict\(observations\), and lacks both"),
        ("user_policies:HalfPolicy", r"and lacks reset\(days\)"),
        ("user_policies:OneDay", "this is a workload: use --pattern module:Class"),
        ("user_policies:Taken", "its name 'ppo_mixed' is that of another policy"),
        ("user_policies:Fails", "KeyError"),
    ],
)
def test_an_unknown_policy_is_refused_in_one_line(spec, says, user_module, folders):
    with pytest.raises(ValueError, match=says) as caught:
        find_policy(spec, Service(), folders)
    assert "\n" not in str(caught.value)


@cases(
    ("name", "says"),
    [
        ("Divides", r"predict\(observations\) raised ZeroDivisionError: .* \(user_policies.py, line \d+\)$"),
        ("NoArgument", r"predict\(observations\) raised TypeError: .* positional argument.*given$"),
    ],
)
def test_what_a_policy_of_the_user_raises_becomes_one_line(name, says, user_module, folders):
    policy = find_policy(f"{user_module}:{name}", Service(), folders)
    with pytest.raises(ValueError, match=says) as caught:
        simulate(policy, np.full((1, 288), 1_000))
    assert "\n" not in str(caught.value)


def test_only_a_class_that_cannot_be_made_is_told_how_it_is_called(user_module, folders):
    with pytest.raises(ValueError, match=r"it is called as Fails\(service\)"):
        find_policy(f"{user_module}:Fails", Service(), folders)
    with pytest.raises(ValueError, match=r"no attribute 'Nope'$"):
        find_policy(f"{user_module}:Nope", Service(), folders)


def test_two_models_with_one_name_need_the_ending(folders):
    (folders.models / "mine.zip").write_bytes(b"")
    with pytest.raises(ValueError, match="add the ending"):
        find_policy("mine", folders=folders)


def test_two_files_with_one_name_take_the_names_that_the_user_typed(folders):
    specs = [f"best/{name}/best_model.pkl" for name in "ab"]
    for spec in specs:
        save_q_table(QTable.zeros(), folders.models / spec)
    assert [policy.name for policy in find_policies(specs, folders=folders)] == specs


@cases("specs", [[], ["static", "static"]])
def test_no_policy_or_one_twice_is_refused(specs, folders):
    with pytest.raises(ValueError, match="policies"):
        find_policies(specs, folders=folders)


def test_a_showcase_of_all_leaves_out_missing_models_and_prints_so(folders, capsys):
    assert [policy.name for policy in showcase("all", folders=folders)] == list(RULES)
    assert capsys.readouterr().err.count("missing") == 3


def test_a_showcase_takes_names_with_commas(folders):
    assert [policy.name for policy in showcase("static, mine", folders=folders)] == ["static", "mine"]


def test_on_the_reference_service_the_rivals_are_those_of_the_committed_comparison():
    committed = json.loads((Folders.course().results / "evaluation_results.json").read_text())
    rivals = rivals_on("MIXED", Service(), Folders.course())
    assert {rival.name for rival in rivals("SPIKE")} == set(committed["mean"])
    spike, steady = ({rival.name: rival for rival in rivals(name)} for name in ("SPIKE", "STEADY"))
    assert spike["target-tracking-per-pattern"].target != steady["target-tracking-per-pattern"].target
    assert spike["target-tracking-mixed"] is steady["target-tracking-mixed"]


def test_on_a_workload_of_the_user_the_rivals_are_rules_calibrated_on_it():
    class Flat:
        name = "flat"

        def draw(self, seeds):
            return np.full((len(seeds), 12), 870, dtype=np.int64)

        def evaluation_days(self, episodes):
            return self.draw(np.arange(episodes))

    small = Service(steps_per_episode=12)
    names = [rival.name for rival in rivals_on(Flat(), small, Folders.course())("flat")]
    assert names[:2] == ["random", "static"] and "target-tracking-calibrated" in names and len(names) == 11


def test_a_missing_model_is_named_with_the_folder_and_the_whole_command(tmp_path):
    with pytest.raises(ValueError, match=f"missing in .*models; .*--pattern MIXED --output {tmp_path}$"):
        find_policy("ppo_mixed", folders=Folders(tmp_path))


def test_no_command_makes_a_model_with_an_unusual_name():
    assert command_for("my_model") is None


# --- labels ----------------------------------------------------------------------------------------------------------


def test_every_policy_and_learner_has_a_label():
    assert not [name for name in (*BASELINES, *LEARNERS, "fixed", "forecast") if name not in POLICY_LABELS]


@cases("learner", LEARNERS)
def test_a_model_is_known_by_its_algorithm_and_by_what_it_was_trained_on(learner):
    for stem in (learner, learner.replace("-", "_"), learner.upper()):
        assert learner_of(f"{stem}_spike") == learner_of(f"{stem}-spike") == learner_of(stem) == learner
        assert label_of(f"{stem}_mixed") == label_of(stem) == POLICY_LABELS[learner]
        assert label_of(f"{stem}_spike") == f"{POLICY_LABELS[learner]} (spike)"


def test_a_name_that_only_begins_like_a_learner_is_none():
    assert learner_of("ppology") is None and label_of("ppology") == "ppology" and command_for("ppology_mixed") is None
