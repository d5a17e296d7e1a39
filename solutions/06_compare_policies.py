# %% 06.1
answer_1 = saved.loc["target-tracking-per-pattern", "saving"].drop(MEAN).idxmax()

# %% 06.2
mean_items = summary.xs(MEAN, level="pattern")
answer_2 = (mean_items["cost"] + 9 * mean_items["drop_cost"]).idxmin()

# %% 06.3
with_actions = (summary["cost"] + 0.01 * summary["scaling_actions"]).xs(MEAN, level="pattern")
answer_3 = round(with_actions["target-tracking-mixed"] - with_actions["ppo_mixed"], 1)
