"""The harms that `advise` once did: each is tried by a real command, and the committed table says what it says."""

import pandas as pd
import pytest

from autoscaler_env.paths import project_root


@pytest.fixture(scope="module")
def harms():
    """Return the benchmark that tries them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(project_root() / "benchmarks")
        import advise_harms

        yield advise_harms


@pytest.fixture(scope="module")
def table():
    """Return the committed table."""
    return pd.read_csv(project_root() / "results" / "advice_harms.csv")


def test_the_table_has_every_harm_and_every_command_that_tries_it(harms, table):
    assert set(table["number"]) == set(range(1, 12)) and table.notna().all(axis=None)
    assert sorted(case.harm for case in harms.CASES) == sorted(table["harm"][~table["harm"].str.contains("Samples")])
    assert all(case.command in set(table["command"]) for case in harms.CASES)


def test_what_the_table_quotes_is_what_the_commands_say(harms, table):
    """Those that are refused at once, and one whose answer takes two seconds."""
    said = table.set_index("harm")["now"]
    tried = [case for case in harms.CASES if case.quotes == harms.REFUSED or case.number == 4]
    assert {case.number for case in tried} == {2, 4, 5, 6, 11}
    for case in tried:
        assert harms.run(case) == said[case.harm]


def test_intervals_contain_the_true_mean_as_often_as_the_table_says(harms, table):
    rows = pd.DataFrame(harms.coverage_rows())
    committed = table[table["harm"].str.contains("Samples")]
    assert rows["now"].tolist() == committed["now"].tolist() and len(rows) == 3
