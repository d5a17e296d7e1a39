"""The control room: the clock, the controls, the person, and the messages to its view."""

import json
import re

import numpy as np
import pytest

from autoscaler_env.demo.controls import SLIDERS
from autoscaler_env.demo.room import Room
from autoscaler_env.demo.session import GAME_DAYS, demo_days
from autoscaler_env.demo.view import HEAD, ROWS
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.paths import notebook_sources
from autoscaler_env.policies.registry import find_policy
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Pattern
from autoscaler_env.traffic.trace import Trace

TRACE = "step,requests\n" + "".join(f"{step},{step % 50}\n" for step in range(3 * 288))


@pytest.fixture
def room():
    """Return a room with two rules on a short day."""
    return Room("threshold", "static", "SPIKE", steps=24)


@pytest.fixture
def game():
    """Return a room in which a person plays against a rule."""
    return Room("you", "threshold", "SPIKE", steps=24)


def finish(room):
    room.handle({"do": "play"})
    while not room.finished:
        room.handle({"do": "tick", "run": room.run, "elapsed_steps": room.elapsed_steps, "steps": 50})


def set_control(room, name, value):
    room.handle({"do": "set", "name": name, "value": value})


def steps(room):
    return [lane.session.state.elapsed_steps for lane in room.lanes.all]


def costs(room):
    return [lane.session.state.cost for lane in room.lanes.all]


# --- the clock -------------------------------------------------------------------------------------------------------


def test_steps_are_played_only_when_a_view_asks_while_the_day_plays(room):
    tick = {"do": "tick", "run": 1, "elapsed_steps": 0, "steps": 3}
    room.handle(tick)
    assert steps(room) == [0, 0]
    room.handle({"do": "play"})
    assert steps(room) == [0, 0]
    room.handle(tick)
    assert steps(room) == [3, 3]


def test_a_view_that_is_out_of_date_plays_no_step(room):
    room.handle({"do": "play"})
    for _ in range(2):  # two views of one room, or a repeated request
        room.handle({"do": "tick", "run": 1, "elapsed_steps": 0, "steps": 1})
    assert steps(room) == [1, 1]
    room.handle({"do": "restart"})
    room.handle({"do": "tick", "run": 1, "elapsed_steps": 0, "steps": 1})
    assert steps(room) == [0, 0]


def test_the_day_stops_at_its_end_and_restarts_on_play(room):
    finish(room)
    assert steps(room) == [24, 24] and not room.playing
    room.handle({"do": "step"})
    assert steps(room) == [24, 24]
    room.handle({"do": "play"})
    assert steps(room) == [0, 0] and room.playing


def test_step_plays_one_step_and_pauses(room):
    room.handle({"do": "play"})
    room.handle({"do": "step"})
    assert steps(room) == [1, 1] and not room.playing


def test_a_whole_day_costs_what_simulate_says():
    for name in ("threshold", "q_learning_mixed", "ppo_mixed"):
        room = Room(name, "", "SINUSOIDAL", seed=2)
        finish(room)
        trajectory = simulate(find_policy(name), demo_days("SINUSOIDAL", seed=2, count=1))
        assert costs(room) == pytest.approx([trajectory.cost.sum()]), name


# --- the controls ----------------------------------------------------------------------------------------------------


def test_another_policy_acts_from_the_next_step_on(room):
    for _ in range(6):
        room.handle({"do": "step"})
    set_control(room, "lane2", "target-tracking")
    room.handle({"do": "step"})
    lane = room.lanes.all[1]
    assert lane.session.name == "target-tracking" and steps(room) == [7, 7]
    assert lane.session.history["action"][:6] == [1] * 6
    assert lane.handovers == [{"elapsed_steps": 6, "label": "ideal target tracking"}]


def test_a_second_policy_that_joins_has_played_the_day_so_far():
    late, early = Room("threshold", "", "SPIKE"), Room("threshold", "static", "SPIKE")
    for room in (late, early):
        for _ in range(5):
            room.handle({"do": "step"})
    set_control(late, "lane2", "static")
    assert costs(late) == costs(early)
    set_control(late, "lane2", "")
    assert len(late.lanes.all) == 1


