"""What an evaluation says to a person: tables of costs, and the place of one policy among others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from autoscaler_env.evaluation.metrics import MEAN, mean_over_patterns, read_evaluation, savings, summarise
from autoscaler_env.evaluation.objective import Objective, share_interval
from autoscaler_env.evaluation.statistics import Interval, relation
from autoscaler_env.paths import Folders
from autoscaler_env.text import dollars, not_a_choice
from autoscaler_env.traffic.patterns import MIXED, PATTERNS

_COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "cost": ("cost ($)", "{:.2f}".format),
    "interval": ("95 % interval ($)", str),
    "instance_cost": ("instances ($)", "{:.2f}".format),
    "late_cost": ("lateness ($)", "{:.2f}".format),
    "drop_cost": ("drops ($)", "{:.2f}".format),
    "in_time": ("in time", "{:.1%}".format),
    "wait_p95": ("p95 wait (s)", "{:.0f}".format),
    "wait_p99": ("p99 wait (s)", "{:.0f}".format),
    "peak_queue": ("longest queue", "{:,.0f}".format),
    "mean_fleet": ("mean fleet", "{:.1f}".format),
    "utilisation": ("utilisation", "{:.1%}".format),
    "scaling_actions": ("fleet changes", "{:.1f}".format),
}
"""Columns of the table of costs: heading and format."""


def cost_report(episodes: pd.DataFrame) -> str:
    """Return the costs as text: a table for each pattern, and one for their mean if there are several.

    A single policy gets one table, with a row for each pattern.

    Args:
        episodes: What `metrics.evaluate` returns, for one or more patterns.
    """
    days = episodes.groupby("pattern", sort=False)["episode"].nunique()
    if len(days) > 1:
        episodes = pd.concat([episodes, mean_over_patterns(episodes)], ignore_index=True)
    summary = summarise(episodes)
    summary["interval"] = [
        f"{low:.2f} to {high:.2f}" for low, high in zip(summary["cost_low"], summary["cost_high"], strict=True)
    ]
    headings = {name: heading for name, (heading, _) in _COLUMNS.items()}
    formatters = dict(_COLUMNS.values())
    lines = [
        "Means per day. The cost is what instances, lateness and drops cost together; in time: share of the requests "
        "that were served in the step of their arrival; queue in requests, fleet in instances."
    ]
    titles = {pattern: f"{pattern}, {count:,} evaluation days" for pattern, count in days.items()}
    titles[MEAN] = f"mean of {len(days)} patterns"
    tables: dict[str, pd.DataFrame] = {
        titles[pattern]: summary.xs(pattern, level="pattern")  # type: ignore[misc]
        for pattern in episodes["pattern"].unique()
    }
    if len(days) > 1 and episodes["policy"].nunique() == 1:
        policy = str(episodes["policy"].iloc[0])
        tables = {policy: summary.droplevel("policy").rename(index=titles)}
    for title, table in tables.items():
        table = table[list(headings)].rename(columns=headings)
        table = table.rename_axis(index=None, columns="pattern" if title not in titles.values() else "policy")
        lines += ["", title, table.to_string(formatters=formatters)]
    return "\n".join(lines)


def objective_report(episodes: pd.DataFrame, objective: Objective) -> str:
    """Return whether each policy kept an objective on the evaluation days, a line each.

    Args:
        episodes: What `metrics.evaluate` returns with the objective; days of several patterns count together.
        objective: The objective.
    """
    independent = set(episodes["pattern"]) <= {*PATTERNS, MIXED}
    lines = [f"Objective: {objective}."]
    for policy, rows in episodes.groupby("policy", sort=False):
        days = rows.groupby("episode")[["served_within", "arrivals"]].sum()
        share = share_interval(days["served_within"].to_numpy(), days["arrivals"].to_numpy(), independent=independent)
        ends = f"95 % interval {100 * share.low:.2f} % to {100 * share.high:.2f} %"
        lines.append(
            f"{policy}: {objective.verdict(share)}, {100 * share.mean:.2f} % "
            f"({ends if share.n > 1 else 'no interval from 1 day'})."
        )
    return "\n".join(lines)


def standing(episodes: pd.DataFrame, policy: str) -> pd.DataFrame:
    """Return the place of every policy by its mean daily cost, and what one of them saves against each.

    Args:
        episodes: What `metrics.evaluate` returns, for several policies on the same days of one or more patterns.
        policy: The policy that savings belong to.

    Returns:
        Indexed by policy, the cheapest first; place (from 1), cost, cost_low, cost_high ($ a day, 95 % interval over
        days; the mean over patterns where there are several), and saving, low, high: what `policy` costs less than the
        policy of the row ($ a day, paired by day; missing in its own row).

    Raises:
        ValueError: The policy is none of the episodes'.
    """
    if policy not in set(episodes["policy"]):
        raise ValueError(not_a_choice("policy", policy, episodes["policy"].unique()))
    if episodes["pattern"].nunique() > 1:
        episodes = mean_over_patterns(episodes)
    table = summarise(episodes)[["cost", "cost_low", "cost_high"]].droplevel("pattern").sort_values("cost")
    table.insert(0, "place", range(1, len(table) + 1))
    saved = savings(episodes, policy).droplevel("pattern")
    table["saving"], table["low"], table["high"] = -saved["saving"], -saved["high"], -saved["low"]
    return table


def standing_report(
    table: pd.DataFrame, policy: str, always: Sequence[str] = (), bounds: Sequence[tuple[str, float]] = ()
) -> str:
    """Return the place of a policy as text: a short table, and a sentence.

    Args:
        table: What `standing` returns for the policy.
        policy: The policy. Its neighbours are shown: the next cheaper and the next dearer policy.
        always: Policies that are shown wherever they stand.
        bounds: What to call costs that no policy can beat, such as the clairvoyant optimum, and the costs ($ a day);
            shown as the first rows, without a place.
    """
    place = int(table["place"][policy])
    near = table.index[max(place - 2, 0) : place + 1]
    shown = table[table.index.isin([*near, *always])]
    rows = [
        {
            "place": f"{row['place']:.0f}",
            "policy": name,
            "cost ($)": f"{row['cost']:.2f}",
            "95 % interval ($)": f"{row['cost_low']:.2f} to {row['cost_high']:.2f}",
            f"{policy} saves ($, 95 % interval)": ""
            if name == policy
            else f"{row['saving']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})",
        }
        for name, row in shown.iterrows()
    ]
    rows[:0] = [{"place": "", "policy": name, "cost ($)": f"{cost:.2f}"} for name, cost in bounds]
    others = [
        relation(Interval(0, *table.loc[name, ["saving", "low", "high"]].astype(float)), str(name))
        for name in shown.index
        if name != policy
    ]
    cost = dollars(float(table["cost"][policy]))
    sentence = f"{policy} costs {cost} a day and stands at place {place} of {len(table)}: {', '.join(others)}."
    return f"{pd.DataFrame(rows).fillna('').to_string(index=False)}\n{sentence}"


def cost_table(folders: Folders) -> str:
    """Return the mean daily cost of each policy, as notebook 6 wrote it, ready to print.

    Raises:
        FileNotFoundError: Notebook 6 has not run.
    """
    means = pd.DataFrame.from_dict(read_evaluation(folders)["mean"], orient="index")
    table = pd.DataFrame(
        {
            "policy": means.index,
            "daily cost ($)": means["cost"].map("{:.2f}".format).to_numpy(),
            "95 % interval": [f"{low:.2f} to {high:.2f}" for low, high in means[["cost_low", "cost_high"]].to_numpy()],
        }
    )
    return table.to_string(index=False)
