# %% 02.1
answer_1 = np.ceil((2_000 + 300) / (87 * 0.9) + 2)

# %% 02.2
# About six late requests now cost as much as one instance, so more instances are cheaper.
answer_2 = "more"


# %% 02.3
def answer_3(arrivals, queue, capacity, target, reserve):
    """Return how many instances target tracking wants."""
    return np.ceil((arrivals + queue) / (capacity * target) + reserve)


# %% 02.4
class Band:
    """Keep the work of one to three instances to spare."""

    name = "band"

    def reset(self, days):
        """Do nothing: the rule has no memory."""

    def predict(self, observations):
        """Return an action for each service."""
        spare = observations[:, 6] * service.spare_capacity_scale / service.capacity_per_instance
        return np.where(spare < 1, 2, np.where(spare > 3, 0, 1))


answer_4 = Band


# %% 02.5
# It follows the demand as target tracking does: a narrower band than that of exercise 4.
class Close:
    """Keep the work of one to two instances to spare."""

    name = "close"

    def reset(self, days):
        """Do nothing: the rule has no memory."""

    def predict(self, observations):
        """Return an action for each service."""
        spare = observations[:, 6] * service.spare_capacity_scale / service.capacity_per_instance
        return np.where(spare < 1, 2, np.where(spare > 2, 0, 1))


answer_5 = Close
