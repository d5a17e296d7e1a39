"""What a run of the course leaves for people to read: the table of costs, and the numbers in the README."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Sequence

from autoscaler_env.evaluation.statistics import savings_over_seeds
from autoscaler_env.paths import Folders
from autoscaler_env.storage.files import write_text
from autoscaler_env.study.analysis import advice_on_traces, ppo_against_rules, read_study, regret_on_traces
from autoscaler_env.study.summary import deployment, traces_claim


def cost_table(folders: Folders) -> str:
    """Return the mean cost per policy, as notebook 6 left it, ready to print.

    Raises:
        FileNotFoundError: Notebook 6 has not run.
    """
    path = folders.results / "evaluation_results.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{folders.shown(path)} is missing; make it with: autoscaler run --only 06_compare_policies"
        )
    results = json.loads(path.read_text(encoding="utf-8"))
    lines = [f"{'policy':<28} {'mean cost, $ a day':>20}  95 % interval"]
    for name, mean in results["mean"].items():
        lines.append(f"{name:<28} {mean['cost']:>20.2f}  {mean['cost_low']:.2f} to {mean['cost_high']:.2f}")
    return "\n".join(lines)


def refresh_readme(folders: Folders, seconds: dict[str, float]) -> None:
    """Write results and times into the README, between the marks that are there for them.

    Args:
        folders: Where the run wrote; a README at its root is changed.
        seconds: How long each notebook took.
    """
    readme = folders.root / "README.md"
    if not readme.exists():
        return
    text = replaced(readme.read_text(encoding="utf-8"), "times", times_markdown(seconds))
    for mark, markdown in BLOCKS.items():
        if begin_of(mark) in text:
            text = replaced(text, mark, markdown(folders))
    write_text(readme, text)


def begin_of(mark: str) -> str:
    """Return what stands in the README where a generated block begins."""
    return f"<!-- {mark}: begin -->\n"


def end_of(mark: str) -> str:
    """Return what stands in the README where a generated block ends."""
    return f"\n<!-- {mark}: end -->"


def block_of(text: str, mark: str) -> str:
    """Return what stands between the marks of a block.

    Raises:
        ValueError: The marks are not there, once each and in this order.
    """
    before, *between = text.split(begin_of(mark))
    if len(between) != 1 or between[0].count(end_of(mark)) != 1 or end_of(mark) in before:
        raise ValueError(f"README.md: the marks of {mark!r} must be there once, begin and end")
    return between[0].split(end_of(mark))[0]


def replaced(text: str, mark: str, content: str) -> str:
    """Return the text with other content between the marks of a block."""
    old = begin_of(mark) + block_of(text, mark) + end_of(mark)
    return text.replace(old, begin_of(mark) + content + end_of(mark))


def results_markdown(folders: Folders) -> str:
    """Return notebook 6's table of mean costs as markdown: policies by patterns, with the interval of the mean."""
    results = json.loads((folders.results / "evaluation_results.json").read_text(encoding="utf-8"))
    patterns = list(results["patterns"])
    lines = [
        f"Mean cost of a day, in dollars, over {results['episodes']:,} evaluation days of each pattern, the same days",
        "for every policy; the mean over the six patterns, and what is saved against target tracking with one setting,",
        "paired by day. The learners are the reference models in `models/`: one training each, with seed 0, on",
        "`MIXED`.",
        "",
        "| policy | mean | saved against one setting (95 % interval) | " + " | ".join(patterns) + " |",
        "|---|---|---|" + "---|" * len(patterns),
    ]
    for policy, mean in results["mean"].items():
        costs = " | ".join(f"{results['patterns'][pattern][policy]['cost']:.1f}" for pattern in patterns)
        interval = [mean[key] for key in ("saving", "saving_low", "saving_high")]
        saved = "-" if None in interval else "{:+.2f} ({:+.2f} to {:+.2f})".format(*interval)
        lines.append(f"| {policy} | {mean['cost']:.2f} | {saved} | {costs} |")
    return "\n".join(lines)


def seeds_markdown(folders: Folders) -> str:
    """Return what many trainings save against target tracking with one setting, a row per learner and budget."""
    header = ("learner", "timesteps", "trainings", "mean cost", "saved a day", "95 % interval", "middle half")
    lines = _head(header)
    for name in ("budgets", "long"):
        table = savings_over_seeds(read_study(name, folders), "one_setting_cost").reset_index()
        for row in table.to_dict("records"):
            row = {str(key): value for key, value in row.items()}
            interval = f"{row['low']:+.2f} to {row['high']:+.2f}"
            cells = (
                f"{row['timesteps']:,}",
                f"{row['seeds']}",
                f"{row['cost']:.2f}",
                f"{row['saving']:+.2f}",
                interval,
            )
            lines.append(_row(row["algorithm"], *cells, f"{row['iqm']:+.2f}"))
    return "\n".join(lines)


