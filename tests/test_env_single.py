"""The scalar environment: its contract with gymnasium, and the faults that checkers miss."""

import copy
import pickle
import re
import warnings

import gymnasium
import numpy as np
import pytest
import stable_baselines3.common.env_checker
from cases import cases, every_service
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import TimeAwareObservation

from autoscaler_env.dynamics import LARGEST_COUNT
from autoscaler_env.envs.single import AutoscalerEnv, check_days
from autoscaler_env.envs.vector import AutoscalerVectorEnv
from autoscaler_env.policies.base import decode
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Pattern, purpose_of
from autoscaler_env.traffic.trace import Trace

SHORT = Service(steps_per_episode=5)
LEANING = {  # probabilities that lead to the limits of the fleet, by the changes that actions ask for
    (-1, 0, 1): (0.9, 0.0, 0.1),
    (-5, -1, 0, 1, 5): (0.4, 0.4, 0.0, 0.1, 0.1),
    (2, 0, -3): (0.5, 0.0, 0.5),
    (-2, -1, 0, 1, 3): (0.3, 0.3, 0.0, 0.2, 0.2),
    (-1, 0, 2): (0.7, 0.0, 0.3),
}


def extreme_trace(steps):
    """Return days on which nothing and far too much arrive by turns."""
    days = np.zeros((4, steps), dtype=np.int64)
    days[:, ::3] = LARGEST_COUNT
    days[1] = LARGEST_COUNT
    return Trace("extreme", days)


# --- contract --------------------------------------------------------------------------------------------------------


@cases("pattern", [*PATTERNS, MIXED])
def test_gymnasium_checker_is_silent(pattern):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make("Autoscaler-v0", pattern=pattern).unwrapped)


@every_service
def test_stable_baselines3_checker_is_silent(any_service):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stable_baselines3.common.env_checker.check_env(AutoscalerEnv("MIXED", any_service))


@every_service
def test_gymnasium_checker_is_silent_for_other_services(any_service):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(AutoscalerEnv("MIXED", any_service), skip_render_check=True)


def test_make_returns_the_environment_without_wrappers():
    env = gymnasium.make("Autoscaler-v0", pattern="SPIKE", service=SHORT)
    assert env is env.unwrapped and env.workload.name == "SPIKE" and env.service == SHORT


def test_default_pattern_is_mixed():
    assert AutoscalerEnv().workload.name == MIXED


def test_docstring_table_states_the_bounds_of_the_observation_space():
    rows = re.findall(r"\| (\d) \| (\w+) \|[^|]*\| (-?\d) \| (-?\d) \|", AutoscalerEnv.__doc__)
    space = AutoscalerEnv().observation_space
    assert [int(index) for index, *_ in rows] == list(range(7))
    assert [float(low) for *_, low, _ in rows] == space.low.tolist()
    assert [float(high) for *_, high in rows] == space.high.tolist()


def test_docstring_table_names_the_quantities_that_decode_returns():
    rows = re.findall(r"^ *\| (\d) \| (\w+) \|", AutoscalerEnv.__doc__, re.MULTILINE)
    assert tuple(name for _, name in rows) == type(decode(np.zeros((1, 7), dtype=np.float32), Service()))._fields


def test_docstring_table_states_the_scales(play_env):
    # 40 arrivals on 3 x 10: 3 ready of 5, utilisation 1, 10 of 20 wait, arrivals and change 40 of 2 x 50,
    # spare capacity -10 of 70
    service = Service(
        steps_per_episode=2,
        capacity_per_instance=10,
        max_instances=5,
        initial_instances=3,
        queue_limit=20,
        peak_arrivals=50,
    )
    observations, _, _ = play_env(AutoscalerEnv("STEADY", service), [1, 2], day=[0, 40])
    expected = [3 / 5, 1 / 5, 1, 10 / 20, 40 / 100, 40 / 100, (40 - 40 - 10) / 70]
    assert observations[2] == pytest.approx(np.array(expected, dtype=np.float32), abs=1e-7)


def test_observation_space_is_float32_of_seven():
    space = AutoscalerEnv().observation_space
    assert space.shape == (7,) and space.dtype == np.float32


@every_service
def test_there_is_one_action_for_each_fleet_change(any_service):
    assert AutoscalerEnv("MIXED", any_service).action_space.n == len(any_service.fleet_changes)


