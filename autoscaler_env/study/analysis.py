"""What the committed tables of the study say, as tables: costs, regret, generalisation, PPO against the rules.

Everything here is computed from `results/study_*.csv` and `results/advice_traces.csv`; nothing is trained or measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from autoscaler_env.evaluation import metrics
from autoscaler_env.evaluation.limits import read_limits
from autoscaler_env.evaluation.objective import Objective
from autoscaler_env.evaluation.statistics import (
    LEARNER,
    Interval,
    estimate,
    estimates,
    is_worth_it,
    mean_interval,
    per_training,
    who_is_cheaper,
)
from autoscaler_env.paths import Folders
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.policies.registry import LEARNERS
from autoscaler_env.storage.files import write_text
from autoscaler_env.study.plan import trainings
from autoscaler_env.traffic.patterns import MIXED, PATTERNS

OWN = "OWN"
"""The value of `trained_on` for models that are tested on the pattern that each was trained on."""

MEAN = "mean"
"""The column of the mean over workloads."""


def read_study(name: str, folders: Folders) -> pd.DataFrame:
    """Return the table of a study: a row per run and tested workload.

    Raises:
        FileNotFoundError: The study has not been run; the message has the command that does.
    """
    return _read(f"study_{name}.csv", name, folders)


def read_baselines(setting: str, folders: Folders) -> pd.DataFrame:
    """Return what rules and the clairvoyant optimum cost: a row per policy and workload.

    Args:
        setting: Empty for the reference service and the six patterns, `wide` or `traces`.
        folders: Where the tables are.

    Raises:
        FileNotFoundError: The study has not been run; the message has the command that does.
    """
    file = f"study_{setting}_baselines.csv" if setting else "study_baselines.csv"
    return _read(file, setting or "baselines", folders)


def read_curves(name: str, algorithm: str, folders: Folders) -> list[pd.DataFrame]:
    """Return the learning curves of one learner in a study, one per training seed.

    Args:
        name: The study.
        algorithm: q-learning, dqn or ppo.
        folders: Where the tables are.

    Returns:
        Per seed: timesteps, seconds, mean_return ($ a day on selection days).

    Raises:
        FileNotFoundError: The study has not been run; the message has the command that does.
    """
    points = _read(f"study_{name}_curves.csv", name, folders)
    points = points[points["algorithm"] == algorithm].drop(columns="timesteps").rename(columns={"at": "timesteps"})
    return [
        curve[["timesteps", "seconds", "mean_return"]].reset_index(drop=True) for _, curve in points.groupby("seed")
    ]


def effort_of_study(name: str, folders: Folders) -> pd.DataFrame:
    """Return what a training of each learner of a study takes, on average.

    Args:
        name: A study of trainings on one workload.
        folders: Where the tables are.

    Returns:
        Indexed by algorithm: simulated (steps of all services, those of the rule beside a learner and of branches
        included) and seconds (of the processor, with the recogniser of patterns, where the training counted them; else
        of the clock, without evaluations).

    Raises:
        FileNotFoundError: The study has not been run; the message has the command that does.
    """
    table = read_study(name, folders)
    counted = "cpu_seconds" in table
    rows = {}
    for run in trainings(name, 1):
        of_learner = table[table["algorithm"] == run.algorithm].drop_duplicates("seed")
        if counted:
            columns = ["simulated"] if "simulated" in of_learner else ["visited", "branched"]
            simulated, seconds = of_learner[columns].sum(axis=1).mean(), of_learner["cpu_seconds"].mean()
        else:
            simulated = run.simulated_timesteps(int(of_learner["timesteps"].iloc[0]))
            seconds = pd.Series([each["seconds"].iloc[-1] for each in read_curves(name, run.algorithm, folders)]).mean()
        rows[run.algorithm] = {"simulated": simulated, "seconds": seconds}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("algorithm")


def curves_in_seconds(folders: Folders) -> pd.DataFrame:
    """Return the learning curves on `MIXED` against CPU seconds: costs of all trainings, seconds of one quiet training.

    Returns:
        A row per point: algorithm, timesteps (of the whole training), at (timesteps of the point), cpu_seconds, and
        cost, low, high ($ a day on selection days: mean over the trainings with its 95 % interval).

    Raises:
        FileNotFoundError: A study has not been run, or the seconds have not been measured; the message has the command.
    """
    path = folders.results / "learning_seconds.csv"
    seconds = pd.read_csv(folders.made(path, "python benchmarks/learning_curves.py"))
    curves = pd.concat(_read(f"study_{name}_curves.csv", name, folders) for name in ("budgets", "iteration"))
    keys = ["algorithm", "timesteps", "at"]
    points = {key: -point["mean_return"] for key, point in curves.query("trained_on == @MIXED").groupby(keys)}
    rows = []
    for row in seconds.to_dict("records"):
        costs = points[row["algorithm"], row["timesteps"], row["at"]]
        _, mean, low, high = mean_interval(costs.to_numpy(), independent=True)
        rows.append(row | {"cost": mean, "low": low, "high": high})
    return pd.DataFrame(rows)


def read_policy_iteration(folders: Folders) -> pd.DataFrame:
    """Return what policy iteration costs beside its rivals and the limit: see `benchmarks/policy_iteration.py`.

    Raises:
        FileNotFoundError: The file is missing; the message has the command that makes it.
    """
    path = folders.results / "policy_iteration.csv"
    return pd.read_csv(folders.made(path, "python benchmarks/policy_iteration.py"))


def read_other_rules(folders: Folders) -> pd.DataFrame:
    """Return what the policies that notebook 6 leaves out cost and save: see `benchmarks/other_rules.py`.

    Raises:
        FileNotFoundError: The file is missing; the message has the command that makes it.
    """
    path = folders.results / "other_rules.csv"
    return pd.read_csv(folders.made(path, "python benchmarks/other_rules.py TRACES"))


def _read(file: str, study: str, folders: Folders) -> pd.DataFrame:
    needs = " --traces FOLDER" if study == "traces" else ""
    return pd.read_csv(folders.made(folders.results / file, f"autoscaler study {study}{needs}"))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, atomically."""
    write_text(path, table.to_csv(index=False, float_format="%.6g"))


