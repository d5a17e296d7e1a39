"""The limit without foresight: small services through every outcome in plain Python, and the committed table."""

import functools

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from autoscaler_env.evaluation import relaxed
from autoscaler_env.evaluation.expectation import NARROWER, WIDER, lattice_of, normal, poisson
from autoscaler_env.evaluation.limits import Effort, Limit, find_limit, read_limits, save_limits
from autoscaler_env.evaluation.metrics import MEAN
from autoscaler_env.evaluation.relaxed import known_means, play_crowds, play_walk, solve_crowds, solve_walk
from autoscaler_env.evaluation.statistics import LEARNER, estimate, per_training
from autoscaler_env.paths import Folders
from autoscaler_env.policies.oracle import cheapest_plan
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import CALM, CROWDS, LOWEST, MIXED, NOISE, PATTERNS, WALK, Pattern, day_seeds

TINY = Service(
    capacity_per_instance=3,
    min_instances=1,
    max_instances=6,
    initial_instances=3,
    queue_limit=7,
    peak_arrivals=20,
    steps_per_episode=5,
    late_price=0.004,
    drop_price=0.02,
)
"""A lattice of three units for an instance is exact here: a unit is a request."""


def distribution(draw, *arguments):
    """Return a distribution on the lattice as a dict of points and probabilities."""
    probabilities = np.zeros(400)
    first, count = draw(*arguments, probabilities)
    return {first + j: float(probabilities[j]) for j in range(count)}


def expected_excess(points, x):
    return sum(share * max(x - point, 0.0) for point, share in points.items())


def cheapest(service, outcomes):
    """Return the lowest expected cost from a step on, by the rules of a step as the design states them.

    Args:
        service: The service to scale.
        outcomes: From what is known before a step's action to its outcomes: probability, arrivals, and what is known
            next; none after the last step.
    """

    @functools.cache
    def rest(known, ready, queue):
        choices = outcomes(known)
        if not choices:
            return 0.0
        costs = []
        for change in service.fleet_changes:
            fleet, left = ready + change, ready - max(-change, 0)
            if (change > 0 and fleet > service.max_instances) or (change < 0 and left < service.min_instances):
                continue
            cost = 0.0
            for share, arrivals, after in choices:
                unserved = max(queue + arrivals - service.capacity_per_instance * left, 0)
                stays = min(unserved, service.queue_limit)
                step = service.instance_price * fleet + service.late_price * stays
                step += service.drop_price * (unserved - stays)
                cost += share * (step + rest(after, fleet, stays))
            costs.append(cost)
        return min(costs)

    return rest


# --- distributions ---------------------------------------------------------------------------------------------------


def test_the_wider_distribution_splits_every_number_between_its_two_neighbours():
    points = distribution(normal, 7.3, 1.4, 0.0, np.inf, WIDER)
    density = stats.norm(7.3, 1.4).pdf
    for point in (5, 7, 8, 11):
        split, _ = integrate.quad(lambda x, point=point: density(x) * max(1 - abs(x - point), 0), point - 1, point + 1)
        assert points[point] == pytest.approx(split, abs=2e-5)
    assert sum(points.values()) == pytest.approx(1)


def test_poisson_numbers_are_exact_where_a_unit_is_a_request():
    points = distribution(poisson, 12.5, 1.0, WIDER)
    assert [points[number] for number in (3, 12, 25)] == pytest.approx(stats.poisson(12.5).pmf([3, 12, 25]))


def test_the_two_distributions_enclose_the_true_one_in_convex_order():
    def normal_excess(x):
        return integrate.quad(stats.norm(40.2, 3.1).cdf, 0, x)[0]

    def poisson_excess(x):
        numbers = np.arange(900)
        return stats.poisson(600).pmf(numbers) @ np.maximum(x - numbers / 14.5, 0)

    pairs = [
        (normal_excess, [distribution(normal, 40.2, 3.1, 0.0, np.inf, way) for way in (NARROWER, WIDER)]),
        (poisson_excess, [distribution(poisson, 600.0, 14.5, way) for way in (NARROWER, WIDER)]),
    ]
    for true, (narrower, wider) in pairs:
        for x in np.linspace(32, 50, 61):
            assert expected_excess(narrower, x) <= true(x) + 1e-5 <= expected_excess(wider, x) + 2e-5, x


def test_clipped_values_lie_on_the_ends():
    points = distribution(normal, 3.0, 2.0, 2.0, 5.0, WIDER)
    assert min(points) == 2 and max(points) == 5
    mean, _ = integrate.quad(lambda x: np.clip(x, 2, 5) * stats.norm(3, 2).pdf(x), -9, 15)
    assert sum(point * share for point, share in points.items()) == pytest.approx(mean, abs=1e-4)


# --- every outcome ---------------------------------------------------------------------------------------------------


