"""The generated parts of README and docs: tables and sentences made from the committed results.

`python -m autoscaler_env.documents` makes them anew without running the course.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from autoscaler_env.address import refresh_address
from autoscaler_env.course import Executed, processors
from autoscaler_env.evaluation.metrics import read_evaluation
from autoscaler_env.evaluation.rivals import read_calibrated_rules
from autoscaler_env.evaluation.statistics import MINIMUM_EFFECT, Interval, is_worth_it
from autoscaler_env.markdown import markdown_table, replace_block
from autoscaler_env.paths import Folders, checkout_root
from autoscaler_env.policies.oracle import OPTIMUM
from autoscaler_env.policies.registry import USUAL, label_of
from autoscaler_env.storage.files import write_text
from autoscaler_env.study.advice import harms_block, objective_block, seconds_block
from autoscaler_env.study.analysis import MEAN as MEAN_OF_STUDY
from autoscaler_env.study.analysis import (
    SPECIALISTS,
    advice_on_traces,
    avoidable,
    curves_in_seconds,
    effort_of_study,
    foresight,
    read_policy_iteration,
    read_study,
    regret_table,
    savings_over_trainings,
    specialists,
    traces_table,
)
from autoscaler_env.study.benchmark import ONE_SETTING, PER_PATTERN
from autoscaler_env.study.generated import (
    flights_sentence,
    generated_block,
    generated_sentence,
    saved_on_flights,
    saved_over_days,
    started_block,
)
from autoscaler_env.study.summary import deployment, traces_claim
from autoscaler_env.text import dollars, listed, percent
from autoscaler_env.traffic.patterns import MIXED, PATTERNS

COMPARED = ("threshold", "hpa-cpu", "threshold-mixed", "hpa-cpu-mixed", "hpa-demand-mixed", ONE_SETTING, PER_PATTERN)
"""The rules in the README's table; `docs/results.md` has all of them."""

STUDIES = ("budgets", "inputs", "long", "iteration")
"""The studies of the learners in the README's table: ten trainings on `MIXED` each."""


MOST_REGRET = 20.0
"""Policies with a larger mean regret are left out of the table of avoidable costs, $ a day."""


class Block(NamedTuple):
    """A generated part of a document."""

    document: str
    """The file, from the root of the checkout."""
    make: Callable[[Folders], str]
    """Makes the Markdown from the committed results."""


def refresh_documents(folders: Folders, executed: Sequence[Executed] = ()) -> None:
    """Make every generated part of README, docs and notebooks anew.

    Args:
        folders: The checkout, whose results the parts are made from.
        executed: How the notebooks of a whole run ended; without them the time of the run stays as it is.
    """
    refresh_address(folders.root)
    for name in {block.document for block in BLOCKS.values()}:
        path = folders.root / name
        text = path.read_text(encoding="utf-8")
        for mark, block in BLOCKS.items():
            if block.document == name:
                text = replace_block(text, mark, block.make(folders))
        write_text(path, text)
    if executed:
        path = folders.root / TIMES
        write_text(path, replace_block(path.read_text(encoding="utf-8"), "times", times_sentence(executed)))


def results_block(folders: Folders) -> str:
    """Return the README's table: what each policy costs and saves, learners by ten trainings, and what that means."""
    mean = read_evaluation(folders)["mean"]
    rows = [
        _result(_name_of_rule(name), mean[name]["cost"], [mean[name][f"saving{end}"] for end in ("", "_low", "_high")])
        for name in COMPARED
    ]
    learners = []
    for study in STUDIES:
        for row in _saved_by_learners(study, folders):
            name = f"{_learner_of(study, row)}, {row['timesteps']:,} timesteps"
            learners.append(_result(name, row["cost"], [row["saving"], row["low"], row["high"]]))
    bounds = foresight(folders).T[MEAN_OF_STUDY]
    limit = _result("limit without foresight: no policy is cheaper", bounds["low"], None)
    optimum = _result(f"{label_of(OPTIMUM)} (knows the future)", bounds["optimum"], None)
    rows = [*rows, *learners, limit, optimum]
    table = markdown_table(pd.DataFrame(rows).sort_values("order", ascending=False).drop(columns="order"))
    episodes = read_evaluation(folders)["episodes"]
    return "\n".join(
        [
            f"Mean of the six patterns, {episodes:,} evaluation days each. Savings are against ideal target tracking",
            "with one setting. Intervals: learners over ten trainings on `MIXED`, rules over days.",
            "",
            table,
            "",
            *_honest_sentences(folders),
        ]
    )


