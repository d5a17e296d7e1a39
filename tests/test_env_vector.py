"""Many services at once: each of them is a scalar environment, step for step."""

import pickle

import gymnasium
import numpy as np
import pytest
from cases import cases, every_service
from gymnasium.vector import AutoresetMode

from autoscaler_env.envs.sb3 import AutoscalerVecEnv
from autoscaler_env.envs.single import AutoscalerEnv
from autoscaler_env.envs.vector import AutoscalerVectorEnv
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import MIXED, PATTERNS, Pattern, day_seeds, purpose_of
from autoscaler_env.traffic.trace import Trace

COUNTS = ("ready", "booting", "queue", "arrivals", "served", "dropped", "scaled", "refused")
SHORT = Service(steps_per_episode=4)


class Recorder:
    """A workload that remembers which day seeds it was asked for."""

    name = "recorder"

    def __init__(self, pattern):
        self._pattern = pattern
        self.asked = []

    def draw(self, seeds):
        self.asked.append(np.array(seeds))
        return self._pattern.draw(seeds)

    def evaluation_days(self, episodes):
        return self._pattern.evaluation_days(episodes)


def assert_same_day(envs, day_seed_of, scalars, rng):
    """Play a day with random actions in both; return the last step of each."""
    for env, seed in zip(scalars, day_seed_of, strict=True):
        env.reset(options={"day_seed": int(seed)})
    for _ in range(envs.service.steps_per_episode):
        actions = rng.integers(envs.single_action_space.n, size=len(scalars))
        vector = envs.step(actions)
        steps = [env.step(action) for env, action in zip(scalars, actions, strict=True)]
        seen = vector[4]["final_obs"] if vector[3].any() else vector[0]
        assert np.array_equal(seen, [step[0] for step in steps])
        assert [vector[k].tolist() for k in (1, 2, 3)] == [[step[k] for step in steps] for k in (1, 2, 3)]
        assert all(vector[4][name].tolist() == [step[4][name] for step in steps] for name in COUNTS)
    return vector, steps


@cases("pattern", ["SPIKE", MIXED])
@every_service
def test_vector_environment_equals_scalar_environments(any_service, pattern):
    envs = AutoscalerVectorEnv(5, pattern, any_service)
    scalars = [AutoscalerEnv(pattern, any_service) for _ in range(5)]
    seeds = day_seeds("training", 5)
    first, _ = envs.reset(options={"day_seeds": seeds})
    firsts = [env.reset(options={"day_seed": int(seed)})[0] for env, seed in zip(scalars, seeds, strict=True)]
    assert np.array_equal(first, firsts)
    assert_same_day(envs, seeds, scalars, np.random.default_rng(0))


@every_service
def test_vector_environment_equals_scalar_environments_over_several_days(any_service):
    workload = Recorder(Pattern(MIXED, any_service))
    envs = AutoscalerVectorEnv(3, workload, any_service)
    scalars = [AutoscalerEnv(MIXED, any_service) for _ in range(3)]
    envs.reset(seed=4)
    rng = np.random.default_rng(1)
    for day in range(4):
        assert_same_day(envs, workload.asked[day], scalars, rng)
    assert len(np.unique(workload.asked)) == 5 * 3


def test_the_last_step_returns_the_first_observation_of_the_new_day():
    workload = Recorder(Pattern("SPIKE", SHORT))
    envs = AutoscalerVectorEnv(3, workload, SHORT)
    envs.reset(seed=0)
    for _ in range(4):
        observations, *_ = envs.step(np.array([0, 1, 2]))
    scalar = AutoscalerEnv("SPIKE", SHORT)
    firsts = [scalar.reset(options={"day_seed": int(seed)})[0] for seed in workload.asked[1]]
    assert np.array_equal(observations, firsts)