@cases("wrong", [-1, 3, 1.5, "1", None, np.float64(1), np.array([1, 1])])
def test_an_action_out_of_range_is_refused(wrong):
    env = AutoscalerEnv(service=SHORT)
    env.reset(seed=0)
    with pytest.raises((ValueError, TypeError)):
        env.step(wrong)


@cases("wrong", [-1, 3, 10**6])
def test_refusing_an_action_names_value_and_range(wrong):
    env = AutoscalerEnv(service=SHORT)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=f"action = {wrong}.*0 to 2"):
        env.step(wrong)


@cases("wrong", [-1, 3, 1.5])
def test_a_refused_step_moves_nothing(wrong):
    day = {"day": [1000, 2000, 3000, 4000, 5000]}
    env, twin = AutoscalerEnv(service=SHORT), AutoscalerEnv(service=SHORT)
    env.reset(options=day)
    twin.reset(options=day)
    with pytest.raises((ValueError, TypeError)):
        env.step(wrong)
    assert env.step(2)[4] == twin.step(2)[4]


@cases("action", [2, np.int64(2), np.int32(2), np.uint8(2), np.array(2)])
def test_actions_of_any_integer_type_are_accepted(action):
    env = AutoscalerEnv(service=SHORT)
    env.reset(seed=0)
    assert env.step(action)[4]["booting"] == 1


def test_step_before_reset_is_refused():
    with pytest.raises(RuntimeError, match="reset"):
        AutoscalerEnv().step(1)


def test_step_after_the_end_is_refused():
    env = AutoscalerEnv(service=SHORT)
    env.reset(seed=0)
    for _ in range(5):
        env.step(1)
    with pytest.raises(RuntimeError, match="reset"):
        env.step(1)


def test_unknown_pattern_is_refused():
    with pytest.raises(ValueError, match=r"pattern = 'NOISE'.*STEADY.*MIXED"):
        gymnasium.make("Autoscaler-v0", pattern="NOISE")


@cases("options", [{"days": 1}, {"day_seed": 1, "x": 2}, {"day_seed": 1, "day": [0] * 5}])
def test_unknown_option_is_refused(options):
    with pytest.raises(ValueError, match="options"):
        AutoscalerEnv(service=SHORT).reset(options=options)


@cases("seed", [-1, 2**64])
def test_day_seed_out_of_range_is_refused_by_name(seed):
    with pytest.raises(ValueError, match=f"day_seed.*{seed}"):
        AutoscalerEnv(service=SHORT).reset(options={"day_seed": seed})


@cases("seed", [1.5, "7"])
def test_day_seed_that_is_no_integer_is_refused(seed):
    with pytest.raises((ValueError, TypeError)):
        AutoscalerEnv(service=SHORT).reset(options={"day_seed": seed})


@cases("day", [[1] * 4, [1] * 6, [], 7, [[1] * 5], [1, 2, 3, 4, -1], [0.5] * 5, ["1"] * 5])
def test_a_day_that_does_not_fit_is_refused(day):
    with pytest.raises(ValueError, match="day"):
        AutoscalerEnv(service=SHORT).reset(options={"day": day})


def test_a_workload_whose_days_have_another_length_is_refused():
    with pytest.raises(ValueError, match=r"days|steps"):
        AutoscalerEnv(extreme_trace(steps=7), SHORT).reset(seed=0)


def test_unsigned_arrivals_beyond_int64_are_refused():
    with pytest.raises(ValueError, match="days"):
        check_days(np.full((1, 5), 2**63, dtype=np.uint64), SHORT)


def test_unknown_render_mode_is_refused():
    with pytest.raises(ValueError, match=r"render_mode = 'human': .* need the extra: pip .*smart-autoscaler\[video\]"):
        AutoscalerEnv(render_mode="human")


@every_service
def test_a_day_is_truncated_only_at_its_last_step_and_never_terminated(any_service):
    env = AutoscalerEnv("SPIKE", any_service)
    env.reset(seed=0)
    endings = [env.step(0)[2:4] for _ in range(any_service.steps_per_episode)]
    assert endings == [(False, False)] * (any_service.steps_per_episode - 1) + [(False, True)]


