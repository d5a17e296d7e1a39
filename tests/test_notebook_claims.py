"""What notebooks 2 to 6 and 9 say in prose and in the titles of their figures is true of the committed tables.

Notebooks 6 and 9 print numbers and verdicts from the tables; here are the claims of their prose. Claims about many
trainings are made by `autoscaler_env.study.summary` and tested in test_claims.
"""

import inspect
import re

import nbformat
import numpy as np
import pandas as pd
import pytest

from autoscaler_env.evaluation.calibration import calibrated_rule
from autoscaler_env.evaluation.metrics import MEAN
from autoscaler_env.evaluation.rivals import read_calibrated_rules
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.evaluation.statistics import sample_sizes
from autoscaler_env.paths import Folders, notebook_sources, project_root
from autoscaler_env.policies.rules import Threshold
from autoscaler_env.service import Service
from autoscaler_env.study.analysis import MEAN as MEAN_OF_STUDY
from autoscaler_env.study.analysis import (
    advice_on_traces,
    avoidable,
    generalisation,
    learners_on_traces,
    read_curves,
    regret_table,
    specialists,
    traces_table,
    wide_costs,
)
from autoscaler_env.study.summary import traces_claim
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Pattern, day_seeds
from autoscaler_env.training.checkpoint import SelectionEvaluator
from autoscaler_env.training.config import TrainingConfig

COMMITTED = Folders(project_root())
BLIND = ("random", "static")
LEARNERS = ("q_learning_mixed", "dqn_mixed", "ppo_mixed")
RESERVED = ("threshold", "hpa-cpu", "hpa-demand", "kpa")  # rules that keep a share of every instance idle
RULE = "target-tracking-mixed"
CALIBRATED = (RULE, "target-tracking-per-pattern")
TUNED = tuple(f"{rule}-mixed" for rule in RESERVED)  # the same rules with a calibrated setting


@pytest.fixture(scope="module")
def summary():
    """Return the committed means by policy and pattern, without the policies that ignore the observation."""
    table = pd.read_csv(COMMITTED.results / "evaluation_summary.csv", index_col=["policy", "pattern"])
    return table.drop(index=list(BLIND), level="policy")


@pytest.fixture(scope="module")
def mean(summary):
    return summary.xs(MEAN, level="pattern")


def without_spike(summary):
    """Return the rows of the patterns without flash crowds."""
    return summary.drop(index=["SPIKE", MEAN], level="pattern")


def reserved(table):
    """Return the rules with a reserve by default that are in the table."""
    return [policy for policy in RESERVED if policy in table.index.get_level_values("policy")]


def test_policies_that_ignore_the_observation_cost_hundreds_of_dollars_more(mean):
    table = pd.read_csv(COMMITTED.results / "evaluation_summary.csv", index_col=["policy", "pattern"])
    blind = table.xs(MEAN, level="pattern").loc[list(BLIND), "cost"]
    assert blind.min() - mean["cost"].max() > 200


def test_default_rules_pay_for_idle_instances_and_calibrated_rules_and_learners_do_not(mean):
    close = mean.loc[[*CALIBRATED, *TUNED, *LEARNERS], "instance_cost"]
    assert mean.loc[reserved(mean), "instance_cost"].min() > close.max() + 10


def test_a_calibrated_rule_gives_most_of_what_learners_save_against_the_defaults(mean):
    for today in ("hpa-cpu", "hpa-demand", "kpa"):
        saved = mean["cost"][today] - mean["cost"]
        assert saved[RULE] > 0.5 * saved[list(LEARNERS)].max(), today


def test_another_setting_of_the_same_autoscaler_gives_most_of_what_learners_save(mean):
    for rule in RESERVED:
        saved = mean["cost"][rule] - mean["cost"]
        assert saved[f"{rule}-mixed"] > 0.5 * saved[list(LEARNERS)].max(), rule


def test_without_spikes_calibrated_rules_are_close_to_each_other(summary):
    five = without_spike(summary)["cost"]
    for rule in RESERVED:
        above = (five[f"{rule}-per-pattern"] - five[CALIBRATED[1]]).mean()
        assert above < 0.2 * (five[rule] - five[CALIBRATED[1]]).mean(), rule


def test_the_largest_saving_is_on_spike(summary):
    saved = summary.loc["target-tracking-per-pattern", "saving"].drop(MEAN)
    assert saved.idxmax() == "SPIKE" and saved["SPIKE"] > 5 * saved.drop("SPIKE").max()


def test_without_spikes_the_defaults_lose_on_idle_instances(summary):
    five = without_spike(summary)
    best = five.loc[CALIBRATED[1]]
    for policy in reserved(five):
        above = five.loc[policy] - best
        assert (above["instance_cost"] > 0.9 * above["cost"]).all(), policy