def test_final_observation_and_info_belong_to_the_old_day():
    service = Service(steps_per_episode=2)
    days = np.array([[3000, 9000], [3000, 9000]])
    envs = AutoscalerVectorEnv(2, Trace("toy", days), service)
    envs.reset()
    envs.step(np.array([1, 1]))
    observations, _, _, truncated, infos = envs.step(np.array([1, 2]))
    # step 1: 2,175 of 3,000 served, 825 wait; step 2: 9,825 - 2,175 = 7,650, of which 4,350 wait
    assert truncated.tolist() == infos["_final_obs"].tolist() == infos["_final_info"].tolist() == [True, True]
    assert infos["final_info"]["dropped"].tolist() == [3300, 3300]
    assert infos["final_info"]["booting"].tolist() == [0, 1]
    assert infos["final_obs"][:, 3].tolist() == [1, 1] and observations[:, 3].tolist() == [0, 0]


def by_service(info, i):
    """Return the entries of a batch's info that are about service i, with the values of the scalar environment."""
    entries = {}
    for name, value in info.items():
        if not name.startswith("_") and info[f"_{name}"][i]:
            entries[name] = by_service(value, i) if isinstance(value, dict) else np.asarray(value[i]).tolist()
    return entries


def test_infos_have_the_entries_of_gymnasium_s_own_vector_environment_and_day_seeds_of_their_own():
    """Compare with SyncVectorEnv over two days; it draws the days, and the batch replays them."""
    single = gymnasium.vector.SyncVectorEnv(
        [lambda: AutoscalerEnv("SPIKE", SHORT)] * 3, autoreset_mode=AutoresetMode.SAME_STEP
    )
    batch = AutoscalerVectorEnv(3, "SPIKE", SHORT)
    first, theirs = single.reset(seed=3)
    ours_first, ours = batch.reset(options={"day_seeds": theirs["day_seed"]})
    assert [by_service(ours, i) for i in range(3)] == [by_service(theirs, i) for i in range(3)]
    assert np.array_equal(first, ours_first)
    for step in range(4):
        actions = np.array([0, 1, 2])
        *_, theirs = single.step(actions)
        *_, ours = batch.step(actions)
        for i in range(3):
            one, other = by_service(ours, i), by_service(theirs, i)
            finals = [info.pop("final_info") for info in (one, other) if "final_info" in info]
            assert len(finals) == (2 if step == 3 else 0)
            for mine, its in ((one, other), *([finals] if finals else [])):
                assert {name: its[name] for name in COUNTS if name in its}.items() <= mine.items()
                assert set(its) - set(mine) <= {"instance_cost", "late_cost", "drop_cost"}
            if step == 3:
                assert one["final_obs"] == other["final_obs"] and one["day_seed"] >= 0
                assert set(one) - set(other) == set(COUNTS), "a batch leaves the counts at the top level as well"


def test_every_day_is_reported_with_the_seed_that_replays_it():
    envs = AutoscalerVectorEnv(3, MIXED, SHORT)
    _, info = envs.reset(seed=0)
    for _ in range(3):
        days = envs.arrivals.T.copy()
        assert np.array_equal(days, Pattern(MIXED, SHORT).draw(info["day_seed"]))
        assert {purpose_of(seed) for seed in info["day_seed"]} == {"training"}
        for _ in range(4):
            *_, info = envs.step(np.ones(3, dtype=int))


def test_a_copy_of_a_batch_goes_on_from_the_same_step():
    envs = AutoscalerVectorEnv(3, "SPIKE", SHORT)
    envs.reset(seed=0)
    envs.step(np.array([0, 1, 2]))
    other = pickle.loads(pickle.dumps(envs))
    for _ in range(6):
        (one, rewards, *_, info), (its, its_rewards, *_, its_info) = (
            e.step(np.array([2, 2, 0])) for e in (envs, other)
        )
        assert np.array_equal(one, its) and np.array_equal(rewards, its_rewards)
        assert all(np.array_equal(info[name], its_info[name]) for name in COUNTS)