def _name_of_rule(name: str) -> str:
    """Return what tables call a rule; one with its usual settings says so."""
    return label_of(name) + (", as most people run it" if name in USUAL else "")


def _tuning_sentence(folders: Folders) -> str:
    """Return what calibration is worth to the rules that people run."""
    mean = read_evaluation(folders)["mean"]
    gains = [f"{label_of(rule)} {dollars(mean[rule]['cost'] - mean[f'{rule}-mixed']['cost'])} a day" for rule in USUAL]
    tuned = [mean[name]["cost"] for name in (*(f"{rule}-mixed" for rule in USUAL), ONE_SETTING)]
    return (
        f"Tuning the rule that you already run saves, with one setting for all patterns: {listed(gains)}. Tuned, the "
        f"five rules cost {dollars(min(tuned))} to {dollars(max(tuned))}."
    )


def calibration_block(folders: Folders) -> str:
    """Return the calibrated settings of every rule, and how many were tried: one for all patterns, and for each."""
    rules = read_calibrated_rules(folders)
    rows = [
        {
            "rule": label_of(rule),
            "calibrated on": "all patterns" if pattern == MIXED else pattern,
            "setting": one.describe(),
            "daily cost ($)": f"{one.cost:.2f}",
            "settings tried": one.tried,
        }
        for rule, by_pattern in rules.items()
        for pattern, one in by_pattern.items()
    ]
    intro = (
        "Every rule had the same search on the same calibration days: a grid of 150 to 156 settings, then fine steps "
        "around the best. The costs are those of calibration days. The trainings were compared with ideal target "
        "tracking as `results/calibration.csv` has it, from the grid alone."
    )
    return f"{intro}\n\n{markdown_table(pd.DataFrame(rows))}"


def _honest_sentences(folders: Folders) -> list[str]:
    """Return what the tables say for learning and against it: on `MIXED`, on one pattern, on recorded traffic."""
    learned = []
    for learner in SPECIALISTS:
        table = specialists(folders, learner)
        names = table.index[table["worth_it"]].tolist()
        learned.append(f"{label_of(learner)} on {len(names)} of {len(table)} patterns ({listed(names) or 'none'})")
    rule_costs = specialists(folders)["rule_cost"]
    near = rule_costs.index[rule_costs - foresight(folders)["low"][rule_costs.index] < MINIMUM_EFFECT * rule_costs]
    traces = traces_table(folders).drop(index=OPTIMUM, level="policy")
    won = sum(
        rows.loc[rows["seeds"] == 0, "regret"].min() < rows.loc[rows["seeds"] > 0, "regret"].min()
        for _, rows in traces.groupby(level="trace")
    )
    count = traces.index.unique("trace").size
    sentences = (
        _iteration_sentence(folders),
        _learners_sentence(folders),
        _tuning_sentence(folders),
        f"Trained on one pattern, a learner saves at least {percent(MINIMUM_EFFECT)} against the rule calibrated for "
        f"it: {listed(learned)}. On {listed(near.tolist()) or 'no pattern'} no policy can, without foresight.",
        f"On recorded traffic, the cheapest learner that was trained on {MIXED} is dearer than the cheapest rule on "
        f"{won} of {count} traces. {generated_sentence(folders)} {_recorded_sentence(folders)}",
    )
    return [f"- {sentence}" for sentence in sentences]