def test_every_slider_restarts_the_day_with_the_new_value(room):
    cases = {
        "boot_steps": ("4", 4),
        "capacity_per_instance": ("120", 120),
        "instance_price_per_hour": ("0.5", 0.5),
        "late_price": ("0.0025", 0.0025),
        "drop_price": ("0.01", 0.01),
    }
    assert set(cases) == set(SLIDERS)
    for name, (entry, expected) in cases.items():
        room.handle({"do": "step"})
        set_control(room, name, entry)
        assert steps(room) == [0, 0] and not room.errors, name
        assert getattr(room.lanes.all[0].session.service, name) == expected
        scene = room.changes()["scene"]
        assert scene["values"][name] == entry
    assert scene["service"] == (
        "Service(capacity_per_instance=120, boot_steps=4, instance_price_per_hour=0.5, late_price=0.0025, "
        "drop_price=0.01)"
    )
    room.handle({"do": "reference"})
    assert room.service == Service()


def test_the_prices_reach_ten_times_the_reference():
    for name in ("instance_price_per_hour", "late_price", "drop_price"):
        assert SLIDERS[name].high >= 10 * getattr(Service(), name), name


def test_a_higher_instance_price_makes_the_same_day_cost_more(room):
    finish(room)
    before = costs(room)
    set_control(room, "instance_price_per_hour", "0.384")
    finish(room)
    assert costs(room) > before


def test_a_bad_entry_is_refused_beside_its_control_and_the_day_continues(room):
    cases = [
        ("seed", "abc", "day = 'abc': must be a whole number from 0"),
        ("seed", "-1", "day = '-1'"),
        ("seed", "1e3", "day = '1e3'"),
        ("seed", None, "day = 'None'"),
        ("speed", "0", "speed = '0': must be one of 1, 2"),
        ("steps", "7", "length = '7'"),
        ("pattern", "SAW", "pattern = 'SAW': must be one of STEADY"),
        ("lane1", "os:system", "policy = 'os:system': must be one of you"),
        ("lane1", "", "policy = ''"),
        ("boot_steps", "0", "boot_steps = '0': must be a whole number from 1 to 12, in steps"),
        ("boot_steps", "2.5", "boot_steps = '2.5'"),
        (
            "late_price",
            "nan",
            "late_price = 'nan': must be a number from 0 to 0.0025, in $ per waiting request and step",
        ),
        ("late_price", "0.25", "late_price = '0.25'"),
        ("drop_price", "x" * 999, "drop_price = 'xxx"),
        ("fleet_changes", "1", "slider = 'fleet_changes'"),
    ]
    values = room.changes()["scene"]["values"]
    for number, (name, entry, message) in enumerate(cases):
        set_control(room, name, entry)
        errors = room.changes()["scene"]["errors"]
        assert errors[name].startswith(message) and len(errors[name]) < 400, (name, entry)
        assert steps(room) == [number, number]
        room.handle({"do": "step"})
        assert steps(room) == [number + 1, number + 1]
    set_control(room, "speed", "20")
    assert room.changes()["scene"]["values"] == values | {"speed": 20}


def test_a_good_entry_removes_the_error_message(room):
    set_control(room, "seed", "x")
    set_control(room, "seed", " 3 ")
    assert room.errors == {} and room.seed == 3


def test_a_message_that_is_no_request_is_an_error_and_plays_no_step(room):
    for message in (None, 3, [], {}, {"do": None}, {"do": "run"}, {"do": ["tick"]}, {"do": "set"}):
        room.errors.clear()
        room.handle(message)
        assert room.errors and steps(room) == [0, 0], message


def test_an_uploaded_trace_is_played(room):
    room.handle({"do": "trace", "name": "my traffic.csv", "text": TRACE})
    assert (room.pattern, room.errors) == ("my traffic", {})
    room.handle({"do": "step"})
    assert "my traffic" in room.changes()["scene"]["patterns"]


def test_a_bad_trace_is_refused_under_the_name_of_its_file(room):
    cases = {
        "": "file is empty",
        "step,requests\n1,2\n": "2 days of 288 steps are needed",
        "step,requests\n1,x\n": "'x' is not a number",
        "a" * 4_000_001: "at most 4,000,000",
    }
    for text, message in cases.items():
        room.handle({"do": "trace", "name": "t.csv", "text": text})
        assert message in room.errors["pattern"] and room.errors["pattern"].startswith("t.csv"), text[:20]
        assert room.pattern == "SPIKE"


def test_a_room_can_start_with_a_trace():
    days = Pattern("POISSON", Service()).evaluation_days(4)
    assert Room("static", "", Trace("mine", days)).pattern == "mine"


class Broken:
    """A policy that cannot act."""

    name = "broken"

    def reset(self, days):
        pass

    def predict(self, observations):
        raise KeyError("no idea")


