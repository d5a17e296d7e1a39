"""Sentences about the study for README, notebooks and the command line, made from the committed tables.

Numbers and verdicts of each sentence come from the tables, so a sentence cannot contradict them. What the project wants
to be able to claim is demanded of the same tables by `tests/test_claims.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from autoscaler_env.evaluation.statistics import (
    Interval,
    comparison,
    estimate,
    per_training,
    probability_of_improvement,
)
from autoscaler_env.paths import Folders
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.study.analysis import (
    MEAN,
    advice_on_traces,
    cheapest,
    generalisation,
    learner_name,
    on_own_pattern,
    read_baselines,
    read_study,
    regret_table,
    savings_over_trainings,
    specialists,
    traces_table,
)
from autoscaler_env.study.plan import LONG_SETTINGS, STUDIES
from autoscaler_env.text import capital, dollars, listed, percent
from autoscaler_env.traffic.patterns import MIXED, PATTERNS


def mixed_claim(folders: Folders) -> str:
    """Say what each learner on MIXED saves against target tracking with one setting."""
    budgets, long = read_study("budgets", folders), read_study("long", folders)
    sentences = []
    for study in (*(_of_algorithm(budgets, name) for name in ("q-learning", "dqn", "ppo")), long):
        name = learner_name(*study[["algorithm", "trained_on", "timesteps"]].iloc[0])
        name += ", pre-trained by imitating rules," if study is long and imitates(MIXED) else ""
        saved = _saved_against(study, "one_setting_cost")
        sentences.append(_compared(saved, name, "target tracking with one setting"))
    return "; ".join(sentences) + "."


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
    saved = _saved_against(on_own_pattern(_of_algorithm(read_study("patterns", folders), "ppo")), "per_pattern_cost")
    return (
        f"PPO trained on a pattern, against the cheapest rule there: {_verdicts(specialists(folders))}. On the "
        f"mean of the six, {_compared(saved, 'PPO', 'target tracking calibrated for each pattern')}."
    )


def regret_claim(folders: Folders) -> str:
    """Say how far the best policies are from the clairvoyant optimum."""
    table = regret_table(folders)
    optimum = read_baselines("", folders).groupby("policy")["cost"].mean()[OPTIMUM]
    rules = table[table["seeds"] == 0][MEAN]
    learned = table[table["seeds"] > 0]
    rule, learner = cheapest(rules), cheapest(learned[MEAN])
    best = learned.loc[learner]
    recovered = max(1 - best[MEAN] / rules[rule], 0)
    return (
        f"The clairvoyant optimum costs {_dollars(optimum)} a day, the mean of the six patterns. The best rule is "
        f"{rule}, {_dollars(rules[rule])} a day above it ({percent(rules[rule] / optimum)}); the best learner is "
        f"{learner}, {_dollars(best[MEAN])} above it ({percent(best[MEAN] / optimum)}; 95 % interval "
        f"{_dollars(best['low'])} to {_dollars(best['high'])}). Learning recovers "
        f"{percent(recovered, 0) if recovered else 'nothing'} of what that rule leaves."
    )


def generalisation_claim(folders: Folders) -> str:
    """Say what a model trained on one pattern loses on the others, beside one trained on MIXED."""
    matrix = generalisation("ppo", folders)
    regret = matrix.loc[list(PATTERNS)]
    own = pd.Series(np.diag(regret), index=regret.index)
    on_mixed = matrix.loc[MIXED] - own
    others = regret.mask(np.eye(len(PATTERNS), dtype=bool))
    trained_on = str(others.max(axis=1).idxmax())
    tested_on = str(others.loc[trained_on].idxmax())
    by_training, by_test = others.mean(axis=1), others.mean(axis=0)
    return (
        f"PPO trained on one pattern costs on average {_dollars(own.mean())} a day above the optimum on its own "
        f"pattern and {_dollars(by_training.mean())} on the others (trained on {trained_on}, tested on {tested_on}: "
        f"{_dollars(others[tested_on][trained_on])}). The model that is worst on other patterns is the one trained on "
        f"{by_training.idxmax()} ({_dollars(by_training.max())} on average); the pattern that is hardest for models of "
        f"other patterns is {by_test.idxmax()} ({_dollars(by_test.max())}). Trained on MIXED, PPO costs "
        f"{_dollars(matrix.loc[MIXED].mean())} above the optimum: compared with the model trained on the pattern, from "
        f"{_dollars(on_mixed.min(), sign=True)} ({on_mixed.idxmin()}) to "
        f"{_dollars(on_mixed.max(), sign=True)} ({on_mixed.idxmax()})."
    )


def wide_claim(folders: Folders) -> str:
    """Say what larger fleet changes are worth to PPO and to the rules."""
    table = regret_table(folders, "wide")
    wide, reference = (read_baselines(setting, folders).groupby("policy")["cost"].mean() for setting in ("wide", ""))
    wide_ppo, reference_ppo = (per_training(read_study(name, folders), "cost") for name in ("wide", "long"))
    rule = cheapest(table[table["seeds"] == 0][MEAN])
    saved = estimate(wide[rule] - wide_ppo)
    return (
        f"With larger fleet changes the optimum falls from {_dollars(reference[OPTIMUM])} to {_dollars(wide[OPTIMUM])} "
        f"a day, hpa-demand from {_dollars(reference['hpa-demand'])} to {_dollars(wide['hpa-demand'])}, PPO on MIXED "
        f"from {_dollars(reference_ppo.mean())} to {_dollars(wide_ppo.mean())}; "
        f"{_compared(saved, 'PPO on MIXED', f'{rule}, the cheapest rule,')}."
    )


def traces_claim(folders: Folders) -> str:
    """Say which rule and which learner are cheapest on each recorded trace, zero-shot."""
    table = traces_table(folders).drop(index=OPTIMUM, level="policy")
    sentences = []
    for trace, rows in table.groupby(level="trace", sort=False):
        policies = rows.droplevel("trace")
        rule, learner = (
            cheapest(policies.loc[policies["seeds"].eq(0) == is_rule, "regret"]) for is_rule in (True, False)
        )
        regret, low, high = (_dollars(policies.loc[learner, column]) for column in ("regret", "low", "high"))
        sentences.append(
            f"{trace}: {rule} {_dollars(policies['regret'][rule])} a day above the optimum, {learner} {regret} "
            f"(95 % interval {low} to {high})"
        )
    return "On recorded traffic, the cheapest rule and the cheapest learner. " + "; ".join(sentences) + "."


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

    PPO is recommended only where it saves at least `MINIMUM_EFFECT` of the cost, beyond doubt.

    Returns:
        A sentence per pattern.
    """
    sentences = []
    for pattern, row in specialists(folders).iterrows():
        saved = Interval(int(row["seeds"]), row["saving"], row["low"], row["high"])
        share = percent(row["saving"] / row["rule_cost"])
        if row["worth_it"]:
            advice = f"train PPO on it; it saves {share} of the cost"
        elif row["cheaper"] == "ppo":
            advice = f"deploy {row['rule']}; PPO saves {share} of the cost, which is not worth a training"
        elif row["cheaper"] == "rule":
            advice = f"deploy {row['rule']}; reinforcement learning is dearer"
        else:
            advice = f"deploy {row['rule']}; reinforcement learning is no better, and costs a training"
        name = "PPO trained on it" + (", pre-trained by imitating rules," if imitates(str(pattern)) else "")
        sentences.append(f"{pattern}: {advice}. {capital(_compared(saved, name, row['rule']))}.")
    return sentences


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


def say(claim: Callable[[Folders], str], folders: Folders) -> str:
    """Return the sentence of a claim, or one line that says which table is missing and which command makes it."""
    try:
        return claim(folders)
    except FileNotFoundError as missing:
        return f"Not known yet: {missing}"


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


def _verdicts(table: pd.DataFrame) -> str:
    """Return where PPO is cheaper and where it is not, by the column `cheaper`."""
    words = {"ppo": "cheaper on", "rule": "dearer on", "neither": "not distinguishable on"}
    return "; ".join(
        f"{word} {listed(table.index[table['cheaper'] == policy].tolist())}"
        for policy, word in words.items()
        if (table["cheaper"] == policy).any()
    )


def _dollars(value: Any, *, sign: bool = False) -> str:
    """Return a number of a table as dollars."""
    return dollars(float(value), sign=sign)
