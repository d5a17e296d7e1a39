"""Finished days as figures, animations and terminal text."""

import pytest
from PIL import Image

from autoscaler_env.demo import figures, terminal
from autoscaler_env.demo.session import Session, demo_days
from autoscaler_env.policies.registry import find_policy
from autoscaler_env.service import Service

SHORT = Service(steps_per_episode=24)


@pytest.fixture
def sessions():
    """Return sessions of two rules on two short days."""
    days = demo_days("SPIKE", seed=3, count=2, service=SHORT)
    return [Session(find_policy(name, SHORT), days, SHORT) for name in ("static", "threshold")]


def test_a_day_is_drawn_in_a_column_per_policy():
    figure = figures.draw_day("target-tracking", "SPIKE", 2)
    assert len(figure.axes) == 6 and "SPIKE, evaluation day 2" in figure.get_suptitle()
    assert len(figures.draw_day("threshold", "SPIKE", 2).axes) == 3


def test_the_figure_of_a_score_names_the_cheaper_policy_and_draws_the_optimum(sessions):
    for session in sessions:
        session.run(24)
    figure = figures.draw_score(sessions, "SPIKE")
    cheaper = min(sessions, key=lambda session: session.state.cost).name
    assert f"SPIKE: {cheaper} is cheaper by $" in figure.get_suptitle()
    assert "optimum" in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_an_animation_has_a_frame_per_step(sessions, tmp_path):
    for session in sessions:
        session.run(4)
    figures.save_gif(sessions, tmp_path / "day.gif", title="SPIKE", progress=False)
    with Image.open(tmp_path / "day.gif") as animation:
        assert animation.n_frames == 4 and animation.size == (720, 432)


def test_an_animation_needs_a_gif_file_in_an_existing_folder_and_a_step(sessions, tmp_path):
    (tmp_path / "folder.gif").mkdir()
    cases = {
        "day.png": "must end in .gif",
        "day": "must end in .gif",
        "folder.gif": "this is a folder",
        "none/day.gif": "must lie in an existing folder",
        "day.gif": "steps = 0: must be at least 1",
    }
    for name, message in cases.items():
        with pytest.raises(ValueError, match="must") as error:
            figures.save_gif(sessions, tmp_path / name, title="SPIKE")
        assert message in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.gif"]


def test_the_terminal_picture_fits_its_width(sessions):
    for steps in (0, 1, 24):
        for session in sessions:
            session.run(steps)
        for width in (40, 80, 200):
            for plain in (True, False):
                text = terminal.picture(sessions, "SPIKE", width=width, plain=plain)
                assert max(len(line) for line in text.split("\n")) <= width, (steps, width, plain)
                assert text.isascii() == plain


def test_the_terminal_picture_shows_fleet_demand_and_cost(sessions):
    state = sessions[0].run(5)
    sessions[1].run(5)
    row = terminal.picture(sessions, "SPIKE", width=160).split("\n")[4]
    assert "█" in row and "┃" in row and f"${state.cost:,.2f}" in row


def test_without_a_terminal_a_few_pictures_are_printed(sessions, capsys):
    terminal.play(sessions, 24, title="SPIKE", delay=9)
    printed = capsys.readouterr().out
    assert printed.count("arrivals") == terminal.STILLS and "\x1b" not in printed


def test_on_a_terminal_each_picture_is_drawn_over_the_last_one(sessions, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    terminal.play(sessions, 3, title="SPIKE", delay=0)
    assert capsys.readouterr().out.count("\x1b[6A") == 2


def test_the_progress_bar_counts_steps(sessions, monkeypatch):
    units = []
    monkeypatch.setattr(terminal, "tqdm", lambda steps, unit, **options: units.append(unit) or steps)
    terminal.play(sessions, 2, title="SPIKE", render=False)
    assert units == ["step"]


def test_the_closing_table_lists_the_cheapest_policy_first(sessions):
    for session in sessions:
        session.run(48)
    rows = [line.split() for line in terminal.closing_table(sessions).split("\n")[1:]]
    costs = [float(row[2]) for row in rows]
    assert costs == sorted(costs) and [float(row[1]) for row in rows] == [-cost for cost in costs]
