"""The command `autoscaler advise` and the function behind it."""

import io
import json

import pytest
from advice_cases import SHOP_DAYS

from autoscaler_env import Service
from autoscaler_env.advice import compare
from autoscaler_env.advice.advise import advise
from autoscaler_env.advice.setup import Setup
from autoscaler_env.cli.main import main
from autoscaler_env.traffic.columns import Reading


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Work in a folder with traffic and a set-up."""
    monkeypatch.chdir(tmp_path)
    lines = [f"{i},{count}" for i, count in enumerate(SHOP_DAYS.reshape(-1))]
    (tmp_path / "traffic.csv").write_text("\n".join(["step,requests", *lines]))
    (tmp_path / "shop.toml").write_text("step_seconds = 3600\ncapacity_per_instance = 100\nmax_instances = 40\n")
    for budget in ("quick", "full"):
        monkeypatch.setitem(compare.BUDGETS, budget, {"q-learning": 20} if budget == "quick" else {})
    return tmp_path


def test_init_writes_a_set_up_and_never_over_one(files, capsys):
    for arguments, name in (
        (["advise", "--init"], "service.toml"),
        (["advise", "--init", "mine.toml"], "mine.toml"),
        (["advise", "--init", "--service", "yours.toml"], "yours.toml"),
    ):
        assert main(arguments) == 0
        assert f"Wrote {name}." in capsys.readouterr().out
        assert Setup.from_toml(files / name).name == "my-service"
        assert Service.from_toml(files / name).capacity_per_instance == 87, "train and evaluate take the same file"
        assert main(arguments) == 2
        assert f"{name}: this file exists" in capsys.readouterr().err


def test_the_command_writes_page_and_json_and_prints_the_answer(files, capsys):
    assert main(["advise", "traffic.csv", "--service", "shop.toml", "--quick", "--output", "out"]) == 0
    printed = capsys.readouterr().out
    plain = json.loads((files / "out" / "advice.json").read_text())
    assert plain["recommendation"]["headline"] in printed and plain["recommendation"]["reason"] in printed
    assert "out/advice.html" in printed and "q-learning" in plain["policies"]


def test_the_function_reads_standard_input_reports_its_notes_and_writes_what_it_returns(files, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((files / "traffic.csv").read_bytes())))
    notes = []
    answer, paths = advise("-", "shop.toml", "out", smooth=3, report=notes.append)
    assert notes == list(answer.comparison.days.notes) and "moving average over 3" in notes[-1]
    assert notes[0].startswith("Read standard input as CSV with commas: requests counts (unit count)")
    assert [path.name for path in paths[:2]] == ["advice.html", "advice.json"]
    assert json.loads(paths[1].read_text()) == json.loads(json.dumps(answer.as_dict()))


def test_the_options_of_reading_reach_the_reader_and_a_question_is_one_line(files, monkeypatch, capsys):
    lines = [f"{i},{service},{i % 7}" for i in range(48) for service in ("cart", "web")]
    (files / "two.csv").write_text("\n".join(["step,service,requests", *lines]))
    command = ["advise", "two.csv", "--service", "shop.toml"]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "choose with --where service=web, or add them up with --sum" in error and error.count("\n") == 1
    given = []
    monkeypatch.setattr("autoscaler_env.advice.advise.advise", lambda *_, how, **__: given.append(how) or exit(0))
    options = (
        "--where service=web --where requests=1 --sum --unit per-minute --zone Asia/Tokyo --dates us --decimal comma"
    )
    with pytest.raises(SystemExit):
        main([*command, *options.split(), "--row-seconds", "60", "--column", "requests"])
    conditions = ("service=web", "requests=1")
    assert given == [Reading("requests", conditions, True, "per-minute", "Asia/Tokyo", "us", "comma", 60)]


def test_a_bad_argument_costs_one_line(files, capsys):
    fine = ["advise", "traffic.csv", "--service", "shop.toml"]
    for arguments, message in (
        (["advise"], "FILE: the traffic is missing"),
        (fine[:2], "--service: the set-up is missing; autoscaler advise --init FILE.toml writes one"),
        (["advise", "nothing.csv", *fine[2:]], "nothing.csv: No such file"),
        ([*fine[:2], "--service", "nothing.toml"], "nothing.toml: No such file"),
        ([*fine, "--seed", "-1"], "seed = -1: must be at least 0"),
        ([*fine, "--zone", "Mars"], "zone = 'Mars': must be a time zone by name"),
        ([*fine, "--unit", "bytes"], "--unit"),
        ([*fine, "--row-seconds", "0"], "row_seconds = 0: must be at least 1"),
        ([*fine, "--smooth", "0"], "smooth = 0: must be at least 1"),
        ([*fine, "--rescale", "0"], "rescale = 0: must be at least 1"),
        ([*fine, "--smooth", "9999"], "smooth = 9999: "),
        ([*fine, "--output", "shop.toml"], "this is a file"),
        ([*fine, "--output", "shop.toml/in"], "shop.toml/in'"),
    ):
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, arguments