def test_arrays_of_a_step_stay_as_they_were_when_later_steps_are_taken():
    envs = AutoscalerVectorEnv(2, MIXED)
    envs.reset(seed=0)
    steps = [envs.step(np.array([1, 2])) for _ in range(3)]
    arrays = [[*step[:4], *(step[4][name] for name in COUNTS)] for step in steps]
    before = [[array.copy() for array in row] for row in arrays]
    envs.step(np.array([0, 0]))
    assert all(
        np.array_equal(a, b) for row, kept in zip(arrays, before, strict=True) for a, b in zip(row, kept, strict=True)
    )
    assert not any(np.shares_memory(a, b) for a, b in zip(arrays[0], arrays[1], strict=True))


def test_a_made_batch_knows_the_length_of_its_episodes():
    envs = gymnasium.make_vec("Autoscaler-v0", num_envs=2, service=SHORT)
    assert envs.unwrapped.spec.max_episode_steps == 4 and AutoscalerVectorEnv(2).spec is None


@every_service
def test_action_masks_are_those_of_the_scalar_environments(any_service):
    envs = AutoscalerVectorEnv(3, "SPIKE", any_service)
    scalars = [AutoscalerEnv("SPIKE", any_service) for _ in range(3)]
    _, info = envs.reset(seed=0)
    for env, seed in zip(scalars, info["day_seed"], strict=True):
        env.reset(options={"day_seed": int(seed)})
    actions = np.array([0, len(any_service.fleet_changes) - 1, any_service.hold])
    for _ in range(any_service.steps_per_episode):
        assert np.array_equal(envs.action_masks(), [env.action_masks() for env in scalars])
        refused = envs.action_masks()[np.arange(3), actions]
        *_, infos = envs.step(actions)
        assert np.array_equal(infos["refused"], ~refused)
        for env, action in zip(scalars, actions, strict=True):
            env.step(action)


def test_learners_of_stable_baselines3_get_the_masks_of_the_services_they_ask_for():
    envs = AutoscalerVecEnv(3, "STEADY", Service(initial_instances=2))
    envs.reset()
    assert np.array_equal(envs.env_method("action_masks"), [[False, True, True]] * 3)
    assert len(envs.env_method("action_masks", indices=[0, 2])) == 2 and envs.has_attr("action_masks")
    with pytest.raises(AttributeError, match="render: the services"):
        envs.env_method("render")


def test_final_entries_appear_only_at_the_end_of_a_day():
    envs = AutoscalerVectorEnv(2, "STEADY", SHORT)
    envs.reset(seed=0)
    present = ["final_obs" in envs.step(np.array([1, 1]))[4] for _ in range(8)]
    assert present == [False, False, False, True] * 2


def test_all_days_are_truncated_together_and_never_terminated():
    envs = AutoscalerVectorEnv(3, "RANDOM", SHORT)
    envs.reset(seed=0)
    endings = [envs.step(np.zeros(3, dtype=int))[2:4] for _ in range(8)]
    assert not any(terminated.any() for terminated, _ in endings)
    assert [truncated.tolist() for _, truncated in endings] == ([[False] * 3] * 3 + [[True] * 3]) * 2


def test_autoreset_happens_in_the_same_step():
    assert AutoscalerVectorEnv.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP


def test_make_vec_makes_the_compiled_vector_environment():
    envs = gymnasium.make_vec("Autoscaler-v0", num_envs=7, pattern="SPIKE", service=SHORT)
    assert type(envs.unwrapped) is AutoscalerVectorEnv and envs.num_envs == 7 and envs.unwrapped.service == SHORT


@cases("mode", ["rgb_array", "ansi", "human"])
def test_make_vec_explains_that_a_batch_is_not_rendered(mode):
    with pytest.raises(
        ValueError, match=rf"^render_mode = '{mode}': must be None, a batch is not rendered.*gym.*make$"
    ):
        gymnasium.make_vec("Autoscaler-v0", num_envs=2, render_mode=mode)


