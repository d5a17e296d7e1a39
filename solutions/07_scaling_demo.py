# %% 07.1
answer_1 = -(-2_000 // service.capacity_per_instance)

# %% 07.2
# The demand grows by three instances a step, the fleet by one.
answer_2 = 10 * (261 // 87 - 1)

# %% 07.3
from autoscaler_env.policies.base import decode, step_toward


class Answer:
    """A rule that wants as many instances as the demand needs, and one more."""

    def __init__(self, service):
        self.service = service

    def reset(self, days):
        """Do nothing: the rule has no memory."""

    def predict(self, observations):
        """Return actions, shape (n,)."""
        counts = decode(observations, self.service)
        wanted = np.ceil((counts.arrivals + counts.queue) / self.service.capacity_per_instance) + 1
        return step_toward(wanted, counts.ready + counts.booting, self.service)


answer_3 = Answer
