"""Several files are read as one, compressed or not; what does not belong together is refused in one line."""

import gzip
import importlib.util
import io
from datetime import datetime, timedelta

import pandas
import pytest
from cases import cases

from autoscaler_env.traffic.columns import Reading
from autoscaler_env.traffic.reading import read_traffic

START = datetime(2026, 5, 4)
HEADING = "timestamp,requests"


def requests_of(i):
    return 200 + 7 * i % 13


def rows(first, count, heading=HEADING, form="{moment},{requests}"):
    """Return rows of five minutes, from the row with this number on."""
    lines = [
        form.format(moment=START + timedelta(minutes=5 * i), requests=requests_of(i))
        for i in range(first, first + count)
    ]
    return "\n".join([heading, *lines]) + "\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes files into the working folder, and returns their names."""
    monkeypatch.chdir(tmp_path)

    def write_files(**texts):
        names = []
        for name, text in texts.items():
            names.append(f"{name}.csv")
            (tmp_path / names[-1]).write_bytes(text if isinstance(text, bytes) else text.encode())
        return names

    return write_files


def test_several_files_are_joined_in_time_in_any_order_and_their_overlap_is_taken_once(write):
    names = write(b=rows(8, 6), a=rows(0, 10), c=rows(14, 2))
    traffic = read_traffic(names)
    assert traffic.requests.tolist() == [requests_of(i) for i in range(16)] and traffic.start == START
    first, second = traffic.understood
    assert first.startswith("Read b.csv, a.csv and c.csv as CSV with commas") and "2 repeated rows dropped" in second


def test_the_same_columns_in_another_order_are_the_same_columns(write):
    names = write(a=rows(0, 3), b=rows(3, 3, "requests,timestamp", "{requests},{moment}"))
    assert read_traffic(names).requests.tolist() == [requests_of(i) for i in range(6)]


def test_files_of_very_different_levels_may_be_counts_and_rates(write):
    names = write(a=rows(0, 3), b=rows(3, 3, HEADING, "{moment},9"))  # 200, 207 and 201 in the first: 22.5 times
    assert "The mean of a.csv is 23 times that of b.csv: is one of them a count, the other a rate?" in (
        read_traffic(names).notes
    )
    alike = write(a=rows(0, 3), b=rows(3, 3, HEADING, "{moment},10.5"))
    assert not any("The mean of" in note for note in read_traffic(alike).notes)


def test_a_gap_between_files_is_a_gap(write):
    traffic = read_traffic(write(a=rows(0, 3), b=rows(5, 3)))
    assert len(traffic.requests) == 8 and "1 gap" in traffic.notes[-1]


def test_rotated_access_logs_are_counted_as_one(write):
    line = '10.0.0.1 - - [04/May/2026:10:0{}:{} +0000] "GET / HTTP/1.1" 200 2\n'
    names = write(b=line.format(0, 59) + line.format(1, 10), a=line.format(0, 10) + line.format(0, 20))
    assert read_traffic(names).requests.tolist() == [3, 1], "the minute of the rotation is whole"


APART = {
    "other columns": (rows(3, 3, "timestamp,hits"), "b.csv: its columns are timestamp, hits, those of a.csv are"),
    "more columns": (rows(3, 3, f"{HEADING},x", "{moment},{requests},1"), "b.csv: its columns are timestamp, requ"),
    "other units": (f"# requests per minute\n{rows(3, 3)}", "b.csv: its numbers are per-minute, those of a.csv are"),
    "an overlap that disagrees": (rows(2, 3).replace(",201", ",7"), "a.csv and b.csv overlap and disagree: leave out"),
    "other numbers": (rows(2, 3).replace(",201", ",7"), "row 2 of b.csv: the same time as another row, with other"),
    "a bad cell": (rows(3, 3).replace(",202", ",many"), "row 3 of b.csv: requests 'many' is not a number"),
    "empty": ("", "b.csv: the file is empty"),
}


@cases(("text", "message"), APART.values())
def test_what_does_not_belong_together_is_refused_in_one_line_that_names_the_file(write, text, message):
    names = write(a=rows(0, 3), b=text)
    with pytest.raises(ValueError) as error:
        read_traffic(names)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert "overlap" not in message or "--sum" not in str(error.value), "a sum would count the overlap twice"


def test_rows_of_a_file_that_is_named_twice_are_counted_as_repeated(write):
    (name,) = write(a=rows(0, 6))
    traffic = read_traffic([name, name])
    assert traffic.requests.tolist() == [requests_of(i) for i in range(6)]
    assert "6 repeated rows dropped" in traffic.understood[1]


def test_a_row_that_two_files_hold_counts_as_often_as_in_the_one_that_has_most_of_it(write):
    pairs = "timestamp,requests\n" + "".join(f"2026-05-04 00:0{m},{n}\n" for m in range(4) for n in (5, 5 + m % 2))
    lines = pairs.splitlines(keepends=True)
    names = write(a="".join(lines[:7]), b=lines[0] + "".join(lines[5:]))  # both hold minute 2: twice a row of 5
    traffic = read_traffic(names, how=Reading(sum=True, unit="count"))
    assert traffic.requests.tolist() == [10, 11, 10, 11]
    assert "2 repeated rows dropped, 2 equal rows counted." in traffic.understood[1]


def test_a_missing_file_among_several_is_named(write):
    with pytest.raises(ValueError, match=r"^nowhere\.csv: No such file"):
        read_traffic([*write(a=rows(0, 3)), "nowhere.csv"])


def test_files_with_steps_and_no_times_have_no_order_in_time(write):
    steps = "step,requests\n0,5\n1,6\n"
    with pytest.raises(ValueError, match=r"a\.csv and b\.csv: they have steps and no times"):
        read_traffic(write(a=steps, b=steps), 300)


def test_a_compressed_file_is_read_as_what_it_holds(write):
    plain, packed = write(a=rows(0, 3), b=gzip.compress(rows(0, 3).encode()))
    assert read_traffic(packed).requests.tolist() == read_traffic(plain).requests.tolist()


def test_parquet_is_read_where_a_reader_is_installed_and_else_the_extra_is_named(tmp_path):
    path = tmp_path / "a.parquet"
    if importlib.util.find_spec("pyarrow") is None and importlib.util.find_spec("fastparquet") is None:
        path.write_bytes(b"PAR1\x15\x04")
        with pytest.raises(ValueError, match=r"this is Parquet; .* pip install 'smart-autoscaler\[parquet\]'$"):
            read_traffic(path)
        return
    frame = pandas.read_csv(io.StringIO(rows(0, 3)), parse_dates=["timestamp"])
    for name, table in (("a column", frame), ("an index", frame.set_index("timestamp"))):
        table.to_parquet(path)
        plain = tmp_path / "a.csv"
        plain.write_text(rows(0, 3))
        assert read_traffic(path).requests.tolist() == read_traffic(plain).requests.tolist(), name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="not a whole Parquet file"):
        read_traffic(path)


@cases(
    ("content", "message"),
    [
        (gzip.compress(b"timestamp,requests\n" * 50)[:-9], "a.csv: not a whole gzip file"),
        (b"\x1f\x8bnothing", "a.csv: not a whole gzip file"),
    ],
)
def test_a_damaged_or_binary_file_is_refused_in_one_line(write, content, message):
    with pytest.raises(ValueError) as error:
        read_traffic(write(a=content))
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
