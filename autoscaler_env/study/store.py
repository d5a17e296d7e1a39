"""What is done: models and results of single runs, below `build/study`, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from autoscaler_env.paths import Folders
from autoscaler_env.policies.oracle import Optimum
from autoscaler_env.service import Service
from autoscaler_env.storage.files import write_atomically, write_json
from autoscaler_env.study.exams import Exam
from autoscaler_env.study.runs import Model, Outcome, describe, fingerprint, identity_of, key_of
from autoscaler_env.training.config import TrainingRun


class Store:
    """Models and results of the study's runs.

    A model is found by what stands beside it, whatever its folder is called: one that was copied here from another
    machine is used as if it had been trained here. To measure everything anew without training, delete `results`.

    Args:
        folders: Their root holds `build/study`.
    """

    def __init__(self, folders: Folders) -> None:
        self.root = folders.root / "build" / "study"

    @cached_property
    def _models(self) -> dict[str, Path]:
        """The descriptions that are there, by the fingerprint of what they describe."""
        found = {}
        for path in sorted(self.root.glob("models/*/models/*.json")):
            identity = identity_of(json.loads(path.read_text(encoding="utf-8")))
            if identity is not None:
                found[fingerprint(identity)] = path
        return found

    def model(self, run: TrainingRun) -> Model | None:
        """Return the model of a run; `None` if it is not there, or its file is not the one that was described."""
        path = self._models.get(fingerprint(identity_of(describe(run))))
        if path is None:
            return None
        description = json.loads(path.read_text(encoding="utf-8"))
        file = path.with_suffix(run.ending)
        content = file.read_bytes() if file.exists() else b""
        if hashlib.sha256(content).hexdigest() != description.get("sha256"):
            return None
        return Model(file.name, content, description)

    def result(self, run: TrainingRun, exam: Exam) -> dict[str, Any]:
        """Return description and rows of a run that was measured."""
        result: dict[str, Any] = json.loads(self.result_path(run, exam).read_text(encoding="utf-8"))
        return result

    def result_path(self, run: TrainingRun, exam: Exam) -> Path:
        """Return where the result of a run lies, once it is done."""
        return self.root / "results" / f"{key_of(run)}_{fingerprint(exam.identity())}.json"

    def limit(self, exam: Exam, service: Service) -> list[dict[str, Any]]:
        """Return what the clairvoyant optimum pays on an exam's days: found once, since it never changes."""
        path = self.root / "results" / f"optimum_{fingerprint(service.as_dict(), exam.identity())}.json"
        if not path.exists():
            print(f"Finding the optimum on {exam.episodes:,} days of {len(exam.workloads)} workloads.", file=sys.stderr)
            write_json(path, exam.measure(Optimum(service), service))
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return rows

    def keep(self, run: TrainingRun, exams: Sequence[Exam], outcome: Outcome) -> None:
        """Write model and results; the results last, since they say that the run is done."""
        model = outcome.model
        if self.model(run) is None:
            folder = self.root / "models" / key_of(run) / "models"
            described = folder / f"{Path(model.file_name).stem}.json"
            digest = {"sha256": hashlib.sha256(model.content).hexdigest()}
            write_atomically(folder / model.file_name, lambda file: file.write(model.content))
            write_json(described, model.description | digest)
            self._models[fingerprint(identity_of(model.description))] = described
        for exam, rows in zip(exams, outcome.rows, strict=True):
            write_json(self.result_path(run, exam), {"description": model.description, "rows": rows})
