"""Options that commands share: the service, the workload, and what is done to a trace."""

import numpy as np
import pytest
from cases import cases

from autoscaler_env.advice.setup import write_template
from autoscaler_env.cli.main import main
from autoscaler_env.cli.options import service_of, workload_of
from autoscaler_env.service import Service

SERVICE = Service(steps_per_episode=4, peak_arrivals=600)


@pytest.fixture
def shop(tmp_path):
    """Return a file with two days of 300 requests a step."""
    path = tmp_path / "shop.csv"
    path.write_text("step,requests\n" + "".join(f"{i},300\n" for i in range(2 * 288)))
    return path


def test_the_options_mean_the_reference_service_and_all_patterns_by_default():
    assert service_of(None) == Service() and workload_of(None, None, 1, Service()) == "MIXED"
    assert workload_of("spike", None, 1, Service()) == "SPIKE"


def test_a_trace_keeps_its_counts_and_prints_nothing(shop, capsys):
    trace = workload_of(None, shop, 1, SERVICE)
    assert np.all(trace.requests == 300) and capsys.readouterr().out == ""


@cases(("rescale", "peak", "factor"), [("peak", 600, 2), (150, 150, 0.5)])
def test_a_trace_is_rescaled_where_asked_with_a_line_that_gives_factor_and_peak(shop, capsys, rescale, peak, factor):
    trace = workload_of(None, shop, 1, SERVICE, rescale)
    line = f"shop: Scaled by {factor}, as asked, so that its 99th percentile is {peak} requests a step.\n"
    assert np.all(trace.requests == peak) and capsys.readouterr().out == line


def test_a_workload_of_the_user_is_evaluated_beside_rules_calibrated_on_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "lunch_rush.py").write_text(
        "import numpy as np\n"
        "class LunchRush:\n"
        "    def __init__(self, service):\n        self.steps = service.steps_per_episode\n"
        "    def draw(self, seeds):\n        return np.full((len(seeds), self.steps), 870)\n"
        "    def evaluation_days(self, episodes):\n        return self.draw(range(episodes))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["evaluate", "static", "--pattern", "lunch_rush:LunchRush", "--episodes", "3"]) == 0
    printed = capsys.readouterr()
    assert "LunchRush, 3 evaluation days" in printed.out and "stands at place" in printed.out
    assert "Calibrating threshold-calibrated on calibration days of LunchRush." in printed.err
    with pytest.raises(ValueError, match=r"pattern = 'lunch_rush:np': must have draw\(seeds\)"):
        workload_of("lunch_rush:np", None, 1, SERVICE)


@cases(
    ("options", "message"),
    [
        ({"pattern": "NOISE"}, "pattern = 'NOISE': must be one of STEADY"),
        ({"smooth": 3}, "--smooth: is for --trace only"),
        ({"rescale": "peak"}, "--rescale: is for --trace only"),
        ({"pattern": "SPIKE", "trace": "shop.csv"}, "--pattern and --trace: only one of them"),
        ({"trace": "shop.csv", "rescale": 0}, "rescale = 0: must be peak, or a number of requests a step, at least 1"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        workload_of(**{"pattern": None, "trace": None, "smooth": 1, "service": SERVICE} | options)


def test_evaluate_takes_the_file_of_advise_and_pays_for_the_counts_of_the_trace(shop, tmp_path, capsys):
    service = tmp_path / "service.toml"
    write_template(service)
    command = ["evaluate", "target-tracking", "--trace", str(shop), "--service", str(service)]
    assert main([*command, "--csv", str(tmp_path / "as_it_is.csv")]) == 0
    assert "Scaled" not in capsys.readouterr().out
    assert main([*command, "--rescale", "peak", "--csv", str(tmp_path / "scaled.csv")]) == 0
    assert "99th percentile is 4,350 requests a step" in capsys.readouterr().out
    arrivals = [
        np.genfromtxt(tmp_path / name, delimiter=",", names=True)["arrivals"] for name in ("as_it_is.csv", "scaled.csv")
    ]
    assert [int(each) for each in arrivals] == [300 * 288, 4350 * 288]
