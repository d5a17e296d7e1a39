"""A Dask cluster whose scheduler and workers are processes of their own, and ways to wait for them and to end them."""

import contextlib
import json
import os
import subprocess
import sys
import time

import psutil

SAME_PATH = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
PATIENCE = 240  # seconds, for a machine that is busy


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return result


def end(process):
    """Kill a process that a test started, with all that it started itself."""
    if process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
    process.communicate()


def cluster_workers():
    """Return the processes of the workers, whose nannies start them anew when they die."""
    return [child for child in psutil.Process().children(recursive=True) if "spawn_main" in str(child.cmdline())]


@contextlib.contextmanager
def running_cluster(folder):
    """Yield the address of a scheduler with two workers; they share no folder with the tests."""
    contact = folder / "scheduler.json"
    common = ["--scheduler-file", str(contact), "--no-dashboard"]
    processes = []
    try:
        for program, *options in (["dask_scheduler", "--port", "0"], *(["dask_worker", "--nthreads", "1"],) * 2):
            command = [sys.executable, "-m", f"distributed.cli.{program}", *options, *common]
            processes.append(subprocess.Popen(command, cwd=folder, env=SAME_PATH, **QUIET))
        wait_for(contact.exists)
        yield json.loads(contact.read_text())["address"]
    finally:
        for process in reversed(processes):
            end(process)
