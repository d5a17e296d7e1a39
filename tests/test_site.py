"""The site says what docstrings and committed tables say; its links lead somewhere and its workflow publishes it."""

import re

import nbformat
import pandas as pd
import pytest
import yaml

from autoscaler_env.address import colab_address, files_address, repository_address
from autoscaler_env.course import course_notebooks
from autoscaler_env.evaluation.metrics import evaluate
from autoscaler_env.grading.release import copy_course
from autoscaler_env.markdown import read_block
from autoscaler_env.paths import Folders, project_root
from autoscaler_env.policies.registry import BASELINES, POLICY_LABELS, VENDOR_RULES, find_policy
from autoscaler_env.site.build import _may_replace, _put, build
from autoscaler_env.site.docstrings import knobs_of_class
from autoscaler_env.site.links import Pages, faults_of
from autoscaler_env.site.pages import (
    API_SUBJECTS,
    api_pages,
    front_page,
    notebook_page,
    place_of_pages,
    with_policy_links,
)
from autoscaler_env.site.policies import NOTEBOOKS, page_of, savings_of, subjects, verdict_of
from autoscaler_env.study.analysis import avoidable, foresight, regret_table
from autoscaler_env.traffic.patterns import PATTERNS

ROOT = project_root()
FOLDERS = Folders(ROOT)


@pytest.fixture(scope="module")
def policies():
    return {subject.name: subject for subject in subjects()}


@pytest.fixture(scope="module")
def pages():
    return Pages(ROOT, place_of_pages())


def test_a_site_replaces_an_older_site_and_no_folder_with_other_files(tmp_path):
    (tmp_path / "thesis.txt").write_text("two years of work")
    (fault,) = build(ROOT, tmp_path)
    assert fault.startswith(f"{tmp_path} holds something else than a site")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    for version in ("first", "second"):
        (made := tmp_path / version).mkdir()
        (made / "searchindex.js").write_text(version)
        assert _may_replace(tmp_path / "site") or version == "first"
        _put(made, tmp_path / "site")
    assert (tmp_path / "site" / "searchindex.js").read_text() == "second"
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.txt", "site"}


def test_every_policy_that_has_a_label_has_a_page_with_idea_equation_source_and_notebook(policies):
    variants = re.compile(r"-(mixed|per-pattern)$")
    labelled = {name for name in POLICY_LABELS if not variants.search(name)} - {
        "today",
        "fixed",
        "ideal-target-tracking",
    }  # in `advise`
    assert set(policies) == labelled
    lacking = {
        name: [part for part in ("Equation", "Source") if not subject.docstring.sections.get(part)]
        for name, subject in policies.items()
    }
    assert not {name: parts for name, parts in lacking.items() if parts}, "add the sections to its docstring"
    assert not [name for name, subject in policies.items() if not subject.docstring.body]
    assert set(NOTEBOOKS) == labelled
    assert {name for names in NOTEBOOKS.values() for name in names} <= {path.stem for path in course_notebooks()}


def test_knobs_are_the_arguments_of_the_class(policies):
    assert [(knob.name, knob.default) for knob in knobs_of_class(BASELINES["threshold"])] == [
        ("add_above", "0.7"),
        ("remove_below", "0.4"),
    ]
    inherited = {knob.name: knob.default for knob in policies["hpa-cpu"].knobs}
    assert inherited["target"] == "0.8" and not inherited.keys() & {"service", "name"}
    rate = next(knob for knob in policies["dqn"].knobs if knob.name == "learning_rate")
    assert (rate.default, rate.meaning) == ("0.002", "Step size of the first update; falls linearly to 0.")


def test_the_page_of_a_rule_has_the_numbers_of_the_summary(policies):
    table = pd.read_csv(FOLDERS.results / "evaluation_summary.csv").set_index(["policy", "pattern"])
    text = page_of(policies["hpa-demand"], FOLDERS, {})
    for variant in ("hpa-demand", "hpa-demand-mixed", "hpa-demand-per-pattern"):
        row = table.loc[(variant, "SPIKE")]
        assert f"{row['saving']:+.2f} ({row['saving_low']:+.2f}\xa0to\xa0{row['saving_high']:+.2f})" in text


def test_the_page_of_a_learner_has_the_means_of_its_trainings(policies):
    table = pd.read_csv(FOLDERS.results / "study_long.csv").query("tested_on == 'SPIKE'")
    mean = (table["one_setting_cost"] - table["cost"]).mean()
    saved = next(each for each in savings_of("ppo", FOLDERS) if "995,328" in each.label)
    assert saved.by_pattern["SPIKE"].mean == pytest.approx(mean)
    assert saved.basis == f"{len(table)} trainings, seeds 0 to {len(table) - 1}, 2,000 days each"
    assert f"{mean:+.2f} (" in page_of(policies["ppo"], FOLDERS, {})


