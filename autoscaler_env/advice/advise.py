"""From a file of request counts and a set-up to an answer and its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from autoscaler_env.advice.compare import Comparison, compare_candidates
from autoscaler_env.advice.deploy import AWS, deployment_files, model_file
from autoscaler_env.advice.inputs import read_inputs
from autoscaler_env.advice.learners import BUDGETS
from autoscaler_env.advice.page import page
from autoscaler_env.advice.recommend import FEWEST_TRAININGS
from autoscaler_env.advice.report import Answer, answer_of
from autoscaler_env.advice.setup import TODAY, Setup
from autoscaler_env.policies.registry import LEARNERS, label_of
from autoscaler_env.storage.files import write_atomically, write_json
from autoscaler_env.traffic.columns import Reading
from autoscaler_env.traffic.reading import Source
from autoscaler_env.traffic.trace import Trace


def advise(
    traffic: Source,
    service: str | Path,
    output: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    how: Reading = Reading(),  # noqa: B008
    step_seconds: int | None = None,
    smooth: int = 1,
    rescale: int | None = None,
    last_days: int | None = None,
    learners: bool = True,
    all_rules: bool = False,
    progress: bool = False,
    report: Callable[[str], object] = lambda note: None,
) -> tuple[Answer, list[Path]]:
    """Find out what to deploy for recorded traffic, and write the answer: `read_inputs`, then `advise_on_days`.

    Args:
        traffic: Request counts in any form that `traffic.reading.read_traffic` takes: a file, several, `-` for standard
            input, or a query to Prometheus.
        service: The set-up, TOML: sizes, prices, today's rule. `advice.setup.write_template` writes one.
        output: Folder for the files; it is created if it is missing.
        quick: See `advise_on_days`.
        seed: Seeds the trainings, at least 0. The same seed gives the same page.
        how: What the user says about the file of the traffic.
        step_seconds: Length of a simulated step; what the set-up says by default.
        smooth: Steps of a centred moving average over the traffic; 1 for none.
        rescale: The 99th percentile that the traffic is scaled to, in requests a step; `None` leaves it as it is.
        last_days: Use only so many days, the last ones, at least 2; `None` for all.
        learners: Whether learners are trained; without them the answer takes seconds to a minute.
        all_rules: Whether the rules of AWS and Knative are compared too, whatever runs today.
        progress: Whether to show a progress bar (only in a terminal).
        report: See `advise_on_days`.

    Returns:
        The answer and the files written, the page first.

    Raises:
        ValueError: An argument is out of range, a file cannot be read or does not fit, or the folder cannot be written.
    """
    setup, days = read_inputs(
        traffic,
        service,
        output,
        seed=seed,
        how=how,
        step_seconds=step_seconds,
        smooth=smooth,
        rescale=rescale,
        last_days=last_days,
    )
    return advise_on_days(
        setup,
        days,
        output,
        quick=quick,
        seed=seed,
        learners=learners,
        all_rules=all_rules,
        progress=progress,
        report=report,
    )


def advise_on_days(
    setup: Setup,
    days: Trace,
    output: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    learners: bool = True,
    all_rules: bool = False,
    progress: bool = False,
    report: Callable[[str], object] = lambda note: None,
) -> tuple[Answer, list[Path]]:
    """Find out what to deploy for recorded days, and write the answer.

    Rules are calibrated and learners trained on the first 60 % of the days. All of them are simulated on the rest, and
    a written rule chooses one. The rules' answer is written and reported as soon as it is known, and written anew after
    each learner; a run that is killed leaves the last of these.

    Args:
        setup: Sizes, prices, today's rule.
        days: The traffic; `advice.inputs.read_inputs` reads both.
        output: Folder for the files; it is created if it is missing.
        quick: Train with small budgets, and each learner once instead of three times. Then no learner is recommended.
        seed: Seeds the trainings, at least 0. The same seed gives the same page.
        learners: Whether learners are trained; without them the answer takes seconds to a minute.
        all_rules: Whether the rules of AWS and Knative are compared too, whatever runs today.
        progress: Whether to show a progress bar (only in a terminal).
        report: Called before the long work begins with each note about the traffic, each doubt about the set-up, and a
            line that shows whether the numbers fit; then with the rules' answer, and a line for each learner; such as
            `print`.

    Returns:
        The answer and the files written, the page first.

    Raises:
        ValueError: Set-up and traffic do not fit, or the folder cannot be written.
    """
    output = Path(output)
    for note in days.notes:
        report(note)
    try:  # before minutes are spent on files that cannot be written
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"output = {str(output)!r}: {error.strerror or error}") from None
    _check_own_files(output)
    budgets = BUDGETS["quick" if quick else "full"] if learners else {}
    trainings = 1 if quick else FEWEST_TRAININGS

    def show(comparison: Comparison) -> None:
        answer = answer_of(comparison)
        write_answer(answer, output)
        done = [label_of(name) for name in budgets if name in comparison.candidates]
        report(f"The page has {done[-1]} too." if done else f"\n{answer.text}\n{answer.pending} The page is written.")

    comparison = compare_candidates(
        setup,
        days,
        budgets=budgets,
        seed=seed,
        trainings=trainings,
        all_rules=all_rules,
        progress=progress,
        report=report,
        show=show,
    )
    answer = answer_of(comparison)
    return answer, write_answer(answer, output)


FILES = (
    *("advice.html", "advice.json", "hpa.yaml", "forecast.promql", *AWS.values(), "service.toml"),
    *(model_file(name) for name in LEARNERS),
)
"""All files that an answer may be written to."""


def write_answer(answer: Answer, folder: Path) -> list[Path]:
    """Write the page, the JSON, and the files that deploying the recommended policy needs.

    Files that an earlier answer wrote are replaced, or removed where this one does not need them. Any other file stays.

    Args:
        answer: The answer.
        folder: Created if it is missing.

    Returns:
        The files written, the page first: `advice.html`, `advice.json`; for HPA `hpa.yaml`, for a rule of AWS its JSON,
        for a forecast `forecast.promql`, for a learner its model and `service.toml`, and the file of the best rule.

    Raises:
        ValueError: A file of one of these names was not written by an earlier answer.
    """
    present = _check_own_files(folder)
    files = {"advice.html": page(answer).encode()}
    for policy in (answer.recommendation.policy, answer.fallback or TODAY):
        files |= deployment_files(answer.comparison, policy)
    plain = answer.as_dict() | {"files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}}
    # Until all files are written, both answers' files are known as ours: a run that is killed here can be repeated.
    write_json(folder / "advice.json", plain | {"earlier_files": {name: _digest(folder / name) for name in present}})
    for name in set(present) - set(files):
        (folder / name).unlink()
    for name, content in files.items():
        write_atomically(folder / name, lambda file, content=content: file.write(content))  # type: ignore[misc]
    write_json(folder / "advice.json", plain)
    first, *others = files
    return [folder / name for name in (first, "advice.json", *others)]


def _check_own_files(folder: Path) -> list[str]:
    """Return the files of an earlier answer in a folder, and refuse any other file that an answer would replace."""
    try:
        earlier = json.loads((folder / "advice.json").read_text(encoding="utf-8"))
        digests = {*earlier["files"].items(), *earlier.get("earlier_files", {}).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        digests = set()
    present = [name for name in FILES if (folder / name).exists()]
    for name in present:
        path = folder / name
        own = bool(digests) if name == "advice.json" else (name, _digest(path)) in digests
        if not own:
            raise ValueError(
                f"output = {str(folder)!r}: {name} is there, and no earlier answer wrote it as it is; name another "
                "folder"
            )
    return [name for name in present if name != "advice.json"]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "-"
