"""The EPOC archive as its authors published it: fetched, checked, read, and what is said of files that do not fit.

The files are written here in the form of the authors' own code; the real ones were not at hand.
"""

from __future__ import annotations

import gzip
import re

import numpy as np
import pytest

from apps.train import main
from bci.errors import AnnotationError, RecordingError
from offline.datasets import epoc_csv, epoc_epilepsy
from offline.datasets.registry import load_dataset
from tests.offline.datasets.layouts import REMEDY
from tests.offline.datasets.zenodo_server import serving, zipped

pytestmark = pytest.mark.usefixtures("own_cache")
STORED = ("AF3", "AF4", "F3", "F4", "F7", "F8", "FC5", "FC6", "O1", "O2", "P7", "P8", "T7", "T8")
"""The order of the authors' code, which is not that of the headset."""
GUINEA = "metadata_guineabissau.csv"
NIGERIA = "metadata_nigeria.csv"
BLOCK_S, STEP = 10, 0.51


def _values(seed):
    """Return 10 s of samples, shape (1280, 14), in steps of the headset and with its offset."""
    noise = np.random.default_rng(seed).integers(-200, 200, (BLOCK_S * 128, len(STORED)))
    return (noise + 8192 + 10 * np.arange(len(STORED))) * STEP


def _table(seed, *, duration_s=290, names=STORED, spoil=lambda rows: None):
    """Return a recording, the same 10 s again and again, as R's write.csv writes it."""
    head = ",".join(f'"{name}"' for name in ("", *names, "COUNTER", "GYROX", "CQ_AF3"))
    block = [",".join(f"{value:.2f}" for value in row[: len(names)]) for row in _values(seed)]
    rows = [f'"{i + 1}",{block[i % len(block)]},{i % 129},1650,4' for i in range(duration_s * 128)]
    spoil(rows)
    return gzip.compress("\n".join((head, *rows, "")).encode(), compresslevel=1)


def _expected(seed):
    columns = [STORED.index(name) for name in epoc_csv.SIGNAL.names]
    values = np.tile(_values(seed)[:, columns].T.round(2), 28)
    return (values - np.median(values, axis=1, keepdims=True)).astype("f4")


FILES = {
    "EEGs_Guinea-Bissau.zip": zipped({f"EEGs_Guinea-Bissau/signal-{i}.csv.gz": _table(i) for i in (1, 2)}),
    "EEGs_Nigeria.zip": zipped({f"signal-1-{i}.csv.gz": _table(10 + i) for i in (1, 2)}),
    GUINEA: b'"","subject.id","Group","Eyes.condition","remarks"\n'
    b'"1",1,"Epilepsy","closed-3min-then-open-2min","moved, spoke"\n"2",2,"Control","open-3min-then-closed-2min",NA\n',
    NIGERIA: b"subject.id,session.id,csv.file,Group,first_condition,remarks,recordedPeriod,sampleRate\n"
    b"1,1,signal-1-1.csv.gz,epilepsy,closed,,290,128\n1,2,EEGs_Nigeria/signal-1-2.csv.gz,epilepsy,open,,290,NA\n",
}


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("epoc")
    with serving(FILES) as server:
        assert main(["data", "download", "epoc-epilepsy", "--data", str(folder), "--from", server.url]) == 0
    return folder


def test_from_the_download_to_a_signal(fetched, capsys):
    assert main(["data", "check", "--dataset", "epoc-epilepsy", "--data", str(fetched)]) == 0
    out = capsys.readouterr().out
    assert "4 sessions of 3 subjects" in out
    assert "14 channels at 128 Hz in uV: AF3, F7, F3, FC5, T7, P7, O1, O2, P8, T8, FC6, F4, F8, AF4" in out
    assert "epilepsy: 84 stretches, 840 s, of 2 subjects" in out
    dataset = load_dataset("epoc-epilepsy", fetched)
    assert not dataset.problems
    first, second, third, fourth = dataset.sessions
    assert [s.name for s in dataset.sessions] == ["GB-1", "GB-2", "NI-1-1", "NI-1-2"]
    assert (first.subject, third.subject, fourth.subject) == ("GB-1", "NI-1", "NI-1")
    assert [{s.label for s in session.stretches} for session in dataset.sessions] == [{1}, {0}, {1}, {1}]
    assert {s.n_samples for s in dataset.sessions} == {280 * 128}
    assert (first.stretches[-1].start, first.stretches[-1].stop) == (270 * 128, 280 * 128)
    data = second.read()
    assert data.dtype == np.float32
    np.testing.assert_array_equal(data, _expected(2))
    np.testing.assert_array_equal(second.read(100, 300), data[:, 100:300])
    np.testing.assert_array_equal(fourth.read(), _expected(12))


