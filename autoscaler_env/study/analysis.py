"""What the committed tables of the study say: who is how far from the limit, who wins on which workload.

Everything here is computed from `results/study_*.csv`; nothing is trained or played.

The tables that are committed: a row per run and workload, or per policy and workload.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from autoscaler_env.evaluation.statistics import (
    LEARNER,
    Estimate,
    estimate,
    per_training,
    read_opponents,
    read_study,
    savings_over_seeds,
)
from autoscaler_env.paths import Folders
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.policies.registry import LEARNERS
from autoscaler_env.storage.files import write_text
from autoscaler_env.study.benchmark import ONE_SETTING, PER_PATTERN
from autoscaler_env.study.plan import STUDIES
from autoscaler_env.traffic.patterns import MIXED, PATTERNS

OWN = "OWN"
"""What stands in `trained_on` for models that are tested on the pattern that each was trained on."""

MEAN = "mean"
"""The column of the mean over workloads."""


def at_home(study: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in which a model is tested on the pattern that it was trained on, as one learner.

    The trainings of one seed on the six patterns count as one: together they are what a user has who trains a model for
    each pattern.
    """
    home = study[study["trained_on"] == study["tested_on"]]
    return home.assign(trained_on=OWN)


def learners(folders: Folders) -> pd.DataFrame:
    """Return every training of the reference service, on every pattern: what `read_study` returns, together.

    Specialists, trained on one pattern, are there as `OWN` and on that pattern alone.
    """
    studies = [read_study(name, folders) for name in ("budgets", "long")]
    return pd.concat([*studies, at_home(read_study("patterns", folders))], ignore_index=True)


def regret_table(folders: Folders, service: str = "") -> pd.DataFrame:
    """Return what every policy pays above the optimum, by pattern.

    Args:
        folders: Where the tables lie.
        service: Empty for the reference service, `wide` for the one with wide steps.

    Returns:
        Indexed by policy, the cheapest last: seeds (0 for a rule), regret by pattern, their mean, low and high (95 %
        interval over trainings, none for a rule), all in $ a day.
    """
    opponents = read_opponents(service, folders)
    rules = opponents.pivot(index="policy", columns="tested_on", values="regret").drop(index=OPTIMUM)
    rows: dict[str, dict[str, Any]] = {
        str(policy): {"seeds": 0} | rules.loc[policy, list(PATTERNS)].to_dict() | {MEAN: rules.loc[policy].mean()}
        for policy in rules.index
    }
    trained = read_study(service, folders) if service else learners(folders)
    for name, study in each_learner(trained):
        found = estimate(per_training(study, "regret"))
        row: dict[str, Any] = {"seeds": found.seeds, MEAN: found.mean, "low": found.low, "high": found.high}
        for pattern in PATTERNS:
            row[pattern] = study.loc[study["tested_on"] == pattern, "regret"].mean()
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index").sort_values(MEAN, ascending=False).rename_axis("policy")


