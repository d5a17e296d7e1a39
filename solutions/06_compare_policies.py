# %% 06.1
mean_items = summary.xs(MEAN, level="pattern")
answer_1 = (mean_items["cost"] + 9 * mean_items["drop_cost"]).idxmin()

# %% 06.2
with_actions = (summary["cost"] + 0.01 * summary["scaling_actions"]).xs(MEAN, level="pattern")
answer_2 = round(with_actions["target-tracking-mixed"] - with_actions["ppo_mixed"], 1)


# %% 06.3
def answer_3(cost, following, start):
    """Return the least that a day costs: from its end back to its beginning."""
    rest = np.zeros(len(following))
    for step in cost[::-1]:
        rest = (step + rest[following]).min(axis=1)
    return rest[start]


# %% 06.4
from scipy import stats


def answer_4(ours, theirs):
    """Return both ends of Student's interval of the paired difference."""
    difference, n = ours - theirs, len(ours)
    half = stats.t.ppf(0.975, n - 1) * difference.std(ddof=1) / n**0.5
    return difference.mean() - half, difference.mean() + half
