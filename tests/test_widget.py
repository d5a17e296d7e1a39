"""The control room: what a person may ask for, what comes back, and how little a view has to know."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.websocket import websocket_connect

from autoscaler_env.demo.controls import SLIDERS
from autoscaler_env.demo.explain import explanation
from autoscaler_env.demo.room import Room
from autoscaler_env.demo.score import score_card
from autoscaler_env.demo.server import application, serve
from autoscaler_env.demo.session import Session, demo_days
from autoscaler_env.demo.view import HEAD, ROWS
from autoscaler_env.demo.widget import ControlRoom
from autoscaler_env.envs.single import AutoscalerEnv
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies.registry import find_policy
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Pattern
from autoscaler_env.traffic.trace import Trace

TRACE = "step,requests\n" + "".join(f"{step},{step % 50}\n" for step in range(3 * 288))


@pytest.fixture
def room():
    """Return a room of two rules on a short day."""
    return Room("threshold", "static", "SPIKE", steps=24)


def finish(room):
    room.handle({"do": "play"})
    room.handle({"do": "tick", "run": room.run, "elapsed_steps": room.elapsed_steps, "steps": 50})
    assert room.finished


def steps(room):
    return [lane.session.state.elapsed_steps for lane in room.lanes.all]


def costs(room):
    return [lane.session.state.cost for lane in room.lanes.all]


def numbers(room):
    return np.frombuffer(room.news()["frame"], dtype=np.float32)


# --- time ------------------------------------------------------------------------------------------------------------


def test_time_passes_only_when_a_view_asks_while_the_day_plays(room):
    tick = {"do": "tick", "run": 1, "elapsed_steps": 0, "steps": 3}
    room.handle(tick)
    assert steps(room) == [0, 0]
    room.handle({"do": "play"})
    assert steps(room) == [0, 0]
    room.handle(tick)
    assert steps(room) == [3, 3]


def test_a_view_that_is_behind_moves_nothing(room):
    room.handle({"do": "play"})
    for _ in range(2):  # two views of one room, or a request that was repeated
        room.handle({"do": "tick", "run": 1, "elapsed_steps": 0, "steps": 1})
    assert steps(room) == [1, 1]
    room.handle({"do": "restart"})
    room.handle({"do": "tick", "run": 1, "elapsed_steps": 0, "steps": 1})
    assert steps(room) == [0, 0]


def test_the_day_stops_at_its_end_and_begins_anew_on_play(room):
    finish(room)
    assert steps(room) == [24, 24] and not room.playing
    room.handle({"do": "step"})
    assert steps(room) == [24, 24]
    room.handle({"do": "play"})
    assert steps(room) == [0, 0] and room.playing


def test_step_lets_one_step_pass_and_pauses(room):
    room.handle({"do": "play"})
    room.handle({"do": "step"})
    assert steps(room) == [1, 1] and not room.playing


@pytest.mark.parametrize("name", ["threshold", "q_learning_mixed", "ppo_mixed"])
def test_a_whole_day_costs_what_simulate_says(name):
    room = Room(name, "", "SINUSOIDAL", seed=2)
    room.handle({"do": "play"})
    while not room.finished:
        room.handle({"do": "tick", "run": room.run, "elapsed_steps": room.elapsed_steps, "steps": 50})
    trajectory = simulate(find_policy(name), demo_days("SINUSOIDAL", seed=2, count=1))
    assert costs(room) == pytest.approx([trajectory.cost.sum()])


# --- controls --------------------------------------------------------------------------------------------------------


def test_another_policy_acts_from_the_next_step_on(room):
    for _ in range(6):
        room.handle({"do": "step"})
    room.handle({"do": "set", "name": "lane2", "value": "target-tracking"})
    room.handle({"do": "step"})
    lane = room.lanes.all[1]
    assert lane.session.name == "target-tracking" and steps(room) == [7, 7]
    assert lane.session.history["action"][:6] == [1] * 6
    assert lane.handovers == [{"elapsed_steps": 6, "label": "target tracking"}]


def test_a_second_lane_that_joins_has_played_the_day_so_far():
    late, early = Room("threshold", "", "SPIKE"), Room("threshold", "static", "SPIKE")
    for room in (late, early):
        for _ in range(5):
            room.handle({"do": "step"})
    late.handle({"do": "set", "name": "lane2", "value": "static"})
    assert costs(late) == costs(early)
    late.handle({"do": "set", "name": "lane2", "value": ""})
    assert len(late.lanes.all) == 1


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("boot_steps", "4", "boot_steps", 4),
        ("capacity_per_instance", "120", "capacity_per_instance", 120),
        ("instance_price_per_hour", "0.5", "instance_price_per_hour", 0.5),
        ("late_price", "1.5", "late_price", 0.0015),
        ("drop_price", "10", "drop_price", 0.01),
    ],
)
def test_a_slider_restarts_the_day_with_the_new_value(room, name, value, field, expected):
    room.handle({"do": "step"})
    room.handle({"do": "set", "name": name, "value": value})
    assert steps(room) == [0, 0] and not room.errors
    assert getattr(room.lanes.all[0].session.service, field) == pytest.approx(expected)
    room.handle({"do": "reference"})
    assert room.service == Service()


def test_dearer_instances_cost_more_on_the_same_day(room):
    finish(room)
    before = costs(room)
    room.handle({"do": "set", "name": "instance_price_per_hour", "value": "0.384"})
    finish(room)
    assert costs(room) > before


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("seed", "abc", "day = 'abc': must be a whole number from 0"),
        ("seed", "-1", "day = '-1'"),
        ("seed", "1e3", "day = '1e3'"),
        ("seed", None, "day = 'None'"),
        ("speed", "0", "speed = '0': must be one of 1, 2"),
        ("steps", "7", "length = '7'"),
        ("pattern", "SAW", "pattern = 'SAW': must be one of STEADY"),
        ("lane1", "os:system", "policy = 'os:system': must be one of you"),
        ("lane1", "", "policy = ''"),
        ("boot_steps", "0", "boot delay = '0': must be a whole number from 1 to 12"),
        ("boot_steps", "2.5", "boot delay = '2.5'"),
        ("late_price", "nan", "lateness price = 'nan': must be a number from 0 to 2"),
        ("drop_price", "x" * 999, "drop price = 'xxx"),
        ("fleet_changes", "1", "slider = 'fleet_changes'"),
    ],
)
def test_bad_input_is_refused_beside_its_control_and_the_demo_goes_on(room, name, value, said):
    room.handle({"do": "step"})
    before = room.news()["scene"]["values"]
    room.handle({"do": "set", "name": name, "value": value})
    scene = room.news()["scene"]
    assert scene["errors"][name].startswith(said) and len(scene["errors"][name]) < 400
    assert scene["values"] == before and steps(room) == [1, 1]
    room.handle({"do": "step"})
    assert steps(room) == [2, 2]


def test_a_good_value_takes_the_complaint_away(room):
    room.handle({"do": "set", "name": "seed", "value": "x"})
    room.handle({"do": "set", "name": "seed", "value": " 3 "})
    assert room.errors == {} and room.seed == 3


@pytest.mark.parametrize("message", [None, 3, [], {}, {"do": None}, {"do": "run"}, {"do": ["tick"]}, {"do": "set"}])
def test_nonsense_is_answered(room, message):
    room.handle(message)
    assert room.errors and steps(room) == [0, 0]


def test_a_trace_that_is_handed_in_is_played(room):
    room.handle({"do": "trace", "name": "my traffic.csv", "text": TRACE})
    assert (room.pattern, room.errors) == ("my traffic", {})
    room.handle({"do": "step"})
    assert "my traffic" in room.news()["scene"]["patterns"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "file is empty"),
        ("step,requests\n1,2\n", "two days"),
        ("step,requests\n1,x\n", "'x' is not a number"),
        ("a" * 4_000_001, "at most 4,000,000"),
    ],
)
def test_a_trace_that_is_none_is_refused_under_its_own_name(room, text, said):
    room.handle({"do": "trace", "name": "t.csv", "text": text})
    assert said in room.errors["pattern"] and room.errors["pattern"].startswith("t.csv")
    assert room.pattern == "SPIKE"


def test_a_room_may_be_given_a_trace():
    days = Pattern("POISSON", Service()).evaluation_days(4)
    assert Room("static", "", Trace("mine", days)).pattern == "mine"


def test_a_policy_that_fails_stops_the_clock_and_is_named(room):
    class Broken:
        name = "broken"

        def reset(self, days):
            pass

        def predict(self, observations):
            raise KeyError("no idea")

    room.lanes.all[0].session.hand_over(Broken())
    room.handle({"do": "play"})
    room.handle({"do": "tick", "run": room.run, "elapsed_steps": 0, "steps": 1})
    assert "KeyError: 'no idea'" in room.errors["play"] and not room.playing


# --- the person ------------------------------------------------------------------------------------------------------


@pytest.fixture
def game():
    """Return a room in which a person plays against a rule."""
    return Room("you", "threshold", "SPIKE", steps=24)


def test_a_press_while_the_day_stands_still_plays_a_step(game):
    for action in (2, 2, 0):
        game.handle({"do": "act", "action": action})
    mine = game.lanes.all[0].session
    assert mine.history["action"] == [2, 2, 0] and steps(game) == [3, 3]
    assert mine.state.ready + mine.state.booting == Service().initial_instances + 1


def test_a_press_while_time_passes_counts_once_for_the_next_step(game):
    game.handle({"do": "play"})
    game.handle({"do": "act", "action": 0})
    game.handle({"do": "act", "action": 2})
    assert steps(game) == [0, 0]
    game.handle({"do": "tick", "run": game.run, "elapsed_steps": 0, "steps": 2})
    assert game.lanes.all[0].session.history["action"] == [2, Service().hold]


@pytest.mark.parametrize("action", [3, -1, None, "2", 1.0, True])
def test_an_action_that_does_not_exist_is_refused(game, action):
    game.handle({"do": "act", "action": action})
    assert "action" in game.errors["play"] and steps(game) == [0, 0]


def test_only_one_lane_can_be_played_by_hand(game, room):
    game.handle({"do": "set", "name": "lane2", "value": "you"})
    assert "already" in game.errors["lane2"]
    room.handle({"do": "act", "action": 0})
    assert "nobody plays" in room.errors["play"]


def test_the_optimum_cannot_take_over_a_day_that_runs(room):
    room.handle({"do": "step"})
    room.handle({"do": "set", "name": "lane2", "value": "optimum"})
    assert "from its start" in room.errors["lane2"]
    room.handle({"do": "restart"})
    room.handle({"do": "set", "name": "lane2", "value": "optimum"})
    finish(room)
    assert costs(room)[1] < costs(room)[0]


# --- the score card --------------------------------------------------------------------------------------------------


@pytest.fixture
def card(game):
    """Return the score card of a short day that the person held through."""
    finish(game)
    game.handle({"do": "score"})
    assert game.card["pending"] and game.card["optimum"] is None
    game.handle({"do": "optimum"})
    return game.card


def test_a_cost_is_the_sum_of_its_items_and_of_what_it_bought(card, game):
    for lane, cost in zip(card["lanes"], costs(game), strict=True):
        assert lane["cost"] == pytest.approx(cost)
        assert sum(lane["items"].values()) == pytest.approx(cost)
        assert sum(lane["where"].values()) == pytest.approx(cost)


def test_nobody_pays_less_than_the_optimum(card):
    assert card["optimum"]["cost"] <= min(lane["cost"] for lane in card["lanes"])
    assert len(card["optimum"]["fleet"]) == 24


def test_idle_instances_are_paid_for_by_hand_arithmetic():
    service = Service(steps_per_episode=2, capacity_per_instance=10, initial_instances=4, min_instances=1)
    session = Session(find_policy("static", service), np.array([[20, 20]]), service)
    session.run(2)
    where = score_card([session], ["static"])["lanes"][0]["where"]
    assert where == pytest.approx({"worked": 4 * 0.016, "idle": 4 * 0.016, "booting": 0, "late": 0, "dropped": 0})


def test_without_an_optimum_the_card_says_why(game):
    game.handle({"do": "set", "name": "boot_steps", "value": "12"})
    finish(game)
    game.handle({"do": "score"})
    game.handle({"do": "optimum"})
    assert game.card["optimum"] is None and "boot_steps = 12" in game.card["reason"]


def test_there_is_no_card_before_the_day_is_over(game):
    game.handle({"do": "score"})
    game.handle({"do": "optimum"})
    assert game.card is None


# --- why -------------------------------------------------------------------------------------------------------------


def watched(name, steps=30):
    session = Session(find_policy(name), demo_days("SINE_CURVE", seed=0, count=1))
    session.run(steps)
    return session


@pytest.mark.parametrize("name", ["q_learning_mixed", "dqn_mixed", "ppo_mixed"])
def test_a_learner_chose_its_longest_bar(name):
    for steps in (1, 30, 60):
        why = explanation(watched(name, steps))
        assert len(why["bars"]) == 3
        longest = max(why["bars"], key=lambda bar: bar["end"])
        assert longest["chosen"] and longest["label"] in why["did"]


def test_values_are_called_what_they_are():
    scales = [explanation(watched(name))["scale"] for name in ("q_learning_mixed", "dqn_mixed", "ppo_mixed")]
    assert "return" in scales[0] and "save" in scales[1] and "Probability" in scales[2]


def test_probabilities_add_up_to_one():
    assert sum(bar["end"] for bar in explanation(watched("ppo_mixed"))["bars"]) == pytest.approx(1)


def test_asking_why_changes_nothing():
    asked, left_alone = watched("ppo_mixed", 0), watched("ppo_mixed", 0)
    for _ in range(40):
        asked.step()
        explanation(asked)
    left_alone.run(40)
    assert asked.history == left_alone.history


def test_the_words_say_what_the_observation_holds():
    env = AutoscalerEnv()
    env.reset(options={"day": np.full(288, 3_000)})
    session = Session(find_policy("threshold"), np.full((1, 288), 3_000))
    session.run(2)
    saw = explanation(session)["saw"]
    assert "3,000 requests came in, as many as the step before." in saw
    assert "25 instances ready and 1 booting" in saw and "825 wait" in saw


class Stubborn:
    """Wants forty instances, whatever comes."""

    name = "stubborn"
    wanted = np.array([40])

    def reset(self, days):
        pass

    def predict(self, observations):
        return np.array([2])


def test_a_rule_with_a_memory_may_say_what_it_wanted():
    session = Session(Stubborn(), np.full((1, 288), 1_000))
    session.step()
    assert [bar["text"] for bar in explanation(session)["bars"]] == ["25", "40"]


def test_nothing_is_explained_before_the_first_step(room):
    assert room.news()["why"][0]["bars"] == []


# --- what a view is sent ---------------------------------------------------------------------------------------------


def test_a_frame_holds_the_day_so_far(room):
    for _ in range(5):
        room.handle({"do": "step"})
    frame = numbers(room)
    assert frame[: len(HEAD)].tolist() == [5, 1, 5, 2]
    rows = frame[len(HEAD) :].reshape(1 + 2 * len(ROWS), 5)
    assert rows[0].tolist() == room.lanes.all[0].session.history["arrivals"]
    assert rows[1 + ROWS.index("ready")].tolist() == room.lanes.all[0].session.history["ready"]
    assert rows[-1, -1] == pytest.approx(costs(room)[1])


def test_news_are_what_changed_and_plain(room):
    assert set(room.news()) == {"frame", "scene", "why", "card"}
    assert room.news() == {}
    room.handle({"do": "pause"})
    assert set(room.news()) == {"frame"}, "every message is answered, by a frame at least"
    room.handle({"do": "step"})
    news = room.news()
    assert set(news) == {"frame", "why"}
    json.dumps(news["why"])


def test_the_caption_says_what_the_traffic_stands_for_and_how_it_is_measured(room):
    assert room.news()["scene"]["caption"].startswith("SPIKE: flash crowds, viral content. A step is 5 minutes.")
    room.handle({"do": "trace", "name": "mine.csv", "text": TRACE})
    room.handle({"do": "set", "name": "capacity_per_instance", "value": "50"})
    caption = room.news()["scene"]["caption"]
    assert caption.startswith("mine: recorded traffic.") and "need, 50 each." in caption


def test_choices_on_the_page_are_those_that_are_allowed(room):
    scene = room.news()["scene"]
    json.dumps(scene)
    for slider in SLIDERS:
        assert scene["sliders"][slider]["low"] <= scene["values"][slider] <= scene["sliders"][slider]["high"]
    assert scene["values"]["pattern"] in scene["patterns"]
    assert scene["values"]["lane1"] in [policy["value"] for policy in scene["policies"]]


def test_every_policy_on_offer_can_be_seated(room):
    for policy in room.policies:
        room.handle({"do": "set", "name": "lane1", "value": policy["value"]})
        room.handle({"do": "step"})
        assert room.errors == {} or policy["value"] == "optimum", room.errors
        room.errors.clear()


# --- the widget and the page -----------------------------------------------------------------------------------------


def test_the_widget_passes_messages_on_and_tells_what_changed():
    panel = ControlRoom("threshold", "static", "STEADY")
    before = panel.frame
    panel._handle_custom_msg({"do": "step"}, [])
    assert panel.room.elapsed_steps == 1 and panel.frame != before
    assert panel.why[0]["did"]


def test_two_widgets_do_not_disturb_each_other():
    one, other = (ControlRoom("threshold", "", "STEADY") for _ in range(2))
    one._handle_custom_msg({"do": "step"}, [])
    assert (one.room.elapsed_steps, other.room.elapsed_steps) == (1, 0)


def test_a_document_gets_a_picture_beside_the_view():
    data, _ = ControlRoom("you", "threshold", "STEADY", steps=24)._repr_mimebundle_()
    assert data["image/png"].startswith("iVBOR") and "widget-view" in str(list(data))


def test_where_nobody_can_be_asked_there_is_only_the_picture(monkeypatch):
    monkeypatch.setattr("autoscaler_env.demo.widget.somebody_is_there", lambda: False)
    data, _ = ControlRoom("threshold", "static", "STEADY", steps=24)._repr_mimebundle_()
    assert list(data) == ["text/plain", "image/png"]


@pytest.mark.notebook
@pytest.mark.filterwarnings("default")
def test_an_executed_notebook_holds_the_picture_and_no_view():
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    code = "from autoscaler_env.demo.widget import ControlRoom\nControlRoom('threshold', 'static', 'STEADY')"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)], metadata=kernel)
    NotebookClient(notebook).execute()
    (output,) = notebook.cells[0].outputs
    assert set(output.data) == {"text/plain", "image/png"}


def test_the_view_asks_nothing_of_any_other_machine():
    assert "//" not in ControlRoom._css.replace("/*", "")
    addresses = [line for line in ControlRoom._esm.splitlines() if "http" in line]
    assert all("www.w3.org/2000/svg" in line for line in addresses)


@pytest.fixture
def on_a_page():
    """Return a function that runs `visit(address, rooms)` while the server of the page listens."""

    async def serve_and_visit(visit):
        (listening,) = bind_sockets(0, "127.0.0.1")
        port = listening.getsockname()[1]
        app = application(lambda: Room("threshold", "static"), port)
        server = HTTPServer(app)
        server.add_sockets([listening])
        await visit(f"127.0.0.1:{port}", app.settings["rooms"])
        server.stop()
        await server.close_all_connections()

    def in_a_thread(visit):
        # Of its own: in the thread of the tests a browser's event loop may be running.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, asyncio.wait_for(serve_and_visit(visit), 60)).result()

    return in_a_thread


def test_a_page_has_a_room_of_its_own_until_it_closes(on_a_page):
    async def visit(address, rooms):
        pages = [await websocket_connect(f"ws://{address}/socket") for _ in range(2)]
        for page in pages:
            assert set(json.loads(await page.read_message())) == {"scene", "why", "card"}
            assert isinstance(await page.read_message(), bytes)
        await pages[0].write_message("no JSON")
        assert "errors" in json.loads(await pages[0].read_message())["scene"]
        await pages[0].read_message()
        await pages[0].write_message(json.dumps({"do": "step"}))
        assert "why" in json.loads(await pages[0].read_message())
        frame = np.frombuffer(await pages[0].read_message(), dtype=np.float32)
        assert frame[HEAD.index("steps")] == 1
        assert len(rooms) == 2
        for page in pages:
            page.close()
        while rooms:
            await asyncio.sleep(0.01)

    on_a_page(visit)


@pytest.mark.parametrize("headers", [{"Origin": "http://example.com"}, {"Host": "example.com"}])
def test_a_page_of_another_site_is_refused(on_a_page, headers):
    async def visit(address, rooms):
        with pytest.raises(HTTPClientError, match="403"):
            await websocket_connect(HTTPRequest(f"ws://{address}/socket", headers=headers))
        assert not rooms

    on_a_page(visit)


def test_a_port_that_is_none_is_refused():
    with pytest.raises(ValueError, match="port = 70000"):
        serve(Room, 70_000)
