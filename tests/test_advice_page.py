"""The answer as a person and a program get it: the page, the JSON, the manifest, the model, the command."""

import dataclasses
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
import yaml
from needs import is_missing

from autoscaler_env.advice.compare import Progress, hold_contest
from autoscaler_env.advice.deploy import how_to, hpa_manifest
from autoscaler_env.advice.page import deliver, page
from autoscaler_env.advice.report import answer, as_plain
from autoscaler_env.advice.runtime import Autoscaler
from autoscaler_env.advice.setup import Setup
from autoscaler_env.cli.main import main
from autoscaler_env.service import Service
from autoscaler_env.traffic.trace import Trace

RNG = np.random.default_rng(0)
DAYS = np.rint(RNG.uniform(500, 700, (8, 1)) * (2 + np.sin(np.arange(24) / 4))).astype(np.int64)
SETUP = Setup('a "shop" <b>', {"capacity_per_instance": 100, "max_instances": 40, "fleet_changes": [-5, -1, 0, 1, 5]})


@pytest.fixture(scope="module")
def told():
    """Return the answer for eight days, with a small table as the only learner."""
    return answer(hold_contest(SETUP, Trace("traffic", DAYS, 3600), budgets={"q-learning": 20}))


@pytest.fixture(scope="module")
def html(told):
    """Return its page."""
    return page(told)


def recommending(told, policy):
    """Return the same answer with another recommendation."""
    return dataclasses.replace(told, recommendation=dataclasses.replace(told.recommendation, policy=policy))


@pytest.fixture(scope="module")
def learned(told, tmp_path_factory):
    """Return the folder of an answer that recommends the table, and the names of its files."""
    folder = tmp_path_factory.mktemp("learned")
    return folder, [path.name for path in deliver(recommending(told, "q-learning"), folder)]


class Elements(HTMLParser):
    """Collects what a page refers to, and whether its elements are closed."""

    VOID = ("meta", "br", "img", "link", "hr", "input")

    def __init__(self):
        super().__init__()
        self.open, self.references, self.ids = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href"):
                self.references.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()


def test_the_page_needs_nothing_from_outside(html):
    elements = Elements()
    elements.feed(html)
    assert elements.open == [] and elements.references
    assert all(reference.startswith("#") for reference in elements.references)
    assert not re.search(r"url\((?!#)|@import|<script|<link", html)


def test_what_the_page_refers_to_is_on_it_once(html):
    elements = Elements()
    elements.feed(html)
    assert len(set(elements.ids)) == len(elements.ids)
    used = {reference[1:] for reference in elements.references} | set(re.findall(r"url\(#(.*?)\)", html))
    assert used <= set(elements.ids)


def test_names_are_text_on_the_page_and_no_elements(html):
    assert "What should a &#34;shop&#34; &lt;b&gt; deploy?" in html and "<b>?" not in html


def test_the_page_has_a_light_and_a_dark_face_and_its_figures_too(html):
    assert "prefers-color-scheme: dark" in html and html.count("var(--ink)") > 20
    figures = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert "#000000" not in figures and "fill: #ffffff" not in figures


def test_the_page_says_what_the_json_says(told, html):
    plain = as_plain(told)
    text = re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL).replace("\N{NO-BREAK SPACE}", " ")
    for name, policy in plain["policies"].items():
        assert f"${policy['dollars_a_day']['mean']:,.2f}" in text, name
        assert policy["setting"] in text
    for limit in plain["limits"]:
        assert limit.replace("'", "&#39;") in text
    for told_too in (plain["recommendation"]["headline"], plain["recommendation"]["reason"], plain["method"]):
        assert told_too.replace("'", "&#39;") in text
    assert plain["worst_day"]["day"] in text


