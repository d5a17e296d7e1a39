"""The command `autoscaler advise` and the function behind it."""

import io
import json

import pytest
from advice_cases import SHOP_DAYS, recommending, shop_answer

from autoscaler_env import Service
from autoscaler_env.advice import compare
from autoscaler_env.advice.advise import advise, write_answer
from autoscaler_env.advice.setup import Setup
from autoscaler_env.cli.main import main
from autoscaler_env.storage.files import write_atomically
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


def test_rows_and_steps_are_two_things_and_the_answer_repeats_what_the_user_wrote(files, capsys):
    natural = "row_seconds = 1800\nrequests_per_second_per_instance = 0.02\nboot_seconds = 600\nmax_instances = 40\n"
    (files / "natural.toml").write_text(natural)
    command = ["advise", "traffic.csv", "--service", "natural.toml", "--no-learners", "--json"]
    for options, seconds, capacity in (
        ([], 1800, 36),
        (["--step-seconds", "3600"], 3600, 72),
        (["--step-seconds", "7200", "--row-seconds", "3600"], 7200, 144),
    ):
        assert main([*command, *options]) == 0
        plain = json.loads(capsys.readouterr().out)
        service = plain["service"]
        assert (service["step_seconds"], service["capacity_per_instance"], service["boot_seconds"]) == (
            seconds,
            capacity,
            600,
        )
        assert service["as_written"]["requests_per_second_per_instance"] == 0.02


def test_the_function_reads_standard_input_reports_its_notes_and_writes_what_it_returns(files, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((files / "traffic.csv").read_bytes())))
    notes = []
    answer, paths = advise("-", "shop.toml", "out", smooth=3, report=notes.append)
    comparison = answer.comparison
    assert notes == [*comparison.days.notes, *comparison.doubts, comparison.plausibility], "no learner: no more lines"
    assert any("moving average over 3" in note for note in notes)
    assert notes[0].startswith("Read standard input as CSV with commas: requests counts (unit count)")
    assert [path.name for path in paths[:2]] == ["advice.html", "advice.json"]
    assert json.loads(paths[1].read_text()).items() >= json.loads(json.dumps(answer.as_dict())).items()


def test_the_rules_answer_is_written_and_told_before_a_learner_is_trained(files, monkeypatch):
    monkeypatch.setitem(compare.BUDGETS, "full", {"q-learning": 2, "dqn": 100})
    monkeypatch.setattr("autoscaler_env.advice.advise.FEWEST_TRAININGS", 1)
    learner, lines, pages = compare._learner, [], []

    def training(algorithm, *arguments):
        page, plain = (files / "out" / name for name in ("advice.html", "advice.json"))
        pages.append((page.read_text(), json.loads(plain.read_text())))
        if algorithm == "dqn":
            raise KeyboardInterrupt  # as a user's Ctrl-C
        return learner(algorithm, *arguments)

    monkeypatch.setattr(compare, "_learner", training)
    with pytest.raises(KeyboardInterrupt):
        advise("traffic.csv", "shop.toml", "out", report=lines.append)
    (rules, first), (one, second) = pages
    assert first["pending"] == ["q-learning", "dqn"] and second["pending"] == ["dqn"]
    assert "Q-learning and DQN are still being trained" in rules and "DQN is still being trained" in one
    assert first["recommendation"]["headline"] in lines[-2] and lines[-1] == "The page has Q-learning too."
    assert (files / "out" / "advice.html").read_text() == one, "an interrupted run leaves the last answer"
    monkeypatch.setattr(compare, "_learner", learner)
    answer, paths = advise("traffic.csv", "shop.toml", "out", report=lines.append)
    assert "still being trained" not in paths[0].read_text() and not answer.comparison.pending


