"""Try again what `autoscaler advise` once did wrong: real commands on small files, and what each says now.

    python benchmarks/advise_harms.py

Each case writes its files to an empty folder, runs `autoscaler`, and quotes what the command printed or wrote. A case
whose quote cannot be found ends the benchmark with an error: the harm may be back. The table is saved as
`results/advice_harms.csv`; `python -m autoscaler_env.documents` puts it into `docs/harms.md`. Two cases train learners,
which takes minutes: `--without-learners` keeps their rows as they are in the table.

The coverage of intervals is counted on `SAMPLES` samples of each kind, with a fixed seed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import lfilter

from autoscaler_env.cli.main import main as autoscaler
from autoscaler_env.evaluation.statistics import mean_interval
from autoscaler_env.paths import Folders
from autoscaler_env.study.analysis import write_table
from autoscaler_env.text import one_line, percent

SAMPLES = 2_000
"""Samples of each kind whose intervals are counted."""


def counts(days: int, mean: float, *, rows: int = 288, noise: float = 0.0) -> NDArray[np.int64]:
    """Return requests of days with a peak in the afternoon and a level of each day.

    Args:
        days: Number of days.
        mean: Mean requests of a row.
        rows: Rows of a day.
        noise: Standard deviation of what changes the level from row to row, as a share of it; much of it stays.

    Returns:
        Requests of each row, shape (days * rows,).
    """
    rng = np.random.default_rng(0)
    hours = np.arange(rows) * 24 / rows
    shape = 1 + 0.6 * np.sin(2 * np.pi * (hours - 9) / 24)
    means = (mean * rng.uniform(0.9, 1.1, (days, 1)) * shape).reshape(-1)
    walk = lfilter([1], [1, -0.8], np.random.default_rng(1).normal(0, noise, means.size))
    return rng.poisson(means * np.exp(walk))


def csv(values: NDArray[np.generic], minutes: int = 5, name: str = "requests", start: str = "2026-06-01") -> str:
    """Return a file of counts with times, a row for each value."""
    first = datetime.fromisoformat(start)
    times = (first + timedelta(minutes=minutes * row) for row in range(len(values)))
    return "\n".join(
        [f"time,{name}", *(f"{time:%Y-%m-%d %H:%M},{value}" for time, value in zip(times, values, strict=True))]
    )


SERVICE = """\
requests_per_second_per_instance = 0.29
min_instances = 2
max_instances = 100
fleet_changes = [-10, -5, -2, -1, 0, 1, 2, 5, 10]
queue_limit = 4350
instance_price_per_hour = 0.192
late_price_per_1000_per_minute = 0.05
drop_price_per_1000 = 2.5
boot_seconds = 300
"""
CHEAP_LOSSES = SERVICE.replace("4350", "200").replace("0.05", "0.001").replace("= 2.5", "= 0.7")
DEAR = """\
step_seconds = 300
capacity_per_instance = 3
min_instances = 100
max_instances = 2500
fleet_changes = [-500, -100, -10, -1, 0, 1, 10, 100, 500]
queue_limit = 10000
instance_price_per_hour = 0.2
late_price = 0.0003
drop_price = 0.003
"""
"""The service that lost 89 % of its requests."""


def hpa(target: float, least_saving: float = 0.01, service: str = SERVICE) -> str:
    """Return a set-up whose rule of today is HPA on CPU."""
    return f'{service}[limits]\nleast_saving = {least_saving}\n[today]\nrule = "hpa-cpu"\ntarget = {target}\n'


PATIENT = hpa(0.7, service=SERVICE.replace("300", "1800").replace("0.05", "0.01").replace("4350", "20000")).replace(
    "[limits]", "[limits]\nfewer_in_time = 0.2"
)
"""A service whose users wait: there a learner can save something, as late requests cost little."""


def without_an_hour() -> str:
    """Return days of March in which a night hour of a Saturday is missing; no clock changed then."""
    head, *rows = csv(counts(10, 6_000, rows=96), 15, start="2026-03-02").splitlines()
    return "\n".join([head, *(row for row in rows if not row.startswith("2026-03-07 02:"))])


@dataclass(frozen=True)
class Case:
    """One way to go wrong."""

    number: int
    """Of the harm that it belongs to."""
    harm: str
    """What the command did, in words."""
    before: str
    """What it said at that time."""
    traffic: str
    """The content of `traffic.csv`."""
    service: str
    """The content of `service.toml`."""
    quotes: tuple[str, ...]
    """Patterns; what each matches, in what the command prints and in the files that it writes, is quoted."""
    options: str = "--no-learners"
    """Options of `autoscaler advise traffic.csv --service service.toml`."""

    @property
    def learns(self) -> bool:
        """Whether learners are trained, which takes minutes."""
        return "--no-learners" not in self.options

    @property
    def command(self) -> str:
        """The command line."""
        return f"autoscaler advise traffic.csv --service service.toml {self.options}".strip()


TEN_DAYS = csv(counts(10, 6_000, rows=96), 15)
MONTH = csv(counts(30, 6_000, rows=96), 15)
NOISY = csv(counts(20, 6_000, noise=0.12, rows=96), 15)
THREE_DAYS = counts(3, 2_000)
REFUSED = (r"(?<=autoscaler: ).*",)
CASES = (
    Case(
        1,
        "It recommends losing 89 % of the requests.",
        "saves $1,554,604 a year",
        csv(counts(10, 2_000)),
        DEAR,
        (
            r"With these prices it is cheaper[^:]*: [$.\d]+ to serve one, [$.\d]+ to drop one\.",
            r"Give other prices first\. Until then: keep today's rule",
            r"No saving is named[^.]*\.",
        ),
    ),
    Case(
        1,
        "It recommends a rule that drops 18.9 % of the requests.",
        "(told in small grey print)",
        TEN_DAYS,
        CHEAP_LOSSES,
        (r"[A-Z][^.:\n]*: [\d.]+ % of the requests in time[^\n]*", r"Cheaper, but worse for your requests: [^\n]*"),
    ),
    Case(
        2,
        "It takes `target = 70` for 7,000 %: today's rule drops 88 %.",
        "saves $466,520 a year",
        csv(THREE_DAYS),
        hpa(70),
        REFUSED,
    ),
    Case(
        3,
        "It gives a yearly figure and a narrow interval from two held-out days.",
        "$540,684 a year (95 % interval $539,497 to $541,870)",
        csv(counts(5, 6_000, rows=96), 15),
        SERVICE,
        (
            r"[A-Z][^.\n]* may be [^\n]* cheaper, but 2 days cannot show it",
            r"[^\n]*Intervals from 2 days are rough\.",
            r"Change nothing yet[^\n]*",
        ),
    ),
    Case(
        4,
        "It takes a night hour that is missing in March for a change of the clock: later days begin an hour off.",
        "clocks go forward by 1 h",
        without_an_hour(),
        SERVICE,
        (r"clock: the clock of the file, no zone", r"1 gap[^\n]*", r"10 days"),
    ),
    Case(
        5,
        "It reads rates below 0.5 as zeros.",
        "(an answer for a service without requests)",
        csv(np.round(THREE_DAYS / 9e4, 4)),
        SERVICE,
        REFUSED,
    ),
    Case(
        5,
        "It reads shares from 0 to 1 as counts.",
        "(an answer for a service with one request a row)",
        csv(np.round(THREE_DAYS / 4_000, 3), name="cpu_utilization"),
        SERVICE,
        REFUSED,
    ),
    Case(
        5,
        "It reads a counter since a start as counts.",
        "(4.5 times the requests, on 16 rows)",
        csv(np.cumsum(counts(10, 6_000, rows=96)), 15, "requests_total"),
        SERVICE,
        (r"requests_total counts \(unit counter\)", r"Traffic: [^\n]*?on average"),
    ),
    Case(
        5,
        "It reads bytes as requests.",
        "(an answer for millions of requests)",
        csv(THREE_DAYS * 4096, name="bytes_sent"),
        SERVICE,
        REFUSED,
    ),
    Case(
        6,
        "It takes the capacity for five minutes for that of an hour, where rows are hours.",
        "(87 requests an hour, a boot of an hour)",
        csv(counts(10, 24_000, rows=24), 60),
        SERVICE,
        (r"In a step, an instance serves [^;]*?\)", r"Steps of 60 min hide[^\n]*"),
    ),
    Case(
        6,
        "It accepts totals of days.",
        "(steps of a day)",
        csv(counts(60, 5e5, rows=1), 1440),
        SERVICE,
        REFUSED,
    ),
    Case(
        6,
        "It cannot simulate steps of five minutes where rows are minutes.",
        "(a step is a row)",
        "\n".join(["step,requests", *(f"{row},{count}" for row, count in enumerate(counts(6, 400, rows=1440)))]),
        SERVICE,
        (r"[\d,]+ rows every 60 s", r"Steps of 5 min hide bursts that are shorter"),
        "--no-learners --row-seconds 60 --step-seconds 300",
    ),
    Case(
        7,
        "It simulates another HPA than the manifest describes.",
        "(nothing; with a free HPA the saving is $3.94 a day, not $7.03)",
        MONTH,
        hpa(0.3, 0.1),
        (
            r"Keep your rule and change its setting to [^.]*\.",
            r"Its comments name the limits that differ from the simulation: a cluster can react faster",
            r"# Other limits than in the simulation:(?:\n#[^\n]*)*",
        ),
    ),
    Case(
        7,
        "The same, where the set-up has the clocks of the cluster (`[today.hpa]`).",
        "(could not be said)",
        MONTH,
        f"{hpa(0.3, 0.1)}[today.hpa]\nsync_seconds = 15\nmetric_delay_seconds = 30\n",
        (
            r"Keep your rule and change its setting to [^.]*\.",
            r"# As simulated: [\s\S]*?step of 900 s\.",
        ),
    ),
    Case(
        7,
        "It recommends HPA on a metric without a query for it.",
        "(a metric that nobody has)",
        MONTH,
        hpa(0.3, 0.1).replace("hpa-cpu", "hpa-demand"),
        (r"# *\(sum\(increase\((?:[^\n]*\n *#)*[^\n]*that a pod serves\.",),
    ),
    Case(
        8,
        "Its headline contradicts itself.",
        "change its setting to 58 %: it costs about what today's rule does",
        MONTH,
        hpa(0.87, 0.1),
        (r"Keep today's rule as it is[^\n]*",),
    ),
    Case(
        9,
        "It recommends a learner from one training.",
        "(an interval over days only)",
        NOISY,
        PATIENT,
        (r"[\w-]+ had a small training budget \(--quick\)\.",),
        "--quick",
    ),
    Case(
        9,
        "Its headline credits a learner with what calibration saves.",
        "PPO saves $58.63 a day (the best rule is $0.88 behind)",
        NOISY,
        PATIENT,
        (r"An experiment: [^\n]*, 3 trainings\)[^\n]*",),
        "",
    ),
    Case(
        10,
        "It chooses the cheapest policy of the held-out days, and quotes its saving on the same days.",
        "(nothing)",
        MONTH,
        hpa(0.5),
        (
            r"[A-Z][^.]* is cheaper than today's rule by [^\n]*?interval[^)]*\)",
            r"This is measured on the \d+ days that[^\n]*",
        ),
    ),
    Case(
        11,
        "With `--output .` it replaces the user's own service.toml.",
        "(comments and [today] are lost)",
        csv(THREE_DAYS),
        f"# mine\n{SERVICE}",
        REFUSED,
        "--no-learners --output .",
    ),
)


def run(case: Case) -> str:
    """Run the command of a case in an empty folder, and return what it said.

    Raises:
        ValueError: A quote is not there.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("traffic.csv").write_text(f"{case.traffic}\n", encoding="utf-8")
        Path("service.toml").write_text(case.service, encoding="utf-8")
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            autoscaler(case.command.split()[1:])
        text, answer = said.getvalue(), Path("advice", "advice.json")
        if answer.exists():
            plain = json.loads(answer.read_text(encoding="utf-8"))
            text += "\n".join(["", *plain["limits"], plain["how_to"]["text"], plain["how_to"]["code"]])
            text += f"\n{plain['traffic']['days']} days"
    found = [re.search(quote, text) for quote in case.quotes]
    for quote, match in zip(case.quotes, found, strict=True):
        if match is None:
            raise ValueError(f"{case.harm} {quote!r} is not in what the command said:\n{text}")
    plain = (re.sub(r"\n *# ?", "\n", match[0]).strip("# ") for match in found if match)
    return " ... ".join(one_line(quote) for quote in plain)