def test_a_table_is_parsed_once(fetched, monkeypatch):
    epoc_csv._opened.cache_clear()
    load_dataset("epoc-epilepsy", fetched)
    epoc_csv._opened.cache_clear()
    monkeypatch.setattr(gzip, "open", None)
    assert load_dataset("epoc-epilepsy", fetched).sessions[0].read(0, 3).shape == (14, 3)


@pytest.fixture
def person(tmp_path, monkeypatch):
    """One person; 20 s count, so that the tests are quick."""
    monkeypatch.setattr(epoc_csv, "LENGTH_S", 20.0)
    monkeypatch.setattr(epoc_csv, "N_SAMPLES", 20 * 128)
    (tmp_path / "signal-1.csv.gz").write_bytes(_table(1, duration_s=20))
    (tmp_path / GUINEA).write_text("subject.id,Group\n1,control\n")
    (tmp_path / NIGERIA).write_text("subject.id,session.id,csv.file,Group,sampleRate\n")
    return tmp_path


def _spoiled(text, row=None):
    def spoil(rows):
        rows[299] = text if row is None else row(rows[299])

    return lambda f: (f / "signal-2.csv.gz").write_bytes(_table(2, duration_s=20, spoil=spoil))


def _cut(folder):
    path = folder / "signal-2.csv.gz"
    path.write_bytes(_table(2, duration_s=20)[:-100])


def _copied(folder):
    for where in ("a", "b"):
        (folder / where).mkdir()
        (folder / where / "signal-2.csv.gz").write_bytes(b"")


def _nobodys(folder):
    (folder / "EEGs_Nigeria").mkdir()
    (folder / "EEGs_Nigeria" / "signal-7-1.csv.gz").write_bytes(b"")