def test_only_flash_crowds_cause_avoidable_drops_but_for_one_rule_on_one_pattern(summary):
    drops = summary["drop_cost"].unstack("pattern")
    others = drops.drop(index="hpa-cpu-mixed")
    spread = others.max() - others.min()
    assert spread.drop(["SPIKE", MEAN]).max() < 0.5 and spread["SPIKE"] > 20
    more = drops.loc["hpa-cpu-mixed"] - others.min()
    assert more.drop(["SPIKE", MEAN, "SINUSOIDAL"]).max() < 0.5 < more["SINUSOIDAL"] < 2


def test_learners_let_more_requests_wait_than_rules_that_keep_a_reserve(mean):
    assert mean.loc[list(LEARNERS), "in_time"].max() < mean.loc[reserved(mean), "in_time"].min()


def test_the_cheap_policies_run_near_full_utilisation(mean):
    near = mean["utilisation"] > 0.85
    assert near.any() and not near.all()
    assert mean.loc[near, "cost"].max() < mean.loc[~near, "cost"].min()


def test_threshold_serves_more_in_time_than_policies_a_quarter_cheaper(mean):
    cheaper = mean[mean["cost"] < 0.75 * mean["cost"]["threshold"]]
    assert len(cheaper) >= 4 and cheaper["in_time"].max() < mean["in_time"]["threshold"]


def test_policies_that_track_the_demand_take_many_actions(mean):
    assert mean.loc[[*CALIBRATED, *LEARNERS], "scaling_actions"].min() > 1.5 * mean["scaling_actions"]["threshold"]


def test_some_learners_are_cheaper_than_the_rule_to_beat_and_some_are_not(mean):
    saved = mean["cost"][RULE] - mean["cost"][list(LEARNERS)]
    assert saved.min() < 0 < saved.max() < 5


def test_the_rule_that_knows_the_pattern_is_cheaper_and_faster_than_each_learner(mean):
    known = mean.loc[CALIBRATED[1]]
    assert (mean.loc[list(LEARNERS), "cost"] > known["cost"]).all()
    assert (mean.loc[list(LEARNERS), "in_time"] < known["in_time"]).all()


def test_on_two_known_patterns_a_training_pays_on_one_the_rule_is_cheaper():
    table = specialists(COMMITTED)
    assert table["worth_it"].sum() == 2 and table["cheaper"].value_counts().to_dict() == {"learner": 5, "rule": 1}


def test_on_recorded_traffic_only_models_of_the_same_trace_are_cheaper_than_the_rules():
    assert learners_on_traces(COMMITTED)["cheaper"].eq("rule").all()
    advised = advice_on_traces(COMMITTED)
    assert advised["cheaper"].eq("learner").all() and advised["worth_it"].sum() == len(advised) - 1 == 3


def test_the_claim_on_recorded_traffic_is_short_where_the_rule_is_cheapest_on_all_traces():
    told = traces_claim(COMMITTED)
    assert told.endswith("the cheapest learner is dearer than the cheapest rule on all 4 traces.")


def test_prose_of_notebook_9_counts_the_drawn_studies():
    notebook = nbformat.read(notebook_sources() / "09_study_generalisation.ipynb", as_version=4)
    (prose,) = (cell.source for cell in notebook.cells if cell.id == "09-14-md")
    assert f"{inspect.signature(sample_sizes).parameters['repetitions'].default} studies of each size" in prose


def test_prose_of_notebook_6_holds_no_dollars_of_its_own():
    notebook = nbformat.read(notebook_sources() / "06_compare_policies.ipynb", as_version=4)
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert [found for text in prose for found in re.findall(r"\$ ?\d[\d.,]*|\d[\d.,]* ?(?:\$|dollars)", text)] == []


def test_typical_values_in_prose_of_notebook_11_are_those_that_it_prints():
    notebook = nbformat.read(notebook_sources() / "11_make_it_yours.ipynb", as_version=4)
    (prose,) = (" ".join(cell.source.split()) for cell in notebook.cells if cell.id == "dear-reading")
    told = [float(number) for number in re.findall(r"\d+(?= dollars| for PPO)", prose)]
    assert len(told) == 3
    for path in Folders.course().executed.glob("11_*.ipynb"):
        (cell,) = (cell for cell in nbformat.read(path, as_version=4).cells if cell.id == "dear-words")
        text = "".join(output.text for output in cell.outputs)
        differences = [float(number) for number in re.findall(r" by \$([\d.]+) a day", text)]
        assert differences[:3] == pytest.approx(told, abs=3), text


