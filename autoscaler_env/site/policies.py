"""A page for each policy, made from its docstring and the committed tables: idea, equations, knobs, results, source."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from autoscaler_env.evaluation.rivals import read_calibrated_rules
from autoscaler_env.evaluation.statistics import MINIMUM_EFFECT, Interval, estimate, is_worth_it, per_training
from autoscaler_env.markdown import markdown_table
from autoscaler_env.paths import Folders
from autoscaler_env.policies import behaviour, deep
from autoscaler_env.policies.base import Policy
from autoscaler_env.policies.forecast import Forecast
from autoscaler_env.policies.oracle import OPTIMUM, Optimum
from autoscaler_env.policies.q_learning import QTable
from autoscaler_env.policies.recognise import RECOGNISE, Recognise
from autoscaler_env.policies.registry import BASELINES, LEARNERS, PER_PATTERN_ENDING, label_of
from autoscaler_env.service import Service
from autoscaler_env.site.docstrings import Docstring, Knob, attribute_texts, knobs_of_class, knobs_of_preset, parse
from autoscaler_env.site.links import unbroken, without_math
from autoscaler_env.study.analysis import (
    MEAN,
    avoidable,
    foresight,
    on_own_pattern,
    read_curves,
    read_mixed,
    read_other_rules,
    read_study,
    regret_table,
)
from autoscaler_env.study.benchmark import ONE_SETTING
from autoscaler_env.text import capital, dollars, listed, percent
from autoscaler_env.traffic.patterns import MIXED, PATTERNS
from autoscaler_env.training import presets

NOTEBOOKS = {
    "random": ("02_set_baselines",),
    "static": ("01_build_environment", "02_set_baselines"),
    "threshold": ("02_set_baselines",),
    "target-tracking": ("02_set_baselines",),
    "hpa-cpu": ("02_set_baselines", "06_compare_policies"),
    "hpa-demand": ("02_set_baselines", "06_compare_policies"),
    "kpa": ("02_set_baselines", "06_compare_policies"),
    "kubernetes-hpa-cpu": (),
    "kubernetes-hpa-demand": (),
    "aws-target-tracking": (),
    "aws-step-scaling": (),
    "forecast": ("09_study_generalisation",),
    "recognise": ("05_train_ppo",),
    "q-learning": ("03_train_q_learning", "06_compare_policies"),
    "dqn": ("04_train_dqn", "06_compare_policies"),
    "ppo": ("05_train_ppo", "06_compare_policies", "09_study_generalisation"),
    "policy-iteration": ("12_find_the_limit",),
    "optimum": ("06_compare_policies", "12_find_the_limit"),
}
"""The notebooks that teach a policy, by its name; none for one that is there for `advise`."""

KINDS = {"rule": "Rules", "learner": "Learners", "bound": "Bound"}
"""What a policy may be, and the heading of each kind in the list of policies."""


class Subject(NamedTuple):
    """A policy that has a page."""

    name: str
    kind: str
    docstring: Docstring
    notes: str
    """What the docstring of its module says beyond the first line, as Markdown; empty where it says no more."""
    reference: str
    """The class in the API reference."""
    knobs: list[Knob]


class Saved(NamedTuple):
    """What a variant of a policy saves against another policy, by pattern."""

    label: str
    basis: str
    """What the intervals are over."""
    against: str
    by_pattern: dict[str, Interval]
    """Dollars a day by pattern, with their 95 % intervals; by trace for a policy that needs recorded days."""
    costs: dict[str, float]
    """Dollars a day by pattern of the policy it is compared with."""

    @property
    def place(self) -> str:
        """What the savings are by: `pattern` or `trace`."""
        return "pattern" if self.by_pattern.keys() <= set(PATTERNS) else "trace"


# --- the policies ----------------------------------------------------------------------------------------------------


def subjects() -> list[Subject]:
    """Return the policies that have a page: those that a user can name, learners, and the optimum."""
    classes: dict[str, Any] = {**BASELINES, OPTIMUM: Optimum, Forecast.name: Forecast, RECOGNISE: Recognise}
    rules = [_rule(name, made) for name, made in classes.items()]
    rules.sort(key=lambda subject: subject.kind == "bound")
    return [*rules[:-1], *map(_learner, LEARNERS), rules[-1]]


def _rule(name: str, made: Callable[[Service], Policy]) -> Subject:
    """Return a rule, from its class; one that is made with a behaviour has the notes on behaviours too."""
    policy = made if isinstance(made, type) else type(made(Service()))
    docstring = parse(policy.__doc__)
    module = parse(importlib.import_module(policy.__module__).__doc__)
    notes = [module.body] if policy is made else [parse(behaviour.__doc__).body, module.body]
    sections = {"Source": module.sections.get("Source", "")} | docstring.sections
    kind = "bound" if name == OPTIMUM else "rule"
    reference = f"{policy.__module__}.{policy.__qualname__}"
    return Subject(
        name,
        kind,
        docstring._replace(sections=sections),
        "\n\n".join(filter(None, notes)),
        reference,
        knobs_of_class(policy),
    )


def _learner(name: str) -> Subject:
    if name == "q-learning":
        knobs = knobs_of_preset(presets.QLearningPreset())
        return Subject(name, "learner", parse(QTable.__doc__), "", f"{QTable.__module__}.QTable", knobs)
    text = attribute_texts(Path(inspect.getfile(deep)))[name.upper().replace("-", "_")]
    knobs = knobs_of_preset(presets.IterationPreset() if name == deep.POLICY_ITERATION else presets.PRESETS[name])
    return Subject(name, "learner", parse(text), "", "autoscaler_env.policies.deep.DeepPolicy", knobs)


# --- the numbers -----------------------------------------------------------------------------------------------------


def published_curves(name: str, folders: Folders) -> list[pd.DataFrame]:
    """Return the learning curves of a learner's published trainings on `MIXED`, one per seed; see `read_curves`."""
    return read_curves("iteration" if name == deep.POLICY_ITERATION else "budgets", name, folders)


