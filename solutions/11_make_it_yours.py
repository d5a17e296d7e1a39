# %% 11.1
class Sale:
    name = "sale"

    def __init__(self, service):
        self.steps = service.steps_per_episode

    def draw(self, seeds):
        # A generator of its own for each seed: a day does not depend on the days beside it.
        return np.stack([self.day(np.random.default_rng(int(seed))) for seed in seeds])

    def evaluation_days(self, episodes):
        return self.draw(day_seeds("evaluation", episodes))

    def day(self, rng):
        mean = np.full(self.steps, 1_000)
        begin = rng.integers(24, 240)
        mean[begin : begin + 24] = 3_000
        return rng.poisson(mean)


answer_1 = Sale


# %% 11.2
class Trend:
    name = "trend"

    def __init__(self, service):
        self.service = service

    def reset(self, days):
        pass

    def predict(self, observations):
        counts = decode(observations, self.service)
        expected = counts.arrivals + counts.queue + self.service.boot_steps * counts.change
        wanted = np.ceil(expected / self.service.capacity_per_instance) + 1
        return step_toward(wanted, counts.ready + counts.booting, self.service)


answer_2 = Trend


# %% 11.3
answer_3 = dear.instance_price / dear.late_price


# %% 11.4
from autoscaler_env import LLM_SERVICE, LlmDays, served_within

llm_days, reserve, in_time = LlmDays(LLM_SERVICE).evaluation_days(7), -1, 0.0
while in_time < 0.99:
    reserve += 1
    played = simulate(TargetTracking(LLM_SERVICE, 1.0, reserve), llm_days, LLM_SERVICE)
    in_time = served_within(played, 60).sum() / llm_days.sum()

answer_4 = reserve


# %% 11.5
class Sleeper:
    """Sleep after ten steps without demand; wake up when requests wait."""

    name = "sleeper"

    def __init__(self, service):
        self.service = service

    def reset(self, days):
        self.idle = 0

    def predict(self, observations):
        counts = decode(observations, self.service)
        demand = counts.arrivals + counts.queue
        self.idle = np.where(demand == 0, self.idle + 1, 0)
        needed = np.ceil(demand / (0.75 * self.service.capacity_per_instance))
        wanted = np.where(self.idle < 10, np.maximum(needed, 1), needed)
        return step_toward(wanted, counts.ready + counts.booting, self.service)


answer_5 = Sleeper


# %% 11.6
class CrowdReserve:
    """Recognise a day of flash crowds in its first hour: steady arrivals at 1,740 with noise. Keep a reserve then."""

    name = "crowd-reserve"

    def __init__(self, service):
        self.service = service

    def reset(self, days):
        self.seen = []

    def predict(self, observations):
        self.seen.append(decode(observations, self.service).arrivals)
        first = np.array(self.seen[:12])
        level, noise = first.mean(axis=0), first.std(axis=0)
        crowds = (abs(level / 1_740 - 1) < 0.03) & (noise > 0.01 * level)
        target, reserve = np.where(crowds, 1.23, 1.02), np.where(crowds, 12.0, 1.0)
        return TargetTracking(self.service, target, reserve).predict(observations)


answer_6 = CrowdReserve


# %% 11.7
from autoscaler_env import train


class TicketSale:
    """Crowds that announce themselves: before a sale opens, nobody buys for an hour. Rules shrink the fleet then."""

    name = "ticket-sale"

    def __init__(self, service):
        self.steps = service.steps_per_episode

    def draw(self, seeds):
        return np.stack([self.day(np.random.default_rng(int(seed))) for seed in seeds])

    def evaluation_days(self, episodes):
        return self.draw(day_seeds("evaluation", episodes))

    def day(self, rng):
        mean, begin = np.full(self.steps, 800), rng.integers(6, 48)
        while begin + 21 < self.steps:
            mean[begin : begin + 12] = 100
            mean[begin + 12 : begin + 21] = 2_500
            begin += 21 + rng.integers(24, 72)
        return rng.poisson(mean)


answer_7 = TicketSale
# Half more than the usual timesteps: with 100,000 some seeds do not learn what the calm hour announces.
config = TrainingConfig("ppo", TicketSale(service), seed=seed, timesteps=150_000)
answer_7.learner = train(config, Folders(folders.root / "ticket-sale"), progress=False).policy


# %% 11.8
class Ahead:
    """The policy of exercise 2. Looking ahead pays most where an instance takes an hour to boot."""

    name = "ahead"

    def __init__(self, service):
        self.service = service

    def reset(self, days):
        pass

    def predict(self, observations):
        counts = decode(observations, self.service)
        expected = counts.arrivals + counts.queue + self.service.boot_steps * counts.change
        wanted = np.ceil(expected / self.service.capacity_per_instance) + 1
        return step_toward(wanted, counts.ready + counts.booting, self.service)


answer_8 = Ahead
answer_8.changes = {"boot_steps": 12}