def test_an_episode_may_be_one_step_long():
    env = AutoscalerEnv(service=Service(steps_per_episode=1))
    env.reset(seed=0)
    assert env.step(1)[3]


def test_a_made_environment_knows_the_length_of_its_episodes():
    env = gymnasium.make("Autoscaler-v0", service=SHORT)
    assert env.spec.max_episode_steps == 5 and gymnasium.spec("Autoscaler-v0").max_episode_steps is None
    assert gymnasium.make("Autoscaler-v0").spec.max_episode_steps == 288 and AutoscalerEnv().spec is None
    assert pickle.loads(pickle.dumps(env)).spec == env.spec


def test_gymnasium_s_wrapper_that_shows_the_time_works():
    env = TimeAwareObservation(gymnasium.make("Autoscaler-v0", service=SHORT), normalize_time=True)
    first, _ = env.reset(seed=0)
    times = [env.step(1)[0][-1] for _ in range(5)]
    assert first[-1] == 0 and times == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


@every_service
def test_action_masks_are_true_where_the_step_does_not_refuse(any_service):
    rng = np.random.default_rng(0)
    env = AutoscalerEnv("SPIKE", any_service)
    env.reset(seed=0)
    seen = set()
    for _ in range(min(any_service.steps_per_episode, 90)):
        masks = env.action_masks()
        for action, allowed in enumerate(masks):
            assert copy.deepcopy(env).step(action)[4]["refused"] == (not allowed)
        seen.add(tuple(masks.tolist()))
        env.step(rng.choice(len(masks), p=LEANING[any_service.fleet_changes]))
    assert masks.shape == (len(any_service.fleet_changes),) and masks.dtype == np.bool_ and len(seen) > 1


# --- the observation -------------------------------------------------------------------------------------------------


def test_first_observation_shows_the_first_arrivals_with_change_zero():
    env = AutoscalerEnv(service=SHORT)
    observation, _ = env.reset(options={"day": [1740, 9, 9, 9, 9]})
    counts = [column[0] for column in decode(observation[np.newaxis], SHORT)]
    # 1,740 requests on 25 x 87 = 2,175: utilisation 0.8, spare capacity 435
    assert counts == pytest.approx([25, 0, 0.8, 0, 1740, 0, 435], abs=1e-7)


def test_first_utilisation_is_full_when_the_first_arrivals_exceed_the_capacity():
    observation, _ = AutoscalerEnv(service=SHORT).reset(options={"day": [4000, 9, 9, 9, 9]})
    assert observation[2] == 1 and observation[3] == 0


def test_second_observation_shows_the_first_step_again_with_change_zero():
    env = AutoscalerEnv(service=SHORT)
    env.reset(options={"day": [1740, 9, 9, 9, 9]})
    observation = env.step(1)[0]
    assert decode(observation[np.newaxis], SHORT).arrivals == 1740 and observation[5] == 0


def test_observation_shows_the_step_that_just_ended(play_env):
    observations, _, _ = play_env(AutoscalerEnv(service=SHORT), [1] * 5, day=[100, 300, 200, 200, 0])
    counts = decode(observations, SHORT)
    assert counts.arrivals.tolist() == [100, 100, 300, 200, 200, 0]
    assert counts.change.tolist() == [0, 0, 200, -100, 0, -200]


def test_arrivals_are_clipped_in_the_observation_and_not_in_the_service():
    env = AutoscalerEnv(service=SHORT)
    env.reset(options={"day": [0, 100_000, 0, 0, 0]})
    env.step(1)
    observation, _, _, _, info = env.step(1)
    assert info["arrivals"] == 100_000 and info["dropped"] == 100_000 - 25 * 87 - 4350
    assert observation[4:].tolist() == [1, 1, -1]


@every_service
def test_decode_recovers_the_counts_exactly(any_service, play_env):
    rng = np.random.default_rng(0)
    env = AutoscalerEnv("MIXED", any_service)
    env.reset(seed=1)
    for _ in range(4):
        actions = rng.integers(env.action_space.n, size=any_service.steps_per_episode)
        observations, _, infos = play_env(env, actions)
        counts = decode(observations[1:], any_service)
        for name, seen in {"ready": "ready", "booting": "booting", "queue": "queue", "arrivals": "arrivals"}.items():
            assert getattr(counts, name).tolist() == [min(i[seen], any_service.arrivals_scale) for i in infos]


