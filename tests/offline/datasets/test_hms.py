"""HMS: rows to examples, votes, context, gaps in the data, and rows and files that cannot be used."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bci.errors import AnnotationError, RecordingError
from offline.datasets.base import UNKNOWN, class_counts
from offline.datasets.check import readable
from offline.datasets.hms import CLASSES, NAMES, Row, grouped, load, load_test
from offline.datasets.registry import load_dataset
from tests.offline.datasets.layouts import HMS_HEAD as HEAD
from tests.offline.datasets.layouts import REMEDY
from tests.offline.datasets.layouts import hms_row as row
from tests.offline.datasets.layouts import write_hms_eeg as write_eeg


@pytest.fixture
def archive(tmp_path):
    """Two EEGs of two patients; three rows of the first have the same votes."""
    write_eeg(tmp_path / "train_eegs" / "11.parquet", 80)
    write_eeg(tmp_path / "train_eegs" / "12.parquet", 50, seed=1)
    rows = [row(11, 0.0, 5, (1, 0, 0, 2, 0, 0), "LRDA"), *(row(11, s, 5, (0, 3, 0, 0, 0, 0)) for s in (4.0, 8.0, 30.0))]
    (tmp_path / "train.csv").write_text(HEAD + "".join(rows) + row(12, 0.0, 6, (2, 0, 0, 0, 0, 2), "Other"))
    return tmp_path


def test_an_example_is_the_middle_of_its_segment(archive):
    dataset = load_dataset("hms", archive)
    assert not dataset.problems
    assert dataset.classes == CLASSES
    assert dataset.subjects == ("patient-5", "patient-6")
    first, second = dataset.sessions
    assert [(s.start / 200, s.stop / 200, s.label) for s in first.stretches] == [(20, 30, 3), (28, 38, 1)]
    assert first.stretches[0].votes == (1, 0, 0, 2, 0, 0)
    assert first.stretches[1].starts(10_000) == (8 * 200, 8 * 200)  # 50 s around it: its segment, and nothing else
    assert first.stretches[1].starts(2_000) == (28 * 200, 28 * 200)
    assert second.stretches[0].label == CLASSES.index("other")  # the consensus decides among equals


def test_samples_are_read_by_index_and_gaps_are_no_numbers(archive):
    session = load(archive).sessions[0]
    data = session.read()
    assert data.dtype == np.float32
    assert data.shape == (19, 16_000) == (session.signal.n_channels, session.n_samples)
    assert np.isnan(data[0, :200]).all()
    assert np.isfinite(data[0, 200:]).all()
    assert np.isfinite(data[1:]).all()
    np.testing.assert_array_equal(session.read(150, 1000), data[:, 150:1000])
    table = pq.read_table(session.path)
    np.testing.assert_array_equal(data[4], table["F7"].to_numpy())


def _row(number, offset_s, votes=(1.0,) * 6):
    return Row(number, "1", "1", offset_s, votes, 0)


def test_of_rows_with_the_same_votes_the_most_central_stays():
    rows = [_row(0, 0.0), _row(1, 900.0), _row(2, 1000.0), _row(3, 1200.0), _row(4, 5.0, (2.0,) * 6)]
    assert [r.number for r in grouped(rows)] == [4, 2]
    assert [r.number for r in grouped([_row(1, 8.0), _row(0, 4.0)])] == [0]  # of equals, the earliest


def test_the_part_without_labels(archive):
    write_eeg(archive / "test_eegs" / "77.parquet", 50, seed=3)
    write_eeg(archive / "test_eegs" / "78.parquet", 30, seed=4)
    (archive / "test.csv").write_text("spectrogram_id,eeg_id,patient_id\n1,77,9\n2,78,9\n3,79,9\n4,x,9\n")
    dataset = load_test(archive)
    assert [(s.name, s.subject) for s in dataset.sessions] == [("77", "patient-9")]
    stretch = dataset.sessions[0].stretches[0]
    assert (stretch.start, stretch.stop, stretch.label, stretch.context) == (4000, 6000, UNKNOWN, 4000)
    reasons = [p.reason for p in dataset.problems]
    assert re.search(r"row 3: a segment of 50 s must lie in its EEG, 78\.parquet has 30 s", reasons[0])
    assert re.search(r"The EEG 79\.parquet is missing in test_eegs", reasons[1])
    assert re.search(r"row 5: eeg_id must be a number from 0 on, got 'x'", reasons[2])


def _corrupt(folder):
    write_eeg(folder / "train_eegs" / "13.parquet").write_bytes(b"PAR1 nothing PAR1")


def _cut(folder):
    path = write_eeg(folder / "train_eegs" / "13.parquet")
    path.write_bytes(path.read_bytes()[:-1000])


ROW = row(13, 0.0, 7, (0, 0, 0, 0, 0, 4))
PROBLEMS = {
    "missing": (lambda f: None, ROW, r"The EEG 13\.parquet is missing in train_eegs\. Fetch it"),
    "corrupt": (
        _corrupt,
        ROW,
        r"13\.parquet must be a Parquet file of numbers, it cannot be read: .*\. Fetch it again",
    ),
    "cut": (_cut, ROW, r"13\.parquet must be a Parquet file of numbers, it cannot be read"),
    "electrodes": (
        lambda f: write_eeg(f / "train_eegs" / "13.parquet", names=NAMES[:-2]),
        ROW,
        r"13\.parquet must have the 19 electrodes of the 10-20 system, it lacks T6, O2",
    ),
    "outside": (
        lambda f: write_eeg(f / "train_eegs" / "13.parquet"),
        ROW + row(13, 12.0, 7, (0, 0, 0, 0, 0, 9)),
        r"train\.csv, row 8: a segment of 50 s must lie in its EEG, 13\.parquet has 60 s and .* begins at 12 s",
    ),
    "empty": (
        lambda f: write_eeg(f / "train_eegs" / "13.parquet", 40.0),
        ROW,
        r"13\.parquet must hold at least one labelled segment|row 7: a segment of 50 s must lie in its EEG",
    ),
    "two patients": (
        lambda f: write_eeg(f / "train_eegs" / "13.parquet"),
        ROW + row(13, 2.0, 8, (0, 0, 0, 0, 0, 9)),
        r"row 8: all rows of EEG 13 must have one patient, got 8 after 7\. Leave the EEG out",
    ),
    "no votes": (lambda f: None, row(13, 0.0, 7, (0,) * 6), r"train\.csv, row 7: a row must have at least one vote"),
    "negative": (
        lambda f: None,
        row(13, 0.0, 7, (-1, 0, 0, 0, 0, 2)),
        r"row 7: seizure_vote must be a number from 0 on",
    ),
    "label": (
        lambda f: None,
        row(13, 0.0, 7, (1, 0, 0, 0, 0, 2), "Spike"),
        r"row 7: expert_consensus must be one of seizure, lpd, .*, got 'spike'",
    ),
    "id": (
        lambda f: None,
        ROW.replace("13,", "../13.5,"),
        r"row 7: eeg_id must be a number from 0 on, got '\.\./13\.5'",
    ),
    "too few cells": (
        lambda f: None,
        "13,0,0.0\n",
        r"train\.csv, row 7: a row must have 15 cells like the first, got 3\. Correct the row, or take it out of the",
    ),
    "not closed": (
        lambda f: None,
        ROW.replace("13,", '"13,').rstrip() + "\n",
        r"train\.csv, row 7: a row must have 15 cells like the first, got 1\. Correct",
    ),
    "half id": (lambda f: None, ROW.replace("13,", "13.5,"), r"row 7: eeg_id must be a whole number, got '13\.5'"),
}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_rows_and_files_that_cannot_be_used_are_listed(archive, kind):
    spoil, text, reason = PROBLEMS[kind]
    spoil(archive)
    table = archive / "train.csv"
    table.write_text(table.read_text() + text)
    dataset = load(archive)
    assert [s.name for s in dataset.sessions] == ["11", "12", *(["13"] if kind == "outside" else [])]
    assert dataset.problems
    for problem in dataset.problems:
        assert re.search(reason, problem.reason), problem.reason
        assert REMEDY.search(problem.reason), problem.reason


def test_a_row_that_is_too_short_takes_no_other_with_it(archive):
    """It stands first in both tables; what follows is read."""
    table = archive / "train.csv"
    head, *rows = table.read_text().splitlines(keepends=True)
    table.write_text(head + "11,0\n" + "".join(rows))
    (archive / "test.csv").write_text("spectrogram_id,eeg_id,patient_id\n1\n1,77,9\n")
    write_eeg(archive / "test_eegs" / "77.parquet", 50, seed=3)
    for dataset, names, row_text in (
        (load(archive), ["11", "12"], "train.csv, row 2: a row must have 15 cells"),
        (load_test(archive), ["77"], "test.csv, row 2: a row must have 3 cells"),
    ):
        assert [s.name for s in dataset.sessions] == names
        assert [p.reason.startswith(row_text) for p in dataset.problems] == [True]


def test_pages_that_are_damaged_are_found_when_they_are_read(archive):
    path = archive / "train_eegs" / "11.parquet"
    data = bytearray(path.read_bytes())
    data[4:64] = b"\xff" * 60  # the head of the first page
    path.write_bytes(data)
    session = load(archive).sessions[0]
    with pytest.raises(RecordingError, match=r"11\.parquet must be a Parquet file of numbers, it cannot be read"):
        session.read()


def _spoiled(archive, value, *, write_statistics=True, names=NAMES):
    """Write the EEG 11 again, with a value that its footer may not know of."""
    path = archive / "train_eegs" / "11.parquet"
    table = pq.read_table(path).select(names)
    pq.write_table(
        table, path, row_group_size=6_000, write_statistics=write_statistics, use_dictionary=False, compression="NONE"
    )
    found = table["Pz"].to_numpy()[7_000]
    data = path.read_bytes()
    assert data.count(found.tobytes()) == 1
    path.write_bytes(data.replace(found.tobytes(), np.float32(value).tobytes()))
    return load(archive).sessions[0]


@pytest.mark.parametrize("value", [7.4e35, -7.4e35, 600.0])
def test_values_that_contradict_the_footer_are_refused(archive, value):
    """Pages without checksum are decoded to whatever their bytes say; also when another part of the file is read."""
    session = _spoiled(archive, value)
    match = (
        r"11\.parquet, column Pz, row 7000: a value must lie in the -\d.* to \d.* that the file states, got .*\. Fetch"
    )
    for start, stop in ((0, None), (100, 200)):
        with pytest.raises(RecordingError, match=match):
            session.read(start, stop)


def _doubled(archive, value):
    """Write the EEG 11 again, in float64, with a value that float32 does not hold."""
    path = archive / "train_eegs" / "11.parquet"
    table = pq.read_table(path)
    columns = {name: table[name].to_numpy().astype(np.float64) for name in NAMES}
    columns["Pz"][7_000] = value
    pq.write_table(pa.table(columns), path)


@pytest.mark.parametrize("spoil", [lambda f: _spoiled(f, 7.4e35, write_statistics=False), lambda f: _doubled(f, 1e300)])
def test_what_no_amplifier_gives_is_refused(archive, spoil):
    """By the check that every archive gets; the part without labels brings it along."""
    spoil(archive)
    match = r"11\.parquet, channel Pz, sample 7000: a uV must be a number up to 1e\+07"
    checked = readable(load(archive))
    assert [s.name for s in checked.sessions] == ["12"]
    (problem,) = checked.problems
    assert re.match(match, problem.reason)
    (archive / "train_eegs").rename(archive / "test_eegs")
    (archive / "test.csv").write_text("eeg_id,patient_id\n11,5\n")
    with pytest.raises(RecordingError, match=match):
        load_test(archive).sessions[0].read(6_900, 7_100)


def test_without_statistics_what_an_amplifier_may_give_is_read(archive):
    assert _spoiled(archive, 600.0, write_statistics=False).read(7_000, 7_001)[10, 0] == 600


def test_a_table_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match=r"The file train\.csv is missing in .*\. Fetch it"):
        load(tmp_path)
    (tmp_path / "train.csv").write_text(HEAD.replace("gpd_vote", "gdp_vote"))
    with pytest.raises(
        AnnotationError, match=r"train\.csv must have one column each of .*; not so: gpd_vote\. It has: eeg"
    ):
        load(tmp_path)
    (tmp_path / "train.csv").write_bytes(HEAD.encode() + b"\xff\xfe\x00")
    with pytest.raises(AnnotationError, match=r"train\.csv must be text in UTF-8, it cannot be read"):
        load(tmp_path)
    (tmp_path / "train.csv").write_text(HEAD + ROW)
    with pytest.raises(
        RecordingError, match=r"hms needs train\.csv with train_eegs.* First problem: train_eegs/13\.parquet: The EEG"
    ):
        load(tmp_path)
    (tmp_path / "test.csv").write_text("eeg_id,patient_id\n")
    with pytest.raises(RecordingError, match=r"hms needs test\.csv with test_eegs"):
        load_test(tmp_path)


@pytest.mark.real
def test_real_icu_segments(data_dir):
    dataset = load_dataset("icu-hms", data_dir / "icu-hms")
    assert not dataset.problems
    assert dataset.task == "icu-hms"
    assert len(dataset.sessions) == len(dataset.subjects) == 12
    np.testing.assert_array_equal(class_counts(dataset.sessions, 6), [2, 2, 2, 2, 1, 3])
    assert {sum(s.stretches[0].votes) for s in dataset.sessions} == {3, 13, 15, 17, 18, 20}
    for session in dataset.sessions:
        data = session.read()
        assert data.shape == (19, 10_000)
        assert 1 < np.nanmedian(np.nanstd(data, axis=1)) < 10_000  # µV; some are full of hum
    assert len({session.sha256 for session in dataset.sessions}) == 12