def each_learner(study: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield name and rows of each learner of a study."""
    for _, rows in study.groupby(LEARNER, sort=False):
        algorithm, trained_on, timesteps = rows[LEARNER].iloc[0]
        yield learner_name(algorithm, trained_on, timesteps), rows


def learner_name(algorithm: str, trained_on: str, timesteps: int) -> str:
    """Return what tables call a learner.

    Example:
        >>> learner_name("ppo", "MIXED", 995_328), learner_name("q-learning", "OWN", 2_880_000)
        ('ppo on MIXED, 995,328 timesteps', 'q-learning on each pattern, 2,880,000 timesteps')
    """
    return f"{algorithm} on {'each pattern' if trained_on == OWN else trained_on}, {timesteps:,} steps"


def duels(folders: Folders) -> pd.DataFrame:
    """Return, for each pattern, PPO trained on it against the cheapest rule there, on the same days.

    The rule is the cheapest on the very days that count, so the choice favours the rules.

    Returns:
        Indexed by pattern: rule (its name), rule_cost, learner_cost, optimum_cost, seeds, saving, low, high ($ a day,
        95 % interval over trainings), cheaper (`ppo`, `rule`, or `neither` where the interval holds 0).
    """
    opponents = read_opponents("", folders)
    patterns = read_study("patterns", folders)
    rows = {}
    for pattern in PATTERNS:
        here = opponents[opponents["tested_on"] == pattern].set_index("policy")["cost"]
        rule = cheapest(here.drop(OPTIMUM))
        there = (patterns["trained_on"] == pattern) & (patterns["tested_on"] == pattern)
        home = patterns[there & (patterns["algorithm"] == "ppo")]
        costs = per_training(home, "cost")
        saved = estimate(here[rule] - costs)
        rows[pattern] = {
            "rule": rule,
            "rule_cost": here[rule],
            "learner_cost": costs.mean(),
            "optimum_cost": here[OPTIMUM],
            "seeds": saved.seeds,
            "saving": saved.mean,
            "low": saved.low,
            "high": saved.high,
            "cheaper": verdict_of(saved),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("pattern")


def cheapest(costs: pd.Series) -> str:
    """Return the name under which the lowest number stands."""
    return str(costs.idxmin())


def verdict_of(saved: Estimate) -> str:
    """Return who is cheaper, by the interval of what PPO saves: `ppo`, `rule`, or `neither` if it holds 0."""
    if saved.low > 0:
        return "ppo"
    return "rule" if saved.high < 0 else "neither"


def generalisation(algorithm: str, folders: Folders) -> pd.DataFrame:
    """Return the regret of models trained on one pattern and tested on each: rows trained on, columns tested on.

    The first row is that of models trained on `MIXED`, with PPO those of the long trainings.

    Args:
        algorithm: q-learning, dqn or ppo.
        folders: Where the tables lie.

    Returns:
        Mean over trainings, $ a day.
    """
    mixed = read_study("long" if algorithm == "ppo" else "budgets", folders)
    both = pd.concat([mixed, read_study("patterns", folders)])
    both = both[both["algorithm"] == algorithm]
    matrix = both.pivot_table(index="trained_on", columns="tested_on", values="regret", aggfunc="mean")
    return matrix.loc[[MIXED, *PATTERNS], list(PATTERNS)]


def on_traces(folders: Folders) -> pd.DataFrame:
    """Return what every policy paid on recorded traffic, trained and calibrated on synthetic days only.

    Returns:
        Indexed by trace and policy: days, smooth (steps), seeds (0 for a rule), cost, regret ($ a day), low, high (95 %
        interval of the regret over trainings), late_share (of the requests, late or dropped).
    """
    opponents, trained = read_opponents("traces", folders), read_study("traces", folders)
    rows = {}
    for trace, there in trained.groupby("tested_on", sort=False):
        for _, row in opponents[opponents["tested_on"] == trace].iterrows():
            rows[(trace, row["policy"])] = {"seeds": 0} | row[
                ["days", "smooth", "cost", "regret", "late_share"]
            ].to_dict()
        for name, study in each_learner(there):
            found = estimate(per_training(study, "regret"))
            means = study[["days", "smooth", "cost", "late_share"]].mean().to_dict()
            rows[(trace, name)] = means | {
                "seeds": found.seeds, "regret": found.mean, "low": found.low, "high": found.high
            }  # fmt: skip
    columns = ["days", "smooth", "seeds", "cost", "regret", "low", "high", "late_share"]
    table = pd.DataFrame.from_dict(rows, orient="index").reindex(columns=columns)
    table.index = pd.MultiIndex.from_tuples(table.index, names=["trace", "policy"])
    return table.astype({"days": int, "smooth": int, "seeds": int})


def advised(folders: Folders) -> pd.DataFrame:
    """Return, for each recorded trace, PPO trained on its first days against the cheapest rule on the days after them.

    Rules were calibrated on the same first days, as `autoscaler advise` does it. The rule is the cheapest on the very
    days that count, so the choice favours the rules.

    Returns:
        Indexed by trace: days (held out), rule (its name), rule_cost, learner_cost, optimum_cost, seeds, saving, low,
        high ($ a day, 95 % interval over trainings), cheaper (as in `duels`), recommended (policies, and of how many of
        the seeds).

    Raises:
        FileNotFoundError: Nothing was advised yet; the message has the command.
    """
    path = folders.results / "advice_traces.csv"
    if not path.exists():
        raise FileNotFoundError(
            f"{folders.shown(path)} is missing; make it with: python benchmarks/advise_traces.py TRACES"
        )
    rows = {}
    for trace, there in pd.read_csv(path).groupby("trace", sort=False):
        costs = there.pivot(index="seed", columns="policy", values="cost")
        rules = costs.drop(columns=[OPTIMUM, *LEARNERS], errors="ignore").mean()
        rule = cheapest(rules)
        saved = estimate(costs[rule] - costs["ppo"])
        rows[trace] = {
            "days": there["days"].iloc[0],
            "rule": rule,
            "rule_cost": rules[rule],
            "learner_cost": costs["ppo"].mean(),
            "optimum_cost": costs[OPTIMUM].mean(),
            "seeds": saved.seeds,
            "saving": saved.mean,
            "low": saved.low,
            "high": saved.high,
            "cheaper": verdict_of(saved),
            "recommended": there.loc[there["recommended"], "policy"].value_counts().to_dict(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("trace")


REFERENCES = {ONE_SETTING: "one_setting_cost", PER_PATTERN: "per_pattern_cost", OPTIMUM: "optimum_cost"}
"""Policies whose cost on the same days stands beside every learner's, and the columns it stands in."""


def study_table(results: Sequence[Mapping[str, Any]], opponents: pd.DataFrame) -> pd.DataFrame:
    """Return one tidy table of what runs left: the training seed is the unit of replication.

    Args:
        results: Description and rows of each run, as `Store.result` returns them.
        opponents: What `opponents.measure_opponents` returns, for the same exam and service.

    Returns:
        A row per run and workload: algorithm, trained_on, timesteps, seed, tested_on, days, the cost
        of each of the `REFERENCES` on the same days, regret ($ a day above the optimum) and the columns of
        `Exam.measure`.
    """
    rows = [_key_of(result["description"]) | row for result in results for row in result["rows"]]
    table = pd.DataFrame(rows)
    costs = opponents.pivot(index="tested_on", columns="policy", values="cost")
    references = {
        column: table["tested_on"].map(costs[policy]) for policy, column in REFERENCES.items() if policy in costs
    }
    keys = ["algorithm", "trained_on", "timesteps", "seed", "tested_on", "days"]
    regret = {"regret": table["cost"] - references["optimum_cost"]}
    return pd.concat([table[keys], pd.DataFrame(references | regret), table.drop(columns=keys)], axis=1)


def curves_table(results: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the learning curves of runs: a row per run and point, at (steps), seconds and mean_return ($ a day)."""
    return pd.DataFrame(
        _key_of(result["description"])
        | {"at": point["timesteps"], "seconds": point["seconds"], "mean_return": point["mean_return"]}
        for result in results
        for point in result["description"]["curve"]
    )


def report(name: str, folders: Folders) -> str:
    """Return what the trainings of a study save against target tracking, ready to print; nothing where none are.

    Args:
        name: A study whose tables have been written.
        folders: Where they lie.
    """
    if name not in STUDIES:
        return ""
    table, against, rule = read_study(name, folders), "one_setting_cost", "with one setting for all patterns"
    if name == "patterns":
        table = table[table["trained_on"] == table["tested_on"]]
        against, rule = "per_pattern_cost", "calibrated for the pattern that the model was trained and tested on"
    saved = savings_over_seeds(table, against).round(2).to_string()
    return f"\n{name}: saved against target tracking {rule}, $ a day, 95 % intervals over trainings\n{saved}\n"


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, atomically."""
    write_text(path, table.to_csv(index=False, float_format="%.6g"))


def _key_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells one run of a study from the others."""
    made = {"algorithm": description["algorithm"], "trained_on": description["pattern"]}
    return made | {"timesteps": description["timesteps"], "seed": description["seed"]}
