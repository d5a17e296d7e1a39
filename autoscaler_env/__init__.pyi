"""The public names, and the module that each comes from."""

from .envs.sb3 import AutoscalerVecEnv
from .envs.single import AutoscalerEnv
from .envs.vector import AutoscalerVectorEnv
from .evaluation.calibration import Calibration, calibrate, calibration_grid
from .evaluation.metrics import (
    compare_policies,
    evaluate,
    evaluate_patterns,
    mean_over_patterns,
    measure,
    save_evaluation,
    savings,
    summarise,
)
from .evaluation.regret import regret
from .evaluation.simulation import Trajectory, simulate
from .evaluation.statistics import Interval, mean_interval
from .paths import Folders
from .policies.base import Policy
from .policies.forecast import Forecast
from .policies.knative import Kpa
from .policies.kubernetes import HpaCpu, HpaDemand
from .policies.oracle import Optimum
from .policies.q_learning import QTable
from .policies.registry import find_policies, find_policy
from .policies.rules import RULES, Random, Static, TargetTracking, Threshold
from .service import Service
from .storage.models import load_policy
from .traffic.patterns import MIXED, PATTERNS, Pattern, Workload, day_seeds
from .traffic.trace import Trace
from .training.checkpoint import Trained
from .training.config import TrainingConfig
from .training.train import obtain, train

__version__: str
__all__ = [
    "MIXED",
    "PATTERNS",
    "RULES",
    "AutoscalerEnv",
    "AutoscalerVecEnv",
    "AutoscalerVectorEnv",
    "Calibration",
    "Folders",
    "Forecast",
    "HpaCpu",
    "HpaDemand",
    "Interval",
    "Kpa",
    "Optimum",
    "Pattern",
    "Policy",
    "QTable",
    "Random",
    "Service",
    "Static",
    "TargetTracking",
    "Threshold",
    "Trace",
    "Trained",
    "TrainingConfig",
    "Trajectory",
    "Workload",
    "__version__",
    "calibrate",
    "calibration_grid",
    "compare_policies",
    "day_seeds",
    "evaluate",
    "evaluate_patterns",
    "find_policies",
    "find_policy",
    "load_policy",
    "mean_interval",
    "mean_over_patterns",
    "measure",
    "obtain",
    "regret",
    "save_evaluation",
    "savings",
    "simulate",
    "summarise",
    "train",
]
