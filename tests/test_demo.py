"""The demonstration: sessions step by step, as text, as a film, as pictures."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from autoscaler_env.demo import figures, terminal
from autoscaler_env.demo.session import Session, demo_days
from autoscaler_env.evaluation.metrics import evaluate
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies.registry import find_policy
from autoscaler_env.service import Service
from autoscaler_env.traffic.patterns import Pattern

SHORT = Service(steps_per_episode=24)


@pytest.fixture
def sessions():
    """Return sessions of two rules on two short days."""
    days = demo_days("SPIKE", seed=3, count=2, service=SHORT)
    return [Session(find_policy(name, SHORT), days, SHORT) for name in ("static", "threshold")]


@pytest.mark.parametrize("name", ["random", "threshold", "target-tracking"])
def test_a_session_comes_to_what_evaluate_reports(name):
    session = Session(find_policy(name), demo_days("SINE_CURVE", seed=0, count=1))
    end = session.run(288)
    row = evaluate([find_policy(name)], "SINE_CURVE", 1).iloc[0]
    assert end.cost == pytest.approx(row["cost"])
    assert (end.peak_queue, end.scaling_actions) == (row["peak_queue"], row["scaling_actions"])


def test_a_session_is_step_by_step_what_simulate_plays(sessions):
    session = sessions[1]
    session.run(24)
    trajectory = simulate(find_policy("threshold", SHORT), session.days[:1], SHORT)
    for name in ("ready", "booting", "queue", "served", "dropped", "scaled"):
        assert session.history[name] == getattr(trajectory, name)[0].tolist()


def test_a_session_goes_on_into_the_next_day_which_starts_afresh(sessions):
    session = sessions[1]
    session.run(25)
    assert (session.state.day, session.state.elapsed_steps) == (1, 1)
    assert session.history["arrivals"] == [*session.days[0].tolist(), int(session.days[1, 0])]
    assert session.state.ready + session.state.booting <= SHORT.initial_instances + 1


def test_after_the_last_day_comes_the_first_again(sessions):
    session = sessions[0]
    session.run(72)
    assert session.history["arrivals"][48:] == session.days[0].tolist()


def test_a_session_started_again_repeats_itself(sessions):
    first = sessions[1].run(30)
    sessions[1].start()
    assert sessions[1].run(30) == first


def test_a_session_speaks_plain_numbers(sessions):
    state = sessions[0].run(3)
    assert {type(value) for value in dataclasses.astuple(state)} == {int, float}
    assert {type(value) for values in sessions[0].history.values() for value in values} == {int, float}


def test_demo_days_are_evaluation_days():
    days = demo_days("STEADY", seed=1, count=2)
    assert np.array_equal(days, Pattern("STEADY", Service()).evaluation_days(3)[1:])


def test_a_negative_day_is_refused():
    with pytest.raises(ValueError, match="seed = -1"):
        demo_days("STEADY", seed=-1, count=1)


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("steps", [0, 1, 25])
def test_the_picture_fits_the_terminal(sessions, width, plain, steps):
    for session in sessions:
        session.run(steps)
    text = terminal.picture(sessions, "SPIKE", width=width, plain=plain)
    assert max(len(line) for line in text.split("\n")) <= width
    assert text.isascii() == plain


def test_the_picture_shows_fleet_demand_and_cost(sessions):
    state = sessions[0].run(5)
    sessions[1].run(5)
    row = terminal.picture(sessions, "SPIKE", width=160).split("\n")[4]
    assert "█" in row and "┃" in row and f"${state.cost:,.2f}" in row


def test_without_a_terminal_a_few_stills_are_printed(sessions, capsys):
    terminal.play(sessions, 24, title="SPIKE", delay=9)
    printed = capsys.readouterr().out
    assert printed.count("traffic") == terminal.STILLS and "\x1b" not in printed


def test_on_a_terminal_the_picture_is_drawn_over(sessions, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    terminal.play(sessions, 3, title="SPIKE", delay=0)
    assert capsys.readouterr().out.count("\x1b[6A") == 2


def test_the_closing_table_is_ordered_by_the_cost(sessions):
    for session in sessions:
        session.run(48)
    rows = [line.split() for line in terminal.closing_table(sessions).split("\n")[1:]]
    costs = [float(row[2]) for row in rows]
    assert costs == sorted(costs) and [float(row[1]) for row in rows] == [-cost for cost in costs]


def test_a_film_has_a_frame_per_step(sessions, tmp_path):
    for session in sessions:
        session.run(4)
    figures.save_gif(sessions, tmp_path / "day.gif", title="SPIKE", progress=False)
    with Image.open(tmp_path / "day.gif") as film:
        assert film.n_frames == 4 and film.size == (720, 432)


@pytest.mark.parametrize("name", ["day.png", "day"])
def test_a_film_must_be_a_gif(sessions, tmp_path, name):
    with pytest.raises(ValueError, match=r"must end in \.gif"):
        figures.save_gif(sessions, tmp_path / name, title="SPIKE")


def test_a_film_of_nothing_is_refused(sessions, tmp_path):
    with pytest.raises(ValueError, match="nothing to show"):
        figures.save_gif(sessions, tmp_path / "day.gif", title="SPIKE")


def test_the_drawing_takes_names_and_a_number():
    figure = figures.draw_day("target-tracking", "SPIKE", 2)
    assert len(figure.axes) == 6 and "SPIKE, evaluation day 2" in figure.get_suptitle()
    assert len(figures.draw_day("threshold", "SPIKE", 2).axes) == 3


def test_the_score_picture_names_the_cheaper_and_draws_the_optimum(sessions):
    for session in sessions:
        session.run(24)
    figure = figures.draw_score(sessions, "SPIKE")
    cheaper = min(sessions, key=lambda session: session.state.cost).name
    assert f"SPIKE: {cheaper} is cheaper by $" in figure.get_suptitle()
    assert "optimum" in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


class Watcher:
    """Holds, and remembers what it was shown."""

    name = "watcher"

    def reset(self, days):
        self.seen = []

    def predict(self, observations):
        self.seen.append(observations[0].tolist())
        return np.full(len(observations), SHORT.hold)


def test_a_successor_has_seen_the_day_from_its_start(sessions):
    from_the_start = Session(Watcher(), sessions[0].days, SHORT)
    from_the_start.run(9)
    sessions[0].run(5)  # static, which holds too
    sessions[0].hand_over(successor := Watcher())
    sessions[0].run(4)
    assert successor.seen == from_the_start.policy.seen


def test_a_successor_acts_from_the_next_step_on(sessions):
    session = sessions[0]
    session.run(5)
    session.hand_over(find_policy("threshold", SHORT))
    session.run(5)
    assert session.history["action"][:5] == [SHORT.hold] * 5
    assert any(action != SHORT.hold for action in session.history["action"][5:])
    assert session.name == "threshold"