def test_pages_split_the_regret_into_foresight_and_what_may_be_avoidable(policies):
    known = foresight(FOLDERS)["foresight"]
    above = avoidable(regret_table(FOLDERS), FOLDERS)["SPIKE"]
    for name, row in (("kpa", "kpa-mixed"), ("ppo", "ppo on MIXED, 995,328 timesteps")):
        (line,) = (line for line in page_of(policies[name], FOLDERS, {}).splitlines() if line.startswith(f"| {row} "))
        assert f" {above[row]:.2f} " in line
    (line,) = (
        line for line in page_of(policies["optimum"], FOLDERS, {}).splitlines() if line.startswith("| foresight")
    )
    assert f" {known['SPIKE']:.2f} " in line
    assert "foresight" not in page_of(policies["aws-step-scaling"], FOLDERS, {})


def test_policies_that_notebook_6_leaves_out_have_their_savings_and_settings_from_their_own_table(policies):
    table = pd.read_csv(FOLDERS.results / "other_rules.csv")
    assert set(table["policy"]) == {"recognise", "optimum", "forecast"} | {
        f"{rule}{ending}" for rule in VENDOR_RULES for ending in ("", "-mixed", "-per-pattern")
    }
    for name in (*VENDOR_RULES, "recognise", "optimum", "forecast"):
        text = page_of(policies[name], FOLDERS, {})
        assert "day more on" in text or "a day on" in text, "it says when the policy wins or loses, and by how much"
        for row in table[table["policy"].isin([name, f"{name}-mixed", f"{name}-per-pattern"])].to_dict("records"):
            assert f"{row['saving']:+.2f} ({row['saving_low']:+.2f}\xa0to\xa0{row['saving_high']:+.2f})" in text
            assert row["tested_on"] in text and (row["setting"] != row["setting"] or row["setting"] in text)
    baseline = pd.read_csv(FOLDERS.results / "evaluation_summary.csv").set_index(["policy", "pattern"])["cost"]
    means = table.groupby("tested_on")["baseline_cost"].first()
    assert all(means[pattern] == pytest.approx(baseline["target-tracking-mixed", pattern]) for pattern in PATTERNS)


def test_that_table_has_what_vendors_rules_cost_today():
    table = pd.read_csv(FOLDERS.results / "other_rules.csv").set_index(["tested_on", "policy"])["cost"]
    costs = evaluate([find_policy(rule) for rule in VENDOR_RULES], "RANDOM").groupby("policy")["cost"].mean()
    assert costs.to_dict() == pytest.approx(table["RANDOM"][list(VENDOR_RULES)].to_dict(), abs=5e-5)


def test_a_verdict_counts_patterns_by_interval_and_least_effect():
    saved = savings_of("hpa-demand", FOLDERS)
    for each in saved:
        wins = [p for p, i in each.by_pattern.items() if i.low > 0 and i.mean >= 0.01 * each.costs[p]]
        loses = [p for p, i in each.by_pattern.items() if i.high < 0 and -i.mean >= 0.01 * each.costs[p]]
        said = verdict_of(each)
        assert ("saves" in said) == bool(wins) and (" more on " in said) == bool(loses)
        assert all(pattern in said for pattern in wins + loses)
        assert not [p for p in each.by_pattern if p in said and p not in wins + loses]


def test_the_front_page_is_made_of_the_readme():
    readme = (ROOT / "README.md").read_text()
    text = front_page(ROOT, readme, "THE TOUR")
    assert read_block(readme, "results") in text
    assert "THE TOUR" in text and "make run" in text and "make test" in text and "figures/demo.gif" in text
    assert "Does reinforcement learning beat the autoscaler that you already run, in dollars?" in " ".join(text.split())
    sentences = [line.removeprefix("- ") for line in read_block(readme, "results").splitlines() if line[:2] == "- "]
    assert f"**The short answer.** {sentences[0]} {sentences[-1]}" in text
    assert f"git clone {repository_address(ROOT)}" in text


def test_a_policy_that_begins_a_row_of_a_table_leads_to_its_page():
    names = ["hpa-cpu", "kubernetes-hpa-cpu", "q-learning", "random"]
    rows = [
        "| HPA on CPU, one setting | 1 |",
        "| kubernetes-hpa-cpu | 2 |",
        "| q_learning_mixed | 3 |",
        "| RANDOM | 4 |",
        "| randomly | 5 |",
    ]
    assert with_policy_links("\n".join(rows), names).splitlines() == [
        "| [HPA on CPU](/policies/hpa-cpu.md), one setting | 1 |",
        "| [kubernetes-hpa-cpu](/policies/kubernetes-hpa-cpu.md) | 2 |",
        "| [q_learning](/policies/q-learning.md)_mixed | 3 |",
        "| RANDOM | 4 |",
        "| randomly | 5 |",
    ]