def test_the_json_holds_the_arithmetic(told):
    plain = json.loads(json.dumps(as_plain(told), allow_nan=False))
    today = np.array(plain["policies"]["today"]["costs"])
    for policy in plain["policies"].values():
        costs = np.array(policy["costs"])
        assert policy["dollars_a_day"]["mean"] == pytest.approx(costs.mean(), abs=1e-3)
        assert policy["saved_a_year"]["mean"] == pytest.approx(365 * (today - costs).mean(), abs=0.1)
        assert policy["saved_a_day"]["low"] <= policy["saved_a_day"]["mean"] <= policy["saved_a_day"]["high"]
    assert len(today) == len(plain["traffic"]["held_out"]) == 4
    worst = plain["worst_day"]
    assert plain["traffic"]["held_out"][int(np.argmax(today))] == worst["day"]
    assert sum(worst["today"]["cost"]) == pytest.approx(today.max(), abs=1e-3)


def test_the_same_seed_gives_the_same_page_and_another_does_not():
    def again(seed):
        contest = hold_contest(SETUP, Trace("traffic", DAYS, 3600), budgets={"q-learning": 20}, seed=seed)
        return page(answer(contest, seed))

    first = again(0)
    assert first == again(0)
    assert first != again(1)


@pytest.mark.parametrize(
    ("metric", "target", "wants"),
    [
        ("hpa-cpu", 0.85, {"type": "Utilization", "averageUtilization": 85}),
        ("hpa-demand", 0.94, {"type": "AverageValue", "averageValue": "273m"}),  # 0.94 x 87 requests / 300 s
    ],
)
def test_the_manifest_is_kubernetes_autoscaling_v2(metric, target, wants):
    manifest = yaml.safe_load(hpa_manifest("My Shop", metric, target, Service()))
    assert (manifest["apiVersion"], manifest["kind"]) == ("autoscaling/v2", "HorizontalPodAutoscaler")
    assert manifest["metadata"]["name"] == manifest["spec"]["scaleTargetRef"]["name"] == "my-shop"
    assert (manifest["spec"]["minReplicas"], manifest["spec"]["maxReplicas"]) == (2, 100)
    (each,) = manifest["spec"]["metrics"]
    assert each[each["type"].lower()]["target"] == wants
    assert manifest["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300


HOW = {
    "fixed": "kubectl scale deployment a-shop-b --replicas=",
    "threshold": "add one instance",
    "hpa-demand": "averageValue",
    "target-tracking": "instances = ceil((arriving + waiting) / (100 x ",
    "forecast": "instances = ceil((forecast + waiting) / (100 x ",
    "q-learning": "scaler.decide(",
    "today": "",
}


@pytest.mark.parametrize(("policy", "code"), HOW.items())
def test_every_recommendation_says_how_to_do_it(policy, code, told):
    how = how_to(told.contest, policy)
    assert how.text and code in how.code and bool(how.code) == (policy != "today")


def test_with_hpa_the_manifest_lies_beside_the_page(told, tmp_path):
    paths = deliver(recommending(told, "hpa-cpu"), tmp_path)
    assert [path.name for path in paths] == ["advice.html", "advice.json", "hpa.yaml"]
    assert "averageUtilization" in (tmp_path / "advice.html").read_text()


def test_with_a_learner_its_model_lies_beside_the_page_and_three_lines_run_it(learned, monkeypatch):
    folder, files = learned
    assert files == ["advice.html", "advice.json", "q_learning.pkl", "service.toml"]
    (code,) = re.findall(r"<pre>(.*?)</pre>", (folder / "advice.html").read_text(), flags=re.DOTALL)
    lines = code.replace("&#34;", '"').strip().splitlines()
    assert len(lines) == 3
    monkeypatch.chdir(folder)
    names = {}
    exec("\n".join(lines), names)
    assert names["change"] in SETUP.fields["fleet_changes"]


def test_a_model_decides_live_as_it_did_on_the_page(told, learned):
    scaler = Autoscaler(learned[0] / "q_learning.pkl", learned[0] / "service.toml")
    trajectory = told.contest.entries["q-learning"].trajectory
    service = told.contest.service
    seen = np.column_stack(
        [array[0] for array in (trajectory.ready, trajectory.booting, trajectory.queue, trajectory.arrivals)]
    )
    # What an instance ordered now is, is booting; the first decision of a day sees the first step.
    first = {"ready": service.initial_instances, "booting": 0, "queue": 0, "arrivals": int(trajectory.arrivals[0, 0])}
    asked = [
        first,
        *({"ready": int(r), "booting": int(b), "queue": int(q), "arrivals": int(a)} for r, b, q, a in seen[:-1]),
    ]
    decided = [scaler.decide(**each) for each in asked]
    assert decided == [service.fleet_changes[action] for action in trajectory.actions[0]]


def test_a_count_below_zero_costs_one_line(learned):
    scaler = Autoscaler(learned[0] / "q_learning.pkl", learned[0] / "service.toml")
    with pytest.raises(ValueError, match="queue = -1: must be at least 0"):
        scaler.decide(ready=3, booting=0, queue=-1, arrivals=5)


def test_steps_are_announced_with_the_time_left(capsys):
    steps = Progress({"one": 60.0, "two": 60.0})
    steps.begin("one")
    steps.begin("two")
    steps.end()
    told = capsys.readouterr().err
    assert "[1/2] one; about 2 min left" in told and re.search(r"\[2/2\] two; about \d+ s left\nDone in 1 s\.", told)


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Work in a folder with traffic and a set-up."""
    monkeypatch.chdir(tmp_path)
    lines = [f"{i},{count}" for i, count in enumerate(DAYS.reshape(-1))]
    (tmp_path / "traffic.csv").write_text("\n".join(["step,requests", *lines]))
    (tmp_path / "shop.toml").write_text("step_seconds = 3600\ncapacity_per_instance = 100\nmax_instances = 40\n")
    monkeypatch.setattr("autoscaler_env.advice.compare.BUDGETS", {True: {"q-learning": 20}, False: {}})
    return tmp_path


def test_init_writes_a_set_up_and_never_over_one(files, capsys):
    assert main(["advise", "--init"]) == 0
    assert Setup.from_toml(files / "service.toml").name == "my-service"
    assert main(["advise", "--init"]) == 2
    assert "service.toml: is there already" in capsys.readouterr().err


def test_the_command_writes_page_and_json_and_says_the_answer(files, capsys):
    assert main(["advise", "traffic.csv", "--service", "shop.toml", "--quick", "--output", "out"]) == 0
    told = capsys.readouterr()
    plain = json.loads((files / "out" / "advice.json").read_text())
    assert plain["recommendation"]["headline"] in told.out and "out/advice.html" in told.out
    assert "left" in told.err and "q-learning" in plain["policies"]


def test_the_command_reads_standard_input(files, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((files / "traffic.csv").read_bytes())))
    assert main(["advise", "-", "--service", "shop.toml", "--output", "out"]) == 0
    assert (files / "out" / "advice.html").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["advise"], "TRAFFIC.csv: the traffic is needed"),
        (["advise", "traffic.csv"], "--service: a set-up is needed"),
        (["advise", "nothing.csv", "--service", "shop.toml"], "nothing.csv: No such file"),
        (["advise", "traffic.csv", "--service", "nothing.toml"], "nothing.toml: No such file"),
        (["advise", "traffic.csv", "--service", "shop.toml", "--smooth", "0"], "smooth = 0"),
        (
            ["advise", "traffic.csv", "--service", "shop.toml", "--smooth", "9999"],
            "smooth = 9999: traffic.csv has only",
        ),
        (["advise", "traffic.csv", "--service", "shop.toml", "--output", "shop.toml"], "is a file"),
        (["advise", "traffic.csv", "--service", "shop.toml", "--output", "shop.toml/in"], "shop.toml/in'"),
    ],
)
def test_a_bad_argument_costs_one_line(arguments, says, files, capsys):
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert says in told and told.count("\n") == 1


@pytest.mark.browser
def test_the_page_prints_on_two_pages(told, tmp_path):
    browser = shutil.which("chromium")
    if browser is None:
        is_missing("chromium is not installed")
    deliver(recommending(told, "hpa-demand"), tmp_path)
    paper = tmp_path / "page.pdf"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", f"--print-to-pdf={paper}"]
    subprocess.run([browser, *options, str(tmp_path / "advice.html")], check=True, capture_output=True, timeout=120)
    assert len(re.findall(rb"/Type /Page\b", paper.read_bytes())) == 2
