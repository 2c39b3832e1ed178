"""FIF files that only grow: exact values, exact places, and readable wherever they are cut."""

from __future__ import annotations

import errno
import os
import warnings
from datetime import UTC, datetime

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bci import fif_tags
from bci.chunk import Signal
from bci.errors import RecordingError, SpecError
from bci.fif_header import fif_header, fif_suffix
from bci.fif_writer import FifWriter
from bci.sources.base import Annotation, StreamInfo
from bci.sources.recording import open_recording

BEGUN = datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=UTC)


def described(names=("Fz", "Cz"), units=None, sfreq=128.0, types=()):
    units = units or ("uV",) * len(names)
    return StreamInfo("amp", Signal(sfreq, tuple(names), units[0]), types=types, units=units)


def writer(path, stream=None, **options):
    stream = stream or described()
    return FifWriter(path, fif_header(stream, BEGUN), stream.signal.n_channels, BEGUN, **options)


def counted(n, n_channels=2, start=0):
    """Return samples that say which they are."""
    return (np.arange(start, start + n) + 1000 * np.arange(n_channels)[:, None]).astype(np.float32)


def values(path):
    """Return what MNE reads, in µV as float32, without any warning."""
    raw = mne.io.read_raw_fif(path, preload=True, verbose="WARNING")
    return (raw.get_data() * 1e6).astype(np.float32)