WRONG = {
    "missing": (GUINEA, "2,control", lambda f: None, "signal-2.csv.gz", r"once below the folder, it is there 0 times"),
    "copied": (GUINEA, "2,control", _copied, "signal-2.csv.gz", r"once below the folder, it is there 2 times\."),
    "nobody": (GUINEA, "", _nobodys, "signal-7-1.csv.gz", r"A table must give the group of the recording, none does\."),
    "group": (GUINEA, "2,migraine", None, GUINEA, r"u\.csv, row 3: group must be one of control, epilepsy, got 'migr"),
    "cells": (GUINEA, "2", None, GUINEA, r"u\.csv, row 3: a row must have 2 cells like the first, got 1"),
    "twice": (GUINEA, "1,control", None, GUINEA, r"row 3: each recording must have one row, GB-1 or signal-1\.csv\.gz"),
    "two groups": (
        GUINEA,
        "2,control\n2,epilepsy",
        lambda f: (f / "signal-2.csv.gz").write_bytes(_table(2, duration_s=20)),
        GUINEA,
        r"row 4: a person must be in one group, GB-2 is in two and not used\.",
    ),
    "two groups in sessions": (
        NIGERIA,
        "7,1,signal-7-1.csv.gz,control,128\n7,2,signal-7-2.csv.gz,epilepsy,128",
        lambda f: [(f / f"signal-7-{i}.csv.gz").write_bytes(_table(i, duration_s=20)) for i in (1, 2)],
        NIGERIA,
        r"row 3: a person must be in one group, NI-7 is in two and not used\.",
    ),
    "id": (GUINEA, "../2,control", None, GUINEA, r"row 3: subject\.id and session\.id must be .*, got '\.\./2' and ''"),
    "session in id": (
        NIGERIA,
        "7-1,1,signal-7-1.csv.gz,control,128",
        None,
        NIGERIA,
        r"row 2: subject\.id and ses.*7-1'",
    ),
    "file": (NIGERIA, "7,1,signal-7-1.edf,control,128", None, NIGERIA, r"csv\.file must name a \.csv\.gz file, got 's"),
    "rate": (
        NIGERIA,
        "7,1,signal-7-1.csv.gz,control,256",
        None,
        NIGERIA,
        r"row 2: the rate must be 128 Hz .*, got 256",
    ),
    "number": (NIGERIA, "7,1,signal-7-1.csv.gz,control,fast", None, NIGERIA, r"row 2: sampleRate must be a number"),
    "cut": (
        GUINEA,
        "2,control",
        _cut,
        "signal-2.csv.gz",
        r"must be a whole gzip file, it is not: Compressed file ended",
    ),
    "no gzip": (
        GUINEA,
        "2,control",
        lambda f: (f / "signal-2.csv.gz").write_bytes(b"AF3,F7\n"),
        "signal-2.csv.gz",
        r"must be a whole gzip file, it is not: Not a gzipped file",
    ),
    "channel": (
        GUINEA,
        "2,control",
        lambda f: (f / "signal-2.csv.gz").write_bytes(_table(2, duration_s=20, names=STORED[:-1])),
        "signal-2.csv.gz",
        r"one column each of AF3, .*; not so: T8\. Leave",
    ),
    "empty": (
        GUINEA,
        "2,control",
        lambda f: (f / "signal-2.csv.gz").write_bytes(gzip.compress(b"")),
        "signal-2.csv.gz",
        r"one column each of AF3, .*; not so: AF3, F7",
    ),
    "short": (
        GUINEA,
        "2,control",
        lambda f: (f / "signal-2.csv.gz").write_bytes(_table(2, duration_s=19)),
        "signal-2.csv.gz",
        r"must last 20 s at least, it lasts 19\.0 s",
    ),
    "row": (
        GUINEA,
        "2,control",
        _spoiled("300,1,2"),
        "signal-2.csv.gz",
        r"18 cells and fin.*, 1 have not, .* row 301:",
    ),
    "long row": (
        GUINEA,
        "2,control",
        _spoiled("", "{},1".format),
        "signal-2.csv.gz",
        r"must have 18 cells .* row 301:",
    ),
    "word": (
        GUINEA,
        "2,control",
        _spoiled("", lambda row: row.replace(".", "x", 1)),
        "signal-2.csv.gz",
        r"finite numbers for the channels, 1 have not, the first is row 301:",
    ),
    "not finite": (
        GUINEA,
        "2,control",
        _spoiled("", lambda row: re.sub(r"\d+\.\d+", "inf", row, count=1)),
        "signal-2.csv.gz",
        r"finite numbers for the channels, 1 have not, the first is row 301:",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_cannot_be_used_is_listed(person, kind):
    table, row, spoil, file, reason = WRONG[kind]
    if spoil is not None:
        spoil(person)
    with (person / table).open("a") as rows:
        rows.write(f"{row}\n" if row else "")
    dataset = epoc_epilepsy.load(person)
    assert [s.name for s in dataset.sessions] == ["GB-1"]
    assert [problem.path.name for problem in dataset.problems] == [file]
    assert re.search(reason, dataset.problems[0].reason), dataset.problems[0].reason
    assert REMEDY.search(dataset.problems[0].reason), dataset.problems[0].reason


def test_what_systems_leave_beside_recordings_does_not_count(person):
    for name in (
        "__MACOSX/EEGs/._signal-1.csv.gz",
        "__MACOSX/signal-1.csv.gz",
        "EEGs/._signal-1.csv.gz",
        ".a/b.csv.gz",
    ):
        (person / name).parent.mkdir(parents=True, exist_ok=True)
        (person / name).write_bytes(b"\0\5\x16\7")
    dataset = epoc_epilepsy.load(person)
    assert [s.name for s in dataset.sessions] == ["GB-1"]
    assert not dataset.problems


def test_a_hidden_folder_above_the_archive_hides_nothing(person):
    folder = person / ".data" / "__MACOSX"
    folder.mkdir(parents=True)
    for path in list(person.glob("*.*")):
        if path.is_file():
            path.rename(folder / path.name)
    assert [s.name for s in epoc_epilepsy.load(folder).sessions] == ["GB-1"]


def test_a_recording_that_unpacks_to_too_much(person, monkeypatch):
    monkeypatch.setattr(epoc_csv, "MAX_BYTES", 1 << 10)
    with pytest.raises(
        RecordingError, match=r"needs participants\.tsv .*/signal-1\.csv\.gz: .* to 0 MiB at most, got m"
    ):
        epoc_epilepsy.load(person)


def test_the_samples_after_280_s_do_not_count(tmp_path):
    """Length predicted the group: nothing of it may be left."""

    def spoil(rows):
        rows[280 * 128 :] = ["not a sample at all"] * 10

    path = tmp_path / "signal-1.csv.gz"
    path.write_bytes(_table(3, spoil=spoil))
    np.testing.assert_array_equal(epoc_csv.read(path), _expected(3))


def test_two_layouts_in_one_folder_are_refused(person):
    (person / "participants.tsv").write_text("participant_id\tgroup\n")
    with pytest.raises(
        AnnotationError, match=r"has participants\.tsv and metadata_guineabissau\.csv and .*one sort in"
    ):
        epoc_epilepsy.load(person)


def test_a_table_without_its_columns_is_refused(person):
    (person / NIGERIA).write_text("subject.id,Group\n")
    with pytest.raises(
        AnnotationError, match=r"one column each of subject\.id, session\.id, csv\.file, Group; not so:"
    ):
        epoc_epilepsy.load(person)