def _iteration_sentence(folders: Folders) -> str:
    """Return what policy iteration saves against what does not learn, and how far it is from the limit."""
    table = read_policy_iteration(folders)
    row = table[(table["trained_on"] == MIXED) & (table["tested_on"] == MIXED)].iloc[0]
    saved = {
        rival: f"{dollars(row[f'saved_{rival}'])} ({dollars(row[f'saved_{rival}_low'])} to "
        f"{dollars(row[f'saved_{rival}_high'])})"
        for rival in ("told", "recognise")
    }
    beats = min(row["saved_told_low"], row["saved_recognise_low"]) > 0
    return (
        f"On the mean of the six patterns, learning {'beats' if beats else 'does not beat'} every rule. "
        "Policy iteration "
        f"({row['trainings']} trainings, {row['cpu_seconds']:.0f} CPU seconds each) saves {saved['told']} against the "
        f'cheapest rules that are told the pattern, and {saved["recognise"]} against "recognise, then act". Without '
        f"foresight, nothing can save more than another {dollars(row['cost'] - row['limit_low'])}; the last "
        f"{dollars(foresight(folders)['foresight'][MEAN_OF_STUDY])} to the optimum is foresight, which nobody has."
    )


def _learners_sentence(folders: Folders) -> str:
    """Return how many learners cost less than one calibrated setting, and which of them by enough to matter."""
    learners = [(study, row) for study in STUDIES for row in _saved_by_learners(study, folders)]
    usual = [row["algorithm"] for study, row in learners if study != "inputs"]
    cheaper, deciding, others = 0, [], []
    for study, row in learners:
        saved = Interval(row["seeds"], row["saving"], row["low"], row["high"])
        cheaper += saved.low > 0
        if not is_worth_it(saved, row["rule"]):
            continue
        name = label_of(row["algorithm"])
        if study == "inputs":
            deciding.append(name)
        else:
            others.append(name + (f" with {row['timesteps']:,} timesteps" if usual.count(row["algorithm"]) > 1 else ""))
    names = ([f"{listed(deciding)} with decision inputs"] if deciding else []) + others
    return (
        f"Where the pattern is not known, {cheaper} of {len(learners)} learners cost less than one calibrated setting. "
        f"At least {percent(MINIMUM_EFFECT)} less: {listed(names) or 'none'}."
    )


def _recorded_sentence(folders: Folders) -> str:
    """Return what policy iteration saves on recorded traffic that it was trained on."""
    table, flights = advice_on_traces(folders, "policy-iteration"), saved_on_flights(folders)
    savings, way = table["saving"], table["saving"] / (table["rule_cost"] - table["optimum_cost"])
    return (
        f"Trained on a trace's first days, policy iteration costs less than the cheapest calibrated rule on "
        f"{(table['low'] > 0).sum()} of {len(table)}, by {dollars(savings.min())} to {dollars(savings.max())} a day. "
        f"That is {percent(way.min(), 0)} to {percent(way.max(), 0)} of the way to the optimum, which knows the "
        f"future. On US flights, tried last, it saves {dollars(flights['saved'])} a day ({flights['interval']})."
    )


def regret_block(folders: Folders) -> str:
    """Return what the optimum and the limit cost, and what each policy costs above the limit, by pattern."""
    known, columns = foresight(folders), [MEAN_OF_STUDY, *PATTERNS]
    costs = {"limit without foresight": "low", f"{label_of(OPTIMUM)} (knows the future)": "optimum"}
    rows = [{"cost of": name} | known.loc[columns, column].to_dict() for name, column in costs.items()]
    rows.append({"cost of": "difference: foresight"} | known.loc[columns, "foresight"].to_dict())
    above = avoidable(regret_table(folders).query(f"{MEAN_OF_STUDY} < {MOST_REGRET}"), folders)[columns].iloc[::-1]
    bounds, policies = pd.DataFrame(rows).set_index("cost of"), above.rename_axis("above the limit")
    return "\n\n".join(markdown_table(table.map("{:.2f}".format).reset_index()) for table in (bounds, policies))


