"""The animations of the tour say the numbers that they show, move, and rest on their last picture."""

import importlib.util
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageSequence

from autoscaler_env import Service, plotting, simulate
from autoscaler_env.paths import project_root
from autoscaler_env.plotting.animation import (
    ALTS,
    LAST_MILLISECONDS,
    WIDTH,
    animate_boot_delay,
    animate_clipped_step,
    animate_day,
    clipped_ascent,
    save_animation,
)
from autoscaler_env.plotting.style import theme

FIGURES = project_root() / "figures"


@pytest.fixture
def surge(script):
    """Return a day of eight steps: an instance serves 10 requests, two are ready, 30 come in steps 2 to 5, else 20.

    An instance is ordered in step 2 and one in step 3; each boots for two steps, so they are ready from steps 4 and 5.
    """
    sizes = {"capacity_per_instance": 10, "min_instances": 2, "max_instances": 5, "initial_instances": 2}
    service = Service(**sizes, boot_steps=2, queue_limit=90, late_price=0.01, steps_per_episode=8)
    arrivals = np.array([[20, 30, 30, 30, 30, 20, 20, 20]])
    actions = [[service.fleet_changes.index(change) for change in (0, 1, 1, 0, 0, 0, 0, 0)]]
    return simulate(script(actions), arrivals, service)


def test_the_boot_delay_is_told_as_worked_out_by_hand(surge):
    assert surge.ready[0].tolist() == [2, 2, 2, 3, 4, 4, 4, 4]
    assert surge.queue[0].tolist() == [0, 10, 20, 20, 10, 0, 0, 0]
    alt = animate_boot_delay(surge, rise=1).alt
    assert "rises from 2 to 3 instances at minute 5. From minute 5 the rule orders an instance a step" in alt
    assert "up to a fleet of 4; each boots for 10 minutes, and the first is ready at minute 15." in alt
    assert "a queue grows to 20 requests at minute 15; it is empty at minute 25." in alt
    assert alt.endswith("The wait costs $0.60."), "60 requests late by a step, a cent each"


def test_a_day_without_a_queue_that_ends_is_refused(surge):
    for queue in (np.zeros_like(surge.queue), np.ones_like(surge.queue)):
        with pytest.raises(ValueError, match="its queue must grow and be empty at the end"):
            animate_boot_delay(replace(surge, queue=queue), rise=1)


def test_a_day_is_told_with_the_cost_of_each_policy_and_who_is_cheapest(surge):
    animation = animate_day({"threshold": surge, "static": surge}, "A surge", steps_per_picture=3)
    assert animation.alt.count(f"${surge.cost.sum():.2f}") == 2 and "20 waiting requests" in animation.alt
    assert list(animation.moments) == [2, 5, 7]


def test_one_gradient_step_is_the_one_worked_out_by_hand_and_a_flat_objective_stops():
    """At ratio 1 with two equal actions the gradient is +-1/2: a step of size 1 makes the logits differ by 1."""
    rows = clipped_ascent([0.5, 0.5], 1.0, 0.2, 1.0, 3)
    assert rows[1, 0] == pytest.approx(1 / (1 + np.exp(-1)))
    assert np.array_equal(rows[2], rows[1]), "beyond 1.2 the objective is flat"
    down = clipped_ascent([0.5, 0.5], -1.0, 0.2, 1.0, 3)
    assert down[1, 1] == pytest.approx(rows[1, 0]) and np.array_equal(down[2], down[1])
    assert clipped_ascent([0.5, 0.5], 1.0, np.inf, 1.0, 3)[2, 0] > rows[2, 0]


def test_a_saved_animation_moves_repeats_and_rests_on_the_picture_that_is_its_still(tmp_path):
    rows = [clipped_ascent([0.5, 0.5], 1.0, clip, 0.3, 2) for clip in (np.inf, 0.2)]
    size = save_animation(animate_clipped_step(*rows, ["up", "down"], 0.2), tmp_path, "step")
    with Image.open(tmp_path / "tour_step.webp") as moving, Image.open(tmp_path / "tour_step.png") as still:
        assert size == (tmp_path / "tour_step.webp").stat().st_size
        assert moving.n_frames == 3 and moving.info["loop"] == 0
        frames = [(frame.convert("RGB"), frame.info["duration"]) for frame in ImageSequence.Iterator(moving)]
        last = np.asarray(frames[-1][0], dtype=int)
        assert frames[-1][1] == LAST_MILLISECONDS > 10 * frames[0][1]
        assert moving.width == still.width == 1.5 * WIDTH
        assert np.abs(last - np.asarray(still.convert("RGB"))).mean() < 2
        assert np.abs(last - np.asarray(frames[0][0])).mean() > 1


def test_the_committed_animations_say_what_they_would_say_today_and_are_small():
    """The layout differs with the paper, the words do not; making the words draws the last picture only."""
    path = project_root() / "benchmarks" / "film_tour.py"
    spec = importlib.util.spec_from_file_location("film_tour", path)
    film_tour = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(film_tour)
    alts = json.loads((FIGURES / ALTS).read_text())
    assert alts == {name: make().alt for name, make in film_tour.TOUR.items()}, "run: make animations"
    for name in alts:
        for folder in (FIGURES, FIGURES / "dark"):
            with Image.open(folder / f"tour_{name}.webp") as moving:
                assert moving.n_frames >= 24 and (folder / f"tour_{name}.webp").stat().st_size <= 1_000_000
            assert (folder / f"tour_{name}.png").is_file()


def test_pictures_are_dark_on_dark_paper(surge):
    with theme("dark"):
        picture = next(animate_boot_delay(surge, rise=1).pictures())
    assert np.asarray(picture).mean() < 60


def test_a_notebook_shows_an_animation_with_its_words_and_its_still():
    shown = plotting.show_animation("boot_delay")
    page = shown._repr_html_()
    assert repr(shown).startswith("Animation. ") and f'alt="{shown!r}"' in page
    assert re.search(r'media="\(prefers-reduced-motion: reduce\)" srcset="data:image/png;base64,', page)
    with pytest.raises(ValueError, match="name = 'nothing': must be one of boot_delay, flash_crowd, clipped_step"):
        plotting.show_animation("nothing")
