"""Reports hold every result and no markup of a submission, and name what submissions have in common."""

import json

import nbformat
from test_grading_notebooks import COURSE, submitted

from autoscaler_env.grading.cells import read_cells
from autoscaler_env.grading.report import Item, Report, find_similarities, read_report, write_report
from autoscaler_env.grading.submission import Submission, fingerprints

EVIL = "<script>alert('x')</script>"


def report(name="ann", **fields):
    items = (Item("01_a", "passed", EVIL, 2.5, 5.0), Item("02_b", "failed", "late", 0, 5.0))
    return Report(name, "ann.zip", {"a": "b"}, "a sandbox", "quick", {"notebooks": items}, **fields)


def test_a_report_is_read_as_it_was_written(tmp_path):
    write_report(report(notes=(EVIL,), fingerprints={"a": "1"}, unused=(("b", EVIL),)), tmp_path)
    assert read_report(tmp_path) == report(notes=(EVIL,), fingerprints={"a": "1"}, unused=(("b", EVIL),))
    assert json.loads((tmp_path / "report.json").read_text())["points"] == 2.5


def test_html_holds_every_item_and_no_markup_of_the_submission(tmp_path):
    write_report(report(notes=(EVIL,), unused=((EVIL, "x"),)), tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert "<script" not in html and html.count("&lt;script&gt;") == 3
    assert all(text in html for text in ("01_a", "02_b", "2.5 of 5.0", "a sandbox"))
    assert "http" not in html


def test_a_damaged_report_is_no_report(tmp_path):
    for content in ("", "[]", "{}", '{"points": 1, "of": 2, "parts": 3}'):
        (tmp_path / "report.json").write_text(content)
        assert read_report(tmp_path) is None, content
    write_report(report(), tmp_path)
    written = (tmp_path / "report.json").read_text()
    (tmp_path / "report.json").write_text(written.replace('"points": 2.5', '"points": 4.5', 1))
    assert read_report(tmp_path) is None, "edited"


def test_identical_files_are_named_on_both_sides_and_no_others():
    reports = [
        report("ann", fingerprints={"models/ppo.zip": "1", "notebooks/01.ipynb": "2", "notebooks/02.ipynb": "5"}),
        report("bob", fingerprints={"models/ppo.zip": "1", "notebooks/01.ipynb": "3", "notebooks/02.ipynb": "5"}),
        report("cy", fingerprints={"models/ppo.zip": "4", "notebooks/01.ipynb": "3"}),
    ]
    assert find_similarities(reports) == {
        "ann": ["models/ppo.zip, notebooks/02.ipynb as in bob"],
        "bob": ["models/ppo.zip, notebooks/02.ipynb as in ann", "notebooks/01.ipynb as in cy"],
        "cy": ["notebooks/01.ipynb as in bob"],
    }


def test_a_copied_notebook_is_known_by_what_its_code_does(tmp_path):
    def hashes(source):
        notebook = submitted(COURSE[0], **{COURSE[0].exercises[0].answer.id: source})
        cells = {COURSE[0].name: read_cells(nbformat.writes(notebook).encode())}
        return fingerprints(Submission("ann", tmp_path, cells, {}), COURSE, tmp_path)

    first = hashes("answer_1 = 12")
    assert list(first) == [f"notebooks/{COURSE[0].path.name}"]
    assert hashes("# my own work\n\nanswer_1  =  12  # indeed\n") == first
    assert hashes("answer_1 = 13") != first
    assert hashes("answer_1 = None  # I do not know") == {}


def test_a_file_that_half_a_class_holds_is_named_in_a_short_line():
    names = [f"s{number:02}" for number in range(50)]
    similarities = find_similarities([report(name, fingerprints={"notebooks/03.ipynb": "1"}) for name in names])
    assert similarities["s00"] == ["notebooks/03.ipynb as in s01, s02, s03, s04, s05 and 44 more"]
    assert list(similarities) == names
