"""Tables beside recordings: rows with their numbers, and files that are none."""

from __future__ import annotations

import pytest

from bci.errors import AnnotationError
from offline.datasets import tables
from offline.datasets.tables import read_lines, read_rows, whole_number


def test_rows_keep_their_numbers(tmp_path):
    """Notes and empty lines are left out, and counted."""
    path = tmp_path / "a.csv"
    path.write_text("# a note\n\na, b ,c\n1,2,3\n\n# another\n 4 ,5,6\n")
    assert list(read_rows(path, ("c", "a"))) == [
        (4, {"a": "1", "b": "2", "c": "3"}),
        (7, {"a": "4", "b": "5", "c": "6"}),
    ]


def test_a_row_with_other_cells_is_told_or_ends_it(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,2\n3\n"4,5\n6,7\n')
    with pytest.raises(
        AnnotationError, match=r"a\.csv, row 3: a row must have 2 cells like the first, got 1\. Correct"
    ):
        list(read_rows(path, ("a",)))
    bad: list[str] = []
    assert [at for at, _ in read_rows(path, ("a",), bad=bad)] == [2, 5]
    assert [text.partition(":")[0] for text in bad] == ["a.csv, row 3", "a.csv, row 4"]


def test_a_table_that_is_too_large_or_none(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1," + "9" * 200_000)
    with pytest.raises(AnnotationError, match=r"a\.csv must be a table, it is not: field larger than"):
        list(read_rows(path, ("a",)))
    monkeypatch.setattr(tables, "MAX_BYTES", 1 << 20)
    path.write_text("9" * ((1 << 20) + 1))
    with pytest.raises(AnnotationError, match=r"a\.csv must have at most 1 MiB, got more\. Split it"):
        read_lines(path)


@pytest.mark.parametrize(("text", "needed"), [("", "a"), ("a,a,b\n", "a")])
def test_a_column_is_there_once(tmp_path, text, needed):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=r"must have one column each of a; not so: a\. It has: (none|a, a, b)"):
        list(read_rows(path, (needed,)))


def test_whole_numbers():
    assert whole_number("12", "n", "x") == whole_number("12.0", "n", "x") == 12
    for text in ("", "1e400", "nan", "-1"):
        with pytest.raises(AnnotationError, match="n must be a number from 0 on, got"):
            whole_number(text, "n", "x")
