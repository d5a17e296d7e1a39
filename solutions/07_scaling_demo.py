# %% 07.1
answer_1 = -(-2_000 // service.capacity_per_instance)

# %% 07.2
# The demand grows by three instances a step, the fleet by one.
answer_2 = 10 * (261 // 87 - 1)

# %% 07.3
(rule_session,) = [session for session in sessions if session.name == "threshold"]
answer_3 = rule_session.history["action"].count(service.hold)


# %% 07.4
def first_order(need, fleet, boot_steps):
    """Return how many steps before, for one order a step: the last one boots, the others go out before it."""
    missing = need - fleet
    return missing - 1 + boot_steps if missing > 0 else 0


answer_4 = first_order

# %% 07.5
from autoscaler_env.policies.base import decode, step_toward


class Reserve:
    """A rule that wants as many instances as the demand needs, and six more."""

    def __init__(self, service):
        self.service = service

    def reset(self, days):
        """Do nothing: the rule has no memory."""

    def predict(self, observations):
        """Return actions, shape (n,)."""
        counts = decode(observations, self.service)
        wanted = np.ceil((counts.arrivals + counts.queue) / self.service.capacity_per_instance) + 6
        return step_toward(wanted, counts.ready + counts.booting, self.service)


answer_5 = Reserve
