"""`autoscaler evaluate`: what policies cost on the same days, and where one policy stands among the others."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from autoscaler_env.cli.options import (
    Output,
    PatternName,
    Rescale,
    ServiceFile,
    Smooth,
    TraceFile,
    objective_of,
    service_of,
    workload_of,
)
from autoscaler_env.paths import Folders
from autoscaler_env.service import Service
from autoscaler_env.traffic.workload import MIXED, PATTERNS, Workload

if TYPE_CHECKING:
    import pandas as pd

    from autoscaler_env.evaluation.objective import Objective
    from autoscaler_env.policies.base import Policy


@dataclass(frozen=True)
class Evaluate:
    """Let policies scale the same evaluation days; print what they cost, in dollars a day.

    With one policy, print also where it stands: among the policies of notebook 6, or, on recorded traffic, for
    another service or on your own workload, among the rules with their usual settings and calibrated.
    """

    policies: Annotated[Positional[tuple[str, ...]], arg(metavar="POLICY ...", help_behavior_hint="(one or more)")]
    """random, static, threshold, target-tracking, hpa-cpu, hpa-demand, kpa, the rules as vendors run them
    (kubernetes-hpa-cpu, kubernetes-hpa-demand, aws-target-tracking, aws-step-scaling), any of these but the first two
    as RULE-PATTERN (calibrated on it) or RULE-calibrated (on the pattern, or the earlier days of the trace), and
    forecast (with --trace), recognise (guesses the pattern and plays the rule calibrated for it),
    optimum (knows the day), a model's name or file, or module:Class. Of several, the last is the baseline of the
    comparisons."""
    pattern: PatternName = None
    trace: TraceFile = None
    smooth: Smooth = 1
    rescale: Rescale = None
    episodes: Annotated[int, arg(metavar="N")] = 2_000
    """Evaluation days of each pattern; of a trace, at most as many as it has."""
    service: ServiceFile = None
    csv: Annotated[Path | None, arg(metavar="FILE.csv", help_behavior_hint="(none)")] = None
    """Write one row per policy and day to this file."""
    output: Output = None

    def run(self) -> int:
        """Evaluate and print the table."""
        service, objective = service_of(self.service), objective_of(self.service)
        workload = workload_of(self.pattern, self.trace, self.smooth, service, self.rescale)
        if self.episodes < 1:
            raise ValueError(f"episodes = {self.episodes}: must be at least 1")
        if self.csv is not None and not self.csv.absolute().parent.is_dir():
            raise ValueError(f"csv = {str(self.csv)!r}: there is no such folder")
        folders = Folders(self.output)
        if objective is None:
            from autoscaler_env.policies.registry import find_policies

            policies = find_policies(self.policies, service, folders, workload)
        else:
            policies = policies_that_keep(objective, self.policies, service, folders, workload)
        # After all that may be refused: these are slow to import.
        from autoscaler_env.evaluation.metrics import evaluate_patterns, verdict
        from autoscaler_env.evaluation.report import cost_report, objective_report

        episodes = evaluate_patterns(
            lambda _: policies, members_of(workload), self.episodes, service, progress=True, objective=objective
        )
        print(cost_report(episodes))
        if objective is not None:
            print(f"\nLateness costs nothing by itself. {objective_report(episodes, objective)}")
        *others, last = episodes["policy"].unique()
        for policy in others:
            print(verdict(episodes, policy, last))
        if not others and objective is None:
            print(f"\n{place_among_others(episodes, workload, service)}")
        if self.csv is not None:
            episodes.to_csv(self.csv, index=False)
            print(f"Wrote {len(episodes):,} rows to {self.csv}.")
        return 0


def policies_that_keep(
    objective: Objective, specs: Sequence[str], service: Service, folders: Folders, workload: str | Workload
) -> list[Policy]:
    """Return the policies that a user names; RULE-PATTERN and RULE-calibrated have settings that keep an objective.

    Raises:
        ValueError: As `find_policies`.
    """
    from autoscaler_env.evaluation.rivals import GRIDS
    from autoscaler_env.policies.registry import find_policies
    from autoscaler_env.traffic.patterns import as_workload
    from autoscaler_env.training.objective import rule_that_keeps

    endings = {name.lower(): name for name in (*PATTERNS, MIXED)} | {"calibrated": workload}
    calibrated = {f"{rule}-{ending}": (rule, on) for rule in GRIDS for ending, on in endings.items()}
    others = [spec for spec in specs if spec not in calibrated]
    found = dict(zip(others, find_policies(others, service, folders, workload), strict=True)) if others else {}
    for spec in (spec for spec in specs if spec in calibrated):
        rule, on = calibrated[spec]
        print(f"Calibrating {spec} to keep {objective}.", file=sys.stderr)
        members = [as_workload(member, service) for member in members_of(on)]
        found[spec] = rule_that_keeps(GRIDS[rule], members, service, objective, spec)
    return [found[spec] for spec in specs]


def members_of(workload: str | Workload) -> Sequence[str | Workload]:
    """Return what a workload is evaluated on: the six patterns for `MIXED`, otherwise the workload itself."""
    return PATTERNS if workload == MIXED else [workload]


def place_among_others(episodes: pd.DataFrame, workload: str | Workload, service: Service) -> str:
    """Return where a policy stands among the others, which scale the same days now.

    Args:
        episodes: What `evaluation.metrics.evaluate_patterns` returns for the policy.
        workload: What it was evaluated on.
        service: The service that it scaled.
    """
    import pandas

    from autoscaler_env.evaluation.metrics import evaluate_patterns
    from autoscaler_env.evaluation.report import standing, standing_report
    from autoscaler_env.policies.oracle import OPTIMUM
    from autoscaler_env.policies.registry import PER_PATTERN_ENDING, learner_of, rivals_on

    policy, days, course = episodes["policy"].iloc[0], episodes["episode"].nunique(), Folders.course()
    rivals = rivals_on(workload, service, course)
    others = evaluate_patterns(
        lambda name: [rival for rival in rivals(name) if rival.name != policy],
        members_of(workload),
        days,
        service,
        progress=True,
    )
    table = standing(pandas.concat([episodes, others], ignore_index=True), policy)
    one_setting = [name for name in table.index if not learner_of(name) and not name.endswith(PER_PATTERN_ENDING)]
    always = [*[name for name in one_setting if name != policy][:1], "ppo_mixed"]
    bounds: list[tuple[str, float]] = []
    split = ""
    if policy != OPTIMUM and service == Service() and isinstance(workload, str):
        bounds, split = what_is_possible(float(table["cost"][policy]), workload, days, course)
    title = f"Where {policy} stands among {len(table)} policies, on the same days:"
    return f"{title}\n{standing_report(table, policy, always, bounds)}{split}"


def what_is_possible(cost: float, workload: str, days: int, course: Folders) -> tuple[list[tuple[str, float]], str]:
    """Return what no policy can beat on the reference service, and how much of a policy's regret is foresight.

    Args:
        cost: What the policy costs, $ a day.
        workload: A pattern, or `MIXED`.
        days: Evaluation days of the policy.
        course: Where the committed tables are.

    Returns:
        Names and costs ($ a day) of the clairvoyant optimum and of the limit without foresight, and a sentence on a
        line of its own. Where they are known of other days, their names say so, and there is no sentence.
    """
    from autoscaler_env.evaluation.regret import OPTIMUM_DAYS, read_optima
    from autoscaler_env.study.analysis import MEAN, foresight
    from autoscaler_env.text import dollars

    table = foresight(course).T
    known = {str(name): float(value) for name, value in table[MEAN if workload == MIXED else workload].items()}
    if days == known["days"]:
        sentence = (
            f"\nThat is {dollars(cost - known['optimum'])} above the clairvoyant optimum of the same days: at least "
            f"{dollars(known['foresight'])} is foresight, which nobody has; at most {dollars(cost - known['low'])} is "
            "avoidable."
        )
        return [("optimum (knows the future)", known["optimum"]), ("limit without foresight", known["low"])], sentence
    optima = read_optima(course).query("day < @days and pattern in @members_of(@workload)")["cost"]
    name = "optimum (knows the future)" + ("" if days <= OPTIMUM_DAYS else f", first {OPTIMUM_DAYS} days")
    limit = f"limit without foresight, {known['days']:,.0f} days"
    return [(name, float(optima.mean())), (limit, known["low"])], ""
