"""Rendering: one day as pixels or text."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from cases import cases

from autoscaler_env.envs.rendering import DayRecord, render_day
from autoscaler_env.envs.single import AutoscalerEnv
from autoscaler_env.service import Service

SHORT = Service(steps_per_episode=6)


def rendered(mode, day=(1000, 2000, 9000, 9000, 2000, 0), steps=6, action=2, service=SHORT):
    env = AutoscalerEnv(render_mode=mode, service=service)
    env.reset(options={"day": list(day)})
    for _ in range(steps):
        env.step(action)
    return env.render()


def test_pixels_show_each_step_of_a_day_in_one_shape():
    """Play six steps; the frames differ, are the same for an equal day, and a later one does not overwrite them."""
    env = AutoscalerEnv(render_mode="rgb_array", service=SHORT)
    env.reset(options={"day": [1000, 2000, 9000, 9000, 2000, 0]})
    frames, copies = [], []
    for steps in range(7):
        if steps in (0, 3, 6):
            frames.append(env.render())
            copies.append(frames[-1].copy())
        if steps < 6:
            env.step(2)
    assert np.array_equal(frames, copies) and np.array_equal(frames[-1], rendered("rgb_array"))
    assert {(frame.dtype, frame.shape) for frame in frames} == {(np.dtype(np.uint8), (480, 800, 3))}
    assert not np.array_equal(frames[0], frames[1]) and not np.array_equal(frames[1], frames[2])
    assert len(np.unique(frames[-1].reshape(-1, 3), axis=0)) > 10
    env.reset(options={"day": [9000] * 6})
    assert np.array_equal(env.render(), frames[0]), "a reset forgets the day before"


def test_text_before_the_first_step_says_so():
    assert rendered("ansi", steps=0).startswith("step 0 of 6: 25 instances")


def test_text_names_step_fleet_demand_queue_and_cost():
    # step 3 of 6: 9,000 arrive at 27 ready (+1 booting) instances: 9,000 - 27 x 87 = 6,651, of which 4,350 wait
    lines = rendered("ansi", steps=3).splitlines()
    assert lines[0] == "step 3 of 6"
    assert "28 instances" in lines[1] and "9,000 requests/step" in lines[2] and "4,350 requests" in lines[3]
    # (26 + 27 + 28) x 0.016 + 4,350 x 0.00025 + 2,301 x 0.0025 = 1.296 + 1.0875 + 5.7525
    assert lines[4].split() == ["cost", "$8.14"]


def test_bars_fill_in_proportion_and_stop_at_forty():
    lines = rendered("ansi", day=[100_000] * 6, steps=1, action=1).splitlines()
    # 25 of 100 instances fill 10 of 40 marks; the demand is far beyond its scale; the queue is full
    assert [line.count("#") for line in lines[1:4]] == [10, 40, 40]
    assert all(line.count("#") + line.count(".") == 40 for line in lines[1:4])


def test_a_service_without_a_queue_can_be_rendered():
    service = Service(queue_limit=0, steps_per_episode=6)
    assert "0 requests" in rendered("ansi", service=service) and rendered("rgb_array", service=service).ndim == 3


def test_a_reset_forgets_the_day_before():
    env = AutoscalerEnv(render_mode="ansi", service=SHORT)
    env.reset(options={"day": [9000] * 6})
    env.step(2)
    env.reset(options={"day": [9000] * 6})
    assert env.render() == rendered("ansi", steps=0)


def test_a_finished_day_can_still_be_rendered():
    assert rendered("ansi").startswith("step 6 of 6")


def test_rendering_moves_nothing():
    env, twin = (AutoscalerEnv("SPIKE", SHORT, render_mode="ansi") for _ in range(2))
    env.reset(seed=0), twin.reset(seed=0)
    for _ in range(6):
        env.render()
        one, other = env.step(2), twin.step(2)
        assert np.array_equal(one[0], other[0]) and one[1] == other[1]


def test_render_without_a_mode_warns_and_returns_nothing():
    env = AutoscalerEnv(service=SHORT)
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None


@cases("mode", AutoscalerEnv.metadata["render_modes"])
def test_every_declared_mode_can_be_made(mode):
    env = gymnasium.make("Autoscaler-v0", render_mode=mode)
    env.reset(seed=0)
    assert env.render() is not None


def test_the_record_adds_up_the_cost():
    record = DayRecord(SHORT)
    for cost in (1.0, 2.0):
        counts = {"ready": 3, "booting": 1, "arrivals": 50, "queue": 7}
        record.append(counts | {"instance_cost": cost, "late_cost": 0.25, "drop_cost": 0.5})
    columns = record.columns()
    assert columns["cost"].tolist() == [1.75, 4.5] and columns["arrivals"].tolist() == [50, 50]


def test_an_empty_record_has_empty_columns():
    columns = DayRecord(SHORT).columns()
    assert set(columns) == {"ready", "booting", "arrivals", "queue", "cost"}
    assert all(column.shape == (0,) for column in columns.values())
    assert render_day(DayRecord(SHORT), "rgb_array").dtype == np.uint8


def test_text_needs_no_matplotlib():
    code = (
        "import sys, autoscaler_env as a\n"
        "env = a.AutoscalerEnv('STEADY', render_mode='ansi'); env.reset(seed=0); env.render()\n"
        "assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