def test_known_means_cost_what_every_outcome_costs_on_average():
    days, means = np.array([[9, 9, 12, 8, 8], [5, 0, 1, 2, 3]]), np.array([[9.5, 9, 12, 8.5, 8], [7.0] * 5])
    for noise in (0.2, None):
        result = known_means(days, means, noise, TINY, 3)
        for day, mean, expected in zip(days, means, result.expected, strict=True):

            def outcomes(t, day=day, mean=mean, noise=noise):
                if t == 0:
                    return [(1.0, int(day[0]), 1)]
                if t == len(mean):
                    return []
                if noise is None:
                    points = distribution(poisson, mean[t], 1.0, WIDER)
                else:
                    points = distribution(normal, mean[t], noise * mean[t], 0.0, np.inf, WIDER)
                return [(share, arrivals, t + 1) for arrivals, share in points.items()]

            assert expected == pytest.approx(cheapest(TINY, outcomes)(0, 3, 0), rel=1e-9)


def test_without_noise_the_played_cost_is_the_expected_one():
    days = np.array([[9, 12, 15, 17, 8]])
    result = known_means(days, days.astype(float), 0.0, TINY, 3)
    assert result.played == pytest.approx(result.expected) and result.played[0] > 0


def test_the_walk_costs_what_every_outcome_costs_on_average():
    peak = TINY.peak_arrivals

    def outcomes(known):
        t, level = known
        if t == TINY.steps_per_episode:
            return []
        points = distribution(normal, float(level), WALK * peak, LOWEST * peak, float(peak), WIDER)
        return [(share, arrivals, (t + 1, arrivals)) for arrivals, share in points.items()]

    walk, rest = solve_walk(TINY, 3), cheapest(TINY, outcomes)
    for level, ready, queue in ((1, 1, 0), (7, 2, 0), (12, 4, 3), (20, 6, 7)):
        value = walk.second[level - walk.lowest, ready - walk.lattice.low, queue]
        assert value == pytest.approx(rest((1, level), ready, queue), rel=1e-9)


def test_crowds_cost_what_every_outcome_costs_on_average():
    steps, calm, scenarios = TINY.steps_per_episode, CALM * TINY.peak_arrivals, 3
    rng, runs = np.array([4], dtype=np.uint64), {}
    for t in range(steps - 1, 0, -1):  # the samples that the program draws
        runs[t] = []
        for _ in range(scenarios):
            arrivals = np.empty(steps)
            end = relaxed._draw_run(rng, float(TINY.peak_arrivals), t, arrivals)
            runs[t].append((end, arrivals))
    begins = 1 - np.exp(-CROWDS / steps)

    def noisy(mean):
        return distribution(normal, mean, NOISE * mean, 0.0, np.inf, WIDER).items()

    def outcomes(known):
        t, run = known
        if t == steps:
            return []
        if run is not None:
            first, i = run
            end, arrivals = runs[first][i]
            after = (t + 1, run if t < end else None)
            return [(share, count, after) for count, share in noisy(arrivals[t])]
        result = [((1 - begins if t else 1) * share, count, (t + 1, None)) for count, share in noisy(calm)]
        for i, (_, arrivals) in enumerate(runs.get(t, [])):
            result += [(begins / scenarios * share, count, (t + 1, (t, i))) for count, share in noisy(arrivals[t])]
        return result

    solution, rest = solve_crowds(TINY, 3, scenarios, seed=4), cheapest(TINY, outcomes)
    for t, ready, queue in ((0, 3, 0), (1, 3, 0), (2, 1, 7), (3, 6, 2)):
        value = solution.values[t, ready - solution.lattice.low, queue]
        assert value == pytest.approx(rest((t, None), ready, queue), rel=1e-9)


def test_a_run_of_crowds_begins_visible_and_ends_in_the_calm():
    rng, steps = np.array([1], dtype=np.uint64), 288
    for first in (1, 100, 280):
        arrivals = np.empty(steps)
        end = relaxed._draw_run(rng, 4350.0, first, arrivals)
        assert np.all(arrivals[first:end] > CALM * 4350)
        assert np.all(arrivals[:first] == CALM * 4350) and np.all(arrivals[end:] == CALM * 4350)


def test_a_solution_that_guides_itself_costs_the_same_and_any_other_more():
    own, other = solve_crowds(TINY, 3, 4, seed=1), solve_crowds(TINY, 3, 1, seed=2)
    assert solve_crowds(TINY, 3, 4, seed=1, guide=own).values == pytest.approx(own.values)
    guided = solve_crowds(TINY, 3, 4, seed=1, guide=other).values
    assert np.all(guided >= own.values - 1e-12) and np.any(guided > own.values + 1e-6)


def test_the_policies_play_the_true_service():
    # on a tiny lattice that is exact, the mean over many days is what was expected
    days = Pattern("RANDOM", TINY).draw(day_seeds("training", 20_000))
    result = play_walk(solve_walk(TINY, 3), days, TINY)
    error = stats.sem(result.played - result.expected)
    assert abs((result.played - result.expected).mean()) < 4 * error + 0.002
    seeds = day_seeds("training", 200)
    spike = Pattern("SPIKE", TINY)
    result = play_crowds(solve_crowds(TINY, 3, 200), spike.draw(seeds), spike.expected(seeds), TINY)
    assert abs((result.played - result.expected).mean()) < 4 * stats.sem(result.played - result.expected) + 0.01