def test_a_policy_that_fails_stops_the_clock_and_its_error_is_shown(room):
    room.lanes.all[0].session.hand_over(Broken())
    room.handle({"do": "play"})
    room.handle({"do": "tick", "run": room.run, "elapsed_steps": 0, "steps": 1})
    assert "KeyError: 'no idea'" in room.errors["play"] and not room.playing


def test_every_policy_on_offer_can_act(room):
    for policy in room.policies:
        set_control(room, "lane1", policy["value"])
        room.handle({"do": "step"})
        assert room.errors == {} or policy["value"] == "optimum", room.errors
        room.errors.clear()


# --- the day of a game ------------------------------------------------------------------------------------------------


def test_a_fresh_day_comes_from_the_days_for_people_and_its_number_makes_it():
    rooms = [Room("you", "threshold", "SPIKE", seed=None) for _ in range(2)]
    assert all(room.seed in GAME_DAYS for room in rooms) and rooms[0].seed != rooms[1].seed
    before = rooms[0].seed
    rooms[0].handle({"do": "play"})
    rooms[0].handle({"do": "fresh"})
    assert rooms[0].seed in GAME_DAYS and rooms[0].seed != before and not rooms[0].playing
    set_control(rooms[1], "seed", str(rooms[0].seed))
    first, second = (room.lanes.all[0].session.days for room in rooms)
    assert np.array_equal(first, second) and rooms[0].title == f"SPIKE, game day {rooms[0].seed}"


def test_no_day_of_the_course_is_a_game_day():
    numbers = "".join(path.read_text(encoding="utf-8") for path in notebook_sources().glob("*.ipynb"))
    drawn = [int(number) for number in re.findall(r'"evaluation_days = ([\d_]+)', numbers)]
    assert len(drawn) >= 5 and max(drawn) < GAME_DAYS.start


def test_the_person_sees_the_first_arrivals_as_a_policy_does(game):
    parts = game.changes()
    arrivals = int(demo_days("SPIKE", seed=0, count=1)[0, 0])
    assert parts["scene"]["first_arrivals"] == arrivals
    assert [why["saw"].split()[0] for why in parts["why"]] == [f"{arrivals:,}"] * 2


def test_a_person_takes_over_from_the_other_policy_with_its_fleet_and_cost():
    game = Room("you", "target-tracking", "SPIKE", seed=3, played_steps=72)
    mine, other = game.lanes.all
    assert steps(game) == [72, 72] and mine.session.history == other.session.history
    assert game.changes()["scene"]["played_steps"] == 72 and (mine.label, other.label) == (
        "you",
        "ideal target tracking",
    )
    assert mine.handovers == [{"elapsed_steps": 72, "label": "you"}]
    game.handle({"do": "act", "action": 2})
    assert mine.session.history["action"][72:] == [2]
    game.handle({"do": "restart"})
    assert steps(game) == [72, 72]
    trajectory = simulate(find_policy("target-tracking"), demo_days("SPIKE", seed=3, count=1))
    assert costs(game) == pytest.approx([trajectory.cost[0, :72].sum()] * 2)


def test_at_most_a_quarter_of_the_day_is_played_at_once(game):
    assert steps(Room("you", "static", "SPIKE", steps=24, played_steps=72)) == [6, 6]
    assert steps(Room("you", "", "SPIKE", played_steps=5)) == [5]
    with pytest.raises(ValueError, match="played_steps = '-1'"):
        Room("you", "static", played_steps=-1)


def test_a_choice_before_the_first_own_step_starts_the_day_anew():
    game = Room("you", "threshold", "SPIKE", played_steps=72)
    set_control(game, "lane2", "optimum")
    assert game.errors == {} and steps(game) == [72, 72]
    set_control(game, "lane2", "static")
    assert game.lanes.all[0].session.history["action"] == [Service().hold] * 72, "the person takes over from static"


def test_the_same_choice_again_changes_nothing():
    game = Room("you", "threshold", "SPIKE", played_steps=72)
    for _ in range(2):
        set_control(game, "lane1", "you")
        set_control(game, "lane2", "threshold")
        game.handle({"do": "step"})
    assert game.errors == {} and [len(lane.handovers) for lane in game.lanes.all] == [1, 0]


def test_the_figure_plays_the_whole_day_after_a_start_by_another_policy():
    lanes = Room("you", "static", "SPIKE", steps=24, played_steps=6).lanes
    assert [session.state.elapsed_steps for session in lanes.finished_copies()] == [24, 24]


