# %% 12.1
def answer_1(chances, outcomes):
    """Return the lowest expected cost of an action that is chosen before the arrivals come."""
    return (chances @ outcomes.T).min(axis=1)


# %% 12.2
# A constant that is added to all costs changes nothing: the probabilities add up to 1.
def answer_2(preferences, costs):
    """Return the derivatives of the expected cost of a softmax policy by its preferences."""
    probabilities = np.exp(preferences - preferences.max())
    probabilities /= probabilities.sum()
    return probabilities * (costs - probabilities @ costs)


# %% 12.3
# Market and customers do not react. The other program's moves answer ours, and visitors react to our instances.
answer_3 = ["a", "d"]
