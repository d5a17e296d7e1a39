# %% 05.1
answer_1 = min(1.5 * 2, (1 + 0.2) * 2)

# %% 05.2
steps = preset.environments * preset.settings["n_steps"]
answer_2 = preset.settings["n_epochs"] * -(-steps // preset.batch_size)


# %% 05.3
def step(preference, arm, advantage, rate):
    probability = np.exp(preference) / np.exp(preference).sum()
    return preference + rate * advantage * (np.eye(len(preference))[arm] - probability)


answer_3 = step


# %% 05.4
def advantages(reward, value, ended, last_value, discount, gae_lambda):
    advantage = np.zeros_like(reward)
    next_value, next_advantage = last_value, 0
    for t in reversed(range(len(reward))):
        goes_on = 1 - ended[t]
        td_error = reward[t] + discount * goes_on * next_value - value[t]
        advantage[t] = td_error + discount * gae_lambda * goes_on * next_advantage
        next_value, next_advantage = value[t], advantage[t]
    return advantage


answer_4 = advantages


# %% 05.5
def loss(ratio, advantage, clip_range):
    clipped = np.clip(ratio, 1 - clip_range, 1 + clip_range)
    return -np.minimum(ratio * advantage, clipped * advantage).mean()


answer_5 = loss


# %% 05.6
def entropy(logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -(np.exp(log_p) * log_p).sum(axis=1).mean()


answer_6 = entropy


# %% 05.7
def batches(n, size, rng):
    return rng.permutation(n).reshape(-1, size)


answer_7 = batches


# %% 05.8
def is_flat(ratio, advantage, clip_range):
    too_likely = (advantage > 0) & (ratio > 1 + clip_range)
    too_rare = (advantage < 0) & (ratio < 1 - clip_range)
    return (too_likely | too_rare).astype(int)


answer_8 = is_flat