def iteration_block(folders: Folders) -> str:
    """Return what policy iteration costs, beside the limit and what does not learn, a row per workload."""
    table = read_policy_iteration(folders)
    rows = [
        {
            "trained on": row["trained_on"],
            "tested on": row["tested_on"],
            "trainings": row["trainings"],
            "its cost": f"{row['cost']:.2f} ({row['low']:.2f} to {row['high']:.2f})",
            "limit without foresight": f"{row['limit_low']:.2f} to {row['limit_high']:.2f}",
            "rules told the pattern": f"{row['told']:.2f}",
            "saves": _saving(row[["saved_told", "saved_told_low", "saved_told_high"]]),
            "recognise, then act": f"{row['recognise']:.2f}",
            "saves against it": _saving(row[["saved_recognise", "saved_recognise_low", "saved_recognise_high"]]),
        }
        for _, row in table.iterrows()
    ]
    mixed = table[(table["trained_on"] == MIXED) & (table["tested_on"] == MIXED)].iloc[0]
    effort = (
        f"A training on `MIXED` plays {mixed['visited'] / 1e6:.1f} million steps of days, tries every action in "
        f"{mixed['labels']:,.0f} of them, and plays {mixed['branched'] / 1e6:.1f} million steps in branches: "
        f"{mixed['cpu_seconds']:.0f} CPU seconds with one thread."
    )
    return f"{effort}\n\n{markdown_table(pd.DataFrame(rows))}"


def patterns_block(folders: Folders) -> str:
    """Return what each policy costs on each pattern, and what it saves against target tracking with one setting."""
    results = read_evaluation(folders)
    rows = []
    for policy, mean in results["mean"].items():
        saved = [mean[f"saving{end}"] for end in ("", "_low", "_high")]
        costs = {pattern: f"{results['patterns'][pattern][policy]['cost']:.1f}" for pattern in results["patterns"]}
        rows.append({"policy": policy, "mean": f"{mean['cost']:.2f}", "saved": _saving(saved)} | costs)
    for name, column in (("limit without foresight", "low"), (f"{label_of(OPTIMUM)} (knows the future)", "optimum")):
        bound = foresight(folders)[column]
        costs = {pattern: f"{bound[pattern]:.1f}" for pattern in PATTERNS}
        rows.append({"policy": name, "mean": f"{bound[MEAN_OF_STUDY]:.2f}", "saved": "-"} | costs)
    intro = (
        f"{results['episodes']:,} evaluation days of each pattern, the same days for every policy. The learners are the"
        " reference models in `models/`: one training each on `MIXED`, seed 0."
    )
    return f"{intro}\n\n{markdown_table(pd.DataFrame(rows))}"


def seeds_block(folders: Folders) -> str:
    """Return what trainings take, and save against target tracking with one setting, a row per learner and budget."""
    rows = []
    for study in STUDIES:
        taken = effort_of_study(study, folders)
        for row in _saved_by_learners(study, folders):
            effort = taken.loc[row["algorithm"]]
            rows.append(
                {
                    "learner": _learner_of(study, row),
                    "timesteps": f"{row['timesteps']:,}",
                    "simulated steps": f"{effort['simulated']:,.0f}",
                    "seconds": f"{effort['seconds']:.1f}",
                    "trainings": row["seeds"],
                    "daily cost": f"{row['cost']:.2f}",
                    "saved": _saving([row["saving"], row["low"], row["high"]]),
                    "mean of the middle half": f"{row['iqm']:+.2f}",
                }
            )
    return markdown_table(pd.DataFrame(rows))


def curves_block(folders: Folders) -> str:
    """Return the learning curves in CPU seconds: four points for each learner trained on `MIXED`."""
    points = curves_in_seconds(folders).groupby("algorithm", sort=False).nth([1, 2, 5, -1])
    numbers = points[["cpu_seconds", "cost", "low", "high"]].map("{:.2f}".format)
    table = pd.concat([points["algorithm"].map(label_of), points["at"].map("{:,}".format), numbers], axis=1)
    return markdown_table(
        table.set_axis(["learner", "timesteps", "CPU seconds", "daily cost ($)", "from", "to"], axis=1)
    )


