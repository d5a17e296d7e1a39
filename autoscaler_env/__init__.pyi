"""The public names, and the module that each comes from."""

from .advice.advise import advise
from .advice.delivered import aws_from_policy, forecast_from_promql, hpa_from_manifest, kpa_from_annotations
from .advice.runtime import Autoscaler
from .device import available_devices, choose_device
from .envs.sb3 import AutoscalerVecEnv
from .envs.single import AutoscalerEnv
from .envs.vector import AutoscalerVectorEnv
from .evaluation.calibration import (
    Calibration,
    calibrate,
    calibrated_rule,
    calibration_grid,
    save_calibrations,
)
from .evaluation.lower_bound import lower_bounds
from .evaluation.metrics import (
    MEAN,
    compare_policies,
    evaluate,
    evaluate_patterns,
    mean_over_patterns,
    measure,
    save_evaluation,
    savings,
    summarise,
    verdict,
)
from .evaluation.objective import Objective
from .evaluation.regret import regret
from .evaluation.report import standing
from .evaluation.rivals import (
    RIVAL_GRIDS,
    VENDOR_GRIDS,
    CalibratedRule,
    calibrate_rule,
    save_calibrated_rules,
    tuned_rule,
)
from .evaluation.simulation import Trajectory, served_within, simulate
from .evaluation.statistics import Interval, mean_interval
from .paths import Folders
from .policies.aws import Alarms, AwsStepScaling, AwsTargetTracking
from .policies.base import ForeignPolicy, Policy
from .policies.behaviour import Behaviour
from .policies.forecast import Forecast
from .policies.knative import Kpa
from .policies.kubernetes import HpaCpu, HpaDemand
from .policies.oracle import Optimum
from .policies.q_learning import QTable
from .policies.registry import find_policies, find_policy, rivals_on
from .policies.rules import RULES, Random, Static, TargetTracking, Threshold
from .policies.schedule import Scheduled, read_schedule
from .service import Service
from .storage.models import load_policy, read_description, save_q_table
from .study.analysis import read_curves
from .traffic.generated import GeneratedDays
from .traffic.patterns import MIXED, PATTERNS, Pattern, Workload, day_seeds
from .traffic.presets import LLM_SERVICE, WEB_SERVICE, LlmDays, WebDays
from .traffic.trace import Trace
from .training.checkpoint import Trained
from .training.config import TrainingConfig
from .training.deep import build_learner
from .training.lab import try_values
from .training.objective import rule_that_keeps, train_to_keep
from .training.presets import PRESETS, QLearningPreset
from .training.train import obtain, train, train_own

__version__: str
__all__ = [
    "LLM_SERVICE",
    "MEAN",
    "MIXED",
    "PATTERNS",
    "PRESETS",
    "RIVAL_GRIDS",
    "RULES",
    "VENDOR_GRIDS",
    "WEB_SERVICE",
    "Alarms",
    "Autoscaler",
    "AutoscalerEnv",
    "AutoscalerVecEnv",
    "AutoscalerVectorEnv",
    "AwsStepScaling",
    "AwsTargetTracking",
    "Behaviour",
    "CalibratedRule",
    "Calibration",
    "Folders",
    "Forecast",
    "ForeignPolicy",
    "GeneratedDays",
    "HpaCpu",
    "HpaDemand",
    "Interval",
    "Kpa",
    "LlmDays",
    "Objective",
    "Optimum",
    "Pattern",
    "Policy",
    "QLearningPreset",
    "QTable",
    "Random",
    "Scheduled",
    "Service",
    "Static",
    "TargetTracking",
    "Threshold",
    "Trace",
    "Trained",
    "TrainingConfig",
    "Trajectory",
    "WebDays",
    "Workload",
    "__version__",
    "advise",
    "available_devices",
    "aws_from_policy",
    "build_learner",
    "calibrate",
    "calibrate_rule",
    "calibrated_rule",
    "calibration_grid",
    "choose_device",
    "compare_policies",
    "day_seeds",
    "evaluate",
    "evaluate_patterns",
    "find_policies",
    "find_policy",
    "forecast_from_promql",
    "hpa_from_manifest",
    "kpa_from_annotations",
    "load_policy",
    "lower_bounds",
    "mean_interval",
    "mean_over_patterns",
    "measure",
    "obtain",
    "read_curves",
    "read_description",
    "read_schedule",
    "regret",
    "rivals_on",
    "rule_that_keeps",
    "save_calibrated_rules",
    "save_calibrations",
    "save_evaluation",
    "save_q_table",
    "savings",
    "served_within",
    "simulate",
    "standing",
    "summarise",
    "train",
    "train_own",
    "train_to_keep",
    "try_values",
    "tuned_rule",
    "verdict",
]
