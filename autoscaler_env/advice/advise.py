"""From a file of request counts and a set-up to an answer and its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from autoscaler_env.advice.compare import BUDGETS, compare_candidates
from autoscaler_env.advice.deploy import deployment_files
from autoscaler_env.advice.page import page
from autoscaler_env.advice.report import Answer, answer_of
from autoscaler_env.advice.setup import Setup
from autoscaler_env.storage.files import write_atomically, write_json
from autoscaler_env.traffic.columns import Reading
from autoscaler_env.traffic.reading import read_traffic
from autoscaler_env.traffic.trace import cut_days


def advise(
    traffic: str | Path,
    service: str | Path,
    output: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    how: Reading = Reading(),  # noqa: B008
    smooth: int = 1,
    rescale: int | None = None,
    progress: bool = False,
    report: Callable[[str], object] = lambda note: None,
) -> tuple[Answer, list[Path]]:
    """Find out what to deploy for recorded traffic, and write the answer.

    Rules are calibrated and learners trained on the first 60 % of the days. All of them are simulated on the rest, and
    a written rule chooses one.

    Args:
        traffic: Request counts in any form that `traffic.reading.read_traffic` takes; `-` for standard input.
        service: The set-up, TOML: sizes, prices, today's rule. `advise.setup.write_template` writes one.
        output: Folder for the files; it is created if it is missing.
        quick: Train with small budgets.
        seed: Seeds the trainings, at least 0. The same seed gives the same page.
        how: What the user says about the file of the traffic.
        smooth: Steps of a centred moving average over the traffic; 1 for none.
        rescale: The 99th percentile that the traffic is scaled to, in requests a step; `None` leaves it as it is.
        progress: Whether to show a progress bar (only in a terminal).
        report: Called with each note about the traffic before the long work begins, such as `print`.

    Returns:
        The answer and the files written, the page first.

    Raises:
        ValueError: An argument is out of range, a file cannot be read or does not fit, or the folder cannot be written.
    """
    output = Path(output)
    for name, value, least in (("seed", seed, 0), ("smooth", smooth, 1), ("rescale", rescale, 1)):
        if value is not None and value < least:
            raise ValueError(f"{name} = {value}: must be at least {least}")
    if output.exists() and not output.is_dir():
        raise ValueError(f"output = {str(output)!r}: this is a file; name a folder")
    setup = Setup.from_toml(service)
    counts = read_traffic(str(traffic), setup.step_seconds, how=how)
    days = cut_days(counts, setup.step_seconds, smooth=smooth, rescale=rescale)
    for note in days.notes:
        report(note)
    try:  # before minutes are spent on files that cannot be written
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"output = {str(output)!r}: {error.strerror or error}") from None
    budgets = BUDGETS["quick" if quick else "full"]
    answer = answer_of(compare_candidates(setup, days, budgets=budgets, seed=seed, progress=progress))
    return answer, write_answer(answer, output)


def write_answer(answer: Answer, folder: Path) -> list[Path]:
    """Write the page, the JSON, and the files that deploying the recommended policy needs.

    Args:
        answer: The answer.
        folder: Created if it is missing; files of the same names are replaced.

    Returns:
        The files written, the page first: `advice.html`, `advice.json`; for HPA `hpa.yaml`, for a learner its model and
        `service.toml`.
    """
    files = {"advice.html": page(answer).encode()}
    files |= deployment_files(answer.comparison, answer.recommendation.policy)
    for name, content in files.items():
        write_atomically(folder / name, lambda file, content=content: file.write(content))  # type: ignore[misc]
    write_json(folder / "advice.json", answer.as_dict())
    first, *others = files
    return [folder / name for name in (first, "advice.json", *others)]
