"""The public names, and the module that each comes from."""

from . import study
from .advice import plot_cost_and_service, plot_worst_day
from .alt import describe
from .animation import show_animation
from .comparison import (
    plot_calibration,
    plot_cost_items,
    plot_cost_spread,
    plot_costs,
    plot_operating_regions,
    plot_savings,
    plot_scaling_actions,
    plot_variants,
)
from .days import plot_day, plot_patterns, plot_side_by_side
from .learning import (
    plot_clipped_objective,
    plot_learning_curves,
    plot_q_policy,
    plot_reward_spread,
    plot_tried_values,
    plot_update_times,
)
from .limits import frontier, plot_branches, plot_decisions, plot_frontier, plot_losses
from .loop import plot_loop
from .meters import BY_HAND, plot_rankings, plot_readings
from .study import (
    plot_matrix,
    plot_ppo_against_rules,
    plot_regret,
    plot_sample_sizes,
    plot_seeds,
    plot_split,
    plot_traces,
)
from .style import colour_of, png_of, save_figure

__all__ = [
    "BY_HAND",
    "colour_of",
    "describe",
    "frontier",
    "plot_branches",
    "plot_calibration",
    "plot_clipped_objective",
    "plot_cost_and_service",
    "plot_cost_items",
    "plot_cost_spread",
    "plot_costs",
    "plot_day",
    "plot_decisions",
    "plot_frontier",
    "plot_learning_curves",
    "plot_loop",
    "plot_losses",
    "plot_matrix",
    "plot_operating_regions",
    "plot_patterns",
    "plot_ppo_against_rules",
    "plot_q_policy",
    "plot_rankings",
    "plot_readings",
    "plot_regret",
    "plot_reward_spread",
    "plot_sample_sizes",
    "plot_savings",
    "plot_scaling_actions",
    "plot_seeds",
    "plot_side_by_side",
    "plot_split",
    "plot_traces",
    "plot_tried_values",
    "plot_update_times",
    "plot_variants",
    "plot_worst_day",
    "png_of",
    "save_figure",
    "show_animation",
    "study",
]
