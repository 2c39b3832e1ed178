"""Recordings: lazy, in µV and fT, the same values however they are cut, annotations from the first sample."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import logging

import edfio
import mne
import numpy as np
import pytest

from bci.errors import ChannelMismatch, RecordingError, SpecError, StreamLost, UsageError
from bci.sources.base import Annotation
from bci.sources.file_source import FileSource
from bci.sources.recording import open_recording
from bci.sources.units import common_unit, conversion

SFREQ = 250.0


def write_fif(path, data, kinds="eeg", notes=(), first_samp=0, names=None):
    names = names or [f"C{i}" for i in range(len(data))]
    info = mne.create_info(names, SFREQ, kinds, verbose="error")
    raw = mne.io.RawArray(data, info, first_samp=first_samp, verbose="error")
    raw.set_meas_date(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    if notes:
        onset, duration, text = zip(*notes, strict=True)
        # no orig_time: onsets count from the first sample
        raw.set_annotations(mne.Annotations(onset, duration, text), verbose="error")
    raw.save(path, verbose="error")
    return path


def write_edf(path, rates, dimensions, seconds=5):
    rng = np.random.default_rng(3)
    signals = [
        edfio.EdfSignal(
            rng.normal(0, 20, rate * seconds), rate, label=f"E{i}", physical_dimension=unit, physical_range=(-200, 200)
        )
        for i, (rate, unit) in enumerate(zip(rates, dimensions, strict=True))
    ]
    edfio.Edf(signals).write(path)
    return path


@pytest.fixture
def volts():
    return np.random.default_rng(1).normal(0, 20e-6, (3, 1000)).astype(np.float32).astype(np.float64)


def test_values_are_float32_microvolts(tmp_path, volts):
    recording = open_recording(write_fif(tmp_path / "a_raw.fif", volts))
    data = recording.read(0, recording.n_samples)
    assert data.dtype == np.float32
    np.testing.assert_array_equal(data, (volts * 1e6).astype(np.float32))
    assert (recording.signal.sfreq, recording.signal.unit, recording.types) == (SFREQ, "uV", ("eeg",) * 3)


@pytest.mark.real
@pytest.mark.parametrize(
    "name",
    [
        "eegmmidb/S001R03.edf",
        "ssvep/sub-01_run-1_raw.fif",
        "formats/test.vhdr",
        "formats/MB0400FU.EDF",
        "formats/multiple_annotation_chans.bdf",
        "meg-eeg/sample_audvis_3.5s_raw.fif",
        "meg-vendors/kit_test_bin_raw.fif",
        "icu-background/epoch-1_start-00388s_eeg.edf",
    ],
)
def test_values_do_not_depend_on_the_cut(data_dir, name):
    """A recording is a function of the sample index, not of how it is read."""
    found = sorted(data_dir.glob(name)) or sorted(data_dir.rglob(name.split("/")[-1]))
    recording = open_recording(found[0])
    n = min(recording.n_samples, 3000)
    cuts = np.unique(np.r_[0, np.random.default_rng(0).integers(0, n, 20), n])
    parts = [recording.read(a, b) for a, b in itertools.pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), recording.read(0, n))
    if recording.signal.unit == "uV":
        raw = mne.io.read_raw(found[0], verbose="error", preload=False)
        truth = (raw.get_data(picks=list(recording.signal.names), stop=n) * 1e6).astype(np.float32)
        np.testing.assert_array_equal(recording.read(0, n), truth)


def test_signals_at_several_rates_do_not_depend_on_the_cut(tmp_path):
    """MNE resamples the stretch that it reads, so such a file must be read once."""
    recording = open_recording(write_edf(tmp_path / "a.edf", (100, 256), ("uV", "uV")))
    n = recording.n_samples
    cut = np.concatenate([recording.read(0, 333), recording.read(333, n)], axis=1)
    np.testing.assert_array_equal(cut, recording.read(0, n))


def test_annotations_count_from_the_first_sample(tmp_path, volts):
    notes = [(1.5, 0.5, "T1"), (0.2, 0.0, "BAD blink")]
    recording = open_recording(write_fif(tmp_path / "a_raw.fif", volts, notes=notes, first_samp=5000))
    first, second = recording.annotations
    assert (first.description, first.duration_s, second.description, second.duration_s) == ("BAD blink", 0.0, "T1", 0.5)
    # FIF keeps times to the microsecond
    np.testing.assert_allclose([first.onset_s, second.onset_s], [0.2, 1.5], atol=2e-6)


def test_acquisition_skips_are_gaps(tmp_path, volts):
    notes = [(1.0, 0.4, "BAD_ACQ_SKIP"), (1.2, 0.4, "BAD_ACQ_SKIP"), (3.0, 9.0, "BAD_ACQ_SKIP")]
    recording = open_recording(write_fif(tmp_path / "a_raw.fif", volts, notes=notes))
    assert recording.gaps == ((250, 400), (750, 1000))


@pytest.mark.real
def test_annotations_beside_a_file_that_has_none_are_checked(tmp_path, volts, caplog):
    """Those of a recording that was killed; whoever wrote the lines, what is no annotation is passed over."""
    path = write_fif(tmp_path / "sub-S1_task-live_run-01_eeg.fif", volts)
    good = {"kind": "annotation", "description": "sz", "duration": 2, "onset": 0.5}
    odd = [
        good | {"onset": "0.5"},
        good | {"onset": -1.0},
        good | {"onset": float("nan")},
        good | {"duration": True},
        good | {"duration": 1e300},
        good | {"description": ["sz"]},
        good | {"kind": "end"},
        [good],
        3,
    ]
    lines = [json.dumps(record) for record in [*odd, good]] + ["[" * 100_000, "{", "x" * 300_000]
    path.with_name("sub-S1_task-live_run-01_markers.jsonl").write_text("\n".join(lines))
    assert open_recording(path).annotations == (Annotation(0.5, 2.0, "sz"),)
    assert "lines are no JSON and are passed over" in caplog.text


def test_meg_comes_in_femtotesla(data_dir):
    path = data_dir / "meg-eeg" / "sample_audvis_3.5s_raw.fif"
    raw = mne.io.read_raw(path, verbose="error")
    for picks, unit, kinds in (("eeg", "uV", {"eeg"}), ("meg", "fT", {"mag", "grad"}), ("all", "mixed", None)):
        recording = open_recording(path, picks=picks)
        assert recording.signal.unit == unit
        assert set(recording.types) == (kinds or {"eeg", "mag", "grad"})
        factors = np.array([{"eeg": 1e6, "mag": 1e15, "grad": 1e13}[kind] for kind in recording.types])
        truth = raw.get_data(picks=list(recording.signal.names), stop=100) * factors[:, None]
        np.testing.assert_array_equal(recording.read(0, 100), truth.astype(np.float32))
    assert set(zip(recording.types, recording.units, strict=True)) == {
        ("eeg", "uV"),
        ("mag", "fT"),
        ("grad", "fT/cm"),
    }


def test_channels_by_name_keep_the_order_asked_for(tmp_path, volts):
    path = write_fif(tmp_path / "a_raw.fif", volts, kinds=["eeg", "eog", "eeg"])
    assert open_recording(path).signal.names == ("C0", "C2")
    assert open_recording(path, picks="C2, C1").signal.names == ("C2", "C1")
    with pytest.raises(RecordingError, match=r"channels asked for, missing: Cz\. It has: C0, C1, C2"):
        open_recording(path, picks=["C0", "Cz"])


@pytest.mark.parametrize(
    ("picks", "got"),
    [("C3,C3", "repeated: C3"), (["C3", "C3"], "repeated: C3"), (",", "','"), ("C3,", "'C3,'"), ("", "''"), ([], "''")],
)
def test_picks_that_are_none_are_refused_before_the_file_is_opened(picks, got):
    with pytest.raises(UsageError, match=rf"--picks needs eeg, meg, all, or channel names .* got {got}\. Name every"):
        open_recording("nowhere.fif", picks=picks)


def test_a_unit_that_is_none_is_refused_even_if_the_file_states_its_own(tmp_path, volts):
    path = write_fif(tmp_path / "a_raw.fif", volts)
    with pytest.raises(UsageError, match=r"--unit needs a voltage .* got 'foo'"):
        open_recording(path, unit="foo")


def test_missing_path():
    with pytest.raises(RecordingError, match=r"needs an existing file, got 'nowhere\.fif'"):
        open_recording("nowhere.fif")


@pytest.mark.parametrize("name", ["a.fif", "a.edf", "a.bdf", "a.vhdr", "a.xdf", "a.txt", "a.set"])
def test_unreadable_files_name_the_formats(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(np.random.default_rng(0).bytes(3000))
    with pytest.raises(RecordingError, match=r"must be in a format that MNE reads \(FIF, EDF.*" + name):
        open_recording(path)
    path.write_bytes(b"")
    with pytest.raises(RecordingError, match="must be in a format that MNE reads"):
        open_recording(path)


@pytest.mark.real
@pytest.mark.parametrize("size", [100, 5000, 60_000])
def test_truncated_file_is_refused_or_read(data_dir, tmp_path, size):
    """A cut file is refused, or what is left of it is read; never an unexpected error."""
    for source in ("eegmmidb/S001R01.edf", "meg-vendors/kit_test_bin_raw.fif"):
        path = tmp_path / source.split("/")[-1]
        path.write_bytes((data_dir / source).read_bytes()[:size])
        with contextlib.suppress(RecordingError):
            recording = open_recording(path)
            recording.read(0, recording.n_samples)


def test_a_recording_that_was_cut_off_is_named(tmp_path, volts, caplog):
    """What is left is read, but nobody should take it for the whole."""
    edf, fif = write_edf(tmp_path / "a.edf", (100, 100), ("uV", "uV")), write_fif(tmp_path / "a_raw.fif", volts)
    with caplog.at_level(logging.WARNING):
        assert open_recording(edf).n_samples == 500
        assert open_recording(fif).n_samples == 1000
    assert caplog.messages == []
    for path, n_bytes, reason in ((edf, 600, "Number of records"), (fif, 10, "Invalid tag")):
        path.write_bytes(path.read_bytes()[:-n_bytes])
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            open_recording(path)
        (message,) = caplog.messages  # and MNE says nothing beside it
        assert message.startswith(f"{path.name} seems to be cut off; what is left of it is read: {reason}")


def test_no_eeg_or_meg_channel(tmp_path, volts):
    path = write_fif(tmp_path / "a_raw.fif", volts, kinds=["eog", "misc", "misc"])
    with pytest.raises(RecordingError, match="must have EEG or MEG channels, got 1 eog, 2 misc"):
        open_recording(path)
    with pytest.raises(RecordingError, match="must have MEG channels"):
        open_recording(path, picks="meg")


def test_no_finite_sample(tmp_path):
    path = write_fif(tmp_path / "a_raw.fif", np.full((2, 300), np.nan))
    with pytest.raises(RecordingError, match="at least one finite sample, got none in 300 samples of 2 channels"):
        open_recording(path)


def test_missing_unit_is_asked_for(tmp_path):
    path = write_edf(tmp_path / "a.edf", (100, 100), ("", ""))
    with pytest.raises(RecordingError, match=r"unit for each channel, got E0 \(none\), E1 \(none\).*--unit uV"):
        open_recording(path)
    micro, milli = open_recording(path, unit="uV"), open_recording(path, unit="mV")
    np.testing.assert_allclose(milli.read(0, 50), micro.read(0, 50) * 1000, rtol=1e-6)
    assert 10 < micro.read(0, 500).std() < 30


def test_stated_unit_is_used(tmp_path):
    """Also where MNE returns the numbers unscaled (nV in EDF)."""
    parts = {unit: open_recording(write_edf(tmp_path / f"{unit}.edf", (100,), (unit,))) for unit in ("uV", "mV", "nV")}
    base = parts["uV"].read(0, 500)
    np.testing.assert_allclose(parts["mV"].read(0, 500), base * 1e3, rtol=1e-5)
    np.testing.assert_allclose(parts["nV"].read(0, 500), base * 1e-3, rtol=1e-5)


def test_channels_that_are_no_voltage_are_left_out_with_a_warning(tmp_path, caplog):
    path = write_edf(tmp_path / "a.edf", (100, 100), ("uV", "g"))
    with caplog.at_level(logging.WARNING):
        assert open_recording(path).signal.names == ("E0",)
    assert "left out: E1 (none)" in caplog.text
    with pytest.raises(RecordingError, match=r"voltage or field unit for each channel, got E1 \(none\)"):
        open_recording(path, picks="E1")


def test_samples_outside_are_refused(tmp_path, volts):
    recording = open_recording(write_fif(tmp_path / "a_raw.fif", volts))
    assert recording.read(1000, 1000).shape == (3, 0)
    with pytest.raises(RecordingError, match=r"must lie in \[0, 1000\) of a_raw.fif, got \[900, 1001\)"):
        recording.read(900, 1001)


@pytest.mark.parametrize(
    ("spelled", "inside", "factor"),
    [
        ("V", "uV", 1e6),
        ("mV", "uV", 1e3),
        ("µV", "uV", 1.0),
        ("μV", "uV", 1.0),
        ("microvolts", "uV", 1.0),
        ("Microvolt", "uV", 1.0),
        ("nV", "uV", 1e-3),
        ("T", "fT", 1e15),
        ("fT", "fT", 1.0),
        ("T/m", "fT/cm", 1e13),
        ("fT/cm", "fT/cm", 1.0),
    ],
)
def test_units(spelled, inside, factor):
    assert conversion(spelled) == (inside, factor)


def test_unknown_unit_names_the_choices():
    with pytest.raises(ChannelMismatch, match=r"unit of channel 'Cz' must be a voltage .* got 'bananas'"):
        conversion("bananas", "Cz")
    assert [common_unit(u) for u in (("uV",), ("fT", "fT/cm"), ("uV", "fT"))] == ["uV", "fT", "mixed"]


def test_file_source_delivers_the_recording_with_stamps_and_gaps(tmp_path, volts):
    notes = [(0.5, 0.1, "T1"), (1.0, 0.4, "BAD_ACQ_SKIP")]
    recording = open_recording(write_fif(tmp_path / "a_raw.fif", volts, notes=notes))
    source = FileSource(recording, chunk_size=(7, 0, 100), first_stamp_s=50.0)
    for _ in range(2):  # open() starts again
        info = source.open()
        assert (info.signal, info.n_samples) == (recording.signal, 1000)
        parts = [source.read(0.0)]
        while not parts[-1].ended:
            parts.append(source.read(0.0))
        kept = np.r_[0:250, 350:1000]
        np.testing.assert_array_equal(np.concatenate([p.data for p in parts], 1), recording.read(0, 1000)[:, kept])
        np.testing.assert_array_equal(np.concatenate([p.times for p in parts]), 50.0 + kept / SFREQ)
        assert {p.data.shape[1] for p in parts} > {0, 7, 100}
        marks = [(m.kind, m.time) for p in parts for m in p.markers]
        assert marks == [("annotation", 50.5), ("annotation", 51.0), ("end", 54.0)]
        assert source.read(0.0).ended
    source.close()
    with pytest.raises(StreamLost, match=r"must be open to be read, got a closed source"):
        source.read(0.0)
    with pytest.raises(SpecError, match="Chunk sizes must be 0 or more samples and not all 0"):
        FileSource(recording, chunk_size=0)