def read_cut(path):
    """Return what is left of a file that was cut; MNE may warn, and None says that it finds no samples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return (mne.io.read_raw_fif(path, preload=True, verbose="ERROR").get_data() * 1e6).astype(np.float32)
        except (ValueError, IndexError, AttributeError, TypeError, KeyError):
            return None


def test_samples_come_back_and_gaps_have_their_length(tmp_path):
    path = tmp_path / "a_eeg.fif"
    fif = writer(path)
    parts = [(0, 10), (10, 1), (11, 30), (50, 7), (58, 1), (1000, 40)]
    for start, n in parts:
        fif.append(start, counted(n, start=start))
    assert (fif.n_samples, fif.paths) == (1040, (path,))
    fif.close([Annotation(0.25, 0.5, "a:b"), Annotation(2.0, 0.0, "später ψ")])
    got = values(path)
    want = np.zeros((2, 1040), np.float32)
    for start, n in parts:
        want[:, start : start + n] = counted(n, start=start)
    np.testing.assert_array_equal(got, want)
    recording = open_recording(path)
    assert recording.gaps == ((41, 50), (57, 58), (59, 1000))
    notes = [(a.onset_s, a.duration_s, a.description) for a in recording.annotations if "SKIP" not in a.description]
    assert notes == [(0.25, 0.5, "a:b"), (2.0, 0.0, "später \\u03c8")]
    assert mne.io.read_info(path, verbose="ERROR")["meas_date"] == BEGUN
    assert not list(tmp_path.glob(".*"))


def adversarial(n_channels):
    """Return every kind of float32: all exponents, the edges of their mantissas, the smallest, the largest."""
    exponents = np.arange(1, 255, dtype=np.uint32) << 23
    mantissas = np.array([0, 1, 2, 0x3FFFFF, 0x400000, 0x7FFFFE, 0x7FFFFF], np.uint32)
    bits = np.concatenate([(exponents[:, None] | mantissas).ravel(), mantissas, [1 << 22]]).astype(np.uint32)
    bits = np.concatenate([bits, bits | np.uint32(1 << 31)])
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 50, 4 * len(bits)).astype(np.float32)
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], np.float32)
    row = np.concatenate([bits.view(np.float32), noise, special])
    return np.stack([np.roll(row, k) for k in range(n_channels)])


@pytest.mark.parametrize("units", [("uV", "uV"), ("fT", "fT/cm")])
def test_values_come_back_bit_by_bit(tmp_path, units):
    """Whatever was sent: the recording is decoded from the same numbers."""
    stream = described(units=units)
    path = tmp_path / f"a_{fif_suffix(stream)}.fif"
    data = adversarial(2)
    fif = writer(path, stream)
    fif.append(0, data)
    fif.close()
    recording = open_recording(path)
    assert recording.units == units
    got = recording.read(0, data.shape[1])
    same = (got.view(np.uint32) == data.view(np.uint32)) | (np.isnan(got) & np.isnan(data))
    assert same.all(), data[~same][:5]


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_file_that_is_cut_anywhere_reads_without_repair(tmp_path, is_closed):
    """At every byte: all but the last buffer is there, and nothing is wrong."""
    path, cut = tmp_path / "a_eeg.fif", tmp_path / "cut_eeg.fif"
    fif = writer(path)
    ends = []  # (file size when complete, samples)
    for start, n in [(0, 4), (4, 3), (9, 5), (14, 1), (30, 1), (31, 2)]:
        fif.append(start, counted(n, start=start))
        ends.append((path.stat().st_size, fif.n_samples))
    if is_closed:
        fif.close([Annotation(0.0, 0.1, "note")])
        whole = path.read_bytes()
    else:
        whole = path.read_bytes()
        fif.close()
    want = np.zeros((2, 33), np.float32)
    for start, n in [(0, 7), (9, 6), (30, 3)]:
        want[:, start : start + n] = counted(n, start=start)
    for size in range(ends[0][0], len(whole) + 1):
        cut.write_bytes(whole[:size])
        got = read_cut(cut)
        n_complete = max(n for end, n in ends if end <= size)
        assert got is not None, size
        assert got.shape[1] >= n_complete, size
        np.testing.assert_array_equal(got, want[:, : got.shape[1]])


class Journal:
    """All writes and truncations of a file, so that each moment can be brought back."""

    def __init__(self, patch):
        self.steps = []
        self._pwrite = os.pwrite
        patch.setattr(os, "pwrite", self.pwrite)

    def pwrite(self, fd, contents, at):
        self.steps.append((fd, at, bytes(contents)))
        return self._pwrite(fd, contents, at)


def test_a_program_that_is_killed_anywhere_leaves_a_file_that_reads(tmp_path, monkeypatch):
    """Every moment within every write, in their order: no warning, and all that was complete is there."""
    journal = Journal(monkeypatch)
    path = tmp_path / "a_eeg.fif"
    fif = writer(path)
    at = [0]
    for start, n in [(0, 3), (3, 2), (8, 3)]:
        fif.append(start, counted(n, start=start))
        at.append(len(journal.steps))
    fif.close()
    want = values(path)
    contents, moment = bytearray(), tmp_path / "moment_eeg.fif"
    n_complete = {1: 3, 2: 5, 3: 11}
    for index, (_, offset, written) in enumerate(journal.steps):
        is_patch = len(written) == 4
        for n in range(1, len(written) + 1) if not is_patch else [4]:  # a word is written at once
            before = bytes(contents)
            after = before[:offset] + written[:n] + before[offset + n :]
            if index >= at[1]:
                moment.write_bytes(after)
                got = values(moment)
                assert got.shape[1] >= n_complete[max(k for k in n_complete if at[k] <= index)]
                np.testing.assert_array_equal(got, want[:, : got.shape[1]])
        contents = bytearray(after)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 40)), min_size=1, max_size=30), st.integers(6000, 12000))
def test_split_files_read_as_one(tmp_path_factory, parts, max_bytes):
    """Wherever the gaps and the ends of files lie, each sample is at its place."""
    folder = tmp_path_factory.mktemp("split")
    path, at = folder / "a_eeg.fif", 0
    fif = writer(path, max_bytes=max_bytes)
    want = np.zeros((2, sum(a + b for a, b in parts)), np.float32)
    for index, (skip, n) in enumerate(parts):
        at += skip if index else 0
        fif.append(at, counted(n, start=at))
        want[:, at : at + n] = counted(n, start=at)
        at += n
    paths = fif.paths
    fif.close([Annotation(0.0, 0.0, "begin")])
    np.testing.assert_array_equal(values(path), want[:, :at])
    assert [p.name for p in paths] == ["a_eeg.fif", *(f"a_eeg-{k}.fif" for k in range(1, len(paths)))]
    assert max(p.stat().st_size for p in paths[:-1] or paths) < max_bytes + 1200


def test_a_split_recording_that_was_killed_reads(tmp_path):
    path = tmp_path / "a_eeg.fif"
    fif = writer(path, max_bytes=6000)
    for start in range(0, 2000, 50):
        fif.append(start, counted(50, start=start))
    assert len(fif.paths) > 3
    np.testing.assert_array_equal(values(path), counted(2000))  # not closed
    fif.close()
    np.testing.assert_array_equal(values(path), counted(2000))


@pytest.mark.parametrize("n_bytes", [0, 1, 17, 100, 10_000])
def test_a_full_disk_leaves_what_was_written(tmp_path, monkeypatch, n_bytes):
    """The file ends before the samples that failed, and goes on when there is space."""
    path = tmp_path / "a_eeg.fif"
    fif = writer(path)
    fif.append(0, counted(10))
    pwrite, left = os.pwrite, [n_bytes]

    def full(fd, contents, at):
        if left[0] < len(contents):
            n, left[0] = left[0], 0
            if not n:
                raise OSError(errno.ENOSPC, "full")
            return pwrite(fd, contents[:n], at)
        left[0] -= len(contents)
        return pwrite(fd, contents, at)

    monkeypatch.setattr(os, "pwrite", full)
    if n_bytes < 1000:
        with pytest.raises(OSError, match="full"):
            fif.append(10, counted(20, start=10))
        assert fif.n_samples == 10
        np.testing.assert_array_equal(values(path), counted(10))
        left[0] = 10_000
    fif.append(10, counted(20, start=10))
    fif.close()
    np.testing.assert_array_equal(values(path), counted(30))


def test_a_disk_that_is_full_at_once_leaves_no_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwrite", full)
    fif = writer(tmp_path / "a_eeg.fif")
    with pytest.raises(OSError, match="full"):
        fif.append(0, counted(10))
    fif.close()
    assert not list(tmp_path.iterdir())


def test_names_rates_and_types_of_the_stream_are_kept(tmp_path):
    names = ("A" * 20 + "1", "A" * 20 + "2", "a:b", "µ", "x\ty", "<b>&amp;{COLON}")
    stream = described(names, sfreq=1000 / 3, types=("EEG", "seeg", "", "ECoG", "accel", "eeg"))
    path = tmp_path / "a_eeg.fif"
    fif = writer(path, stream)
    fif.append(0, counted(3, 6))
    fif.close()
    raw = mne.io.read_raw_fif(path, verbose="ERROR")
    assert raw.ch_names == [*names[:3], "\\xb5", "x\\ty", "<b>&amp;:"]
    assert raw.get_channel_types() == ["eeg", "seeg", "eeg", "ecog", "eeg", "eeg"]
    assert raw.info["sfreq"] == 1000 / 3


def test_what_does_not_fit_is_refused(tmp_path):
    fif = writer(tmp_path / "a_eeg.fif")
    for first, data in [(5, counted(3)), (0, counted(3, 3)), (0, counted(0)), (0, np.zeros(3, np.float32))]:
        with pytest.raises(SpecError, match=r"samples of 2 channels from 0 on \(and 0 first\), got shape"):
            fif.append(first, data)
    fif.append(0, counted(3))
    with pytest.raises(SpecError, match=r"from 3 on \(and 0 first\), got shape \(2, 3\) from 2"):
        fif.append(2, counted(3))
    with pytest.raises(SpecError, match="a limit of 1 to 2000000000 bytes, got 3000000000"):
        writer(tmp_path / "b_eeg.fif", max_bytes=3_000_000_000)
    fif.close()


def test_positions_that_the_format_cannot_hold_are_refused(tmp_path, monkeypatch):
    """Only gaps after single samples lead there: a file cannot begin with one."""
    path = tmp_path / "a_eeg.fif"
    fif = writer(path)
    fif.append(0, counted(3))
    monkeypatch.setattr(fif_tags, "LARGEST", path.stat().st_size + 10)
    with pytest.raises(RecordingError, match=r"needs positions up to \d+, got \d+: too many gaps .* another recording"):
        fif.append(5, counted(1, start=5))
    monkeypatch.undo()
    fif.close()
    np.testing.assert_array_equal(values(path), counted(3))