# --- the person ------------------------------------------------------------------------------------------------------


def test_a_press_while_the_day_is_paused_plays_a_step(game):
    for action in (2, 2, 0):
        game.handle({"do": "act", "action": action})
    mine = game.lanes.all[0].session
    assert mine.history["action"] == [2, 2, 0] and steps(game) == [3, 3]
    assert mine.state.ready + mine.state.booting == Service().initial_instances + 1


def test_the_last_press_while_the_day_plays_acts_once_in_the_next_step(game):
    game.handle({"do": "play"})
    game.handle({"do": "act", "action": 0})
    game.handle({"do": "act", "action": 2})
    assert steps(game) == [0, 0]
    game.handle({"do": "tick", "run": game.run, "elapsed_steps": 0, "steps": 2})
    assert game.lanes.all[0].session.history["action"] == [2, Service().hold]


def test_an_action_that_does_not_exist_is_refused(game):
    for action in (3, -1, None, "2", 1.0, True):
        game.errors.clear()
        game.handle({"do": "act", "action": action})
        assert "action" in game.errors["play"] and steps(game) == [0, 0], action


def test_one_person_plays_at_most(game, room):
    set_control(game, "lane2", "you")
    assert "already" in game.errors["lane2"]
    room.handle({"do": "act", "action": 0})
    assert "no person plays" in room.errors["play"]


def test_the_optimum_cannot_take_over_during_the_day(room):
    room.handle({"do": "step"})
    set_control(room, "lane2", "optimum")
    assert "from its start" in room.errors["lane2"]
    room.handle({"do": "restart"})
    set_control(room, "lane2", "optimum")
    finish(room)
    assert costs(room)[1] < costs(room)[0]


def test_the_score_card_comes_after_the_end_of_the_day_and_the_optimum_after_the_card(game):
    for request in ("score", "optimum"):
        game.handle({"do": request})
        assert game.card is None
    finish(game)
    game.handle({"do": "optimum"})
    assert game.card is None
    game.handle({"do": "score"})
    assert game.card["pending"] and [lane["cost"] for lane in game.card["lanes"]] == pytest.approx(costs(game))
    game.handle({"do": "optimum"})
    assert not game.card["pending"] and game.card["optimum"] is not None


# --- the messages to the view ----------------------------------------------------------------------------------------


def test_a_frame_holds_the_day_so_far(room):
    for _ in range(5):
        room.handle({"do": "step"})
    frame = np.frombuffer(room.changes()["frame"], dtype=np.float32)
    assert dict(zip(HEAD, frame, strict=False)) == {"counter": 5, "run": 1, "elapsed_steps": 5, "lanes": 2}
    rows = frame[len(HEAD) :].reshape(1 + 2 * len(ROWS), 5)
    assert rows[0].tolist() == room.lanes.all[0].session.history["arrivals"]
    assert rows[1 + ROWS.index("ready")].tolist() == room.lanes.all[0].session.history["ready"]
    assert rows[-1, -1] == pytest.approx(costs(room)[1])


def test_only_the_parts_that_changed_are_sent_as_plain_values(room):
    parts = room.changes()
    assert set(parts) == {"frame", "scene", "why", "card"} and parts["why"][0]["bars"] == []
    json.dumps([parts["scene"], parts["why"]])
    assert room.changes() == {}
    room.handle({"do": "pause"})
    assert set(room.changes()) == {"frame"}, "a frame answers every message"
    room.handle({"do": "step"})
    parts = room.changes()
    assert set(parts) == {"frame", "why"}
    json.dumps(parts["why"])


def test_the_caption_explains_the_workload_and_the_demand(room):
    assert room.changes()["scene"]["caption"].startswith("SPIKE: flash crowds, viral content. A step is 5 minutes.")
    room.handle({"do": "trace", "name": "mine.csv", "text": TRACE})
    set_control(room, "capacity_per_instance", "50")
    caption = room.changes()["scene"]["caption"]
    assert caption.startswith("mine: recorded traffic.") and "an instance serves 50 requests per step." in caption


def test_the_current_values_are_among_the_choices_on_offer(room):
    scene = room.changes()["scene"]
    for slider in SLIDERS:
        low, high = (scene["sliders"][slider][end] for end in ("low", "high"))
        assert low <= float(scene["values"][slider]) <= high
    assert scene["values"]["pattern"] in scene["patterns"]
    assert scene["values"]["lane1"] in [policy["value"] for policy in scene["policies"]]