@every_service
def test_decode_recovers_change_and_spare_capacity_exactly(any_service, play_env):
    env = AutoscalerEnv("SINUSOIDAL", any_service)
    env.reset(seed=1)
    observations, _, infos = play_env(env, [any_service.hold] * any_service.steps_per_episode)
    counts = decode(observations, any_service)
    fleet = np.array([info["ready"] + info["booting"] for info in infos])
    arrivals = np.array([info["arrivals"] for info in infos])
    queue = np.array([info["queue"] for info in infos])
    spare_capacity = any_service.capacity_per_instance * fleet - arrivals - queue
    assert counts.change[2:].tolist() == np.diff(arrivals).tolist()
    assert counts.spare_capacity[1:].tolist() == np.maximum(spare_capacity, -any_service.spare_capacity_scale).tolist()


def test_decode_recovers_every_queue():
    observations = np.zeros((4351, 7), dtype=np.float32)
    observations[:, 3] = np.arange(4351) / 4350
    assert np.array_equal(decode(observations, Service()).queue, np.arange(4351))


def test_decode_recovers_all_counts_of_the_largest_allowed_scale():
    service = Service(peak_arrivals=2**23 - 1)
    counts = np.arange(2**24 - 200_000, 2**24 - 1)
    observations = np.zeros((len(counts), 7), dtype=np.float32)
    observations[:, 4] = counts / service.arrivals_scale
    assert np.array_equal(decode(observations, service).arrivals, counts)


# --- faults that checkers miss ---------------------------------------------------------------------------------------


@cases("pattern", [*PATTERNS, MIXED, "extreme"])
@every_service
def test_observations_never_leave_their_space(pattern, any_service):
    workload = extreme_trace(any_service.steps_per_episode) if pattern == "extreme" else pattern
    envs = AutoscalerVectorEnv(32, workload, any_service)
    rng = np.random.default_rng(0)
    observations, _ = envs.reset(seed=0)
    for step in range(3 * any_service.steps_per_episode):
        leaning = rng.integers(len(any_service.fleet_changes), size=32)
        leaning[:8] = step // any_service.steps_per_episode % len(any_service.fleet_changes)
        assert envs.observation_space.contains(observations)
        observations = envs.step(leaning)[0]


@every_service
def test_scalar_observations_never_leave_their_space(any_service):
    env = AutoscalerEnv(extreme_trace(any_service.steps_per_episode), any_service)
    rng = np.random.default_rng(0)
    for _ in range(5):
        observation, _ = env.reset()
        truncated = False
        while not truncated:
            assert env.observation_space.contains(observation)
            observation, _, _, truncated, _ = env.step(rng.integers(env.action_space.n))


@cases("steps_before", [1, 3, 97])
@every_service
def test_no_state_survives_a_reset(any_service, play_env, steps_before):
    steps = any_service.steps_per_episode
    used, fresh = (AutoscalerEnv("SPIKE", any_service) for _ in range(2))
    most = int(np.argmax(any_service.fleet_changes))
    used.reset(options={"day": np.full(steps, 9 * any_service.peak_arrivals)})
    for _ in range(min(steps_before, steps)):
        used.step(most)
    actions = np.random.default_rng(0).integers(used.action_space.n, size=steps)
    again, new = (play_env(env, actions, day_seed=5) for env in (used, fresh))
    assert np.array_equal(again[0], new[0]) and np.array_equal(again[1], new[1]) and again[2] == new[2]


def test_earlier_observations_are_not_overwritten():
    env = AutoscalerEnv("RANDOM")
    returned = [env.reset(seed=0)[0]]
    copies = [returned[0].copy()]
    for _ in range(50):
        returned.append(env.step(2)[0])
        copies.append(returned[-1].copy())
    assert np.array_equal(returned, copies)


def test_a_given_day_is_copied():
    day = np.arange(5)
    env = AutoscalerEnv(service=SHORT)
    env.reset(options={"day": day})
    day[:] = 999
    assert [env.step(1)[4]["arrivals"] for _ in range(5)] == [0, 1, 2, 3, 4]


# --- seeds and money -------------------------------------------------------------------------------------------------