def by_learner(study: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield name and rows of each learner of a study."""
    for _, rows in study.groupby(LEARNER, sort=False):
        algorithm, trained_on, timesteps = rows[LEARNER].iloc[0]
        yield learner_name(algorithm, trained_on, timesteps), rows


def learner_name(algorithm: str, trained_on: str, timesteps: int) -> str:
    """Return the name of a learner in tables and sentences.

    Example:
        >>> learner_name("ppo", "MIXED", 995_328), learner_name("q-learning", "OWN", 2_880_000)
        ('ppo on MIXED, 995,328 timesteps', 'q-learning on each pattern, 2,880,000 timesteps')
    """
    return f"{algorithm} on {'each pattern' if trained_on == OWN else trained_on}, {timesteps:,} timesteps"


def savings_over_trainings(study: pd.DataFrame, against: str) -> pd.DataFrame:
    """Return what each learner saves a day against a baseline on the same days.

    Args:
        study: The table of a study, or some of its rows.
        against: The column with the cost of the baseline: `one_setting_cost`, `per_pattern_cost` or `optimum_cost`.

    Returns:
        Indexed by algorithm, trained_on and timesteps: seeds (number of trainings), cost, rule (cost of the baseline),
        saving, low, high (95 % interval over trainings), iqm (interquartile mean of the saving); all in $ a day.
    """
    table = estimates(study.assign(saving=study[against] - study["cost"]), "saving").rename(columns={"mean": "saving"})
    table.insert(1, "cost", estimates(study, "cost")["mean"])
    table.insert(2, "rule", estimates(study, against)["mean"])
    return table


def on_own_pattern(study: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in which a model is tested on the pattern that it was trained on, as one learner.

    The trainings of one seed on the six patterns count as one: together they are what a user has who trains a model for
    each pattern.
    """
    return study[study["trained_on"] == study["tested_on"]].assign(trained_on=OWN)


def read_mixed(folders: Folders) -> pd.DataFrame:
    """Return every training on `MIXED` for the reference service: published budgets, then the long trainings of PPO."""
    return pd.concat([read_study(name, folders) for name in ("budgets", "long")], ignore_index=True)


def learners(folders: Folders) -> pd.DataFrame:
    """Return every training for the reference service, with a row per tested pattern.

    Specialists, which were trained on one pattern, are included as `OWN` and on that pattern only.
    """
    own = [on_own_pattern(read_study(name, folders)) for name in ("patterns", "iteration_patterns")]
    return pd.concat([read_mixed(folders), read_study("iteration", folders), *own], ignore_index=True)


def regret_table(folders: Folders, setting: str = "") -> pd.DataFrame:
    """Return what every policy costs above the optimum, by pattern.

    Args:
        folders: Where the tables are.
        setting: Empty for the reference service, `wide` for the one with larger fleet changes.

    Returns:
        Indexed by policy, the cheapest last: seeds (0 for a rule), regret by pattern, their mean, low and high (95 %
        interval over trainings, NaN for a rule), all in $ a day.
    """
    baselines = read_baselines(setting, folders)
    rules = baselines.pivot(index="policy", columns="tested_on", values="regret").drop(index=OPTIMUM)
    rows: dict[str, dict[str, Any]] = {
        str(policy): {"seeds": 0} | rules.loc[policy, list(PATTERNS)].to_dict() | {MEAN: rules.loc[policy].mean()}
        for policy in rules.index
    }
    trained = read_study(setting, folders) if setting else learners(folders)
    for name, study in by_learner(trained):
        regret = estimate(per_training(study, "regret"))
        row: dict[str, Any] = {"seeds": regret.n, MEAN: regret.mean, "low": regret.low, "high": regret.high}
        for pattern in PATTERNS:
            row[pattern] = study.loc[study["tested_on"] == pattern, "regret"].mean()
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index").sort_values(MEAN, ascending=False).rename_axis("policy")


def foresight(folders: Folders) -> pd.DataFrame:
    """Return how much of the regret on each pattern is foresight, for the reference service.

    Regret is what a policy costs above the clairvoyant optimum. The part up to the limit without foresight can be saved
    only by somebody who knows the future; the rest may be avoidable. The limit has two ends, because it is a numerical
    result. With the lower one the foresight is the least that it can be, and the avoidable part the most.

    Args:
        folders: Where the tables are.

    Returns:
        Indexed by pattern, then `MEAN`: days, optimum (cost of the clairvoyant optimum), low and high (ends of the
        limit), and foresight (low minus optimum), all but the days in $ a day, the means of the same evaluation days.

    Raises:
        FileNotFoundError: A table is missing; the message has the command that makes it.
        ValueError: The two tables are not of the same days.
    """
    limits = read_limits(folders).rename(index={metrics.MEAN: MEAN})
    optima = read_baselines("", folders).query("policy == @OPTIMUM").set_index("tested_on").loc[list(PATTERNS)]
    days = {int(number) for number in (*limits["days"], *optima["days"])}
    if len(days) > 1:
        raise ValueError(
            f"days = {sorted(days)}: results/limits.csv and results/study_baselines.csv must have the same days"
        )
    costs = pd.concat([optima["cost"], pd.Series({MEAN: optima["cost"].mean()})])
    table = pd.DataFrame({"days": days.pop(), "optimum": costs, "low": limits["low"], "high": limits["high"]}).loc[
        [*PATTERNS, MEAN]
    ]
    return table.assign(foresight=table["low"] - table["optimum"]).rename_axis("pattern")


def avoidable(regrets: pd.DataFrame, folders: Folders) -> pd.DataFrame:
    """Return the part of the regret that is above the limit without foresight.

    Args:
        regrets: What `regret_table` returns for the reference service, or some of its rows.
        folders: Where the tables are.

    Returns:
        The same rows: what a policy costs above the lower end of the limit, by pattern and in the mean, with the ends
        of its interval low and high, all in $ a day: at most this much can be avoided.
    """
    least = foresight(folders)["foresight"]
    columns = [*PATTERNS, MEAN]
    table = regrets[columns] - least[columns]
    return table.assign(low=regrets["low"] - least[MEAN], high=regrets["high"] - least[MEAN])


def generalisation(algorithm: str, folders: Folders) -> pd.DataFrame:
    """Return the regret of models trained on one pattern and tested on each: rows trained on, columns tested on.

    The first row is that of models trained on `MIXED`; for PPO these are the long trainings.

    Args:
        algorithm: q-learning, dqn or ppo.
        folders: Where the tables are.

    Returns:
        Mean over trainings, $ a day.
    """
    mixed = read_study("long" if algorithm == "ppo" else "budgets", folders)
    both = pd.concat([mixed, read_study("patterns", folders)])
    both = both[both["algorithm"] == algorithm]
    matrix = both.pivot_table(index="trained_on", columns="tested_on", values="regret", aggfunc="mean")
    return matrix.loc[[MIXED, *PATTERNS], list(PATTERNS)]


PPO_ON_MIXED = "ppo on MIXED"
"""The row of the long trainings of PPO on `MIXED` in `wide_costs`."""


def wide_costs(folders: Folders) -> pd.DataFrame:
    """Return what larger fleet changes are worth to each baseline and to PPO trained on `MIXED`.

    Returns:
        Indexed by policy, the cheapest first: reference and wide (mean cost of the six patterns without and with larger
        fleet changes) and saved (their difference), $ a day.
    """
    costs = {}
    for column, setting, study in (("reference", "", "long"), ("wide", "wide", "wide")):
        costs[column] = read_baselines(setting, folders).groupby("policy")["cost"].mean()
        costs[column][PPO_ON_MIXED] = per_training(read_study(study, folders), "cost").mean()
    table = pd.DataFrame(costs).sort_values("wide").rename_axis("policy")
    return table.assign(saved=table["reference"] - table["wide"])


def learners_on_traces(folders: Folders) -> pd.DataFrame:
    """Return, for each recorded trace, the cheapest learner against the cheapest rule, both made on synthetic days.

    Both are chosen on the days that are compared.

    Returns:
        Indexed by trace: rule and learner (names), rule_regret ($ a day above the optimum), cheaper (`learner`, `rule`,
        or `neither` where the interval contains the regret of the rule), and regret, low, high (of the learner, $ a
        day above the optimum, 95 % interval over trainings).
    """
    rows = {}
    table = traces_table(folders).drop(index=OPTIMUM, level="policy")
    for trace, on_trace in table.groupby(level="trace", sort=False):
        policies = on_trace.droplevel("trace")
        learned = policies["seeds"] > 0
        rule, learner = (cheapest(policies.loc[where, "regret"]) for where in (~learned, learned))
        by_rule, best = (policies.loc[name].to_dict() for name in (rule, learner))
        saved = Interval(best["seeds"], *(by_rule["regret"] - best[end] for end in ("regret", "high", "low")))
        row = {"rule": rule, "learner": learner, "rule_regret": by_rule["regret"], "cheaper": who_is_cheaper(saved)}
        rows[trace] = row | {name: best[name] for name in ("regret", "low", "high")}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("trace")


def traces_table(folders: Folders) -> pd.DataFrame:
    """Return what every policy costs on recorded traffic, trained and calibrated on synthetic days only.

    Returns:
        Indexed by trace and policy: days, smooth (steps), seeds (0 for a rule), cost, regret ($ a day), low, high (95 %
        interval of the regret over trainings), late_share (share of the requests that were late or dropped).
    """
    baselines, trained = read_baselines("traces", folders), read_study("traces", folders)
    rows = {}
    for trace, on_trace in trained.groupby("tested_on", sort=False):
        for _, row in baselines[baselines["tested_on"] == trace].iterrows():
            columns = ["days", "smooth", "cost", "regret", "late_share"]
            rows[(trace, row["policy"])] = {"seeds": 0} | row[columns].to_dict()
        for name, study in by_learner(on_trace):
            seeds, regret, low, high = estimate(per_training(study, "regret"))
            means = study[["days", "smooth", "cost", "late_share"]].mean().to_dict()
            rows[(trace, name)] = means | {"seeds": seeds, "regret": regret, "low": low, "high": high}
    columns = ["days", "smooth", "seeds", "cost", "regret", "low", "high", "late_share"]
    table = pd.DataFrame.from_dict(rows, orient="index").reindex(columns=columns)
    table.index = pd.MultiIndex.from_tuples(table.index, names=["trace", "policy"])
    return table.astype({"days": int, "smooth": int, "seeds": int})


SPECIALISTS = {"policy-iteration": "iteration_patterns", "ppo": "patterns"}
"""Learners with several whole trainings on each pattern, and the studies that have them."""


def specialists(folders: Folders, learner: str = "ppo") -> pd.DataFrame:
    """Return, for each pattern, a learner trained on it against the cheapest rule there, on the same days.

    The rule is chosen on the same days that are compared, so the choice favours the rules.

    Args:
        folders: Where the tables are.
        learner: One of `SPECIALISTS`.

    Returns:
        Indexed by pattern: rule (its name), rule_cost, learner_cost, optimum_cost, seeds, saving, low, high ($ a day,
        95 % interval over trainings), cheaper (`learner`, `rule`, or `neither` where the interval contains 0) and
        worth_it (whether the saving is certain and at least `MINIMUM_EFFECT` of the cost of the rule).
    """
    baselines = read_baselines("", folders)
    own = on_own_pattern(read_study(SPECIALISTS[learner], folders))
    own = own[own["algorithm"] == learner]
    rows = {}
    for pattern in PATTERNS:
        costs = baselines[baselines["tested_on"] == pattern].set_index("policy")["cost"]
        trainings = per_training(own[own["tested_on"] == pattern], "cost")
        rows[pattern] = _against_cheapest(costs.drop(OPTIMUM), trainings, costs[OPTIMUM])
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("pattern")


def advice_on_traces(folders: Folders, learner: str = "ppo") -> pd.DataFrame:
    """Return, for each recorded trace, a learner trained on its first days against the cheapest rule on the others.

    Rules were calibrated on the same first days, as `autoscaler advise` does it. The rule is chosen on the same days
    that are compared, so the choice favours the rules.

    Args:
        folders: Where the results are.
        learner: The learner's name in the table.

    Returns:
        Indexed by trace: days (held out), the columns of `specialists`, and recommended (policies, with the
        number of seeds in which each was recommended).

    Raises:
        FileNotFoundError: The benchmark has not been run; the message has the command that does.
    """
    path = folders.results / "advice_traces.csv"
    table = pd.read_csv(folders.made(path, "python benchmarks/advise_traces.py TRACES"))
    rows = {}
    for trace, on_trace in table.groupby("trace", sort=False):
        costs = on_trace.pivot(index="seed", columns="policy", values="cost")
        rules = costs.drop(columns=[OPTIMUM, *LEARNERS], errors="ignore").mean()
        rows[trace] = {
            "days": on_trace["days"].iloc[0],
            **_against_cheapest(rules, costs[learner], costs[OPTIMUM].mean()),
            "recommended": on_trace.loc[on_trace["recommended"], "policy"].value_counts().to_dict(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("trace")


def objective_on_traces(folders: Folders) -> tuple[str, pd.DataFrame]:
    """Return which policies kept an objective on recorded traffic: what the table is, and a row per policy.

    Raises:
        FileNotFoundError: The benchmark has not been run; the message has the command that does.
    """
    command = "python benchmarks/advise_traces.py TRACES --objective 0.99 60 --quick --seeds 2"
    table = pd.read_csv(folders.made(folders.results / "objective_traces.csv", command))
    first, verdicts = table.iloc[0], table["verdict"].value_counts()
    days = ", ".join(f"{trace} {count} days" for trace, count in table.groupby("trace")["days"].first().items())
    kept, missed, doubt = (verdicts.get(verdict, 0) for verdict in ("kept", "missed", "in doubt"))
    intro = (
        f"The objective is {Objective(first['served_in_time'], first['within_seconds'])}; {days}; "
        f"{table['trainings'].max()} trainings of each learner. A cell is the share in time, what its 95 % interval "
        f"over days says, and dollars a day. Of {len(table)} cells {kept} are kept and {missed} missed beyond doubt; "
        f"{doubt} are in doubt."
    )
    shown = [f"{row.share:.2%} {row.verdict}, {row.cost:.2f}" for row in table.itertuples()]
    cells = table.assign(cell=shown).pivot(index="policy", columns="trace", values="cell")
    return intro, cells.loc[table["policy"].unique()].rename_axis(columns=None).reset_index()


def _against_cheapest(rules: pd.Series, trainings: pd.Series, optimum: float) -> dict[str, Any]:
    """Return trainings of a learner beside the cheapest rule.

    Args:
        rules: The cost of each rule.
        trainings: The cost of each training, indexed by its seed.
        optimum: The cost of the clairvoyant optimum.
    """
    rule = cheapest(rules)
    saved = estimate(rules[rule] - trainings)
    return {
        "rule": rule,
        "rule_cost": rules[rule],
        "learner_cost": trainings.mean(),
        "optimum_cost": optimum,
        "seeds": saved.n,
        "saving": saved.mean,
        "low": saved.low,
        "high": saved.high,
        "cheaper": who_is_cheaper(saved),
        "worth_it": is_worth_it(saved, rules[rule]),
    }


def cheapest(costs: pd.Series) -> str:
    """Return the index of the lowest number."""
    return str(costs.idxmin())