@cases("number", [2.0, "2", None])
def test_a_number_of_services_that_is_no_integer_is_refused(number):
    with pytest.raises(ValueError, match=f"^num_envs = {number!r}: must be an integer of at least 1$"):
        AutoscalerVectorEnv(number)


def test_make_vec_can_still_run_scalar_environments_side_by_side():
    envs = gymnasium.make_vec("Autoscaler-v0", num_envs=2, vectorization_mode="sync", pattern="STEADY")
    assert envs.reset(seed=0)[0].shape == (2, 7)


@every_service
def test_spaces_are_batches_of_the_scalar_ones(any_service):
    envs, env = AutoscalerVectorEnv(3, MIXED, any_service), AutoscalerEnv(MIXED, any_service)
    assert envs.single_observation_space == env.observation_space and envs.single_action_space == env.action_space
    assert envs.observation_space.shape == (3, 7) and envs.action_space.shape == (3,)


def test_what_is_returned_has_the_shapes_and_types_of_gymnasium():
    envs = AutoscalerVectorEnv(3)
    observations, info = envs.reset(seed=0)
    assert info["day_seed"].dtype == np.uint64 and info["_day_seed"].tolist() == [True] * 3
    assert envs.observation_space.contains(observations)
    observations, rewards, terminated, truncated, _ = envs.step(envs.action_space.sample())
    assert envs.observation_space.contains(observations) and rewards.shape == (3,) and rewards.dtype == np.float64
    assert terminated.shape == truncated.shape == (3,) and terminated.dtype == truncated.dtype == np.bool_


BAD_ACTIONS = {
    "below": [1, -1, 2],
    "above": [1, 3, 2],
    "first above": [3, 1, 1],
    "last above": [2, 2, 99],
    "too few": [1, 1],
    "too many": [1, 1, 1, 1],
    "one for all": 1,
    "a column": [[1], [1], [1]],
    "floats": [1.0, 1.0, 1.0],
    "booleans": [True, False, True],
}


@cases("case", BAD_ACTIONS)
def test_bad_actions_leave_every_service_unmoved(case):
    envs, twin = AutoscalerVectorEnv(3, "SPIKE"), AutoscalerVectorEnv(3, "SPIKE")
    for each in (envs, twin):
        each.reset(seed=0)
        each.step(np.array([2, 2, 2]))
    with pytest.raises(ValueError, match="actions"):
        envs.step(np.array(BAD_ACTIONS[case]))
    one, other = envs.step(np.array([0, 1, 2])), twin.step(np.array([0, 1, 2]))
    assert np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1])


@cases("wrong", [-1, 3])
def test_refusing_an_action_names_service_value_and_range(wrong):
    envs = AutoscalerVectorEnv(3, "SPIKE")
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=rf"actions\[1\] = {wrong}.*0 to 2"):
        envs.step(np.array([1, wrong, wrong]))


def test_step_before_reset_is_refused():
    with pytest.raises(RuntimeError, match="reset"):
        AutoscalerVectorEnv(2).step(np.array([1, 1]))


@cases("number", [0, -1])
def test_fewer_than_one_service_is_refused(number):
    with pytest.raises(ValueError, match=f"num_envs = {number}.*at least 1"):
        AutoscalerVectorEnv(number)


def test_unknown_pattern_is_refused():
    with pytest.raises(ValueError, match=r"'NOISE'.*STEADY.*MIXED"):
        AutoscalerVectorEnv(2, "NOISE")


@cases("options", [{"day_seed": 1}, {"day_seeds": [1]}, {"day_seeds": 1}, {"day_seeds": [[1, 2]]}])
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match="day_seeds"):
        AutoscalerVectorEnv(2).reset(options=options)


