"""Each recommendation comes with instructions, and with files that work."""

import copy
import dataclasses
import re

import numpy as np
import pytest
import yaml
from advice_cases import SHOP, answer_for, recommending, shop_answer, wavy

from autoscaler_env.advice.advise import write_answer
from autoscaler_env.advice.delivered import forecast_promql
from autoscaler_env.advice.deploy import deployment_files, how_to, hpa_manifest
from autoscaler_env.evaluation.simulation import simulate
from autoscaler_env.policies.base import decode, step_toward
from autoscaler_env.policies.forecast import Forecast
from autoscaler_env.service import Service
from autoscaler_env.traffic.doubts import HIGHEST


@pytest.fixture(scope="module")
def answer():
    """Return the answer for the shop."""
    return shop_answer()


def test_the_manifest_is_kubernetes_autoscaling_v2():
    wanted = {
        ("hpa-cpu", 0.85): {"type": "Utilization", "averageUtilization": 85},
        ("hpa-demand", 0.94): {"type": "AverageValue", "averageValue": "273m"},  # 0.94 x 87 requests / 300 s
    }
    for (metric, target), wants in wanted.items():
        text = hpa_manifest("My Shop", metric, target, Service())
        manifest = yaml.safe_load(text)
        assert (manifest["apiVersion"], manifest["kind"]) == ("autoscaling/v2", "HorizontalPodAutoscaler")
        assert manifest["metadata"]["name"] == manifest["spec"]["scaleTargetRef"]["name"] == "my-shop"
        assert (manifest["spec"]["minReplicas"], manifest["spec"]["maxReplicas"]) == (2, 100)
        (each,) = manifest["spec"]["metrics"]
        assert each[each["type"].lower()]["target"] == wants
        assert manifest["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300
        assert max(map(len, text.splitlines())) <= 40, "no line is wider than a phone"


def test_every_recommendation_says_how_to_deploy_it(answer):
    code = {
        "fixed": "kubectl scale deployment a-shop-b --replicas=",
        "threshold": "add one instance",
        "hpa-cpu": "averageUtilization",
        "hpa-demand": "averageValue",
        "target-tracking": "instances = ceil((arriving + waiting) / (100 x ",
        "forecast": "instances = ceil((forecast + waiting) / (100 x ",
        "q-learning": "scaler.decide(",
        "today": "",
    }
    assert set(code) == set(answer.comparison.candidates)
    for policy, part in code.items():
        instructions = how_to(answer.comparison, policy)
        assert instructions.text and part in instructions.code, policy
        assert bool(instructions.code) == (policy != "today")
    text = how_to(answer.comparison, "target-tracking").text
    assert "At the end of each step of 60 min" in text and "Kubernetes' HPA does not do this" in text
    assert "control loop" not in how_to(answer.comparison, "threshold").text, "it is the rule of today"


def test_where_a_rule_needs_a_new_control_loop_what_the_autoscaler_can_run_stands_beside_it(tmp_path):
    answer = answer_for(wavy(40), today={"rule": "hpa-cpu", "target": 0.3})
    assert answer.recommendation.policy in ("target-tracking", "forecast")
    other, costs = answer.fallback, answer.comparison.costs.mean()
    assert other in ("hpa-cpu", "hpa-demand")
    saved, most = costs["today"] - costs[other], costs["today"] - costs[answer.recommendation.policy]
    assert f"saves ${saved:,.2f} a day of the ${most:,.2f} on all held-out days" in answer.reason
    assert 0 < saved < most and answer.keeps_service(other)
    assert tmp_path / "hpa.yaml" in write_answer(answer, tmp_path)
    html = (tmp_path / "advice.html").read_text()
    assert "Without a new control loop: " in html and "kind: HorizontalPodAutoscaler" in html


def test_with_hpa_the_manifest_lies_beside_the_page(answer):
    assert deployment_files(answer.comparison, "threshold") == {}
    for policy in ("hpa-cpu", "hpa-demand"):
        (manifest,) = deployment_files(answer.comparison, policy).items()
        assert manifest == ("hpa.yaml", how_to(answer.comparison, policy).code.encode())


def test_with_a_learner_its_model_lies_beside_the_page_and_three_lines_run_it(answer, tmp_path, monkeypatch):
    paths = write_answer(recommending(answer, "q-learning"), tmp_path)
    manifest = ["hpa.yaml"] if recommending(answer, "q-learning").fallback in ("hpa-cpu", "hpa-demand") else []
    names = ["advice.html", "advice.json", "q_learning.pkl", "service.toml", *manifest]
    assert [path.name for path in paths] == names
    code, *_ = re.findall(r"<pre>(.*?)</pre>", (tmp_path / "advice.html").read_text(), flags=re.DOTALL)
    lines = code.replace("&#34;", '"').strip().splitlines()
    assert len(lines) == 3
    monkeypatch.chdir(tmp_path)
    names = {}
    exec("\n".join(lines), names)
    assert names["change"] in SHOP.fields["fleet_changes"]


def test_a_learner_is_called_an_experiment_and_the_best_rule_stands_beside_it(answer, tmp_path):
    comparison = answer.comparison
    cheap = dataclasses.replace(comparison.candidates["hpa-cpu"], in_time=comparison.candidates["today"].in_time)
    cheap = dataclasses.replace(cheap, trajectory=comparison.optimum.trajectory)
    candidates = comparison.candidates | {"hpa-cpu": cheap}
    chosen = dataclasses.replace(answer.recommendation, policy="q-learning", refused={})
    learned = dataclasses.replace(
        answer, comparison=dataclasses.replace(comparison, candidates=candidates), recommendation=chosen
    )
    assert learned.fallback == "hpa-cpu" and answer.fallback is None
    paths = write_answer(learned, tmp_path)
    assert (tmp_path / "hpa.yaml") in paths and (tmp_path / "q_learning.pkl") in paths
    html = (tmp_path / "advice.html").read_text()
    assert "This is an experiment" in html and "averageUtilization" in html
    plain = learned.as_dict()
    assert plain["recommendation"]["experiment"] and "averageUtilization" in plain["how_to_fall_back"]["code"]


class Loop:
    """A control loop that a reader writes from the text of the forecast, for steps of an hour."""

    name = "loop"

    def __init__(self, service, earlier, settings, steps):
        self.service, self.usual, self.settings, self.steps = service, earlier.mean(axis=0), settings, steps

    def reset(self, days):
        self.step = 0

    def predict(self, observations):
        counts = decode(observations, self.service)
        level = counts.arrivals / self.usual[max(self.step - 1, 0)]  # the first two observations show the first step
        forecast = level * self.usual[self.step : self.step + self.steps].max()
        self.step += 1
        share = self.service.capacity_per_instance * self.settings["target"]
        wanted = np.ceil((forecast + counts.queue) / share + self.settings["reserve"])
        return step_toward(wanted, counts.ready + counts.booting, self.service)


def test_a_loop_written_from_the_text_of_the_forecast_does_what_was_simulated(answer):
    comparison = answer.comparison
    settings, service, days = comparison.candidates["forecast"].settings, comparison.service, comparison.days
    text = how_to(comparison, "forecast").text
    steps = int(re.search(r"the largest of the forecasts for the next (\d+) steps, the one that begins now", text)[1])
    assert steps == service.boot_steps + 1
    day = days.requests[7:8]
    loop = simulate(Loop(service, days.requests[[6, 0]], settings, steps), day, service)
    rule = simulate(Forecast(service, days, settings["target"], settings["reserve"]), day, service)
    np.testing.assert_allclose(loop.cost, rule.cost)
    assert f"highest of the next {steps} steps, the one that begins now included" in forecast_promql(settings, service)


def test_a_second_hpa_is_warned_of_and_the_metric_counts_what_came_in_and_what_waits(answer):
    text = " ".join(hpa_manifest("shop", "hpa-demand", 0.9, Service(step_seconds=60)).replace("#", "").split())
    assert "Delete any other HPA of this Deployment first (kubectl get hpa)" in text
    assert "(sum(increase( http_requests_total[60s])) + sum(http_requests_waiting)) / 60 " in text
    assert (
        "Delete any other HPA of this Deployment first (kubectl get hpa)" in how_to(answer.comparison, "hpa-cpu").text
    )
    to_zero = hpa_manifest("shop", "hpa-demand", 0.9, Service(min_instances=0))
    assert "HPAScaleToZero" in to_zero and "HPAScaleToZero" not in text
    assert max(map(len, to_zero.splitlines())) <= 40
    assert "Switch today's autoscaler off first" in how_to(answer.comparison, "target-tracking").text


def test_where_the_peak_is_beyond_the_fleet_the_first_thing_to_do_is_to_raise_it(answer):
    comparison = answer.comparison
    peak = int(comparison.days.requests.max())
    small = dataclasses.replace(comparison.service, max_instances=3, initial_instances=3)
    overloaded = dataclasses.replace(comparison, service=small)
    wanted = f"Raise max_instances to at least {-(-peak // 100)}, which the peak needs, then run this again: 3 cannot"
    for policy in ("today", "hpa-cpu"):
        assert how_to(overloaded, policy).text.startswith(wanted), policy
        assert "Raise max_instances" not in how_to(comparison, policy).text
    assert "nothing to change" not in how_to(overloaded, "today").text
    days = copy.copy(comparison.days)
    days.doubts = (f"{HIGHEST}, {peak}, is 30 times the 99th percentile: check it.",)
    doubted = how_to(dataclasses.replace(overloaded, days=days), "hpa-cpu").text
    assert doubted.startswith(
        f"Check the highest count first: correct it, and run this again. If it is right: r{wanted[1:]}"
    )