def workloads_block(folders: Folders) -> str:
    """Return PPO trained on a pattern beside the cheapest rule there, a row per pattern."""
    rows = _duel_rows(specialists(folders), "pattern")
    rows.insert(4, "limit without foresight", foresight(folders).loc[rows["pattern"], "low"].map("{:.2f}".format).array)
    return markdown_table(rows)


def deployment_block(folders: Folders) -> str:
    """Return what to deploy on which workload, as a list."""
    return "\n".join(f"- {sentence}" for sentence in deployment(folders))


def traces_block(folders: Folders) -> str:
    """Return who is cheapest on recorded traffic, then regret and late share of every policy."""
    table = traces_table(folders)
    traces = list(table.index.unique("trace"))
    days = ", ".join(f"{trace} {table.loc[trace, 'days'].iloc[0]} days" for trace in traces)
    rows = []
    for policy in table.index.unique("policy"):
        part = table.xs(policy, level="policy")
        row: dict[str, Any] = {"policy": policy, "trainings": part["seeds"].iloc[0] or "-"}
        for trace in traces:
            row[trace] = f"{part.loc[trace, 'regret']:.1f} ({part.loc[trace, 'late_share']:.1%})"
        rows.append(row)
    intro = (
        "Regret, in dollars a day above the optimum that knows the future (for recorded traffic no limit without "
        f"foresight is known), and the share of requests late or dropped; {days}."
    )
    return f"{traces_claim(folders)}\n\n{intro}\n\n{markdown_table(pd.DataFrame(rows))}"


def advice_block(folders: Folders) -> str:
    """Return policy iteration and PPO, trained on recorded traffic, beside the cheapest rule: a row per trace."""
    table, ppo = (advice_on_traces(folders, learner) for learner in ("policy-iteration", "ppo"))
    rows = _duel_rows(table, "trace", "policy iteration")
    rows.insert(1, "days", table["days"].to_numpy())
    rows.insert(5, "PPO's cost", ppo["learner_cost"].map("{:.2f}".format).to_numpy())
    ways = [each["saving"] / (each["rule_cost"] - each["optimum_cost"]) for each in (table, ppo)]
    rows["way to the optimum"] = [
        f"{percent(own, 0)} (PPO {percent(other, 0)})" for own, other in zip(*ways, strict=True)
    ]
    rows["over trainings and days"] = saved_over_days(folders).loc[table.index, "interval"].to_numpy()
    rows["recommended"] = [
        ", ".join(f"{policy} ({count} of {row['seeds']})" for policy, count in row["recommended"].items())
        for _, row in table.iterrows()
    ]
    return markdown_table(rows)


def workers_sentence(folders: Folders) -> str:
    """Return how the time of a study falls with the number of workers.

    Raises:
        FileNotFoundError: The benchmark has not run.
    """
    path = folders.made(folders.results / "benchmark_study.csv", "python benchmarks/bench_study.py")
    first, *others = pd.read_csv(path).itertuples()
    faster = ", ".join(
        f"{row.seconds:.0f} s with {row.workers} ({row.times_faster:.2f} times faster)" for row in others
    )
    return (
        f"Measured on {first.processors} cores: {first.runs} small trainings with their tests took {first.seconds:.0f} "
        f"s with one worker, {faster}; starting the workers took {first.start_seconds:.1f} s of that."
    )


def grading_sentence(folders: Folders) -> str:
    """Return what grading one submission costs with the quick profile.

    Raises:
        FileNotFoundError: The benchmark has not run.
    """
    path = folders.made(folders.results / "benchmark_grading.csv", "python benchmarks/bench_grading.py")
    spent = pd.read_csv(path).set_index("part")["cpu_seconds"]
    longest = spent[spent.index.str.match(r"\d\d_")].nlargest(3)
    return (
        f"Measured with `--profile quick`: a submission of all notebooks and models takes "
        f"{spent['one submission']:.0f} CPU seconds. "
        f"The longest notebooks are {listed([name[:2] for name in longest.index])} "
        f"({', '.join(f'{seconds:.0f} s' for seconds in longest)}). "
        f"The reference run takes {spent['reference run (once)']:.0f}, once."
    )


