"""Fixtures that several test modules share: services of many shapes, and ways to play days by hand."""

import signal

import gymnasium
import numpy as np
import pytest
from cases import SERVICES
from clusters import running_cluster

from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.service import Service


def pytest_configure():
    """Restore the handler of Ctrl-C, which a shell ignores for jobs in the background: some tests send it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Return the address of a scheduler with two workers."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as address:
        yield address


@pytest.fixture(params=SERVICES)
def any_service(request):
    """Return one of several services; the test runs on each of them."""
    return SERVICES[request.param]


class Script:
    """A policy that plays actions written down beforehand, shape (n, steps)."""

    name = "script"

    def __init__(self, actions):
        self._actions = np.asarray(actions)
        self._step = 0

    def reset(self, days):
        self._step = 0

    def predict(self, observations):
        self._step += 1
        return self._actions[:, self._step - 1]


@pytest.fixture
def script():
    """Return the class of scripted policies."""
    return Script


@pytest.fixture
def play():
    """Return a function that plays one day of a small service; each column of the result has shape (steps,)."""

    def play_day(arrivals, changes, **sizes):
        small = {"capacity_per_instance": 10, "min_instances": 2, "max_instances": 5, "initial_instances": 3}
        service = Service(**small | {"queue_limit": 20, "steps_per_episode": len(arrivals)} | sizes)
        actions = [[service.fleet_changes.index(change) for change in changes]]
        trajectory = simulate(Script(actions), np.array([arrivals]), service)
        names = ("ready", "booting", "queue", "served", "dropped", "scaled", "refused", "cost")
        return {name: getattr(trajectory, name)[0].tolist() for name in names}

    return play_day


@pytest.fixture
def random_trajectory(script):
    """Return a function that plays random actions on days of random length and shape, far beyond the peak at times."""

    def play_days(service, days=20, seed=0):
        rng = np.random.default_rng(seed)
        shape = (days, service.steps_per_episode)
        typical = rng.poisson(rng.uniform(0, service.peak_arrivals, (days, 1)), shape)
        arrivals = typical * rng.choice([0, 1, 1, 1, 4], shape)
        weights = rng.dirichlet(np.ones(len(service.fleet_changes)))  # leaning one way, so that both limits are met
        return simulate(script(rng.choice(len(weights), shape, p=weights)), arrivals, service)

    return play_days


@pytest.fixture
def play_env():
    """Return a function that plays one day in an environment: observations, rewards, infos, one of each per step."""

    def play_day(env, actions, **options):
        first, _ = env.reset(options=options or None)
        observations, rewards, infos = [first], [], []
        for action in actions:
            observation, reward, _, _, info = env.step(action)
            observations.append(observation)
            rewards.append(reward)
            infos.append(info)
        return np.array(observations), np.array(rewards), infos

    return play_day


@pytest.fixture(autouse=True)
def quiet_gymnasium(monkeypatch):
    """Let no test change gymnasium's log level for the next."""
    monkeypatch.setattr(gymnasium.logger, "min_level", gymnasium.logger.min_level)