def test_numbers_in_the_prose_of_notebook_2_are_those_of_the_committed_tables(mean, summary):
    notebook = nbformat.read(notebook_sources() / "02_set_baselines.ipynb", as_version=4)
    prose = {cell.id: " ".join(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown"}
    cost, instances = mean["cost"], mean["instance_cost"]
    worth = [cost[rule] - cost[f"{rule}-mixed"] for rule in RESERVED]
    tuned = cost[[*TUNED, RULE]]
    known = summary["cost"].loc[RULE] - summary["cost"].loc[CALIBRATED[1]]
    blind = pd.read_csv(COMMITTED.results / "evaluation_summary.csv", index_col=["pattern", "policy"])["cost"]
    random, static = blind["SINE_CURVE"][list(BLIND)]
    thresholds = read_calibrated_rules(COMMITTED)["threshold"]["MIXED"].settings
    for cell, sentence in [
        ("floor-reading", f"random is the dearer one, with {random:.0f} dollars against {static:.0f}"),
        ("costs-reading", f"tuning is worth {worth[0]:.0f} dollars a day for the threshold rule"),
        ("costs-reading", f"costs {cost['threshold']:.0f} with its defaults and {cost['threshold-mixed']:.0f} tuned"),
        ("costs-reading", f"For HPA and KPA it is worth {min(worth[1:]):.0f} to {max(worth[1:]):.0f} dollars"),
        ("costs-reading", f"about {tuned.max() - tuned.min():.0f} dollars at most"),
        ("costs-reading", f"To know the pattern is worth {known[MEAN]:.0f} dollars a day to target tracking"),
        ("loss-reading", f"{instances['threshold']:.0f} of its {cost['threshold']:.0f} dollars are for instances"),
        ("loss-reading", f"it pays {instances['threshold-mixed']:.0f} dollars for instances"),
        ("loss-reading", f"comes from `SPIKE`: {known['SPIKE']:.0f} dollars on each such day"),
        ("costs-table-text", f"cheapest at {thresholds['add_above']:.0%} and {thresholds['remove_below']:.0%}"),
        ("answer-limits", f"target tracking, with {cost[RULE]:.1f} dollars a day"),
        ("answer-limits", f"target tracking too, with {cost[CALIBRATED[1]]:.1f}"),
    ]:
        assert sentence in prose[cell].replace(" %", "%"), sentence
    assert tuned.idxmin() == RULE and known.drop(MEAN).idxmax() == "SPIKE"
    assert cost[[f"{rule}-per-pattern" for rule in RESERVED]].min() > cost[CALIBRATED[1]]


def prose_of(name):
    """Return the text of each markdown cell of a notebook, on one line."""
    notebook = nbformat.read(notebook_sources() / name, as_version=4)
    return {cell.id: " ".join(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown"}


def on_selection_days(rule):
    """Return what a rule costs on selection days, in dollars a day."""
    evaluator = SelectionEvaluator(TrainingConfig("dqn"))
    evaluator.evaluate(rule, 0)
    return -evaluator.curve[0]["mean_return"]


def test_after_ten_thousand_timesteps_all_ten_networks_are_ahead_of_the_usual_rule():
    usual = on_selection_days(Threshold())
    firsts = [curve.iloc[1] for curve in read_curves("budgets", "dqn", COMMITTED)]
    assert len(firsts) == 10 and {round(first["timesteps"], -3) for first in firsts} == {10_000}
    assert all(-first["mean_return"] < usual for first in firsts)
    assert "After ten thousand timesteps all ten networks" in prose_of("04_train_dqn.ipynb")["04-27-md"]


def test_all_ten_tables_end_above_calibrated_target_tracking_and_differ_by_some_five_dollars():
    rule = on_selection_days(calibrated_rule(MIXED, COMMITTED))
    ends = np.array([-curve["mean_return"].iloc[-1] for curve in read_curves("budgets", "q-learning", COMMITTED)])
    assert len(ends) == 10 and ends.min() > rule
    assert 4.5 < np.ptp(ends) < 5.5 and np.ptp(ends) > ends.mean() - rule


def test_calibrated_target_tracking_on_the_days_of_the_variants_costs_what_notebooks_4_and_5_say():
    days = np.vstack([Pattern(name, Service()).draw(day_seeds("evaluation", 100)) for name in PATTERNS])
    cost = simulate(calibrated_rule(MIXED, COMMITTED), days).cost.sum(axis=1).mean()
    sentence = f"calibrated target tracking pays {cost:.1f} dollars there"
    assert sentence in prose_of("04_train_dqn.ipynb")["04-three-md"]
    assert sentence in prose_of("05_train_ppo.ipynb")["05-30-md"]


def test_a_setting_that_the_tuning_did_not_try_is_cheaper_than_the_tuned_one():
    dqn = pd.read_csv(COMMITTED.results / "ablations_dqn.csv").set_index(["setting", "variant"])
    ppo = pd.read_csv(COMMITTED.results / "ablations_ppo.csv")
    full = ppo[ppo["variant"] == "full"].groupby("learning_rate")["cost"].mean()
    assert dqn["cost"]["harder", "full"] < dqn["cost"]["tuned", "full"] < dqn["cost"]["tuned", "discount 0.99"]
    assert full[0.005] < full[0.001]
    tried = [pd.read_csv(COMMITTED.results / f"tuning_{name}_mixed.csv") for name in ("dqn", "ppo")]
    assert [table["learning_rate"].max() for table in tried] == [0.004, 0.004] and tried[0]["discount"].max() == 0.98


def test_the_part_that_dqn_misses_least_is_the_paired_reward_and_then_the_target_network():
    table = pd.read_csv(COMMITTED.results / "ablations_dqn.csv").set_index(["setting", "variant"])
    more = table["more"]["tuned"].drop("full").sort_values()
    assert more.index[:2].tolist() == ["plain reward", "without target network"]
    assert table["failed"].xs("without buffer", level="variant").tolist() == [1, 1]


def test_a_copy_of_a_rule_agrees_with_it_in_as_many_steps_as_notebook_5_says():
    (told,) = re.findall(r"agrees in about (\d+) of a hundred", prose_of("05_train_ppo.ipynb")["05-longer-more-md"])
    (path,) = Folders.course().executed.glob("05_*.ipynb")
    (cell,) = (cell for cell in nbformat.read(path, as_version=4).cells if cell.id == "05-copy-py")
    (printed,) = re.findall(r"in (\d+) of 100 steps", "".join(output.text for output in cell.outputs))
    assert abs(int(printed) - int(told)) <= 1


def test_the_model_of_poisson_is_worst_on_other_patterns_and_that_of_steady_is_far_better():
    own = np.eye(len(PATTERNS), dtype=bool)
    others = generalisation("ppo", COMMITTED).loc[list(PATTERNS)].mask(own)
    assert others.mean(axis=1).idxmax() == "POISSON" and others.mean(axis=0).idxmax() == "SPIKE"
    assert generalisation("q-learning", COMMITTED).loc[list(PATTERNS)].mask(own).mean(axis=1).idxmax() == "STEADY"
    assert others.loc["STEADY"].mean() < 0.5 * others.loc["POISSON"].mean()
    assert others.loc["POISSON", ["SINE_CURVE", "SINUSOIDAL", "SPIKE"]].min() > 10 * others.loc["POISSON", "STEADY"]


def test_learning_saves_nearer_to_a_tenth_than_to_a_half_of_what_the_best_rule_leaves():
    regret = regret_table(COMMITTED)
    best = regret.groupby(regret["seeds"] > 0)["mean"].min()
    assert 0.05 < 1 - best[True] / best[False] < 0.3


def test_learning_saves_more_than_half_of_what_the_best_rule_leaves_avoidable():
    regret = regret_table(COMMITTED)
    rest = avoidable(regret, COMMITTED)[MEAN_OF_STUDY]
    rule, learner = (rest[regret["seeds"].eq(0) == is_rule].min() for is_rule in (True, False))
    assert 0.5 < 1 - learner / rule < 0.8


def test_larger_fleet_changes_help_the_rule_with_one_setting_more_than_ppo():
    table = wide_costs(COMMITTED)
    assert table.loc[RULE, "saved"] > table.loc["ppo on MIXED", "saved"]
    assert table.loc[["hpa-demand", "hpa-demand-per-pattern"], "saved"].max() < table.loc["ppo on MIXED", "saved"]
    rules = table["wide"].drop(["optimum", "ppo on MIXED"])
    assert 0 < rules.min() - table.loc["ppo on MIXED", "wide"] < 0.01 * rules.min()


def test_on_recorded_traffic_hpa_with_its_defaults_loses_as_little_as_ppo_and_the_calibrated_rule_more():
    table = traces_table(COMMITTED)
    regret = table["regret"].groupby("policy").mean()
    ppo = regret["ppo on MIXED, 995,328 timesteps"]
    assert regret[RULE] > ppo + 5 and abs(regret["hpa-demand"] - ppo) < 1
    late = table["late_share"].unstack("trace")
    assert (late.loc["hpa-demand"] < late.loc[RULE]).all()