def workloads_markdown(folders: Folders) -> str:
    """Return who wins on which pattern, PPO trained on it or the cheapest rule; see `ppo_against_rules`."""
    wins = {"ppo": "PPO", "rule": "the rule", "neither": "cannot be told apart"}
    lines = _head(("pattern", "cheapest rule", "its cost", "PPO's", "optimum", "PPO saves", "95 % interval", "cheaper"))
    for pattern, row in ppo_against_rules(folders).iterrows():
        costs = (f"{row[name]:.2f}" for name in ("rule_cost", "learner_cost", "optimum_cost"))
        interval = f"{row['low']:+.2f} to {row['high']:+.2f}"
        lines.append(_row(pattern, row["rule"], *costs, f"{row['saving']:+.2f}", interval, wins[row["cheaper"]]))
    return "\n".join(lines)


def traces_markdown(folders: Folders) -> str:
    """Return who is cheapest on recorded traffic, then regret and late share of all; see `regret_on_traces`."""
    table = regret_on_traces(folders)
    traces = table.index.unique("trace")
    days = ", ".join(f"{trace} {table.loc[trace, 'days'].iloc[0]} days" for trace in traces)
    what = f"Regret in dollars a day, and the share of requests late or dropped; {days}."
    lines = [traces_claim(folders), "", what, ""]
    lines += _head(("policy", "trainings", *traces))
    for policy in table.index.unique("policy"):
        rows = table.xs(policy, level="policy")
        cells = (f"{rows.loc[trace, 'regret']:.1f} ({rows.loc[trace, 'late_share']:.1%})" for trace in traces)
        lines.append(_row(policy, f"{rows['seeds'].iloc[0]}" if rows["seeds"].iloc[0] else "-", *cells))
    return "\n".join(lines)


def advice_markdown(folders: Folders) -> str:
    """Return PPO trained on recorded traffic against the cheapest rule calibrated on it; see `advice_on_traces`."""
    header = ("trace", "days", "cheapest rule", "its cost", "PPO's", "optimum", "PPO saves", "95 % interval", "advised")
    lines = _head(header)
    for trace, row in advice_on_traces(folders).iterrows():
        costs = (f"{row[name]:.2f}" for name in ("rule_cost", "learner_cost", "optimum_cost"))
        interval = f"{row['low']:+.2f} to {row['high']:+.2f}"
        named = ", ".join(f"{policy} ({count} of {row['seeds']})" for policy, count in row["recommended"].items())
        lines.append(_row(trace, row["days"], row["rule"], *costs, f"{row['saving']:+.2f}", interval, named))
    return "\n".join(lines)


def deployment_markdown(folders: Folders) -> str:
    """Return what to deploy on which workload as a list."""
    return "\n".join(f"- {sentence}" for sentence in deployment(folders))


def workers_markdown(folders: Folders) -> str:
    """Return how the time of a study falls with the number of workers, as a sentence.

    Raises:
        FileNotFoundError: The benchmark has not run.
    """
    path = folders.results / "benchmark_study.csv"
    if not path.exists():
        raise FileNotFoundError(f"{folders.shown(path)} is missing; make it with: python benchmarks/bench_study.py")
    with path.open(encoding="utf-8", newline="") as file:
        first, *others = csv.DictReader(file)
    more = ", ".join(
        f"{float(row['seconds']):.0f} s with {row['workers']} ({float(row['times_faster']):.2f} times faster)"
        for row in others
    )
    return (
        f"Measured on {first['processors']} cores: {first['runs']} small trainings with their tests took "
        f"{float(first['seconds']):.0f} s with one worker, {more}; starting the workers took "
        f"{float(first['start_seconds']):.1f} s of that."
    )


BLOCKS: dict[str, Callable[[Folders], str]] = {
    "results": results_markdown,
    "seeds": seeds_markdown,
    "workloads": workloads_markdown,
    "deployment": deployment_markdown,
    "traces": traces_markdown,
    "advice": advice_markdown,
    "workers": workers_markdown,
}
"""What the README holds between marks, and what makes it from the committed tables; the times come from a run."""


def _head(cells: Sequence[str]) -> list[str]:
    return [_row(*cells), "|---" * len(cells) + "|"]


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def times_markdown(seconds: dict[str, float]) -> str:
    """Return how long the course took, as a sentence."""
    longest = max(seconds, key=lambda name: seconds[name])
    return (
        f"Measured: the whole course ran in {sum(seconds.values()) / 60:.1f} minutes on {_cores()} cores "
        f"(CPU only; longest: notebook {longest[:2]}, {seconds[longest] / 60:.1f} minutes)."
    )


def _cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
