"""The EPOC and ECoG archives: what is found, and what is said of files that cannot be used."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
import scipy.io

from bci.errors import AnnotationError, RecordingError
from offline.datasets import ecog_seizures, epoc_epilepsy
from offline.datasets.base import class_counts
from offline.datasets.registry import load_dataset
from tests.offline.datasets.layouts import cut_off, write_edf

EPOC = ("AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4")
HEAD = "participant_id\tgroup\teyes\n"


def _write_epoc(folder, name, seed=0, **options):
    return write_edf(
        folder / f"{name}_eeg.edf", **({"names": EPOC, "sfreq": 128.0, "duration_s": 25} | options), seed=seed
    )


@pytest.fixture
def people(tmp_path):
    for i, name in enumerate(("sub-001", "sub-002"), start=1):
        _write_epoc(tmp_path, name, seed=i)
    (tmp_path / "participants.tsv").write_text(HEAD + "sub-001\tepilepsy\tx\nsub-002\tControl\tx\n")
    return tmp_path


def test_people_have_one_label_in_pieces(people):
    dataset = load_dataset("epoc-epilepsy", people)
    assert not dataset.problems
    assert dataset.classes == ("control", "epilepsy")
    first, second = dataset.sessions
    assert first.signal.names == EPOC
    assert [(s.start, s.stop, s.label) for s in first.stretches] == [(0, 1280, 1), (1280, 2560, 1)]
    assert {s.label for s in second.stretches} == {0}
    data = first.read()
    assert data.shape == (14, 25 * 128)
    np.testing.assert_array_equal(first.read(100, 300), data[:, 100:300])


def _cut(folder):
    cut_off(_write_epoc(folder, "sub-003"), 500)


PEOPLE = {
    "cut": (_cut, "sub-003\tcontrol\tx\n", r"sub-003_eeg\.edf needs 25 records .* ends \d+ bytes into record 25"),
    "group": (
        lambda f: None,
        "sub-003\tmigraine\tx\n",
        r"tsv, row 4: group must be one of control, epilepsy, got 'mig",
    ),
    "twice": (lambda f: None, "sub-001\tepilepsy\tx\n", r"tsv, row 4: each participant must have one row, sub-001 has"),
    "two groups": (
        lambda f: _write_epoc(f, "sub-003"),
        "sub-003\tcontrol\tx\nsub-003\tepilepsy\tx\n",
        r"tsv, row 5: each participant must be in one group, sub-003 is in two and not used\. Correct the table",
    ),
    "two groups, no recording": (
        lambda f: None,
        "sub-003\tcontrol\tx\nsub-003\tepilepsy\tx\n",
        r"tsv, row 5: each participant must be in one group, sub-003 is in two and not used\. Correct the table",
    ),
    "missing": (lambda f: None, "sub-003\tcontrol\tx\n", r"The table of participants names it, it is missing"),
    "nobody": (lambda f: _write_epoc(f, "sub-009"), "", r"participants\.tsv must give the group of sub-009, it does"),
    "rate": (
        lambda f: _write_epoc(f, "sub-003", sfreq=256.0),
        "sub-003\tcontrol\tx\n",
        r"14 channels at 128 Hz like most \(AF3, .*\), got 14 at 256 Hz",
    ),
    "short": (
        lambda f: _write_epoc(f, "sub-003", duration_s=5),
        "sub-003\tcontrol\tx\n",
        r"must last 10 s at least, it lasts 5 s",
    ),
}


@pytest.mark.parametrize("kind", PEOPLE)
def test_people_that_cannot_be_used_are_listed(people, kind):
    spoil, text, reason = PEOPLE[kind]
    spoil(people)
    table = people / "participants.tsv"
    table.write_text(table.read_text() + text)
    dataset = epoc_epilepsy.load(people)
    assert dataset.subjects == ("sub-001", "sub-002")
    assert len(dataset.problems) == 1
    assert re.search(reason, dataset.problems[0].reason), dataset.problems[0].reason


def test_an_archive_of_nobody_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match=r"needs participants\.tsv, or metadata_gui.*\.csv, .* has none\. Fetch"):
        epoc_epilepsy.load(tmp_path)
    (tmp_path / "participants.tsv").write_text(HEAD)
    with pytest.raises(RecordingError, match=r"epoc-epilepsy needs participants\.tsv .* found no usable one"):
        epoc_epilepsy.load(tmp_path)


@pytest.mark.real
def test_real_people(data_dir):
    dataset = load_dataset("epoc-epilepsy", data_dir / "epoc-epilepsy")
    assert not dataset.problems
    assert len(dataset.subjects) == 50
    np.testing.assert_array_equal(class_counts(dataset.sessions, 2), [14 * 28, 36 * 28])
    assert {(s.signal.names, s.signal.sfreq, s.n_samples) for s in dataset.sessions} == {(EPOC, 128.0, 280 * 128)}


def _write_matrix(folder, name, seed=0, shape=(4000, 76), key="eeg"):
    data = np.random.default_rng(seed).standard_normal(shape) * 100
    scipy.io.savemat(folder / f"{name}_clean.mat", {key: data})
    return data


@pytest.fixture
def seizures(tmp_path):
    for i, side in enumerate(("pre", "ict")):
        _write_matrix(tmp_path, f"sz1_{side}", seed=i, key=f"{side}_eeg_raw")
    return tmp_path


def test_a_seizure_has_two_sides(seizures):
    dataset = load_dataset("ecog-seizures", seizures)
    assert not dataset.problems
    assert [(s.name, s.subject, s.stretches[0].label) for s in dataset.sessions] == [
        ("sz1_ict", "sz1", 1),
        ("sz1_pre", "sz1", 0),
    ]
    data = dataset.sessions[0].read()
    np.testing.assert_array_equal(data, scipy.io.loadmat(seizures / "sz1_ict_clean.mat")["ict_eeg_raw"].T.astype("f4"))
    np.testing.assert_array_equal(dataset.sessions[0].read(10, 20), data[:, 10:20])


def _not_finite(folder):
    _write_matrix(folder, "sz2_pre")
    data = _write_matrix(folder, "sz2_ict")
    data[17, 3] = np.nan
    scipy.io.savemat(folder / "sz2_ict_clean.mat", {"x": data})


def _damaged(folder):
    _write_matrix(folder, "sz2_pre")
    (folder / "sz2_ict_clean.mat").write_bytes(b"MATLAB?" * 40)


def _broken_off(folder):
    _write_matrix(folder, "sz2_pre")
    _write_matrix(folder, "sz2_ict")
    cut_off(folder / "sz2_ict_clean.mat", 1000)


def _turned(folder):
    _write_matrix(folder, "sz2_pre")
    _write_matrix(folder, "sz2_ict", shape=(76, 4000))


def _misnamed(folder):
    shutil.copy(folder / "sz1_ict_clean.mat", folder / "sz1_post_clean.mat")


MATRICES = {
    "partner": (lambda f: _write_matrix(f, "sz2_ict"), r"other side of the onset, sz2_pre_clean\.mat, is missing"),
    "not finite": (_not_finite, r"sz2_ict_clean\.mat must hold finite samples, row 17 does not"),
    "damaged": (_damaged, r"sz2_ict_clean\.mat must be a MATLAB file, it cannot be read: .*Fetch it again"),
    "broken off": (_broken_off, r"sz2_ict_clean\.mat must be a MATLAB file, it cannot be read: .*Fetch it again"),
    "turned": (_turned, r"must hold one matrix of samples by 76 electrodes, got \(76, 4000\)"),
    "name": (_misnamed, r"name must be szN_pre_clean\.mat or szN_ict_clean\.mat"),
}


@pytest.mark.parametrize("kind", MATRICES)
def test_matrices_that_cannot_be_used_are_listed(seizures, kind):
    spoil, reason = MATRICES[kind]
    spoil(seizures)
    dataset = ecog_seizures.load(seizures)
    assert {"sz1_ict", "sz1_pre"} <= {s.name for s in dataset.sessions}
    assert len(dataset.problems) == 1
    assert re.search(reason, dataset.problems[0].reason), dataset.problems[0].reason


def test_an_archive_without_matrices_is_refused(tmp_path):
    with pytest.raises(RecordingError, match=r"ecog-seizures needs szN_pre_clean\.mat .* found no usable one"):
        ecog_seizures.load(tmp_path)


@pytest.mark.real
def test_real_matrices(data_dir):
    dataset = load_dataset("ecog-seizures", data_dir / "ecog-seizures")
    assert not dataset.problems
    assert dataset.subjects == ("sz1", "sz3", "sz4", "sz5", "sz6")
    np.testing.assert_array_equal(class_counts(dataset.sessions, 2), [5, 5])
    assert {s.read().shape for s in dataset.sessions} == {(76, 4000)}
