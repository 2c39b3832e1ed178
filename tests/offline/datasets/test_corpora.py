"""CHB-MIT, Siena, TUSZ and BIDS-EEG: each in its own layout, to the same record."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest

from bci.errors import AnnotationError, RecordingError
from bci.stages.montages import DOUBLE_BANANA, TEN_TWENTY_19
from offline.datasets import bids_eeg, chbmit, siena, tusz
from offline.datasets.registry import load_dataset
from offline.seizure_events import Span
from tests.offline.datasets.layouts import (
    BANANA_10_10,
    REMEDY,
    SIENA_LIST,
    seizure_marks,
    write_bids,
    write_chbmit,
    write_edf,
    write_siena,
    write_tusz,
)

BANANA = tuple(f"{a}-{b}" for a, b in DOUBLE_BANANA)
BIDS_SEIZURE = "4.0\t5.0\tsz_foc\tn/a\tn/a\t2020-01-01 12:00:00\t20.0\n"
BIDS_NONE = "0.0\t20.0\tbckg\tn/a\tn/a\t2020-01-01 12:00:00\t20.0\n"


def _labels(session):
    return [(s.start / 256, s.stop / 256, s.label) for s in session.stretches]


# --- CHB-MIT


def test_chbmit_in_its_layout(tmp_path):
    write_chbmit(tmp_path, "chb01", {3: [(5, 9), (12, 15)], 4: []})
    write_chbmit(tmp_path, "chb02", {16: [(2, 3)]}, seed=50)
    (tmp_path / "chb01" / "chb01_03.edf.seizures").write_bytes(seizure_marks([(5, 9), (12, 15)]))
    dataset = load_dataset("chb-mit", tmp_path)
    assert not dataset.problems
    assert [s.name for s in dataset.sessions] == ["chb01_03", "chb01_04", "chb02_16"]
    assert dataset.sessions[0].signal.names == BANANA
    assert _labels(dataset.sessions[0]) == [(0, 5, 0), (5, 9, 1), (9, 12, 0), (12, 15, 1), (15, 20, 0)]
    assert _labels(dataset.sessions[1]) == [(0, 20, 0)]
    assert dataset.sessions[0].read(0, 100).shape == (18, 100)


def test_chb01_and_chb21_are_one_girl(tmp_path):
    write_chbmit(tmp_path, "chb01", {1: []})
    write_chbmit(tmp_path, "chb21", {1: []}, seed=9)
    write_chbmit(tmp_path, "chb22", {1: []}, seed=19)
    assert load_dataset("chb-mit", tmp_path).subjects == ("chb01", "chb22")


def test_binary_marks_are_read():
    """Long differences, both words, as far as days."""
    spans = [(327, 347), (6211, 6231), (90_000, 90_060)]
    assert chbmit.read_seizures(_File(seizure_marks(spans))) == tuple(Span(*s) for s in spans)


class _File:
    """The bytes of a file."""

    name = "a.edf.seizures"

    def __init__(self, data):
        self._data = data

    def read_bytes(self):
        return self._data


MARKS = {
    "cut off": (seizure_marks([(5, 9)])[:-3], "must end with a mark of two zero bytes, it is cut off"),
    "no rate": (seizure_marks([(5, 9)]).replace(b"resolution", b"absolution"), "must state its time resolution"),
    "not ended": (seizure_marks([(5, 9)])[:-10] + b"\0\0", r"each seizure must end, the one at 5 s does not"),
    "begun twice": (seizure_marks([(5, 9)]).replace(b"\x00\x84", b"\x00\x80"), "must alternate, at 9 s they do not"),
}


@pytest.mark.parametrize("kind", MARKS)
def test_binary_marks_that_are_damaged(kind):
    data, reason = MARKS[kind]
    with pytest.raises(AnnotationError, match=rf"a\.edf\.seizures.*{reason}") as caught:
        chbmit.read_seizures(_File(data))
    assert REMEDY.search(str(caught.value))


def test_binary_marks_that_cannot_be_read(tmp_path):
    with pytest.raises(AnnotationError, match=r"absent\.edf\.seizures must be readable, it is not: No such file"):
        chbmit.read_seizures(tmp_path / "absent.edf.seizures")


def _summary(folder, old, new):
    write_chbmit(folder, "chb02", {1: [(5, 9)]}, seed=7)
    path = folder / "chb02" / "chb02-summary.txt"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def _marks_differ(folder):
    write_chbmit(folder, "chb02", {1: [(5, 9)]}, seed=7)
    (folder / "chb02" / "chb02_01.edf.seizures").write_bytes(seizure_marks([(5, 9), (11, 12)]))


def _unipolar(folder):
    write_chbmit(folder, "chb02", {1: []})
    write_edf(folder / "chb02" / "chb02_01.edf", tuple(f"{name}-CS2" for name in BANANA_10_10))


def _missing(folder):
    write_chbmit(folder, "chb02", {1: []})
    (folder / "chb02" / "chb02_01.edf").unlink()


def _no_summary(folder):
    write_chbmit(folder, "chb02", {1: []})
    (folder / "chb02" / "chb02-summary.txt").unlink()


CHB_PROBLEMS = {
    "number": (lambda f: _summary(f, "File: 1", "File: 2"), r"row 26: chb02_01\.edf must have 2 seizures .* got 1"),
    "order": (
        lambda f: _summary(f, "End Time: 9", "End Time: 3"),
        r"row 28: the end of a seizure must follow its begin",
    ),
    "no name": (
        lambda f: _summary(f, "File Name: chb02_01.edf\n", ""),
        r"row \d+: a number of seizures must follow the name of its file, none stands before it\. Correct",
    ),
    "no end": (lambda f: _summary(f, "End", "Start"), r"row 28: a seizure of a file must end before the next begins"),
    "marks": (_marks_differ, r"must agree, they list 5 to 9 s and 5 to 9 s, 11 to 12 s\. Leave it out"),
    "montage": (_unipolar, r"double banana needs derivations .* lacks: Fp1-F7"),
    "missing": (_missing, r"The summary lists it, it is missing"),
    "unlisted": (
        lambda f: _summary(f, "chb02_01.edf", "chb02_02.edf"),
        "it is missing|must list chb02_01.edf, it does",
    ),
    "no summary": (_no_summary, r"The file chb02-summary\.txt is missing in"),
}


@pytest.mark.parametrize("kind", CHB_PROBLEMS)
def test_chbmit_files_that_cannot_be_used_are_listed(tmp_path, kind):
    spoil, reason = CHB_PROBLEMS[kind]
    write_chbmit(tmp_path, "chb01", {1: [(5, 9)]})
    spoil(tmp_path)
    dataset = chbmit.load(tmp_path)
    assert [s.name for s in dataset.sessions] == ["chb01_01"]
    assert dataset.problems
    for problem in dataset.problems:
        assert re.search(reason, problem.reason), problem.reason
        assert REMEDY.search(problem.reason), problem.reason


@pytest.mark.real
def test_real_chbmit_lists(data_dir):
    folder = data_dir / "annotations"
    assert chbmit.read_seizures(folder / "chb06_04.edf.seizures") == (Span(327, 347), Span(6211, 6231))
    fifth = chbmit.read_summary(folder / "chbmit" / "chb05" / "chb05-summary.txt")
    assert len(fifth) == 39
    assert {name: spans for name, spans in fifth.items() if spans} == {
        "chb05_06.edf": (Span(417, 532),),
        "chb05_13.edf": (Span(1086, 1196),),
        "chb05_16.edf": (Span(2317, 2413),),
        "chb05_17.edf": (Span(2451, 2571),),
        "chb05_22.edf": (Span(2348, 2465),),
    }
    eighth = chbmit.read_summary(folder / "chbmit" / "chb08" / "chb08-summary.txt")
    assert sum(map(len, eighth.values())) == 5
    assert eighth["chb08_05.edf"] == (Span(2856, 3046),)


# --- Siena


def test_siena_in_its_layout(tmp_path):
    """Past midnight, a space in a time, another spelling, a letter for a digit, two seizures of one file."""
    dataset = load_dataset("siena", write_siena(tmp_path))
    assert not dataset.problems
    assert [s.name for s in dataset.sessions] == ["PN06-1", "PN06-2"]
    first, second = dataset.sessions
    assert first.signal.names == TEN_TWENTY_19
    assert first.signal.sfreq == 256
    assert _labels(first) == [(0, 5, 0), (5, 12, 1), (12, 20, 0)]
    assert _labels(second) == [(0, 5, 0), (5, 9, 1), (9, 15, 0), (15, 19, 1), (19, 20, 0)]
    assert first.read().shape == (19, 20 * 256)


def test_siena_as_double_banana(tmp_path):
    average, banana = (load_dataset(task, write_siena(tmp_path)).sessions[0] for task in ("siena", "siena-banana"))
    assert banana.signal.names == BANANA
    electrodes = dict(zip(TEN_TWENTY_19, average.read(0, 500), strict=True))
    np.testing.assert_allclose(banana.read(0, 500)[0], electrodes["Fp1"] - electrodes["F7"], atol=1e-4)


SIENA_LISTS = {
    "no time": ("23.59.55", "soon", r"txt, row 13: a time must be hh\.mm\.ss, got 'soon'"),
    "no hour": ("23.59.55", "25.59.55", r"txt, row 13: a time must be hh\.mm\.ss, got '25\.59\.55'"),
    "no begin": ("Seizure start time: 23.59.55\n", "", r"txt, row 13: the end of a seizure must follow its begin, it"),
    "no end": ("Seizure end time:00.00.02\n", "", r"txt, row 16: the seizure before must end first, it does not"),
    "last": ("Seizure end time: 16.49.44\n", "", r"txt: each seizure must end, the last one does not"),
    "no file": (
        "File name: PN06-1.edf\n",
        "",
        r"txt, row 10: a time must follow the name and the begin of its recording, got",
    ),
    "no registration": (
        "Registration start time: 23.59.50\n",
        "",
        r"txt, row 12: a time must follow the name and the begin",
    ),
}


@pytest.mark.parametrize("kind", SIENA_LISTS)
def test_siena_lists_with_a_fault_name_the_row(tmp_path, kind):
    old, new, reason = SIENA_LISTS[kind]
    assert old in SIENA_LIST
    path = tmp_path / "Seizures-list-PN06.txt"
    path.write_text(SIENA_LIST.replace(old, new))
    with pytest.raises(AnnotationError, match=rf"Seizures-list-PN06\.{reason}") as caught:
        siena.read_list(path)
    assert REMEDY.search(str(caught.value))


def test_siena_files_that_cannot_be_used_are_listed(tmp_path):
    person = write_siena(tmp_path) / "PN06"
    (person / "PN06-2.edf").rename(person / "PN06-3.edf")
    shutil.copytree(person, tmp_path / "PN07")
    problems = {p.path.name: p.reason for p in siena.load(tmp_path).problems}
    assert re.search("list of seizures names it, it is missing", problems["PN06-2.edf"])
    assert re.search(r"must name PN06-3\.edf, it does not", problems["PN06-3.edf"])
    assert re.search(r"Seizures-list-PN07\.txt is missing", problems["Seizures-list-PN07.txt"])


@pytest.mark.real
def test_real_siena_lists(data_dir):
    folder = data_dir / "annotations" / "siena"
    first = siena.read_list(folder / "PN00" / "Seizures-list-PN00.txt")
    assert first == {
        "PN00-1.edf": (Span(1143, 1213),),
        "PN00-2.edf": (Span(1220, 1274),),
        "PN00-3.edf": (Span(765, 825),),  # the list says one hour longer
        "PN00-4.edf": (Span(1006, 1080),),
        "PN00-5.edf": (Span(904, 971),),
    }
    assert siena.read_list(folder / "PN16" / "Seizures-list-PN16.txt")["PN16-2.edf"] == (Span(8574, 8681),)


# --- TUSZ


def test_tusz_in_its_layout(tmp_path):
    write_tusz(tmp_path, "train", "aaaaaaaa", "TERM,0,5,bckg,1\nTERM,5.0,9.5,seiz,1\nTERM,9.5,20,bckg,1\n", sfreq=400)
    write_tusz(tmp_path, "dev", "aaaaaaab", "TERM,0.0,20.0,bckg,1.0\n", reference="LE")
    write_tusz(tmp_path, "eval", "aaaaaaac", "TERM,0.0,20.0,SEIZ,0.9\n", sfreq=256)
    for root in (tmp_path, tmp_path / "edf"):
        dataset = load_dataset("tusz", root)
        assert not dataset.problems
        assert [(s.subject, s.part) for s in dataset.sessions] == [
            ("aaaaaaaa", "train"),
            ("aaaaaaab", "dev"),
            ("aaaaaaac", "eval"),
        ]
        assert _labels(dataset.sessions[0]) == [(0, 5, 0), (5, 9.5, 1), (9.5, 20, 0)]
        assert _labels(dataset.sessions[2]) == [(0, 20, 1)]
        assert {s.signal.sfreq for s in dataset.sessions} == {256.0}
    assert load_dataset("tusz-banana", tmp_path).sessions[0].signal.names == BANANA
    assert tusz.read_seizures(dataset.sessions[0].path.with_suffix(".csv_bi")) == (Span(5, 9.5),)


# --- BIDS-EEG


def test_bids_in_its_layout(tmp_path):
    write_bids(tmp_path, "sub-01", BIDS_SEIZURE)
    write_bids(tmp_path, "sub-02", BIDS_NONE)
    dataset = load_dataset("bids-eeg", tmp_path)
    assert not dataset.problems
    assert dataset.subjects == ("sub-01", "sub-02")
    assert dataset.sessions[0].name == "sub-01_ses-01_task-szMonitoring_run-00"
    assert _labels(dataset.sessions[0]) == [(0, 4, 0), (4, 9, 1), (9, 20, 0)]


def test_bids_of_bipolar_recordings(tmp_path):
    write_bids(tmp_path, "sub-01", BIDS_SEIZURE, names=BANANA)
    assert load_dataset("bids-eeg-banana", tmp_path).sessions[0].signal.names == BANANA
    with pytest.raises(RecordingError, match="average reference needs electrodes that the recording lacks"):
        load_dataset("bids-eeg", tmp_path)


def test_bids_files_that_cannot_be_used_are_listed(tmp_path):
    write_bids(tmp_path, "sub-01", BIDS_SEIZURE)
    alone = write_bids(tmp_path, "sub-02", BIDS_NONE)
    alone.with_name(alone.name.replace("_eeg.edf", "_events.tsv")).unlink()
    write_bids(tmp_path, "sub-03", BIDS_NONE).unlink()
    write_bids(tmp_path, "sub-04", BIDS_SEIZURE.replace("sz_foc", "spike"))
    write_bids(tmp_path, "sub-05", BIDS_SEIZURE.replace("4.0", "12.0").replace("20.0", "90.0").replace("5.0", "60.0"))
    dataset = bids_eeg.load(tmp_path)
    assert dataset.subjects == ("sub-01",)
    reasons = {p.path.name[:6]: p.reason for p in dataset.problems}
    assert re.search(r"events file sub-02_.*_events\.tsv is missing", reasons["sub-02"])
    assert re.search(r"recording that it belongs to is missing", reasons["sub-03"])
    assert re.search(r"line 2: eventType needs sz… or bckg, got 'spike'", reasons["sub-04"])
    assert re.search(r"recording of 20 s, sub-05_.* has one \(number 1\) from 12 to 72 s", reasons["sub-05"])
