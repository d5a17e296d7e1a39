"""A writer that is killed at any moment leaves the old file or the new one, whole."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

# Forks a writer, kills it after a random time, looks at what it left; again and again. A process of its own, because
# the one that runs the tests has threads.
KILLER = """
import json, os, random, signal, sys, time
from pathlib import Path
import numpy as np
from autoscaler_env.policies.q_learning import QTable
from autoscaler_env.storage import *

folder, how, kills = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
tables = [QTable.zeros() for _ in range(2)]
tables[1].values += 1.0
blocks = [[bytes([number]) * 2**14] * 64 for number in range(2)]

def in_blocks(file, number):
    for block in blocks[number]:
        file.write(block)

def save(number):
    if how == "table":
        save_q_table(tables[number], folder / "model.pkl")
        save_description(folder / "model.pkl", {"seed": number})
    elif how == "blocks":
        write_atomically(folder / "model.zip", lambda file: in_blocks(file, number))
    elif how == "in place":
        with (folder / "model.zip").open("wb", buffering=0) as file:
            in_blocks(file, number)
    else:
        write_atomically(folder / "model.zip", learners[number].save)

def is_whole():
    if how == "table":
        values = load_policy(folder / "model.pkl").values
        return read_description(folder / "model.pkl")["seed"] in (0, 1) and (values == values[0, 0]).all()
    if how in ("blocks", "in place"):
        return (folder / "model.zip").read_bytes() in [b"".join(block) for block in blocks]
    return load_policy(folder / "model.zip") is not None

if how == "network":
    from autoscaler_env.training.deep import build_learner
    from autoscaler_env.training.config import PRESETS
    from autoscaler_env.service import Service
    learners = [build_learner("ppo", PRESETS["ppo"], "SPIKE", Service(), seed=seed, device="cpu") for seed in (0, 1)]
rng, broken, left = random.Random(0), 0, 0
save(0)
for kill in range(kills):
    child = os.fork()
    if child == 0:
        while True:
            save(0)
            save(1)
    time.sleep(rng.uniform(0.001, 0.04))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        broken += not is_whole()
    except ValueError:
        broken += 1
left = len([path for path in folder.iterdir() if path.name.startswith(".")])
swept = sweep(folder)
print(json.dumps({"broken": broken, "left": left, "swept": swept, "files": sorted(os.listdir(folder))}))
"""


def kill_writers(folder, how, kills):
    """Kill writers; return how many files were broken, and what was left and swept."""
    command = [sys.executable, "-c", KILLER, str(folder), how, str(kills)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("how", "files"), [("table", ["model.json", "model.pkl"]), ("blocks", ["model.zip"])])
def test_twenty_kills_break_nothing_and_leave_what_is_swept(tmp_path, how, files):
    seen = kill_writers(tmp_path, how, 20)
    assert seen["broken"] == 0 and seen["files"] == files and seen["swept"] == seen["left"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["table", "blocks", "network"])
def test_eighty_kills_break_nothing(tmp_path, how):
    seen = kill_writers(tmp_path, how, 80)
    assert seen["broken"] == 0 and seen["swept"] == seen["left"] > 0


def test_the_same_kills_break_a_file_that_is_written_in_place(tmp_path):
    assert kill_writers(tmp_path, "in place", 20)["broken"] > 0
