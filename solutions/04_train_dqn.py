# %% 04.1
# The clock truncates the day but does not end the task: the best of the next values counts as in any other step.
answer_1 = -0.4 + 0.9 * max(-3.0, -2.5, -4.0)

# %% 04.2
answer_2 = preset.settings["buffer_size"] // 288


# %% 04.3
def td_target(reward, next_values, terminated, truncated, discount):
    # `truncated` is not used: the service goes on after midnight.
    return reward + discount * (1 - terminated) * next_values.max(axis=1)


answer_3 = td_target


# %% 04.4
def epsilon_at(turn, turns, first, last, share):
    progress = min(turn / (share * turns), 1)
    return first + progress * (last - first)


answer_4 = epsilon_at


# %% 04.5
def refresh(weights, target_weights, update, interval):
    # A copy: the optimizer changes the weights in place.
    return weights.copy() if update % interval == 0 else target_weights


answer_5 = refresh


# %% 04.6
def sample(added, size, n, rng):
    return rng.integers(min(added, size), size=n)


answer_6 = sample


# %% 04.7
def double_target(reward, next_values, next_target_values, discount):
    best = next_values.argmax(axis=1)
    return reward + discount * next_target_values[np.arange(len(best)), best]


answer_7 = double_target
