"""Check model files: does each load, predict, play test days, and is its bill worth having?

Each file is read and played in a process of its own, with limits on memory and time: whatever is in it costs a line,
never the run.
"""

from autoscaler_env.verification.check import EPISODES
from autoscaler_env.verification.workers import Children, missing_safeguards
from autoscaler_env.verification.finding import model_files
from autoscaler_env.verification.verdicts import Verdict, as_table, overall, summary
from autoscaler_env.verification.report import verify, verify_one_by_one

__all__ = [
    "EPISODES",
    "Children",
    "Verdict",
    "as_table",
    "missing_safeguards",
    "model_files",
    "overall",
    "summary",
    "verify",
    "verify_one_by_one",
]