# --- the limit -------------------------------------------------------------------------------------------------------


def test_instances_that_boot_longer_and_unknown_patterns_are_refused():
    with pytest.raises(ValueError, match="boot_steps = 2: must be 1"):
        lattice_of(Service(boot_steps=2), 3, 2, 9)
    with pytest.raises(ValueError, match="pattern = 'MIXED': must be one of STEADY"):
        find_limit("MIXED")


def test_both_ends_lie_above_the_optimum_of_the_same_days():
    for pattern in ("SINE_CURVE", "POISSON", "SINUSOIDAL"):
        limit = find_limit(pattern, 4, effort=Effort(units=2))
        optimum = cheapest_plan(Pattern(pattern, Service()).evaluation_days(4)).costs.mean()
        assert optimum <= limit.low and optimum <= limit.high, limit


def test_the_table_is_read_as_it_was_written_and_keeps_other_rows(tmp_path):
    folders = Folders(tmp_path)
    save_limits([Limit("SPIKE", 3, 8.0, 9.0, 2.0)], folders)
    save_limits([Limit("STEADY", 3, 4.0, 4.0, 1.0)], folders)
    table = read_limits(folders)
    assert table.index.tolist() == ["STEADY", "SPIKE", MEAN]
    assert table.loc["SPIKE"].tolist() == [3, 8, 9, 2] and table.loc[MEAN].tolist() == [3, 6, 6.5, 3]


def test_a_missing_table_names_its_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m autoscaler_env\\.evaluation\\.limits"):
        read_limits(Folders(tmp_path))


# --- the committed table ---------------------------------------------------------------------------------------------

LIMITS = read_limits(Folders())


def studied(name):
    """Return costs of policies on the generated patterns of the reference service, from a committed table."""
    table = pd.read_csv(Folders().find(f"results/{name}.csv"))
    return table[table["tested_on"].isin(PATTERNS)]


def test_the_limit_lies_above_the_clairvoyant_optimum_and_its_ends_are_close():
    optimum = studied("study_baselines").query("policy == 'optimum'").set_index("tested_on")["cost"]
    assert (LIMITS.loc[list(PATTERNS), "low"] >= optimum[list(PATTERNS)] - 1e-3).all()
    assert (LIMITS["high"] >= LIMITS["low"]).all() and (LIMITS["high"] - LIMITS["low"] < 0.01 * LIMITS["low"]).all()


def test_nothing_is_hidden_on_steady_and_sine_curve():
    optimum = studied("study_baselines").query("policy == 'optimum'").set_index("tested_on")["cost"]
    for pattern in ("STEADY", "SINE_CURVE"):
        assert LIMITS.loc[pattern, ["low", "high"]].tolist() == pytest.approx([optimum[pattern]] * 2, abs=2e-3)


STUDIES = ("study_budgets", "study_long", "study_patterns", "study_iteration", "study_iteration_patterns")
"""The committed trainings that were tested on the days of the limit; `wide` is another service, `traces` other days."""


def test_no_honest_policy_is_below_the_limit():
    played = pd.concat([studied(name) for name in ("study_baselines", *STUDIES)], ignore_index=True)
    honest = played[played["policy"] != "optimum"]
    assert len(honest) > 500
    below = honest[honest["cost"] < honest["tested_on"].map(LIMITS["low"]) - 1e-3]
    assert below.empty, below[["policy", "algorithm", "tested_on", "cost"]]


def test_the_upper_end_of_no_honest_interval_is_below_the_limit_in_any_committed_table():
    ends = {}
    for name in STUDIES:
        for learner, rows in studied(name).groupby([*LEARNER, "tested_on"]):
            ends[name, *learner] = (learner[-1], estimate(per_training(rows, "cost")).high)
    summary = pd.read_csv(Folders().find("results/evaluation_summary.csv"))
    for row in summary.itertuples():
        ends["evaluation_summary", row.policy, row.pattern] = (row.pattern, row.cost_high)
    for row in pd.read_csv(Folders().find("results/policy_iteration.csv")).itertuples():
        where = MEAN if row.tested_on == MIXED else row.tested_on
        assert [row.limit_low, row.limit_high] == pytest.approx(LIMITS.loc[where, ["low", "high"]].tolist(), abs=1e-3)
        for policy, high in (("iteration", row.high), ("told", row.told), ("recognise", row.recognise)):
            ends["policy_iteration", policy, row.trained_on, row.tested_on] = (where, high)
    assert len(ends) > 250
    assert not {key: end for key, end in ends.items() if end[1] < LIMITS.loc[end[0], "low"] - 1e-3}
