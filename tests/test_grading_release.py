"""The students' version shows no answer, and work that was done in it is checked and graded like any other."""

import ast
import math

import nbformat
import pytest
from test_grading_course import COURSE, RUBRIC, SMALL, solved

from autoscaler_env.cli.main import main
from autoscaler_env.grading import grade, sealed
from autoscaler_env.grading.grade import Course, Grading
from autoscaler_env.grading.judging import judge_name, judge_names, judge_number, judge_truth
from autoscaler_env.grading.notebooks import CourseNotebook
from autoscaler_env.grading.release import Released, release, released_check, released_notebook
from autoscaler_env.grading.rubric import Models, Rubric
from autoscaler_env.grading.sandbox import NO_SANDBOX
from autoscaler_env.grading.sealed import judge_sealed, note, seal
from autoscaler_env.paths import GIVEN_COURSE

executes_notebooks = [
    pytest.mark.slow,
    pytest.mark.notebook,
    pytest.mark.filterwarnings("default"),  # papermill's warnings are not ours
]


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """Return a students' version of the course, and what became of its checks."""
    folder = tmp_path_factory.mktemp("released") / "course"
    return folder, release(folder)


class TestSealed:
    @pytest.fixture(autouse=True)
    def quick_hash(self, monkeypatch):
        """Hash with few rounds: what is right does not depend on their number."""
        monkeypatch.setattr(sealed, "ROUNDS", 10)

    def test_a_number_that_is_right_by_its_seals_is_right_for_the_grader_too(self):
        for wanted, within in ((2.4, 0), (-1.3, 0), (160, 0), (0, 0), (0.25, 1e-3), (140, 25), (8_640, 0)):
            salt, seals = seal("number", wanted, within)
            scale = within or max(abs(wanted), 1) * 1e-6
            for offset in (0, 0.3, -0.3, 0.9, -0.9, 1.2, -1.2, 3, 1_000):
                answer = wanted + offset * scale
                if judge_sealed(answer, "number", salt, seals, "", within=within) == "right":
                    assert judge_number(answer, wanted, "", within=within) == "right", (wanted, offset)

    def test_a_number_that_is_exact_rounded_or_within_nine_tenths_of_the_tolerance_is_right(self):
        for wanted, within, answers in (
            (2.4, 0, (2.4, 2.4 + 1e-12, 12 / 5)),
            (1 / 3, 0, (1 / 3, 0.3333333)),
            (0, 0, (0, -0.0, 1e-9)),
            (140, 25, (140, 140 - 22.5, 140 + 22.5)),
            ((34, 272), 0, (34, 272)),
        ):
            salt, seals = seal("number", wanted, within)
            for answer in answers:
                assert judge_sealed(answer, "number", salt, seals, "", within=within) == "right", (wanted, answer)

    def test_wrong_numbers_and_what_is_no_number_are_refused(self):
        salt, seals = seal("number", 2.4)
        for answer in (2.41, -2.4, 24, math.nan, math.inf):
            assert judge_sealed(answer, "number", salt, seals, "try again") == "not yet: try again"
        assert judge_sealed("many", "number", salt, seals, "") == "a number, please"

    def test_names_and_truth_values_are_judged_as_without_seals(self):
        cases = [
            ("name", judge_name, "q-learning", ("Q learning", "dqn", 3)),
            ("name", judge_name, ("dqn", "ppo"), ("PPO", "DQN", "a2c")),
            ("names", judge_names, ["dqn", "ppo"], (["PPO", "dqn"], {"ppo"}, "ppo", 3)),
            ("truth", judge_truth, False, (False, "no", True, "maybe", 0)),
        ]
        for kind, judge, wanted, answers in cases:
            salt, seals = seal(kind, wanted)
            for answer in answers:
                assert judge_sealed(answer, kind, salt, seals, "x") == judge(answer, wanted, "x"), (kind, answer)

    def test_equal_answers_have_different_seals(self):
        assert not set(seal("number", 2.4)[1]) & set(seal("number", 2.4)[1])

    def test_what_has_the_wrong_form_is_not_noted(self):
        assert note(3) == note(3, "number") == "noted: 3; only the grader judges this exercise"
        assert note(3, "name") == "a name in quotes, please"