def test_a_run_that_is_killed_between_two_files_can_be_repeated(tmp_path, monkeypatch):
    answer = shop_answer()
    write_answer(recommending(answer, "hpa-cpu"), tmp_path)
    before = (tmp_path / "advice.html").read_bytes()

    def killed(path, write):
        if path.name == "hpa.yaml":
            raise KeyboardInterrupt
        write_atomically(path, write)

    monkeypatch.setattr("autoscaler_env.advice.advise.write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        write_answer(recommending(answer, "hpa-demand"), tmp_path)
    assert (tmp_path / "advice.html").read_bytes() != before, "the page is new, the manifest is not"
    monkeypatch.undo()
    write_answer(recommending(answer, "fixed"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["advice.html", "advice.json"]


def test_json_goes_to_standard_output_alone_and_no_learners_means_rules_only(files, capsys):
    arguments = ["advise", "traffic.csv", "--service", "shop.toml", "--quick", "--no-learners", "--json"]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    plain = json.loads(printed.out)
    assert "q-learning" not in plain["policies"] and "target-tracking" in plain["policies"]
    assert plain["plausibility"] in printed.err and plain["recommendation"]["headline"] in printed.err


def test_the_last_days_are_used_if_asked(files, capsys):
    assert main(["advise", "traffic.csv", "--service", "shop.toml", "--no-learners", "--json", "--days", "5"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["traffic"]["days"] == 5 and plain["traffic"]["held_out"] == ["day 7", "day 8"]
    assert "Only the last 5 of 8 days are used, as asked." in plain["traffic"]["notes"]


def test_files_of_the_user_are_never_replaced_and_those_of_an_earlier_answer_are(files, capsys):
    mine = "step_seconds = 3600\ncapacity_per_instance = 100\nmax_instances = 40\n# mine\n"
    (files / "service.toml").write_text(mine)
    arguments = ["advise", "traffic.csv", "--service", "service.toml", "--no-learners", "--output"]
    assert main([*arguments, "."]) == 2
    assert "service.toml is there, and no earlier answer wrote it as it is" in capsys.readouterr().err
    assert (files / "service.toml").read_text() == mine and not (files / "advice.html").exists()
    assert main([*arguments, "out"]) == 0 and main([*arguments, "out"]) == 0, "an earlier answer is replaced"
    (files / "out" / "advice.html").write_text("edited")
    assert main([*arguments, "out"]) == 2
    assert (files / "out" / "advice.html").read_text() == "edited"


def test_a_file_that_the_new_answer_does_not_need_does_not_stay_beside_it(tmp_path):
    answer = shop_answer()
    write_answer(recommending(answer, "hpa-cpu"), tmp_path)
    assert (tmp_path / "hpa.yaml").exists()
    write_answer(recommending(answer, "fixed"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["advice.html", "advice.json"]


def test_the_options_of_reading_reach_the_reader_and_a_question_is_one_line(files, monkeypatch, capsys):
    lines = [f"{i},{service},{i % 7}" for i in range(48) for service in ("cart", "web")]
    (files / "two.csv").write_text("\n".join(["step,service,requests", *lines]))
    command = ["advise", "two.csv", "--service", "shop.toml"]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "choose with --where service=web, or add them up with --sum" in error and error.count("\n") == 1
    given = []
    monkeypatch.setattr(
        "autoscaler_env.advice.inputs.read_inputs", lambda source, *_, how, **__: given.append((source, how)) or exit(0)
    )
    options = (
        "--where service=web --where requests=1 --sum --unit per-minute --zone Asia/Tokyo --dates us --decimal comma"
    )
    with pytest.raises(SystemExit):
        main(
            [
                "advise",
                "one.csv",
                *command[1:],
                *options.split(),
                "--row-seconds",
                "60",
                "--column",
                "requests",
                "--repeats",
                "drop",
            ]
        )
    conditions = ("service=web", "requests=1")
    how = Reading("requests", conditions, True, "per-minute", "Asia/Tokyo", "us", "comma", 60, "drop")
    assert given == [(("one.csv", "two.csv"), how)]


def test_a_bad_argument_costs_one_line(files, capsys):
    fine = ["advise", "traffic.csv", "--service", "shop.toml"]
    (files / "large.toml").write_text("row_seconds = 3600\nrequests_per_second_per_instance = 1000\n")
    for arguments, message in (
        (["advise", "--init", "a.toml", "b.toml"], "FILE: only one set-up is written at a time"),
        (["advise"], "FILE: the traffic is missing"),
        (fine[:2], "--service: the set-up is missing; autoscaler advise --init FILE.toml writes one"),
        (["advise", "nothing.csv", *fine[2:]], "nothing.csv: No such file"),
        ([*fine[:2], "--service", "nothing.toml"], "nothing.toml: No such file"),
        ([*fine[:3], "large.toml"], "capacity_per_instance x max_instances + queue_limit = 360004350: must be at most"),
        ([*fine, "--seed", "-1"], "seed = -1: must be at least 0"),
        ([*fine, "--days", "1"], "days = 1: must be at least 2"),
        ([*fine, "--zone", "Mars"], "zone = 'Mars': must be a time zone by name"),
        ([*fine, "--unit", "bytes"], "unit = 'bytes': must be one of count, per-second"),
        ([*fine, "--row-seconds", "0"], "row_seconds = 0: must be at least 1"),
        ([*fine, "--step-seconds", "7"], "step_seconds = 7: a day must be whole steps"),
        ([*fine, "--step-seconds", "60"], "step_seconds = 60: the set-up counts per step of 3600 s (capacity_per_ins"),
        ([*fine, "--smooth", "0"], "smooth = 0: must be at least 1"),
        ([*fine, "--rescale", "0"], "rescale = 0: must be at least 1"),
        ([*fine, "--smooth", "9999"], "smooth = 9999: "),
        ([*fine, "--output", "shop.toml"], "shop.toml is a file; name a folder"),
        ([*fine, "--output", "shop.toml/in"], "shop.toml/in'"),
    ):
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, arguments
