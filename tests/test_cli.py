"""The command line: what each command prints and writes, and one line for a bad argument."""

import ctypes
import gc
import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

import autoscaler_env
from autoscaler_env.cli.evaluate import what_is_possible
from autoscaler_env.cli.main import COMMANDS, main
from autoscaler_env.cli.train import training_plan
from autoscaler_env.course import Executed
from autoscaler_env.paths import Folders
from autoscaler_env.study.analysis import foresight
from autoscaler_env.training.checkpoint import RunFolder
from autoscaler_env.training.config import TrainingConfig
from autoscaler_env.training.presets import PRESETS


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Work in a folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a root with a small Q-table, trained by the command."""
    root = tmp_path_factory.mktemp("trained")
    assert main(["train", "qlearning", "--episodes", "40", "--output", str(root)]) == 0
    return root


def trace(path, days=5):
    """Write a trace; return its path."""
    steps = np.arange(days * 288)
    requests = 1000 + 500 * np.sin(2 * np.pi * steps / 288)
    pd.DataFrame({"step": steps, "requests": requests.round()}).to_csv(path, index=False)
    return str(path)


def modules_after(*arguments):
    """Return the modules that a fresh interpreter has imported after a command."""
    code = f"import sys\nfrom autoscaler_env.cli.main import main\ntry: main({list(arguments)!r})\n"
    code += "finally: print('\\n', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)
    return set(done.stdout.rsplit("\n", 2)[-2].split())


def test_light_commands_import_no_heavy_modules(tmp_path):
    output = ["--output", str(tmp_path)]
    heavy = {"torch", "matplotlib", "stable_baselines3"}
    for arguments, left_out in (
        (["--help"], heavy | {"pandas"}),
        (["train", "q-learning", "--episodes", "2", *output], heavy | {"pandas"}),
        (["demo", "--policy", "static", "--steps", "2", "--no-render", *output], heavy),  # pandas formats its table
    ):
        assert not modules_after(*arguments) & left_out, arguments
    assert not modules_after("tarin") & {"torch", "pandas", "numba", "autoscaler_env.cli.train"}


def test_what_is_wrong_is_refused_before_slow_imports(tmp_path):
    (tmp_path / "service.toml").write_text("requests_per_second_per_instance = 0.29\n")
    (tmp_path / "bad.toml").write_text("[today]\nrule = 'hpa-cpu'\ntarget = 70\n")
    (tmp_path / "traffic.csv").write_text("timestamp,requests\n2026-03-02,noon\n")
    (tmp_path / "work" / "ann").mkdir(parents=True)
    slow = {"torch", "pandas", "scipy.stats", "matplotlib", "papermill", "nbconvert"}
    advise = ["advise", "traffic.csv", "--service", "service.toml"]
    for arguments, left_out in (
        (advise, slow | {"numba"}),
        ([*advise, "--seed", "-1"], slow | {"numba"}),
        ([*advise, "--zone", "Mars"], slow | {"numba"}),
        ([*advise[:3], "bad.toml"], slow | {"numba"}),
        ([*advise[:3], "nowhere.toml"], slow | {"numba"}),
        (["evaluate", "treshold"], slow | {"numba"}),
        (["evaluate", "threshold", "--trace", "traffic.csv"], slow | {"numba"}),
        (["evaluate", "threshold", "--trace", "nowhere.csv"], slow | {"numba"}),
        (["evaluate", "threshold", "--patern", "SPIKE"], slow | {"numba"}),
        (["train", "ppo", "--seed", "-1"], slow | {"numba"}),
        (["study", "budget"], slow | {"numba"}),
        (["release", "."], slow | {"numba"}),
        (["leaderboard", "nowhere"], slow | {"numba"}),
        (["demo", "--policy", "nope"], slow | {"numba"}),
        (["run", "--only", "nope"], slow | {"numba"}),
        (["verify", "nowhere"], slow | {"numba"}),
        (["grade", "nowhere"], slow | {"numba", "nbformat"}),
        (["grade", ".", "--rubric", "bad.toml"], slow | {"numba", "nbformat"}),
        (["leaderboard", "work", "--rubric", "bad.toml"], slow | {"numba", "nbformat"}),
        (["check", ".", "--course", "work"], slow | {"numba", "nbformat"}),
        (["course", "traffic.csv"], slow | {"numba", "nbformat"}),
    ):
        assert not modules_after(*arguments) & left_out, arguments


def test_every_command_has_help(capsys):
    for command in COMMANDS:
        with pytest.raises(SystemExit) as end:
            main([command, "--help"])
        assert end.value.code == 0 and f"usage: autoscaler {command}" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0 and all(f" {command} " in text for command in COMMANDS) and "--version" in text


def test_help_shows_units_and_defaults(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for part in (
        "in days. (default: 10000)",
        "in timesteps;",
        "(default: 100000)",
        "(default: auto)",
        "(default: MIXED)",
    ):
        assert part in text
    assert "bit for bit, on the same machine; on another processor it gives another dqn or ppo" in text


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert (end.value.code, capsys.readouterr().out) == (0, f"autoscaler {autoscaler_env.__version__}\n")


BAD = (
    ("", "a command is needed; commands are train"),
    ("bogus", "'bogus' is not a command; commands are train"),
    ("tarin", "'tarin' is not a command, did you mean train?"),
    ("--bogus", "'--bogus' is not a command"),
    ("train", "Missing from autoscaler train"),
    ("train sarsa", "algorithm = 'sarsa': must be one of q-learning, dqn, ppo"),
    ("train ppo --bogus 1", "'--bogus' is not an option (see: autoscaler train --help)"),
    ("train ppo --timestep 1", "'--timestep' is not an option, did you mean --timesteps?"),
    ("train ppo --timesteps many", "--timesteps: 'many' is not a number"),
    ("train ppo --timesteps", "--timesteps"),
    ("train ppo --timesteps 0", "timesteps = 0: must be an integer of at least 1"),
    ("train ppo --episodes 5", "episodes = 5: is for q-learning, not for ppo; give timesteps"),
    ("train q-learning --batch-size 5", "batch_size = 5: is for dqn, ppo and policy-iteration"),
    ("train pppo", "policy-iteration, did you mean ppo?"),
    ("train ppo --pattern spik", "did you mean SPIKE?"),
    ("study budget", "all, did you mean budgets?"),
    ("release --outptu x", "'--outptu' is not an option"),  # and not: a folder is missing
    ("run quick", "'quick' is a word too many"),
    ("train q-learning --pattern NOPE", "pattern = 'NOPE': must be one of STEADY"),
    ("train q-learning --seed -1", "seed = -1"),
    ("train q-learning --name a/b", "name = 'a/b'"),
    ("train q-learning --smooth 3", "--smooth"),
    ("train ppo --device tpu", "device = 'tpu': must be one of auto, cpu, cuda, mps"),
    ("train ppo --learning-rate 2", "learning_rate = 2"),
    ("evaluate", "at least one is needed"),
    ("evaluate nope", "policy = 'nope'"),
    ("evaluate ppo_mixed", "make it with: autoscaler train ppo --pattern MIXED"),
    ("evaluate static --episodes 0", "episodes = 0"),
    ("evaluate static --trace nope.csv", "nope.csv: No such file"),
    ("evaluate static --trace empty.csv", "empty.csv: the file is empty"),
    ("evaluate static --trace nope.csv --pattern SPIKE", "only one of them"),
    ("evaluate static --service nope.toml", "nope.toml: No such file"),
    ("evaluate static --service bad.toml", "bad.toml: boot_steps = 0"),
    ("evaluate static --csv nope/out.csv", "no such folder"),
    ("demo --steps 0", "steps = 0"),
    ("demo --delay -1", "delay = -1"),
    ("demo --seed -1", "seed = -1"),
    ("demo --save film.mp4", "must end in .gif"),
    ("demo --load-pattern NOPE", "pattern = 'NOPE'"),
    ("demo --policy nope", "policy = 'nope'"),
    ("verify nope", "no such folder"),
    ("run --profile slow", "profile = 'slow': must be one of quick, full (see: autoscaler run --help)"),
    (
        "advise --unit persec",
        "unit = 'persec': must be one of count, per-second, per-minute, per-hour, counter, ",
    ),
    ("advise --dates usa", "dates = 'usa': must be one of us, european, did you mean us?"),
    (
        "grade x --format canvs",
        "format = 'canvs': must be one of csv, canvas, moodle, gradescope, did you mean",
    ),
    ("evaluate static --trace x --rescale peek", "rescale = 'peek': must be one of peak, a number, did you mean peak?"),
    ("advise --seed one", "--seed: 'one' is not a whole number"),
)


def test_a_bad_argument_gets_one_line_and_writes_nothing(tmp_path, capsys):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "bad.toml").write_text("boot_steps = 0\n")
    for arguments, message in BAD:
        rooted = arguments.startswith(("train ", "evaluate ", "demo "))
        assert main([*arguments.split(), *(["--output", str(tmp_path)] if rooted else [])]) == 2, arguments
        printed = capsys.readouterr()
        assert printed.out == "", arguments
        assert printed.err.startswith("autoscaler: ") and printed.err.count("\n") == 1 and message in printed.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.toml", "empty.csv"]


def test_the_status_and_the_line_reach_the_shell_in_any_encoding():
    for encoding in ("ascii", "utf-8"):
        command = [sys.executable, "-m", "autoscaler_env.cli.main", "train", "ppo", "--seed"]
        environment = os.environ | {"PYTHONIOENCODING": encoding}
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)
        assert done.returncode == 2 and done.stderr.startswith("autoscaler: Missing value for argument '--seed'")
        assert done.stderr.count("\n") == 1


def test_training_writes_what_it_announces(trained, capsys):
    assert (trained / "models" / "q_learning_mixed.pkl").exists()
    description = json.loads((trained / "models" / "q_learning_mixed.json").read_text())
    assert description["timesteps"] == 40 * 288 and description["seed"] == 0


def test_a_model_is_not_overwritten_unasked(trained, capsys):
    arguments = ["train", "q-learning", "--episodes", "3", "--output", str(trained), "--name", "mine"]
    assert main(arguments) == 0
    assert main([*arguments, "--seed", "1"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*arguments, "--seed", "1", "--overwrite"]) == 0
    assert json.loads((trained / "models" / "mine.json").read_text())["seed"] == 1


def test_eval_plays_ten_days_of_each_pattern(tmp_path, capsys):
    assert main(["train", "q-learning", "--episodes", "3", "--eval", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("10 evaluation days") == 6 and "mean of 6 patterns" in printed


def test_the_plan_is_one_line_with_the_true_count_and_the_folder(tmp_path):
    for algorithm, length, text in (
        ("q-learning", {"episodes": 100}, "100 days (28,800 timesteps), seed 0, device cpu (a table)"),
        ("ppo", {"timesteps": 100_000}, "101,376 timesteps (100,000 rounded up to whole rollouts of 3,072)"),
        ("dqn", {"timesteps": 128}, "128 timesteps, seed 0"),
    ):
        plan = training_plan(RunFolder(TrainingConfig(algorithm, device="cpu", **length), Folders(tmp_path)))
        assert "\n" not in plan and text in plan and plan.endswith(f" in {tmp_path}.")
        assert f"writes models/{algorithm.replace('-', '_')}_mixed" in plan


# stable-baselines3 leaves the file of its CSV log to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_announced_count_is_the_one_that_is_trained(tmp_path, capsys):
    announced = TrainingConfig("ppo", timesteps=1_600).preset.whole_rollouts(288)
    assert main(["train", "ppo", "--timesteps", "1600", "--device", "cpu", "--output", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "models" / "ppo_mixed.json").read_text())["timesteps"] == announced == 3_072
    assert f"{announced:,} timesteps" in capsys.readouterr().out
    gc.collect()


def test_evaluation_prints_every_pattern_and_their_mean(trained, capsys):
    assert main(["evaluate", "threshold", "q_learning_mixed", "--episodes", "4", "--output", str(trained)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("4 evaluation days") == 6 and len(re.findall(r"\nq_learning_mixed +\d", printed)) == 7
    assert "4 paired days on each of 6 patterns" in printed.splitlines()[-1], "the last line says what is saved"
    for heading in ("95 % interval ($)", "lateness ($)", "drops ($)", "in time", "p95 wait (s)", "fleet changes"):
        assert heading in printed


def test_one_policy_is_told_its_place_among_the_committed_ones(trained, tmp_path, capsys):
    source = "import numpy as np\nclass Mine:\n    def __init__(self, service): self.hold = service.hold\n"
    source += "    def reset(self, days): pass\n"
    source += "    def predict(self, observations): return np.full(len(observations), self.hold)\n"
    (tmp_path / "my_rules.py").write_text(source)
    assert main(["evaluate", "my_rules:Mine", "--pattern", "spike", "--episodes", "3"]) == 0
    table = capsys.readouterr().out.split("Where Mine stands among 20 policies, on the same days:\n")[1]
    assert "optimum" in table and "ppo_mixed" in table and "Mine costs $" in table and " of 20: " in table
    places = [int(line.split()[0]) for line in table.splitlines() if line.split()[0].isdigit()]
    assert places == sorted(places) and 3 <= len(places) <= 5
    assert "limit without foresight, 2,000 days" in table and "avoidable" not in table, "the limit is of other days"


def test_the_regret_of_a_policy_is_split_on_the_days_of_the_limit():
    known = foresight(Folders.course()).loc["SPIKE"]
    bounds, sentence = what_is_possible(known["optimum"] + 45, "SPIKE", 2_000, Folders.course())
    assert bounds == [("optimum (knows the future)", known["optimum"]), ("limit without foresight", known["low"])]
    more = f"at least ${known['foresight']:.2f} is foresight, which nobody has; at most ${45 - known['foresight']:.2f}"
    assert sentence.startswith("\nThat is $45.00 above the clairvoyant optimum") and more in sentence


def test_on_another_service_the_rivals_are_calibrated_for_it(tmp_path, capsys):
    (tmp_path / "dear.toml").write_text("late_price = 0.0025\nsteps_per_episode = 48\n")
    arguments = ["evaluate", "target-tracking", "--pattern", "STEADY", "--episodes", "3", "--service", "dear.toml"]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert printed.err.count("Calibrating") == 5 and "-steady" in printed.out
    assert "optimum" not in printed.out and "ppo_mixed" not in printed.out and " of 12: " in printed.out


def test_evaluation_of_one_pattern_writes_a_row_per_day(tmp_path, capsys):
    assert main(["evaluate", "static", "--pattern", "spike", "--episodes", "3", "--csv", "out.csv"]) == 0
    rows = pd.read_csv(tmp_path / "out.csv")
    assert len(rows) == 3 and set(rows["pattern"]) == {"SPIKE"}
    assert f"{rows['cost'].mean():.2f}" in capsys.readouterr().out


def test_a_trace_is_trained_and_evaluated_on(tmp_path, capsys):
    options = ["--trace", trace(tmp_path / "shop.csv"), "--smooth", "3", "--output", str(tmp_path)]
    assert main(["train", "q-learning", "--episodes", "4", *options]) == 0
    assert (tmp_path / "models" / "q_learning_shop.pkl").exists()
    assert main(["evaluate", "q_learning_shop", *options]) == 0
    assert "shop, 2 evaluation days" in capsys.readouterr().out


def test_another_service_is_trained_and_evaluated_on(tmp_path, capsys):
    (tmp_path / "small.toml").write_text("steps_per_episode = 24\n")
    options = ["--service", "small.toml", "--output", str(tmp_path)]
    assert main(["train", "q-learning", "--episodes", "4", *options]) == 0
    assert main(["evaluate", "q_learning_mixed", "--episodes", "2", "--pattern", "STEADY", *options]) == 0
    assert "STEADY, 2 evaluation days" in capsys.readouterr().out


def test_faults_in_tables_that_only_advise_uses_are_refused_by_evaluate_too(tmp_path, capsys):
    for table in ('[today]\nrule = "threshold"\ntargt = 0.7', "[limits]\ndroped = 0.1"):
        (tmp_path / "service.toml").write_text(f"boot_steps = 3\n{table}\n")
        assert main(["evaluate", "static", "--service", "service.toml"]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and ("today.targt = 0.7" in error or "limits.droped = 0.1" in error)


def test_the_demo_ends_with_a_table(tmp_path, capsys):
    arguments = ["demo", "--policy", "static,threshold", "--steps", "290", "--no-render", "--output", str(tmp_path)]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["policy", "threshold", "static"]
    assert all(title in lines[0] for title in ("return", "cost", "peak queue", "scaling actions"))


def test_the_demo_saves_an_animation(tmp_path, capsys):
    assert main(["demo", "--policy", "static", "--steps", "3", "--save", "film.gif", "--output", str(tmp_path)]) == 0
    assert (tmp_path / "film.gif").read_bytes().startswith(b"GIF8") and "arrivals" in capsys.readouterr().out


def test_verify_ends_with_the_status_of_the_worst_file(trained, tmp_path, capsys):
    assert main(["verify", str(trained), "--seconds", "60"]) == 0
    assert "ok      models/q_learning_mixed.pkl" in capsys.readouterr().out
    (tmp_path / "broken.zip").write_bytes(b"")
    assert main(["verify", str(tmp_path), "--json"]) == 1
    verdicts = json.loads(capsys.readouterr().out)
    assert not verdicts["sound"] and verdicts["files"][0]["status"] == "broken"


def test_devices_are_listed_with_the_choices_of_auto(capsys):
    assert main(["devices"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("cpu ") and "\n\nauto chooses:\n" in printed
    assert all(f"\n{name} " in printed for name in ("q-learning", *PRESETS))


def test_a_run_reports_each_notebook(tmp_path, monkeypatch, capsys):
    for error, status in ((None, 0), ("cell 3: KeyError: 1", 1)):
        given = []
        ended = [Executed("01_build_environment", 2.0, None, 2.0), Executed("02_set_baselines", 1.0, error, 3.0)]
        monkeypatch.setattr(
            "autoscaler_env.course.run_course",
            lambda *options, given=given, ended=ended: given.append(options) or ended,
        )
        arguments = ["run", "--profile", "quick", "--only", "01_build_environment", "--output", str(tmp_path)]
        assert main(arguments) == status
        printed = capsys.readouterr().out
        assert given == [("quick", ("01_build_environment",), tmp_path, None)]
        assert printed.startswith("Running the course (quick); outputs go to") and str(tmp_path) in printed
        assert (error or "ran to its end") in printed and "evaluation_results.json is missing" in printed
        assert all(f"{name} " in printed for name in ("models", "figures", "executed", "html"))


def test_an_interruption_is_one_line(monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    def interrupted_in_foreign_code(*arguments, **options):
        @ctypes.CFUNCTYPE(None)
        def called_back():
            raise KeyboardInterrupt

        called_back()  # Python prints the error instead of raising it
        if arguments[0].algorithm == "dqn":
            raise RuntimeError("no compiled object yet")
        for _ in range(100):
            time.sleep(0.1)

    hook = sys.unraisablehook
    for algorithm, each in (
        ("ppo", interrupted),
        ("dqn", interrupted_in_foreign_code),
        ("ppo", interrupted_in_foreign_code),
    ):
        monkeypatch.setattr("autoscaler_env.training.train.train", each)
        assert main(["train", algorithm, "--name", "never"]) == 130
        assert capsys.readouterr().err == "autoscaler: interrupted\n"
    assert sys.unraisablehook is hook


def test_a_film_is_not_saved_into_a_folder_that_is_not_there(tmp_path, capsys):
    missing = tmp_path / "missing" / "film.gif"
    assert main(["demo", "--policy", "static", "--steps", "2", "--no-render", "--save", str(missing)]) == 2
    assert "must lie in an existing folder" in capsys.readouterr().err and not missing.parent.exists()


def test_the_rule_can_be_calibrated_on_the_earlier_days_of_a_trace(tmp_path, capsys):
    rows = [f"{step},{1000 + 500 * (step % 288 > 144)}" for step in range(5 * 288)]
    (tmp_path / "traffic.csv").write_text("\n".join(["step,requests", *rows]))
    arguments = ["evaluate", "target-tracking-calibrated", "target-tracking", "--trace", str(tmp_path / "traffic.csv")]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "on the earlier days of traffic" in printed.err
    assert "target-tracking-calibrated is cheaper than target-tracking" in printed.out


def test_a_model_of_another_service_is_said(trained, tmp_path, capsys):
    (tmp_path / "slow.toml").write_text("boot_steps = 3")
    arguments = ["evaluate", "q_learning_mixed", "--pattern", "STEADY", "--episodes", "3", "--output", str(trained)]
    assert main([*arguments, "--service", str(tmp_path / "slow.toml")]) == 0
    assert "q_learning_mixed was trained for another service: boot_steps 1." in capsys.readouterr().err