def savings_of(name: str, folders: Folders) -> list[Saved]:
    """Return what the variants of a policy save, from the committed tables; empty where they have none.

    A rule has up to three variants: as most people run it, with one setting, and with a setting for each pattern, all
    against ideal target tracking with one setting; intervals are over days. A learner is compared over its trainings:
    on `MIXED` against target tracking with one setting, on one pattern against target tracking calibrated for it.

    Args:
        name: The policy, such as `hpa-cpu` or `ppo`.
        folders: Where the tables are.
    """
    return list(_of_trainings(name, folders) if name in LEARNERS else _of_rule(name, folders))


def _of_rule(name: str, folders: Folders) -> Iterator[Saved]:
    measured = _measured(folders.results)
    variants = {
        name: "as most people run it" if f"{name}-mixed" in measured.index else "as it is",
        f"{name}-mixed": "with one setting",
        name + PER_PATTERN_ENDING: "with a setting for each pattern",
    }
    for variant, label in variants.items():
        if variant not in measured.index or variant == ONE_SETTING:
            continue
        rows = measured.loc[[variant]].set_index("tested_on")
        intervals = rows[["days", "saving", "saving_low", "saving_high"]].itertuples(index=False)
        least, most = rows["days"].min(), rows["days"].max()
        basis = f"{most:,} days" if least == most else f"{least:,} to {most:,} days of each trace"
        by_pattern = dict(zip(rows.index, (Interval(*row) for row in intervals), strict=True))
        costs = dict(zip(rows.index, rows["baseline_cost"], strict=True))
        yield Saved(label, basis, ONE_SETTING, by_pattern, costs)


@functools.lru_cache(maxsize=4)
def _measured(results: Path) -> pd.DataFrame:
    """Return what each rule saves against target tracking with one setting, a row per policy and workload.

    Args:
        results: The folder of the committed tables.

    Returns:
        Indexed by policy, with the columns of `read_other_rules`; settings only where that table has them.
    """
    evaluation = json.loads((results / "evaluation_results.json").read_text(encoding="utf-8"))
    rows = [
        row | {"policy": policy, "tested_on": pattern, "baseline_cost": policies[ONE_SETTING]["cost"], "setting": None}
        for pattern, policies in evaluation["patterns"].items()
        for policy, row in policies.items()
    ]
    others = read_other_rules(Folders(results.parent))
    columns = others.columns
    table = pd.concat([pd.DataFrame(rows).assign(days=evaluation["episodes"])[columns], others])
    return table.set_index("policy")


def _of_trainings(name: str, folders: Folders) -> Iterator[Saved]:
    mixed = pd.concat([read_mixed(folders), read_study("iteration", folders)])
    for timesteps, trainings in mixed[mixed["algorithm"] == name].groupby("timesteps"):
        yield _over_seeds(trainings, f"trained on {MIXED}, {timesteps:,} timesteps", "one_setting_cost")
    own = on_own_pattern(pd.concat([read_study(study, folders) for study in ("patterns", "iteration_patterns")]))
    for timesteps, trainings in own[own["algorithm"] == name].groupby("timesteps"):
        yield _over_seeds(trainings, f"trained on the pattern, {timesteps:,} timesteps", "per_pattern_cost")