class TestReleasedChecks:
    def test_a_check_that_names_its_answer_is_sealed_with_its_hints(self):
        check = (
            "if answer_2 is None:\n    print('not attempted')\nelse:\n    hints = 'look', 'think'\n"
            "    print(judging.judge_number(answer_2, 7 * 6, *hints, within=0.5))"
        )
        kind, source = released_check(check)
        constants = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
        assert kind == "sealed" and [value for value in constants if isinstance(value, (int, float))] == [0.5]
        printed = []
        for answer in (None, 42, 42.4, 43, 44, "many"):
            exec(source, {"answer_2": answer, "print": printed.append})
        assert printed == ["not attempted", "right", "right", "not yet: look", "not yet: think", "a number, please"]

    def test_a_check_that_computes_its_answer_becomes_a_note(self):
        check = "print('not attempted' if answer_1 is None else judging.judge_name(answer_1, table.idxmin(), 'x'))"
        kind, source = released_check(check)
        printed = []
        for answer in (None, "ppo", 5):
            exec(source, {"answer_1": answer, "print": printed.append})
        assert kind == "noted" and "idxmin" not in source
        assert printed[0] == "not attempted" and printed[1].startswith("noted: 'ppo'")
        assert printed[2] == "a name in quotes, please"

    def test_no_check_of_the_course_shows_its_answer(self, released):
        folder, kinds = released
        changed = {*kinds.sealed, *kinds.noted}
        names = [exercise.name for course in COURSE for exercise in course.exercises]
        assert sorted([*changed, *kinds.hidden_inputs]) == names
        for path in sorted((folder / "notebooks").glob("*.ipynb")):
            for exercise in CourseNotebook(path).exercises:
                nodes = list(ast.walk(ast.parse(exercise.check.source)))
                used = {node.id for node in nodes if isinstance(node, ast.Name)} - {"print", *exercise.variables}
                if exercise.name in changed:
                    assert used <= {"sealed", "seals", "hints"}, exercise.name
                else:
                    assert "exercises" in used and "judging" not in used, exercise.name


class TestRelease:
    def test_students_get_no_solution_no_test_and_no_output(self, released):
        folder, _ = released
        assert {path.name for path in folder.iterdir()} >= {"autoscaler_env", "notebooks", "models", "ASSIGNMENT.md"}
        assert not [name for name in ("solutions", "tests", "notebooks/executed") if (folder / name).exists()]
        assert not list(folder.rglob("__pycache__"))
        texts = "".join(path.read_text() for path in (folder / "ASSIGNMENT.md", folder / "README.md"))
        assert "solutions/" not in texts and "notebooks/executed" not in texts
        for place in ("models", f"{GIVEN_COURSE}/models"):
            assert {path.name for path in (folder / place).iterdir()} >= {"ppo_mixed.zip", "dqn_mixed.json"}, place
        for course in COURSE:
            given = nbformat.read(folder / GIVEN_COURSE / course.path.name, as_version=4)
            notebook = nbformat.read(folder / "notebooks" / course.path.name, as_version=4)
            assert notebook == given
            assert [cell.id for cell in notebook.cells] == [cell.id for cell in course.cells]
            assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)

    def test_a_folder_with_content_is_refused_and_left_alone(self, tmp_path, capsys):
        (tmp_path / "mine.txt").write_text("mine")
        assert main(["release", str(tmp_path)]) == 2
        assert "must be a new or an empty folder" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_a_release_that_fails_leaves_nothing(self, tmp_path):
        (tmp_path / "root" / "notebooks").mkdir(parents=True)
        nbformat.write(solved(COURSE[0]), tmp_path / "root" / "notebooks" / COURSE[0].path.name)
        (tmp_path / "out").mkdir()
        with pytest.raises(ValueError, match=r"exercise 01.1 is answered"):
            release(tmp_path / "out", tmp_path / "root")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "root"]
        assert list((tmp_path / "out").iterdir()) == []


def solved_release(course):
    """Return the students' version of a notebook, with the solutions in its answer cells."""
    notebook, solution = released_notebook(course.path, Released()), solved(course)
    answers = {exercise.answer.id: None for exercise in course.exercises}
    answers |= {cell.id: cell.source for cell in solution.cells if cell.id in answers}
    for cell in notebook.cells:
        cell.source = answers.get(cell.id, cell.source)
    return notebook


class TestWorkInARelease:
    pytestmark = executes_notebooks

    def test_the_grader_takes_it_and_the_bare_course_earns_no_exercise(self, released, tmp_path, monkeypatch):
        monkeypatch.setattr(grade, "QUICK", SMALL)
        course, folder = COURSE[0], released[0]
        for name in ("solved", "bare"):
            (tmp_path / name / "notebooks").mkdir(parents=True)
        nbformat.write(solved_release(course), tmp_path / "solved" / "notebooks" / course.path.name)
        bare = (folder / "notebooks" / course.path.name).read_bytes()
        (tmp_path / "bare" / "notebooks" / course.path.name).write_bytes(bare)
        grading = Grading(
            tmp_path / "out", Rubric(models=Models(expected=())), NO_SANDBOX, course=Course((course.path,))
        )
        reports = grading.run([tmp_path / "solved", tmp_path / "bare"], progress=False)
        points = [(report.points("notebooks"), report.points("exercises")) for report in reports]
        assert points == [(RUBRIC.points.notebooks, RUBRIC.points.exercises), (RUBRIC.points.notebooks, 0)]

    def test_a_student_checks_it(self, released, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(grade, "QUICK", SMALL)
        course = COURSE[0]
        nbformat.write(solved_release(course), tmp_path / "mine.ipynb")
        options = ["--course", str(released[0] / GIVEN_COURSE), "--output", str(tmp_path / "out")]
        assert main(["check", str(tmp_path / "mine.ipynb"), *options]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith(f"{course.name}: passed")
        assert [line.split(":")[0] for line in lines[1:6]] == [f"  01.{number} right" for number in range(1, 6)]
        assert lines[6:] == [f"'mine.ipynb' was taken for {course.name}"]
