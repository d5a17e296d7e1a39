"""What README and notebooks claim about the study, worded by the committed tables.

Each claim is a sentence whose numbers and whose verdict come from the tables, so it cannot say what they do not. What
the project wants to be able to claim, `tests/test_claims.py` demands of the same tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from autoscaler_env.evaluation.statistics import (
    Estimate,
    estimate,
    per_training,
    probability_of_improvement,
    read_opponents,
    read_study,
)
from autoscaler_env.paths import Folders
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.study.analysis import (
    MEAN,
    advised,
    at_home,
    cheapest,
    duels,
    generalisation,
    learner_name,
    on_traces,
    regret_table,
)
from autoscaler_env.study.plan import SETTINGS
from autoscaler_env.traffic.patterns import MIXED, PATTERNS


def compared(saved: Estimate, what: str, whom: str) -> str:
    """Say what trainings save a day against another policy, in words that the interval allows.

    Args:
        saved: $ a day; positive is cheaper.
        what: The learner.
        whom: The other policy.

    Example:
        >>> compared(Estimate(5, 2.0, 1.5, 2.5, 2.0, 1.5, 2.5), "PPO", "the rule")
        'PPO is cheaper than the rule by $2.00 a day (95 % interval $1.50 to $2.50, 5 trainings)'
        >>> compared(Estimate(5, -2.0, -2.5, -1.5, 2.0, 1.5, 2.5), "PPO", "the rule")
        'PPO is dearer than the rule by $2.00 a day (95 % interval $1.50 to $2.50, 5 trainings)'
        >>> compared(Estimate(5, 0.1, -0.5, 0.7, 2.0, 1.5, 2.5), "PPO", "the rule")
        'PPO and the rule cannot be told apart: +$0.10 a day saved (95 % interval -$0.50 to +$0.70, 5 trainings)'
    """
    basis = f"{saved.seeds} trainings"
    if saved.low > 0 or saved.high < 0:
        word = "cheaper" if saved.mean > 0 else "dearer"
        nearest, farthest = sorted((abs(saved.low), abs(saved.high)))
        interval = f"95 % interval ${nearest:.2f} to ${farthest:.2f}, {basis}"
        return f"{what} is {word} than {whom} by ${abs(saved.mean):.2f} a day ({interval})"
    low, mean, high = (_signed(value) for value in (saved.low, saved.mean, saved.high))
    return f"{what} and {whom} cannot be told apart: {mean} a day saved (95 % interval {low} to {high}, {basis})"


def of_learner(study: pd.DataFrame, algorithm: str) -> pd.DataFrame:
    """Return the rows of one algorithm."""
    return study[study["algorithm"] == algorithm]


def saved_against(study: pd.DataFrame, against: str) -> Estimate:
    """Return what the trainings of one learner save, on the mean over the workloads they were tested on."""
    return estimate(per_training(study, against) - per_training(study, "cost"))


def mixed_claim(folders: Folders) -> str:
    """Say what each learner on MIXED saves against target tracking with one setting."""
    budgets, long = read_study("budgets", folders), read_study("long", folders)
    sentences = []
    for study in (*(of_learner(budgets, name) for name in ("q-learning", "dqn", "ppo")), long):
        name = learner_name(*study[["algorithm", "trained_on", "timesteps"]].iloc[0])
        name += ", begun by imitating rules," if study is long and imitated(MIXED) else ""
        sentences.append(compared(saved_against(study, "one_setting_cost"), name, "target tracking with one setting"))
    return "; ".join(sentences) + "."


def order_claim(folders: Folders) -> str:
    """Say how probably a training of one learner ends cheaper than one of another."""
    budgets = read_study("budgets", folders)
    sentences = []
    for better, worse in (("ppo", "dqn"), ("dqn", "q-learning")):
        share, low, high = probability_of_improvement(of_learner(budgets, better), of_learner(budgets, worse))
        sentences.append(f"one of {better} ends cheaper than one of {worse} with probability {share:.2f}")
        sentences[-1] += f" (95 % interval {low:.2f} to {high:.2f})"
    return "Of the trainings with the published budgets, on a pattern drawn at random, " + " and ".join(sentences) + "."


def specialists_claim(folders: Folders) -> str:
    """Say on which patterns PPO trained on the pattern is cheaper or dearer than the cheapest rule there."""
    saved = saved_against(at_home(of_learner(read_study("patterns", folders), "ppo")), "per_pattern_cost")
    mean = compared(saved, "it", "target tracking calibrated for each pattern")
    return (
        f"PPO trained on a pattern, against the cheapest rule there: {_verdicts(duels(folders))}. Over the six, {mean}."
    )


def _verdicts(duelled: pd.DataFrame) -> str:
    """Return where PPO is cheaper and where it is not, by the column `cheaper`."""
    words = {"ppo": "cheaper on", "rule": "dearer on", "neither": "not to be told apart on"}
    return "; ".join(
        f"{word} {_listed(duelled.index[duelled['cheaper'] == who].tolist())}"
        for who, word in words.items()
        if (duelled["cheaper"] == who).any()
    )


def imitated(workload: str) -> bool:
    """Return whether the study's long trainings of PPO on a workload begin by imitating calibrated rules."""
    return bool(SETTINGS.get(workload, {}).get("imitation_days"))