@cases("pattern", [*PATTERNS, MIXED])
def test_equal_seeds_give_equal_trajectories_and_others_do_not(pattern, play_env):
    def rewards(seed):
        env = AutoscalerEnv(pattern)
        env.reset(seed=seed)
        return [play_env(env, [1] * 288)[1].tolist() for _ in range(2)]

    assert rewards(1) == rewards(1) and rewards(1) != rewards(2)


def test_resets_without_a_seed_go_on_to_new_days():
    env = AutoscalerEnv("STEADY")
    seeds = [env.reset(seed=3)[1]["day_seed"]] + [env.reset()[1]["day_seed"] for _ in range(20)]
    assert len(set(seeds)) == 21


def test_days_drawn_by_the_environment_are_training_days():
    env = AutoscalerEnv("STEADY")
    assert {purpose_of(env.reset(seed=seed)[1]["day_seed"]) for seed in range(50)} == {"training"}


def test_a_day_seed_replays_its_day(play_env):
    env = AutoscalerEnv(MIXED)
    day_seed = env.reset(seed=11)[1]["day_seed"]
    arrivals = [env.step(1)[4]["arrivals"] for _ in range(288)]
    assert [info["arrivals"] for info in play_env(env, [1] * 288, day_seed=day_seed)[2]] == arrivals


def test_a_given_day_has_no_seed():
    assert AutoscalerEnv(service=SHORT).reset(options={"day": [1] * 5})[1] == {"day_seed": None}


@every_service
def test_reward_is_minus_the_sum_of_the_costs_items(any_service, play_env):
    env = AutoscalerEnv("SPIKE", any_service)
    rng = np.random.default_rng(0)
    _, rewards, infos = play_env(env, rng.integers(env.action_space.n, size=any_service.steps_per_episode))
    costs = [info["instance_cost"] + info["late_cost"] + info["drop_cost"] for info in infos]
    assert -rewards == pytest.approx(costs, rel=1e-12)


@every_service
def test_each_item_of_the_cost_is_its_count_times_its_price(any_service, play_env):
    env = AutoscalerEnv("SPIKE", any_service)
    for info in play_env(env, [any_service.hold] * any_service.steps_per_episode)[2]:
        instances = any_service.instance_price * (info["ready"] + info["booting"])
        assert info["instance_cost"] == pytest.approx(instances, rel=1e-9, abs=1e-9 * (1 + info["drop_cost"]))
        assert info["late_cost"] == pytest.approx(any_service.late_price * info["queue"], rel=1e-12)
        assert info["drop_cost"] == pytest.approx(any_service.drop_price * info["dropped"], rel=1e-12)


def test_an_empty_day_held_costs_the_fleet(play_env):
    _, rewards, _ = play_env(AutoscalerEnv(), [1] * 288, day=[0] * 288)
    assert rewards.sum() == pytest.approx(-288 * 25 * 0.016)


def test_a_step_by_hand():
    # 25 ready, one ordered, 9,000 arrive: 2,175 served, 4,350 wait, 2,475 dropped
    env = AutoscalerEnv()
    env.reset(options={"day": [9000] * 288})
    _, reward, _, _, info = env.step(2)
    names = ("ready", "booting", "arrivals", "served", "queue", "dropped", "scaled", "refused")
    assert [info[name] for name in names] == [25, 1, 9000, 2175, 4350, 2475, 1, 0]
    assert reward == pytest.approx(-(26 * 0.016 + 4350 * 0.00025 + 2475 * 0.0025), rel=1e-12)


def test_a_pattern_object_is_a_pattern_too(play_env):
    by_name, by_object = AutoscalerEnv("RANDOM"), AutoscalerEnv(Pattern("RANDOM", Service()))
    one, other = (play_env(env, [1] * 288, day_seed=9)[1] for env in (by_name, by_object))
    assert np.array_equal(one, other)


@cases("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_goes_on_from_the_same_step_and_reports_its_own_counts(copied):
    env = AutoscalerEnv("SPIKE")
    env.reset(seed=0)
    env.step(2)
    other = copied(env)
    for action in (0, 2, 1, 2):
        observation, reward, *_, info = env.step(action)
        its_observation, its_reward, *_, its_info = other.step(action)
        assert (reward, info) == (its_reward, its_info) and np.array_equal(observation, its_observation)
