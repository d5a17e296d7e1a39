"""Sentences about the study for README, notebooks and the command line, made from the committed tables.

Numbers and verdicts of each sentence come from the tables, so a sentence cannot contradict them. What the project wants
to be able to claim is demanded of the same tables by `tests/test_claims.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from autoscaler_env.evaluation.statistics import (
    LEARNER,
    MINIMUM_EFFECT,
    Interval,
    comparison,
    estimate,
    per_training,
    probability_of_improvement,
    who_is_cheaper,
)
from autoscaler_env.paths import Folders
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.policies.registry import label_of
from autoscaler_env.study.analysis import (
    MEAN,
    PPO_ON_MIXED,
    SPECIALISTS,
    advice_on_traces,
    avoidable,
    cheapest,
    foresight,
    generalisation,
    learner_name,
    learners_on_traces,
    on_own_pattern,
    read_baselines,
    read_mixed,
    read_study,
    regret_table,
    savings_over_trainings,
    specialists,
    wide_costs,
)
from autoscaler_env.study.plan import LONG_SETTINGS, STUDIES
from autoscaler_env.text import capital, dollars, listed, percent
from autoscaler_env.traffic.patterns import MIXED, PATTERNS


def mixed_claim(folders: Folders) -> str:
    """Say which learners on MIXED are cheaper than target tracking with one setting."""
    table = savings_over_trainings(read_mixed(folders), "one_setting_cost")
    intervals = [Interval(*row) for row in table[["seeds", "saving", "low", "high"]].to_numpy().tolist()]
    names = [learner_name(*learner) for learner in table.index]
    verdicts = pd.DataFrame({"cheaper": map(who_is_cheaper, intervals)}, index=names)
    long = learner_name(*read_study("long", folders)[LEARNER].iloc[0])
    started = f" ({long} began by imitating rules)" if imitates(MIXED) else ""
    words = {"learner": "cheaper:", "rule": "dearer:", "neither": "not distinguishable:"}
    return f"Against target tracking with one setting, {_verdicts(verdicts, words)}{started}."


def against_rule(algorithm: str, rule: str, folders: Folders) -> str:
    """Say what a learner with its published budget on MIXED saves against a rule, on the mean of the six patterns.

    Args:
        algorithm: One of `q-learning`, `dqn`, `ppo`.
        rule: A rule in `results/study_baselines.csv`, such as `threshold-mixed`.
        folders: Where the tables are.

    Raises:
        ValueError: There is no such learner or rule in the tables.
    """
    trained = _of_algorithm(read_study("budgets", folders), algorithm)
    costs = read_baselines("", folders).groupby("policy")["cost"].mean()
    if trained.empty or rule not in costs:
        raise ValueError(f"algorithm = {algorithm!r}, rule = {rule!r}: must be in study_budgets and study_baselines")
    return f"{_compared(estimate(costs[rule] - per_training(trained, 'cost')), algorithm, rule)}."


def order_claim(folders: Folders) -> str:
    """Say how probably a training of one learner ends cheaper than a training of another."""
    budgets = read_study("budgets", folders)
    sentences = []
    for better, worse in (("ppo", "dqn"), ("dqn", "q-learning")):
        share, low, high = probability_of_improvement(_of_algorithm(budgets, better), _of_algorithm(budgets, worse))
        sentences.append(
            f"{better} ends cheaper than {worse} with probability {share:.2f} (95 % interval {low:.2f} to {high:.2f})"
        )
    return f"Of two trainings with the published budgets, on a random pattern, {listed(sentences)}."


def specialists_claim(folders: Folders) -> str:
    """Say on which patterns PPO trained on the pattern is cheaper or dearer than the cheapest rule there."""
    table = specialists(folders)
    saved = _saved_against(on_own_pattern(_of_algorithm(read_study("patterns", folders), "ppo")), "per_pattern_cost")
    worth_it = listed(table.index[table["worth_it"]].tolist()) or "none of them"
    return (
        f"PPO trained on a pattern, against the cheapest rule there: {_verdicts(table)}; its saving is at least "
        f"{percent(MINIMUM_EFFECT)} of the cost on {worth_it}. On the mean of the six, "
        f"{_compared(saved, 'PPO', 'target tracking calibrated for each pattern')}."
    )


def regret_claim(folders: Folders) -> str:
    """Say how far the best policies are from the clairvoyant optimum, and how much of that is foresight."""
    table, known = regret_table(folders), foresight(folders).T[MEAN]
    rest = avoidable(table, folders)
    rules = table[table["seeds"] == 0][MEAN]
    learned = table[table["seeds"] > 0]
    rule, learner = cheapest(rules), cheapest(learned[MEAN])
    best, optimum = learned.T[learner], float(known["optimum"])
    return (
        f"The clairvoyant optimum costs {_dollars(optimum)} a day, the mean of the six patterns. The best rule is "
        f"{rule}, {_dollars(rules[rule])} a day above it ({percent(rules[rule] / optimum)}); the best learner is "
        f"{learner}, {_dollars(best[MEAN])} above it ({percent(best[MEAN] / optimum)}; 95 % interval "
        f"{_dollars(best['low'])} to {_dollars(best['high'])}). Learning recovers "
        f"{_share_saved(rules[rule], best[MEAN])} of what that rule leaves. Of both distances at least "
        f"{_dollars(known['foresight'])} is foresight; at most {_dollars(rest.loc[rule, MEAN])} of the rule's is "
        f"avoidable and {_dollars(rest.loc[learner, MEAN])} of the learner's: learning recovers "
        f"{_share_saved(rest.loc[rule, MEAN], rest.loc[learner, MEAN])} of the avoidable part."
    )


def _share_saved(before: Any, after: Any) -> str:
    """Return how much of a distance is gone, as a share; `nothing` if it has not become shorter."""
    return percent(1 - float(after) / float(before), 0) if after < before else "nothing"


def generalisation_claim(folders: Folders) -> str:
    """Say what a model trained on one pattern loses on the others, beside one trained on MIXED."""
    matrix = generalisation("ppo", folders)
    regret, known = matrix.loc[list(PATTERNS)], foresight(folders)["foresight"]
    own = pd.Series(np.diag(regret), index=regret.index)
    on_mixed = matrix.loc[MIXED] - own
    others = regret.mask(np.eye(len(PATTERNS), dtype=bool))
    by_training, by_test = others.mean(axis=1), others.mean(axis=0)
    return (
        f"PPO trained on one pattern costs on average {_dollars(own.mean())} a day above the optimum on its own "
        f"pattern and {_dollars(by_training.mean())} on the others. Worst on other patterns is the model trained on "
        f"{by_training.idxmax()} ({_dollars(by_training.max())} on average); hardest for models of other patterns is "
        f"{by_test.idxmax()} ({_dollars(by_test.max())}). Trained on MIXED, PPO costs "
        f"{_dollars(matrix.loc[MIXED].mean())} above the optimum: compared with the model trained on the pattern, from "
        f"{_dollars(on_mixed.min(), sign=True)} ({on_mixed.idxmin()}) to "
        f"{_dollars(on_mixed.max(), sign=True)} ({on_mixed.idxmax()}). In each column the foresight is the same: at "
        f"least {_dollars(known['SPIKE'])} on SPIKE, {_dollars(known[MEAN])} in the mean."
    )


def wide_claim(folders: Folders) -> str:
    """Say what larger fleet changes are worth to PPO and to the rules."""
    gains = wide_costs(folders)["saved"]
    rules = read_baselines("wide", folders).groupby("policy")["cost"].mean().drop(OPTIMUM)
    rule = cheapest(rules)
    saved = estimate(rules[rule] - per_training(read_study("wide", folders), "cost"))
    return (
        f"Larger fleet changes save {_dollars(gains[PPO_ON_MIXED])} a day for PPO on MIXED, "
        f"{_dollars(gains['target-tracking-mixed'])} for target tracking with one setting and "
        f"{_dollars(gains[OPTIMUM])} for the optimum; with them "
        f"{_compared(saved, 'PPO on MIXED', f'{rule}, the cheapest rule,')}."
    )


def traces_claim(folders: Folders) -> str:
    """Say on which recorded traces the cheapest learner is cheaper or dearer than the cheapest rule there.

    Nothing was trained or calibrated on a trace.
    """
    table = learners_on_traces(folders)
    on = "On recorded traffic (nothing was trained or calibrated on it)"
    if (table["cheaper"] == "rule").all():
        return f"{on}, the cheapest learner is dearer than the cheapest rule on all {len(table)} traces."
    return f"{on}, the cheapest learner against the cheapest rule: {_verdicts(table)}."


def advice_claim(folders: Folders) -> str:
    """Say on which recorded traces PPO is cheaper than the rules, all made by `autoscaler advise` on the first days."""
    table = advice_on_traces(folders)
    return (
        "Trained on the first days of a recorded trace and measured on the rest, PPO against the cheapest of the rules "
        f"calibrated on the same first days: {_verdicts(table)} (95 % intervals over {table['seeds'].min()} "
        "trainings, on the same days)."
    )


def deployment(folders: Folders) -> list[str]:
    """Say for each pattern what an engineer should deploy, and whether reinforcement learning is worth it there.

    The cheapest learner of `SPECIALISTS` is recommended, and only where it saves at least `MINIMUM_EFFECT` of the cost,
    beyond doubt.

    Returns:
        Sentences per pattern; the last one says how far the rule is from the limit without foresight, at most.
    """
    tables = {learner: specialists(folders, learner).to_dict("index") for learner in SPECIALISTS}
    sentences, limits = [], foresight(folders)["low"]
    for pattern in PATTERNS:
        rows: dict[str, dict[Any, Any]] = {learner: table[pattern] for learner, table in tables.items()}
        first, *_ = order = sorted(rows, key=lambda learner: rows[learner]["learner_cost"])
        row, name = rows[first], label_of(first)
        share = percent(row["saving"] / row["rule_cost"])
        if row["worth_it"]:
            advice = f"train {name} on it; it saves {share} of the cost"
        elif row["cheaper"] == "learner":
            advice = f"deploy {row['rule']}; {name} saves {share} of the cost, which is not worth a training"
        elif row["cheaper"] == "rule":
            advice = f"deploy {row['rule']}; reinforcement learning is dearer"
        else:
            advice = f"deploy {row['rule']}; reinforcement learning is no better, and costs a training"
        compared = [_specialist(learner, pattern, rows[learner]) for learner in order]
        left = row["rule_cost"] - float(limits[pattern])
        nothing = left < MINIMUM_EFFECT * row["rule_cost"]
        sentences.append(
            f"{pattern}: {advice}. {'. '.join(compared)}. "
            f"This rule is at most {dollars(left)} ({percent(left / row['rule_cost'])}) above the limit without "
            f"foresight{': nothing worth a training is left' if nothing else ''}."
        )
    return sentences


def _specialist(learner: str, pattern: str, row: dict[Any, Any]) -> str:
    """Return how a learner that was trained on a pattern compares with the cheapest rule there."""
    saved = Interval(int(row["seeds"]), row["saving"], row["low"], row["high"])
    taught = ", pre-trained by imitating rules," if learner == "ppo" and imitates(pattern) else ""
    return capital(_compared(saved, f"{label_of(learner)} trained on it{taught}", row["rule"]))


def imitates(workload: str) -> bool:
    """Return whether the long trainings of PPO on a workload begin by imitating calibrated rules."""
    return bool(LONG_SETTINGS.get(workload, {}).get("imitation_days"))


def imitation_note() -> str:
    """Say which long trainings of PPO begin by imitating rules, and which of their settings differ from the preset."""
    workloads = (MIXED, *PATTERNS)
    imitating = [name for name in workloads if imitates(name)]
    others = [name for name in workloads if not imitates(name)]
    sentences = [f"On {listed(others)} PPO learns from rewards alone."] if others else []
    if imitating:
        sentences.append(
            f"On {listed(imitating)} it first imitates target tracking with the setting calibrated for the pattern of "
            "the day, and then learns from rewards: this shows what learning adds to rules, not that learning finds "
            "them."
        )
    own = [
        f"{name} ({', '.join(f'{setting} {value}' for setting, value in LONG_SETTINGS[name].items())})"
        for name in workloads
        if LONG_SETTINGS.get(name)
    ]
    if own:
        sentences.append(f"Settings that differ from the preset, chosen on selection days: {listed(own)}.")
    return " ".join(sentences)


def savings_report(name: str, folders: Folders) -> str:
    """Return what the trainings of a study save against target tracking, ready to print; empty where none are.

    Args:
        name: A study whose tables have been written.
        folders: Where they are.
    """
    if name not in STUDIES:
        return ""
    table, against, rule = read_study(name, folders), "one_setting_cost", "with one setting for all patterns"
    if name == "patterns":
        table = table[table["trained_on"] == table["tested_on"]]
        against, rule = "per_pattern_cost", "calibrated for the pattern that the model was trained and tested on"
    saved = savings_over_trainings(table, against).round(2).to_string()
    return f"\n{name}: saved against target tracking {rule}, $ a day, 95 % intervals over trainings\n{saved}\n"


def _of_algorithm(study: pd.DataFrame, algorithm: str) -> pd.DataFrame:
    return study[study["algorithm"] == algorithm]


def _saved_against(study: pd.DataFrame, against: str) -> Interval:
    """Return what the trainings of one learner save, on the mean over the workloads they were tested on."""
    return estimate(per_training(study, against) - per_training(study, "cost"))


def _compared(saved: Interval, what: str, other: str) -> str:
    return comparison(saved, what, other, f"{saved.n} trainings")


_ON = {"learner": "cheaper on", "rule": "dearer on", "neither": "not distinguishable on"}


def _verdicts(table: pd.DataFrame, words: dict[str, str] = _ON) -> str:
    """Return where a learner is cheaper and where it is not, by the column `cheaper`."""
    return "; ".join(
        f"{word} {listed(table.index[table['cheaper'] == policy].tolist())}"
        for policy, word in words.items()
        if (table["cheaper"] == policy).any()
    )


def _dollars(value: Any, *, sign: bool = False) -> str:
    """Return a number of a table as dollars."""
    return dollars(float(value), sign=sign)
