"""Tables of seizures: what is written is read back, and nothing from outside is believed."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bci.errors import AnnotationError
from bci.seizure_table import (
    COLUMNS,
    MAX_BYTES,
    MAX_ROWS,
    SeizureEvent,
    SeizureTable,
    read_table,
    write_whole,
)

HEADER = "\t".join(COLUMNS)
GOOD = "10.000\t5.500\tsz\t0.93\tn/a\t2026-01-31 12:00:00\t60.000"


@pytest.fixture
def write(tmp_path):
    """Write a file of that content and return its path."""

    def written(content, name="sub-01_events.tsv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def test_a_table_as_szcore_has_it(write):
    table = SeizureTable((SeizureEvent(10.0, 5.5, confidence=0.93),), 60.0, "2026-01-31 12:00:00")
    assert table.to_tsv() == f"{HEADER}\n{GOOD}\n"
    assert read_table(write(table.to_tsv())) == table


def test_a_recording_without_seizures_has_one_row_of_background(write):
    table = SeizureTable((), 60.25)
    assert table.to_tsv() == f"{HEADER}\n0.000\t60.250\tbckg\tn/a\tn/a\tn/a\t60.250\n"
    assert read_table(write(table.to_tsv())) == table


@given(
    st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(0, 600_000), st.none() | st.integers(0, 100))),
)
def test_what_is_written_is_read(tmp_path_factory, rows):
    seizures = tuple(SeizureEvent(a / 1000, d / 1000, "sz", None if c is None else c / 100) for a, d, c in rows)
    path = tmp_path_factory.mktemp("table") / "x_events.tsv"
    write_whole(path, SeizureTable(seizures, 3600.0).to_tsv())
    read = read_table(path)
    assert read.duration_s == 3600.0
    assert read.seizures == seizures


def test_files_of_others(write):
    """Other columns and orders, Windows line ends, a byte order mark, lines without text, no recordingDuration."""
    rows = (
        "eventType\tonset\tduration\tannotator",
        "sz_foc_ia\t1e1\t5\tAB",
        "bckg\t15.\t45\tAB",
        "",
        "sz\t+.5\t0\t",
        "",
    )
    text = "\ufeff" + "\r\n".join(rows)
    table = read_table(write(text))
    assert table.seizures == (SeizureEvent(10.0, 5.0, "sz_foc_ia"), SeizureEvent(0.5, 0.0))
    assert table.duration_s is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", r"needs one column each of onset, duration, eventType, got in 'sub-01_events.tsv': ''"),
        ("onset,duration,eventType\n1,2,sz\n", r"needs one column each of onset, duration, eventType, got in"),
        ("onset\tduration\n1\t2\n", r"needs one column each of eventType, got in .*'onset, duration'"),
        ("onset\tonset\tduration\teventType\n", r"needs one column each of onset, got in"),
        ("\x1b[2J\tduration\teventType\n", r"needs one column each of onset, got in .*'\\x1b\[2J, duration"),
        (f"{HEADER}\n{GOOD}\n1\t2\tsz\n", r"line 3: a row needs 7 cells, as the first line, got 3"),
        (b"\xff\xfe\x00", r"A table of events needs UTF-8 text, got other bytes in 'sub-01_events.tsv'"),
        (f"{HEADER}\n" + "\n" * (MAX_ROWS + 1), r"A table of events needs at most 20000 rows, got 20001 in"),
        (b"x" * (MAX_BYTES + 1), r"A table of events needs at most 4 MiB, got more in"),
        (f"{HEADER}\n{GOOD}\n{GOOD.replace('60.000', '61')}\n", r"line 3: recordingDuration needs to be the same"),
        (f"{HEADER}\n{GOOD.replace('sz', 'seizure')}\n", r"line 2: eventType needs sz… or bckg, got 'seizure'"),
        (f"{HEADER}\n{GOOD.replace('0.93', '1.5')}\n", r"line 2: confidence needs 0 to 1 or n/a, got 1.5"),
        (f"{HEADER}\n{GOOD.replace('5.500', '60')}\n", r"lie in its recording of 60 s, got one from 10 to 70"),
        (f"{HEADER}\n{GOOD.replace('10.000', '60.5').replace('5.500', '0')}\n", r"of 60 s, got one from 60.5 to"),
    ],
)  # fmt: skip
def test_a_table_that_is_none(write, content, words):
    with pytest.raises(AnnotationError, match=words):
        read_table(write(content))


@pytest.mark.parametrize("column", ["onset", "duration", "recordingDuration", "confidence"])
@pytest.mark.parametrize(
    "text", ["-1", "nan", "inf", "1e999", "1_0", "0x10", "soon", "１", "9" * 31, "1e9", "1,5", "\x1b]0;"]
)
def test_what_is_no_number(write, column, text):
    cells = dict(zip(COLUMNS, GOOD.split("\t"), strict=True)) | {column: text}
    with pytest.raises(
        AnnotationError, match=rf"'sub-01_events.tsv', line 2: {column} needs a number from 0 to 2678400"
    ):
        read_table(write(f"{HEADER}\n" + "\t".join(cells.values()) + "\n"))


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_end_in_a_named_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "x.tsv"
    path.write_bytes(HEADER.encode() + b"\n" + content)
    said = ""
    try:
        read_table(path)
    except AnnotationError as error:
        said = str(error)
    assert said.isprintable()


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.tsv")  # would wait for ever
    for name in ("none.tsv", "pipe.tsv", ""):
        with pytest.raises(AnnotationError, match=r"A table of events needs an existing file, got"):
            read_table(tmp_path / name)


def test_a_file_that_cannot_be_read(write, monkeypatch):
    path = write(HEADER)

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", denied)
    with pytest.raises(
        AnnotationError, match=r"needs a file that can be read, got 'sub-01_events.tsv': Permission denied"
    ):
        read_table(path)


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "x_events.tsv"
    write_whole(path, "first\n")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "second\n")
    assert path.read_text() == "first\n"
    assert [p.name for p in tmp_path.iterdir()] == ["x_events.tsv"]