def long_begins() -> str:
    """Say where the study's long trainings of PPO begin, and which settings of their own they have."""
    workloads = (MIXED, *PATTERNS)
    begun = [name for name in workloads if imitated(name)]
    alone = [name for name in workloads if not imitated(name)]
    told = f"On {_listed(alone)} PPO learns from rewards alone." if alone else ""
    if begun:
        told += (
            f" On {_listed(begun)} it begins by imitating target tracking, as it was calibrated for the day's pattern, "
            "and learns from rewards after that: it shows what learning adds to rules, not that learning finds them."
        )
    own = [
        f"{name} ({', '.join(f'{setting} {value}' for setting, value in SETTINGS[name].items())})"
        for name in workloads
        if SETTINGS.get(name)
    ]
    if own:
        told += f" Settings other than the preset's, chosen on selection days: {_listed(own)}."
    return told.strip()


def regret_claim(folders: Folders) -> str:
    """Say how far the best policies are from the clairvoyant optimum."""
    table = regret_table(folders)
    optimum = read_opponents("", folders).groupby("policy")["cost"].mean()[OPTIMUM]
    rules = table[table["seeds"] == 0]
    learned = table[table["seeds"] > 0]
    rule, learner = cheapest(rules[MEAN]), cheapest(learned[MEAN])
    back = 1 - learned[MEAN].min() / rules[MEAN].min()
    gained = f"Learning gets back {back:.0%}" if back > 0 else "Learning gets back nothing"
    return (
        f"The clairvoyant optimum pays ${optimum:.2f} a day, the mean of the six patterns. The rule nearest to it is "
        f"{rule}, ${rules[MEAN].min():.2f} a day above ({rules[MEAN].min() / optimum:.1%}); the nearest learner "
        f"{learner}, ${learned[MEAN].min():.2f} above ({learned[MEAN].min() / optimum:.1%}; 95 % interval "
        f"${learned['low'][learner]:.2f} to ${learned['high'][learner]:.2f}). {gained} of what that rule leaves."
    )


def generalisation_claim(folders: Folders) -> str:
    """Say what a model trained on one pattern loses on the others, beside one trained on MIXED."""
    matrix = generalisation("ppo", folders)
    strangers = matrix.loc[list(PATTERNS)]
    home = pd.Series({name: strangers[name][name] for name in PATTERNS})
    on_mixed = matrix.iloc[0] - home
    strangers = strangers.mask(np.eye(len(PATTERNS), dtype=bool))
    trained_on = str(strangers.max(axis=1).idxmax())
    tested_on = str(strangers.loc[trained_on].idxmax())
    away, visited = strangers.mean(axis=1), strangers.mean(axis=0)
    return (
        f"PPO trained on one pattern pays on average ${home.mean():.2f} a day above the optimum at home and "
        f"${strangers.mean(axis=1).mean():.2f} on the other five (trained on {trained_on}, tested on {tested_on}: "
        f"${strangers[tested_on][trained_on]:.2f}). Dearest away from home is the one trained on {away.idxmax()} "
        f"(${away.max():.2f} on average); hardest for strangers is {visited.idxmax()} (${visited.max():.2f}). Trained "
        f"on MIXED it pays ${matrix.iloc[0].mean():.2f}: beside the model trained on the pattern from "
        f"{_signed(on_mixed.min())} ({on_mixed.idxmin()}) to {_signed(on_mixed.max())} ({on_mixed.idxmax()})."
    )


