"""Measure the policies that notebook 6 leaves out: vendors' rules, "recognise, then act", the optimum, the forecast.

    nice python benchmarks/other_rules.py TRACES

It takes some six minutes of one processor. Every policy scales the evaluation days of each pattern; a rule of
`VENDOR_RULES` also with one setting for all patterns and with the setting of the pattern, calibrated as all rules are.
The forecast needs the days before, so it scales the recorded days in the folder TRACES, as in the study `traces`.
Savings are against target tracking with one setting, paired by day. The table is saved as `results/other_rules.csv`:

| column | content |
|---|---|
| policy, tested_on | a policy, and a pattern or a trace |
| setting | the calibrated setting, in words; empty for a policy as it is |
| days, cost | number of days, and mean cost in dollars a day |
| saving, saving_low, saving_high | dollars saved a day, with the 95 % interval over days |
| baseline_cost | mean cost of the baseline in dollars a day |
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from autoscaler_env.evaluation.metrics import EPISODES, compare_policies
from autoscaler_env.evaluation.rivals import calibrate_rule
from autoscaler_env.paths import Folders
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.forecast import Forecast
from autoscaler_env.policies.recognise import RECOGNISE
from autoscaler_env.policies.registry import BASELINES, CALIBRATED, PER_PATTERN_ENDING, VENDOR_RULES, find_policy
from autoscaler_env.policies.rules import RULES
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_text
from autoscaler_env.study.benchmark import ONE_SETTING, trace_benchmark
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Workload, as_workload

SERVICE = Service()
MEASURED = [*(name for name in BASELINES if name not in {*RULES, *CALIBRATED}), RECOGNISE]
"""Policies that notebook 6 does not measure, or measures without an interval."""


def rows_on(workload: str | Workload, policies: Iterable[Policy], settings: dict[str, str], days: int) -> pd.DataFrame:
    """Return what policies cost and save on a workload, as the table has it.

    Args:
        workload: A pattern's name or a trace.
        policies: All but the baseline.
        settings: The calibrated settings in words, by the names of their policies.
        days: Evaluation days, at most.
    """
    baseline = find_policy(ONE_SETTING)
    compared = compare_policies([baseline, *policies], [workload], days, SERVICE, ONE_SETTING).reset_index()
    table = compared[compared["policy"] != ONE_SETTING].rename(columns={"pattern": "tested_on"})
    table["setting"] = table["policy"].map(settings).fillna("")
    table["days"] = len(as_workload(workload, SERVICE).evaluation_days(days))
    table["baseline_cost"] = compared["cost"].iloc[0]
    columns = ["policy", "tested_on", "setting", "days", "cost", "saving", "saving_low", "saving_high", "baseline_cost"]
    return table[columns]


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", type=Path, help="folder of recorded traffic, as for the study `traces`")
    parser.add_argument("--days", type=int, default=EPISODES, help="evaluation days of each workload, at most")
    parser.add_argument("--output", help="folder to write under; the project by default")
    options = parser.parse_args()
    calibrated = {rule: calibrate_rule(rule, [MIXED, *PATTERNS], SERVICE) for rule in VENDOR_RULES}
    uncalibrated = [find_policy(name) for name in MEASURED]
    tables = []
    for pattern in PATTERNS:
        policies, settings = list(uncalibrated), {}
        for rule, by_workload in calibrated.items():
            for ending, workload in (("-mixed", MIXED), (PER_PATTERN_ENDING, pattern)):
                name, setting = f"{rule}{ending}", by_workload[workload]
                policies.append(setting.policy(SERVICE, name))
                settings[name] = setting.describe()
        tables.append(rows_on(pattern, policies, settings, options.days))
    for trace in trace_benchmark(options.traces, SERVICE)[0].workloads:
        tables.append(rows_on(trace, [find_policy(Forecast.name, workload=trace)], {}, options.days))
    table = pd.concat(tables).sort_values("policy", kind="stable")
    path = Folders(options.output).results / "other_rules.csv"
    write_text(path, table.to_csv(index=False, float_format=lambda value: f"{np.round(value, 4):.9g}"))
    print(table.to_string(index=False, float_format="%.3f"))


if __name__ == "__main__":
    main()
