"""What a run of the course leaves for people to read: the table of bills, and the numbers in the README."""

from __future__ import annotations

import json
import os

from autoscaler_env.paths import Folders
from autoscaler_env.seeds import read_study, savings_over_seeds
from autoscaler_env.storage import write_atomically


def bill_table(folders: Folders) -> str:
    """Return the mean bill per policy, as notebook 6 left it, ready to print.

    Raises:
        FileNotFoundError: Notebook 6 has not run.
    """
    path = folders.results / "evaluation_results.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{folders.shown(path)} is missing; make it with: autoscaler run --only 06_compare_policies"
        )
    results = json.loads(path.read_text(encoding="utf-8"))
    lines = [f"{'policy':<28} {'mean bill, $ a day':>20}  95 % interval"]
    for name, mean in results["mean"].items():
        lines.append(f"{name:<28} {mean['bill']:>20.2f}  {mean['bill_low']:.2f} to {mean['bill_high']:.2f}")
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
    text = readme.read_text(encoding="utf-8")
    contents = {
        "results": results_markdown(folders),
        "seeds": seeds_markdown(folders),
        "times": times_markdown(seconds),
    }
    for mark, content in contents.items():
        begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
        before, rest = text.split(begin)
        text = before + begin + "\n" + content + "\n" + end + rest.split(end)[1]
    write_atomically(readme, lambda file: file.write(text.encode()))


def results_markdown(folders: Folders) -> str:
    """Return notebook 6's table of mean bills as markdown: policies by patterns, with the interval of the mean."""
    results = json.loads((folders.results / "evaluation_results.json").read_text(encoding="utf-8"))
    patterns = list(results["patterns"])
    lines = [
        f"Mean bill of a day, in dollars, over {results['episodes']:,} evaluation days of each pattern, the same days",
        "for every policy; the mean over the six patterns, and what is saved against target tracking with one setting,",
        "paired by day. The learners are the reference models in `models/`: one training each, with seed 0, on",
        "`MIXED`.",
        "",
        "| policy | mean | saved against one setting (95 % interval) | " + " | ".join(patterns) + " |",
        "|---|---|---|" + "---|" * len(patterns),
    ]
    for policy, mean in results["mean"].items():
        bills = " | ".join(f"{results['patterns'][pattern][policy]['bill']:.1f}" for pattern in patterns)
        interval = [mean[key] for key in ("saving", "saving_low", "saving_high")]
        saved = "-" if None in interval else "{:+.2f} ({:+.2f} to {:+.2f})".format(*interval)
        lines.append(f"| {policy} | {mean['bill']:.2f} | {saved} | {bills} |")
    return "\n".join(lines)


def seeds_markdown(folders: Folders) -> str:
    """Return what many trainings save against target tracking with one setting, a row per learner and budget."""
    header = ("learner", "slots of training", "trainings", "mean bill", "saved a day", "95 % interval")
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for name in ("budgets", "long"):
        table = savings_over_seeds(read_study(name, folders), "one_setting_bill").reset_index()
        for row in table.to_dict("records"):
            cells = (
                str(row["algorithm"]),
                f"{row['steps']:,}",
                str(row["seeds"]),
                f"{row['bill']:.2f}",
                f"{row['saving']:+.2f}",
                f"{row['low']:+.2f} to {row['high']:+.2f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


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