def times_sentence(executed: Sequence[Executed]) -> str:
    """Return how long the course took."""
    longest = max(executed, key=lambda notebook: notebook.seconds)
    elapsed = max(notebook.ended for notebook in executed) - min(
        notebook.ended - notebook.seconds for notebook in executed
    )
    return (
        f"Measured: the whole course ran in {elapsed / 60:.1f} minutes on {processors()} cores (CPU only; longest: "
        f"notebook {longest.name[:2]}, {longest.seconds / 60:.1f} minutes)."
    )


TIMES = "docs/hardware.md"
"""The document that says how long the course took; the time comes from a run, not from committed results."""

BLOCKS: dict[str, Block] = {
    "results": Block("README.md", results_block),
    "patterns": Block("docs/results.md", patterns_block),
    "calibration": Block("docs/results.md", calibration_block),
    "seeds": Block("docs/results.md", seeds_block),
    "curves": Block("docs/results.md", curves_block),
    "iteration": Block("docs/results.md", iteration_block),
    "regret": Block("docs/results.md", regret_block),
    "workloads": Block("docs/results.md", workloads_block),
    "deployment": Block("docs/results.md", deployment_block),
    "traces": Block("docs/results.md", traces_block),
    "advice": Block("docs/results.md", advice_block),
    "generated": Block("docs/results.md", generated_block),
    "harms": Block("docs/harms.md", harms_block),
    "seconds": Block("docs/results.md", seconds_block),
    "started": Block("docs/results.md", started_block),
    "flights": Block("docs/results.md", flights_sentence),
    "objective": Block("docs/results.md", objective_block),
    "workers": Block("docs/hardware.md", workers_sentence),
    "grading": Block("docs/instructors.md", grading_sentence),
}
"""The generated parts by their marks."""


def _saved_by_learners(study: str, folders: Folders) -> list[dict[str, Any]]:
    """Return what each learner of a study saves against target tracking with one setting, a row per learner."""
    table = savings_over_trainings(read_study(study, folders), "one_setting_cost").reset_index()
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _learner_of(study: str, row: dict[str, Any]) -> str:
    """Return what tables call a learner of a study; the inputs are named where they are not the usual ones."""
    return label_of(row["algorithm"]) + (" with decision inputs" if study == "inputs" else "")


def _duel_rows(table: pd.DataFrame, index: str, learner: str = "PPO") -> pd.DataFrame:
    """Return the columns that a comparison of a learner with the cheapest rule shows, as text."""
    winner = {"learner": learner, "rule": "the rule", "neither": "cannot be told apart"}
    return pd.DataFrame(
        {
            index: table.index,
            "cheapest rule": table["rule"].to_numpy(),
            "its cost": table["rule_cost"].map("{:.2f}".format).to_numpy(),
            f"{learner}'s cost": table["learner_cost"].map("{:.2f}".format).to_numpy(),
            "optimum (knows the future)": table["optimum_cost"].map("{:.2f}".format).to_numpy(),
            f"{learner} saves": [_saving(row) for row in table[["saving", "low", "high"]].to_numpy()],
            "cheaper": table["cheaper"].map(winner).to_numpy(),
        }
    )


def _result(policy: str, cost: float, saved: Sequence[float | None] | None) -> dict[str, Any]:
    return {
        "policy": policy,
        "daily cost ($)": f"{cost:.2f}",
        "saved ($, 95 % interval)": "-" if saved is None else _saving(saved),
        "order": cost,
    }


def _saving(saved: Iterable[float | None]) -> str:
    saving, low, high = saved
    return "-" if saving is None else f"{saving:+.2f} ({low:+.2f} to {high:+.2f})"


def document_of(mark: str, folders: Folders) -> Path:
    """Return the document that holds a generated part."""
    return folders.root / BLOCKS[mark].document


if __name__ == "__main__":
    refresh_documents(Folders(checkout_root("documents")))