@cases("seeds", [[-1, 1], np.array([-1, 1]), [0.5, 1.5], [2**64, 1]])
def test_values_that_are_no_day_seeds_are_refused(seeds):
    with pytest.raises((ValueError, TypeError, OverflowError)):
        AutoscalerVectorEnv(2).reset(options={"day_seeds": seeds})


def test_a_workload_whose_days_have_another_length_is_refused():
    trace = Trace("long", np.ones((2, 9), dtype=np.int64))
    with pytest.raises(ValueError, match=r"days|steps"):
        AutoscalerVectorEnv(2, trace, SHORT).reset(seed=0)


def test_what_earlier_steps_returned_is_not_overwritten_by_later_ones():
    envs = AutoscalerVectorEnv(3, "RANDOM", SHORT)
    rng = np.random.default_rng(0)
    returned, copies = [envs.reset(seed=0)[0]], []
    copies.append(returned[0].copy())
    for _ in range(10):
        observations, rewards, _, truncated, infos = envs.step(rng.integers(3, size=3))
        new = [observations, rewards, truncated, *(infos[name] for name in COUNTS), infos.get("final_obs", rewards)]
        returned += new
        copies += [array.copy() for array in new]
    assert all(np.array_equal(one, other) for one, other in zip(returned, copies, strict=True))


def test_day_seeds_given_by_the_user_are_not_changed():
    seeds = day_seeds("evaluation", 2)
    AutoscalerVectorEnv(2).reset(options={"day_seeds": seeds})
    assert np.array_equal(seeds, day_seeds("evaluation", 2))


@cases("pattern", [*PATTERNS, MIXED])
def test_equal_seeds_give_equal_trajectories_and_others_do_not(pattern):
    def rewards(seed):
        envs = AutoscalerVectorEnv(3, pattern, Service(steps_per_episode=20))
        envs.reset(seed=seed)
        return [envs.step(np.array([1, 2, 0]))[1].tolist() for _ in range(50)]

    assert rewards(1) == rewards(1) and rewards(1) != rewards(2)


@every_service
def test_no_state_survives_a_reset(any_service):
    used, fresh = (AutoscalerVectorEnv(2, "SPIKE", any_service) for _ in range(2))
    used.reset(seed=1)
    for _ in range(17):
        used.step(np.full(2, int(np.argmax(any_service.fleet_changes))))
    days = {"day_seeds": day_seeds("training", 2)}
    assert np.array_equal(used.reset(options=days)[0], fresh.reset(options=days)[0])
    for _ in range(any_service.steps_per_episode - 1):
        one, other = used.step(np.array([0, 1])), fresh.step(np.array([0, 1]))
        assert np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1])


def test_days_drawn_by_the_environment_are_training_days():
    workload = Recorder(Pattern("STEADY", SHORT))
    envs = AutoscalerVectorEnv(4, workload, SHORT)
    envs.reset(seed=0)
    for _ in range(20):
        envs.step(np.ones(4, dtype=int))
    assert {purpose_of(seed) for seed in np.concatenate(workload.asked)} == {"training"}


@cases("dtype", [np.int32, np.uint8])
def test_actions_of_any_integer_type_are_accepted(dtype):
    envs, twin = AutoscalerVectorEnv(3, "SPIKE"), AutoscalerVectorEnv(3, "SPIKE")
    envs.reset(seed=0), twin.reset(seed=0)
    one, other = envs.step(np.array([0, 1, 2], dtype=dtype)), twin.step(np.array([0, 1, 2]))
    assert np.array_equal(one[0], other[0])


def test_actions_need_not_lie_side_by_side_in_memory():
    envs, twin = AutoscalerVectorEnv(3, "SPIKE"), AutoscalerVectorEnv(3, "SPIKE")
    envs.reset(seed=0), twin.reset(seed=0)
    one, other = envs.step(np.array([0, 9, 1, 9, 2, 9])[::2]), twin.step(np.array([0, 1, 2]))
    assert np.array_equal(one[0], other[0])
