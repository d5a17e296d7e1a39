"""The file of a trained network, as stable-baselines3 writes it: equal trainings leave equal bytes."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm

from autoscaler_env.storage.files import write_atomically

_ADDRESS = re.compile(rb" at 0x[0-9a-f]+")

_PASSING = (
    "start_time",
    "_num_timesteps_at_start",
    "ep_info_buffer",
    "ep_success_buffer",
    "_last_obs",
    "_last_original_obs",
    "_last_episode_starts",
)
"""What belongs to a moment of the training and not to the model: left out, as stable-baselines3 can do without it."""


def save_learner(model: BaseAlgorithm, path: Path) -> None:
    """Write a stable-baselines3 model atomically; its own `load` reads it."""
    buffer = io.BytesIO()  # torch would say of a full disk what no user understands
    model.save(buffer, exclude=_PASSING)
    content = without_accidents(buffer)
    write_atomically(path, lambda file: file.write(content))


def without_accidents(saved: io.BytesIO) -> bytes:
    """Return a saved model without the dates and the addresses in memory that stable-baselines3 writes into it."""
    clean = io.BytesIO()
    with zipfile.ZipFile(saved) as before, zipfile.ZipFile(clean, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "data":
                content = _ADDRESS.sub(b"", content)
            member = zipfile.ZipInfo(name)  # dated 1980
            member.external_attr = 0o644 << 16
            after.writestr(member, content)
    return clean.getvalue()
