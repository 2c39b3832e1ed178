"""The SSVEP archive: what is found, and what is said of files that cannot be used."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from bci.errors import RecordingError, UsageError
from offline.datasets.base import class_counts
from offline.datasets.registry import load_dataset
from offline.datasets.ssvep import load
from tests.offline.ssvep_layout import NAMES, write_session


def test_a_session_has_its_response_stretches(archive):
    dataset = load(archive)
    assert dataset.subjects == ("sub-01", "sub-02", "sub-03")
    assert not dataset.problems
    first = dataset.sessions[0]
    assert (first.stretches[0].start, first.stretches[0].stop) == (4 * 256, 9 * 256)
    assert [s.label for s in first.stretches] == [0, 1, 2, 3] * 2
    data = first.read()
    assert data.dtype == np.float32
    assert data.shape == (len(NAMES), first.n_samples)


def test_channels_come_in_the_order_of_the_first_session(tmp_path):
    write_session(tmp_path, "sub-01")
    path = write_session(tmp_path, "sub-02", names=NAMES[::-1])
    first, second = load(tmp_path).sessions
    assert second.signal == first.signal
    raw = mne.io.read_raw_fif(path, verbose="ERROR").get_data(list(NAMES)) * 1e6
    np.testing.assert_allclose(second.read(), raw, rtol=1e-6)


def _no_events(folder):
    write_session(folder, "sub-02")
    (folder / "sub-02_run-1-eve.fif").unlink()


def _no_recording(folder):
    write_session(folder, "sub-02")
    (folder / "sub-02_run-1_raw.fif").unlink()


def _broken_events(folder):
    write_session(folder, "sub-02")
    (folder / "sub-02_run-1-eve.fif").write_bytes(b"no events")


def _broken_recording(folder):
    write_session(folder, "sub-02")
    (folder / "sub-02_run-1_raw.fif").write_bytes(b"no recording")


def _late_events(folder):
    write_session(folder, "sub-02")
    raw = mne.io.read_raw_fif(folder / "sub-02_run-1_raw.fif", preload=True, verbose="ERROR").crop(0, 20)
    raw.save(folder / "sub-02_run-1_raw.fif", overwrite=True, verbose="ERROR")


def _rewrite(folder, change):
    path = write_session(folder, "sub-02")
    raw = change(mne.io.read_raw_fif(path, preload=True, verbose="ERROR"))
    raw.save(path, overwrite=True, verbose="ERROR")


def _gap(folder):
    _rewrite(folder, lambda raw: raw.set_annotations(mne.Annotations([1.0], [0.5], ["BAD_ACQ_SKIP"])))


def _not_finite(folder):
    def spoil(raw):
        raw._data[1, 5 * 256] = np.nan
        return raw

    _rewrite(folder, spoil)


PROBLEMS = {
    "gap": (_gap, r"must be continuous, it has 1 gap\(s\), the first from 256 to 384 samples\. Cut it"),
    "not finite": (_not_finite, r"must hold finite samples, 1 of 8 do not, the first from 1024 to 2304 samples\. Drop"),
    "no events": (_no_events, r"event file sub-02_run-1-eve\.fif is missing"),
    "no recording": (_no_recording, r"recording sub-02_run-1_raw\.fif is missing"),
    "broken events": (_broken_events, r"event file sub-02_run-1-eve\.fif cannot be read"),
    "broken recording": (_broken_recording, "format that MNE reads"),
    "events outside": (_late_events, r"inside the recording of \d+ samples, .* has \d outside"),
    "unknown code": (lambda f: write_session(f, "sub-02", codes=(1, 9)), r"codes must be 1, 2, 3, 4, .* has \[9\]"),
    "other channels": (
        lambda f: write_session(f, "sub-02", names=("Oz", "O1")),
        r"4 channels at 256 Hz like most, such as sub-01_run-1 \(Oz, O1, O2, POz\), got 2 at 256 Hz",
    ),
    "other rate": (
        lambda f: write_session(f, "sub-02", sfreq=200.0),
        "like most, such as sub-01_run-1 .* got 4 at 200 Hz",
    ),
    "other name": (lambda f: write_session(f, "02"), r"name must be sub-XX_run-Y_raw\.fif"),
}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_files_that_cannot_be_used_are_listed(tmp_path, kind):
    """One bad file does not hide the good ones, and is not left out in silence."""
    spoil, reason = PROBLEMS[kind]
    write_session(tmp_path, "sub-01")
    spoil(tmp_path)
    dataset = load(tmp_path)
    assert [session.name for session in dataset.sessions] == ["sub-01_run-1"]
    with pytest.raises(RecordingError, match=reason):
        raise RecordingError(dataset.problems[0].reason)


def test_the_odd_one_out_is_left_out_though_it_comes_first(tmp_path):
    write_session(tmp_path, "sub-01", names=("Oz", "O1"))
    write_session(tmp_path, "sub-02")
    write_session(tmp_path, "sub-03", names=NAMES[::-1])
    dataset = load(tmp_path)
    assert dataset.subjects == ("sub-02", "sub-03")
    assert dataset.sessions[1].signal.names == NAMES
    assert [problem.path.name for problem in dataset.problems] == ["sub-01_run-1_raw.fif"]


def test_an_archive_without_sessions_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="found no usable one in"):
        load(tmp_path)
    _no_events(tmp_path)
    with pytest.raises(RecordingError, match=r"First problem: sub-02_run-1_raw\.fif: The event file"):
        load(tmp_path)


def test_an_unknown_task_and_a_missing_folder_are_usage_errors(tmp_path):
    with pytest.raises(UsageError, match=r"No task is named 'p300'\. Tasks: ssvep"):
        load_dataset("p300", tmp_path)
    with pytest.raises(UsageError, match=r"must be a folder, got .*absent, which is not one\. Pass --data"):
        load_dataset("ssvep", tmp_path / "absent")


@pytest.mark.real
def test_the_real_archive_is_whole(data_dir):
    dataset = load(data_dir / "ssvep")
    assert not dataset.problems
    assert len(dataset.sessions) == 12
    assert len(dataset.subjects) == 6
    assert dataset.sessions[0].signal.names == ("Oz", "O1", "O2", "PO3", "POz", "PO7", "PO8", "PO4")
    for session in dataset.sessions:
        np.testing.assert_array_equal(class_counts((session,), 4), [8, 8, 8, 8])