def wide_claim(folders: Folders) -> str:
    """Say what a stronger actuator is worth to PPO and to the rules."""
    table = regret_table(folders, "wide")
    opponents = read_opponents("wide", folders).groupby("policy")["cost"].mean()
    narrow = read_opponents("", folders).groupby("policy")["cost"].mean()
    study = read_study("wide", folders)
    costs = per_training(study, "cost")
    rule = cheapest(table[table["seeds"] == 0][MEAN])
    return (
        f"With wide steps the optimum falls from ${narrow[OPTIMUM]:.2f} to ${opponents[OPTIMUM]:.2f} a day, hpa-demand "
        f"from ${narrow['hpa-demand']:.2f} to ${opponents['hpa-demand']:.2f}, PPO on MIXED from "
        f"${per_training(read_study('long', folders), 'cost').mean():.2f} to ${costs.mean():.2f}; "
        f"{compared(estimate(opponents[rule] - costs), 'PPO on MIXED', f'{rule}, the cheapest rule,')}."
    )


def traces_claim(folders: Folders) -> str:
    """Say who is cheapest on each recorded trace, trained and calibrated on synthetic days only."""
    table = on_traces(folders).drop(index=OPTIMUM, level="policy")
    sentences = []
    for trace, rows in table.groupby(level="trace", sort=False):
        there = rows.droplevel("trace")
        rule, learner = (cheapest(there.loc[there["seeds"].eq(0) == is_rule, "regret"]) for is_rule in (True, False))
        interval = there.loc[learner, ["regret", "low", "high"]]
        sentences.append(
            f"{trace}: {rule} ${there['regret'][rule]:.2f} a day above the optimum, {learner} "
            "${:.2f} (95 % interval ${:.2f} to ${:.2f})".format(*interval)
        )
    return "On recorded traffic, the cheapest rule and the cheapest learner. " + "; ".join(sentences) + "."


def advice_claim(folders: Folders) -> str:
    """Say who is cheapest on each recorded trace if all are made on its first days, as by `autoscaler advise`."""
    table = advised(folders)
    return (
        "Trained on the first days of a recorded trace and charged on the rest, PPO against the cheapest of the rules "
        f"calibrated on the same first days: {_verdicts(table)} (95 % intervals over {table['seeds'].min()} "
        "trainings, on the same days)."
    )


CLAIMS: Sequence[Callable[[Folders], str]] = (
    mixed_claim,
    order_claim,
    specialists_claim,
    regret_claim,
    generalisation_claim,
    wide_claim,
    traces_claim,
    advice_claim,
)
"""Every claim about the study."""


def say(claim: Callable[[Folders], str], folders: Folders) -> str:
    """Return a claim's sentence, or in one line which table is not there yet, with the command that makes it."""
    try:
        return claim(folders)
    except FileNotFoundError as missing:
        return f"Not known yet: {missing}"


def deployment(folders: Folders) -> list[str]:
    """Say for each workload what an engineer should deploy, and whether reinforcement learning pays there.

    Returns:
        A sentence per pattern.
    """
    sentences = []
    for pattern, row in duels(folders).iterrows():
        saved = Estimate(int(row["seeds"]), row["saving"], row["low"], row["high"], *[float("nan")] * 3)
        advice = {
            "ppo": f"train PPO on it; it saves {100 * row['saving'] / row['rule_cost']:.1f} % of the cost",
            "rule": f"deploy {row['rule']}; reinforcement learning does not pay",
            "neither": f"deploy {row['rule']}; reinforcement learning does no better, and costs a training",
        }[row["cheaper"]]
        name = "PPO trained on it" + (", beginning as the calibrated rule," if imitated(str(pattern)) else "")
        sentences.append(f"{pattern}: {advice}. {_capital(compared(saved, name, row['rule']))}.")
    return sentences


def _signed(dollars: float) -> str:
    return f"{'-' if dollars < 0 else '+'}${abs(dollars):.2f}"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _listed(names: list[str]) -> str:
    """Return names as a list in words.

    Example:
        >>> _listed(["a", "b", "c"]), _listed([])
        ('a, b and c', '')
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