def coverage(draw: Callable[[np.random.Generator, int], NDArray[np.float64]], truth: float) -> str:
    """Return how often 95 % intervals of the mean contain it, for several numbers of days.

    Args:
        draw: Draws so many days of a sample.
        truth: The true mean.
    """
    shares = []
    for days in (2, 3, 5, 10, 22):
        rng = np.random.default_rng(0)
        intervals = [mean_interval(draw(rng, days)) for _ in range(SAMPLES)]
        shares.append(f"{percent(np.mean([each.low <= truth <= each.high for each in intervals]), 0)} of {days}")
    return ", ".join(shares)


def correlated(rng: np.random.Generator, days: int) -> NDArray[np.float64]:
    """Return days whose neighbours have a correlation of 0.5."""
    steps = rng.normal(0, np.sqrt(0.75), days)
    steps[0] = rng.normal()
    return lfilter([1], [1, -0.5], steps)


def coverage_rows() -> list[dict[str, Any]]:
    """Return how often intervals contain the true mean, before and now: the rows of harm 3 that need no command."""
    kinds = {
        "days that differ by a normal variable": (lambda rng, n: rng.normal(0, 1, n), 0.0),
        "days that differ by a lognormal variable (sigma 1)": (
            lambda rng, n: rng.lognormal(0, 1, n),
            float(np.exp(0.5)),
        ),
        "days whose neighbours are alike (correlation 0.5)": (correlated, 0.0),
    }
    before = (
        "50 % of 2 days, 75 % of 3, 88 % of 4, 91 % of 5, 94 % from 6",
        "43 % to 88 % of 2 to 22 days",
        "72 % to 77 % even of 22 days",
    )
    return [
        {
            "number": 3,
            "harm": f"Its 95 % intervals are false for few days. Samples: {kind}.",
            "command": f"evaluation.statistics.mean_interval, {SAMPLES:,} samples each",
            "before": said,
            "now": f"{coverage(draw, truth)} days",
        }
        for (kind, (draw, truth)), said in zip(kinds.items(), before, strict=True)
    ]


def main() -> None:
    """Try each case again, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without-learners", action="store_true", help="keep the rows of the cases that train")
    parser.add_argument("--output", type=Path, help="another root to write under")
    options = parser.parse_args()
    folders = Folders(options.output)
    path = folders.results / "advice_harms.csv"
    earlier = pd.read_csv(path).set_index("harm")["now"] if options.without_learners else pd.Series(dtype=str)
    rows = coverage_rows()
    for case in CASES:
        row = {"number": case.number, "harm": case.harm, "command": case.command, "before": case.before}
        kept = case.learns and options.without_learners
        rows.append(row | {"now": earlier[case.harm] if kept else run(case)})
        print(f"{case.number}: {case.harm}\n   {rows[-1]['now']}", flush=True)
    write_table(path, pd.DataFrame(rows).sort_values("number", kind="stable"))
    print(f"Wrote {folders.shown(path)}.")


if __name__ == "__main__":
    main()