def _over_seeds(trainings: pd.DataFrame, label: str, against: str) -> Saved:
    """Return what a learner saves, over its trainings."""
    by_pattern, costs = {}, {}
    for pattern in PATTERNS:
        rows = trainings[trainings["tested_on"] == pattern]
        by_pattern[pattern] = estimate(per_training(rows, against) - per_training(rows, "cost"))
        costs[pattern] = float(rows[against].mean())
    rule = ONE_SETTING if against == "one_setting_cost" else "target-tracking" + PER_PATTERN_ENDING
    seeds = sorted(trainings["seed"].unique())
    basis = f"{len(seeds)} trainings, seeds {seeds[0]} to {seeds[-1]}, {trainings['days'].iloc[0]:,} days each"
    return Saved(label, basis, rule, by_pattern, costs)


def verdict_of(saved: Saved) -> str:
    """Say on which patterns a variant wins, loses or makes no difference worth a change."""
    wins = [
        pattern
        for pattern, interval in saved.by_pattern.items()
        if is_worth_it(interval, saved.costs[pattern], MINIMUM_EFFECT)
    ]
    loses = [
        pattern
        for pattern, interval in saved.by_pattern.items()
        if is_worth_it(interval.times(-1), saved.costs[pattern], MINIMUM_EFFECT)
    ]
    words = []
    for verb, patterns in (("saves", wins), ("costs", loses)):
        if patterns:
            ends = [abs(saved.by_pattern[pattern].mean) for pattern in patterns]
            amount = dollars(ends[0]) if len(ends) == 1 else f"{dollars(min(ends))} to {dollars(max(ends))}"
            more = " more" if verb == "costs" else ""
            words.append(f"{verb} {amount} a day{more} on {listed(patterns)}")
    rest = len(saved.by_pattern) - len(wins) - len(loses)
    if not words:
        least = percent(MINIMUM_EFFECT)
        everywhere = f"on every {saved.place}"
        return f"{capital(saved.label)}, the difference is below {least} of the cost or not certain {everywhere}."
    where = f"; on the other {rest} the difference is below {percent(MINIMUM_EFFECT)} or not certain" if rest else ""
    return f"{capital(saved.label)}, it {' and '.join(words)}{where}."


# --- the page --------------------------------------------------------------------------------------------------------


def page_of(subject: Subject, folders: Folders, figures: dict[str, str]) -> str:
    """Return the page of a policy as Markdown.

    Args:
        subject: The policy.
        folders: Where the committed tables are.
        figures: Markdown of the figures of this page: `savings` and `curve`, each only where there is one.
    """
    parts: list[str] = [f"# {capital(label_of(subject.name))}", _facts(subject), f"**{subject.docstring.summary}.**"]
    if subject.docstring.body:
        parts.append(subject.docstring.body)
    if equation := subject.docstring.sections.get("Equation"):
        parts += ["## Equation", *(f"$$\n{part.strip()}\n$$" for part in equation.split("\n\n"))]
    parts += ["## When it wins, and by how much", *_results(subject, folders)]
    parts += [figures["savings"]] if "savings" in figures else []
    parts += _regret(subject.name, folders)
    if "curve" in figures:
        parts += ["## Learning curve", _about_curve(subject.name, folders), figures["curve"]]
    parts += ["## Knobs", *_knobs(subject, folders)]
    if subject.notes:
        parts += ["## How it is built here", subject.notes]
    if source := subject.docstring.sections.get("Source"):
        parts += ["## Source", source]
    parts += ["## Try it", _try_it(subject)]
    return "\n\n".join(parts) + "\n"


def list_of(policies: list[Subject]) -> str:
    """Return the page that lists all policies."""
    parts = [
        "# Policies",
        "Each page says what a policy does, its settings, where it comes from, and on which workloads it wins. "
        "All numbers come from the committed tables.",
    ]
    for kind, heading in KINDS.items():
        of_kind = [policy for policy in policies if policy.kind == kind]
        rows = [
            f"| [{capital(label_of(policy.name))}]({policy.name}.md) | {policy.docstring.summary}. |"
            for policy in of_kind
        ]
        parts += [f"## {heading}", "\n".join(["| policy | what it does |", "|---|---|", *rows])]
    names = "\n".join(policy.name for policy in policies)
    return "\n\n".join(parts) + f"\n\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"


def _facts(subject: Subject) -> str:
    links = " · ".join(f"[notebook {int(name[:2])}](/course/{name}.ipynb)" for name in NOTEBOOKS.get(subject.name, ()))
    taught = f" · taught in {links}" if links else ""
    return f"{capital(subject.kind)} · `{subject.name}` on the command line · {{py:obj}}`~{subject.reference}`{taught}"