def test_notebook_pages_open_in_colab_and_describe_their_figures(pages):
    for path in course_notebooks():
        page = notebook_page(FOLDERS.executed / path.name, ROOT, pages)
        assert colab_address(repository_address(ROOT), path.stem) in page.cells[0].source
        assert f"../notebooks/{path.name}" in page.cells[0].source
        assert page.cells[0].source.startswith(f"# {int(path.stem[:2])} ")
        for cell in page.cells:
            if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
                assert len(cell.metadata["mystnb"]["image"]["alt"]) > 20
        nbformat.validate(page)


def test_links_lead_to_pages_to_the_repository_or_are_refused(pages):
    address = repository_address(ROOT)
    text = "[a](docs/results.md#top) [b](examples) [c](https://example.org) [d](#here) `[e](nothing.md)`"
    assert pages.rewrite(text, "README.md") == (
        f"[a](/results.md#top) [b]({address}/tree/main/examples) [c](https://example.org) [d](#here) `[e](nothing.md)`"
    )
    assert pages.rewrite("[docs/threat_model.md](docs/threat_model.md#top)", "README.md") == (
        "[threat model](/threat_model.md#top)"
    )
    assert pages.rewrite("[x](../CONTRIBUTING.md)", "docs/engineers.md") == "[x](/contributing.md)"
    of_notebook = f"[x]({address}/blob/main/docs/engineers.md#learners)"
    assert pages.rewrite(of_notebook, "notebooks/11_make_it_yours.ipynb") == "[x](/engineers.md#learners)"
    for wrong in ("[x](nothing.md)", "[x](../outside.md)", f"[x]({address}/blob/main/nothing.md)"):
        with pytest.raises(ValueError, match=r"^README\.md: the link"):
            pages.rewrite(wrong, "README.md")


def test_links_of_notebooks_lead_somewhere_wherever_they_are_read(tmp_path):
    """In the checkout, on GitHub's page of the executed ones and in a copied course; Colab knows the notebooks only."""
    copied = copy_course(tmp_path / "course")
    texts = {path: path.read_text(encoding="utf-8") for path in (tmp_path / "course").glob("*.md")}
    for path in (*course_notebooks(), *(FOLDERS.executed / path.name for path in course_notebooks()), *copied):
        cells = nbformat.read(path, as_version=4).cells
        texts[path] = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    files, dead, count = files_address(repository_address(ROOT)), [], 0
    for path, text in texts.items():
        for link in re.findall(r"""\]\(([^)\s]+)\)|\b(?:src|href)=["']([^"']+)""", text):
            target = "".join(link).partition("#")[0]
            count += 1
            if target.startswith(files):
                is_dead = not (ROOT / target.removeprefix(files)).is_file()
            else:
                is_sibling = (path.parent / target).is_file() and "/" not in target and path.suffix == ".ipynb"
                is_dead = bool(target) and "://" not in target and not is_sibling
            dead += [f"{path}: {target}"] if is_dead else []
    assert not dead and count > 3 * len(copied)


def test_faults_of_a_built_site_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a id="x" href="b.html#y">1</a><a href="c.html">2</a><a href="b.html#z">3</a><a href="https://example.org">4</a>'
        '<img src="p.png" alt="A picture"><img src="p.png"><script src="https://example.org/a.js"></script>'
    )
    (tmp_path / "b.html").write_text('<p id="y"></p><link rel="stylesheet" href="//example.org/a.css">')
    (tmp_path / "p.png").touch()
    assert sorted(faults_of(tmp_path)) == [
        "a.html: b.html#z: there is no z on that page",
        "a.html: c.html leads nowhere",
        "a.html: loads https://example.org/a.js",
        "a.html: the picture p.png has no alt text",
        "b.html: loads //example.org/a.css",
    ]


def test_every_public_name_is_in_the_reference():
    import autoscaler_env

    made = api_pages(ROOT / "autoscaler_env")
    assert set(made) == {*API_SUBJECTS, "index"}
    text = "\n".join(made.values())
    assert not [name for name in autoscaler_env.__all__ if not name.startswith("_") and f".{name}`" not in text]


def test_the_workflow_builds_and_publishes_the_site():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "pages.yml").read_text())
    assert workflow[True]["push"]["branches"] == ["main"]  # YAML 1.1 reads the key `on` as true
    assert workflow["permissions"] == {"contents": "read", "pages": "write", "id-token": "write"}
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    commands = [step.get("run", "") for step in build["steps"]]
    address = next(at for at, command in enumerate(commands) if "-m autoscaler_env.address" in command)
    assert "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY" in commands[address] and "make site" in commands[address + 1 :]
    upload = next(step for step in build["steps"] if step.get("uses", "").startswith("actions/upload-pages-artifact@"))
    assert upload["with"] == {"path": "site"}
    assert publish["needs"] == "build" and publish["environment"]["name"] == "github-pages"
    assert [step["uses"].split("@")[0] for step in publish["steps"]] == ["actions/deploy-pages"]