def _results(subject: Subject, folders: Folders) -> list[str]:
    saved = savings_of(subject.name, folders)
    if saved:
        sentences = "\n".join(f"- {verdict_of(each)}" for each in saved)
        rule = ""
        if subject.name == "target-tracking":
            rule = "Target tracking with one setting for all patterns is the baseline of these comparisons.\n\n"
        against = [label_of(name) for name in dict.fromkeys(each.against for each in saved)]
        table = pd.DataFrame(
            {saved[0].place: list(saved[0].by_pattern)}
            | {f"saved {each.label}": list(map(_saving, each.by_pattern.values())) for each in saved}
        )
        bases = "; ".join(dict.fromkeys(f"{each.label}: {each.basis}" for each in saved))
        if len({each.basis for each in saved}) == 1:
            bases = saved[0].basis
        note = f"Dollars a day against {listed(against)}; above zero is cheaper. The 95 % intervals are over {bases}."
        return [without_math(rule + sentences), note, _markdown(table)]
    return ["The committed tables do not have this policy yet; the command below measures it."]


def _regret(name: str, folders: Folders) -> list[str]:
    """Return the regret of a policy in two parts, a row per variant and a column per pattern; empty without results."""
    regrets, known = regret_table(folders), foresight(folders)["foresight"]
    variants = {name, f"{name}-mixed", name + PER_PATTERN_ENDING}
    rows = regrets[[row in variants or str(row).startswith(f"{name} on ") for row in regrets.index]]
    if rows.empty and name != OPTIMUM:
        return []
    columns = [MEAN, *PATTERNS]
    table = pd.concat([known.rename("foresight").to_frame().T[columns], avoidable(rows, folders)[columns]])
    others = "The other rows are above the limit without foresight: at most this much is avoidable."
    return [
        "## How far it is from what is possible" if len(rows) else "## How much of it is foresight",
        "Dollars a day. *Foresight* is the part of a policy's distance to the optimum that only somebody who knows the "
        f"future can save. {others if len(rows) else ''}".strip(),
        _markdown(table.map("{:.2f}".format).reset_index(names="regret")),
    ]


def _knobs(subject: Subject, folders: Folders) -> list[str]:
    if not subject.knobs:
        return ["None: there is nothing to set."]
    rows = pd.DataFrame(subject.knobs)
    rows["name"] = rows["name"].map("`{}`".format)
    rows["default"] = rows["default"].map("`{}`".format)
    parts = [_markdown(rows)]
    settings = _settings(subject.name, folders)
    if not settings.empty:
        parts += ["Calibrated on days that no comparison uses:", _markdown(settings)]
    if subject.name == "ppo":
        parts.append(
            f"From {presets.LONG_TRAINING:,} timesteps on, PPO uses its long preset: longer rollouts and levels."
        )
    return parts


def _settings(name: str, folders: Folders) -> pd.DataFrame:
    """Return the calibrated settings of a rule in words, a row for all patterns and one for each."""
    rules = read_calibrated_rules(folders).get(name)
    if rules:
        rows = [(pattern, rule.describe(), rule.tried) for pattern, rule in rules.items()]
        table = pd.DataFrame(rows, columns=["calibrated on", "setting", "settings tried"])
    else:
        measured = _measured(folders.results).dropna(subset="setting")
        one = measured.loc[measured.index == f"{name}-mixed"].head(1).assign(tested_on=MIXED)
        own = measured.loc[measured.index == name + PER_PATTERN_ENDING]
        table = pd.concat([one, own])[["tested_on", "setting"]].rename(columns={"tested_on": "calibrated on"})
    return table.replace({"calibrated on": {MIXED: "all patterns"}})


def _about_curve(name: str, folders: Folders) -> str:
    curves = published_curves(name, folders)
    last = pd.Series([-curve["mean_return"].iloc[-1] for curve in curves])
    return without_math(
        f"Mean daily cost on selection days during the published training, for {len(curves)} seeds. The trainings end "
        f"between {dollars(last.min())} and {dollars(last.max())}."
    )


def _try_it(subject: Subject) -> str:
    name = subject.name
    if name in LEARNERS:
        return f"```console\n$ autoscaler train {name} --pattern SPIKE\n$ autoscaler evaluate {name}\n```"
    if name == Forecast.name:
        return "```console\n$ autoscaler evaluate forecast --trace FILE.csv\n```"
    return f"```console\n$ autoscaler evaluate {name}\n```"


def _saving(saved: Interval) -> str:
    return f"{saved.mean:+.2f} ({saved.low:+.2f} to {saved.high:+.2f})"


def _markdown(table: pd.DataFrame) -> str:
    return unbroken(markdown_table(table))
