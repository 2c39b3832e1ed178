"""Recordings brought to a model's channels and rate."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest

from bci.chunk import Signal
from bci.errors import ChannelMismatch
from bci.sources.adapted import AdaptedRecording, usual_names
from bci.sources.recording import open_recording
from bci.stages.montages import TEN_TWENTY_19
from bci.stages.resample import Resample


def write(path: Path, names: list[str], sfreq: float, data: np.ndarray) -> Path:
    info = mne.create_info(names, sfreq, "eeg", verbose="error")
    mne.io.RawArray(data * 1e-6, info, verbose="error").save(path, verbose="error")
    return path


@pytest.mark.parametrize(
    ("spelled", "name"),
    [("EEG FP1-REF", "Fp1"), ("Fp1.", "Fp1"), ("fp1", "Fp1"), ("T7", "T3"), ("EEG P8-LE", "T6"), ("Fz..", "Fz")],
)
def test_usual_spellings_are_found(spelled, name):
    assert usual_names((spelled,), TEN_TWENTY_19) == (name,)


def test_derivations_are_found_by_their_electrodes():
    """As CHB-MIT has them: new names, and one that is recorded twice."""
    offered = ("FP1-F7", "F7-T7", "T8-P8-0", "T8-P8-1", "EEG T4-LE", "FZ-CZ")
    found = usual_names(offered, ("Fp1-F7", "F7-T3", "T4-T6", "Fz-Cz"))
    assert found == ("Fp1-F7", "F7-T3", "T4-T6", "T8-P8-1", "EEG T4-LE", "Fz-Cz")
    assert usual_names(("Fp1-REF", "T7-F7"), ("Fp1", "F7-T3")) == ("Fp1", "T7-F7"), "upside down is another signal"


def test_other_names_stay():
    assert usual_names(("EKG", "Fpz"), TEN_TWENTY_19) == ("EKG", "Fpz")


def test_two_spellings_of_one_channel_are_refused(tmp_path):
    with pytest.raises(ChannelMismatch, match=r"needs one channel T3, the recording has 2: T7, T3. Choose"):
        usual_names(("T7", "T3"), TEN_TWENTY_19)


@pytest.mark.parametrize("sfreq", [200.0, 250.0, 1000.0])
def test_any_stretch_equals_the_whole_resampled_causally(tmp_path, sfreq):
    """Reading at any place gives what the streaming stage gives over the whole recording."""
    rng = np.random.default_rng(1)
    data = rng.standard_normal((2, round(8 * sfreq))) * 20 + 300
    recording = open_recording(write(tmp_path / "x_raw.fif", ["T7", "EEG C3-REF"], sfreq, data))
    adapted = AdaptedRecording(recording, Signal(256.0, ("C3", "T3")))
    source = recording.read(0, recording.n_samples)[[1, 0]]
    whole = Resample(256.0).build(Signal(sfreq, ("C3", "T3"))).process(source).astype(np.float32)
    assert adapted.n_samples == whole.shape[1]
    for start in (0, 1, 37, 500, 1033):
        np.testing.assert_allclose(adapted.read(start, start + 700), whole[:, start : start + 700], rtol=1e-6)


def test_equal_rates_are_passed_through(tmp_path):
    data = np.random.default_rng(2).standard_normal((2, 512))
    recording = open_recording(write(tmp_path / "x_raw.fif", ["C3", "T7"], 256.0, data))
    adapted = AdaptedRecording(recording, Signal(256.0, ("T3", "C3")))
    np.testing.assert_array_equal(adapted.read(3, 90), recording.read(3, 90)[::-1])
    assert adapted.delay_s == 0


def test_values_that_are_no_numbers_stay_so(tmp_path):
    data = np.random.default_rng(3).standard_normal((2, 1000))
    data[0, 400] = np.nan
    recording = open_recording(write(tmp_path / "x_raw.fif", ["C3", "C4"], 200.0, data))
    adapted = AdaptedRecording(recording, Signal(256.0, ("C3", "C4")))
    read = adapted.read(0, adapted.n_samples)
    bad = np.flatnonzero(np.isnan(read[0]))
    assert np.isfinite(read[1]).all()
    assert 512 <= bad[0] <= 513
    assert bad[-1] <= 512 + np.ceil(2 * adapted.delay_s * 256) + 2


def test_a_missing_channel_is_named(tmp_path):
    recording = open_recording(write(tmp_path / "x_raw.fif", ["C3", "C4"], 200.0, np.ones((2, 400))))
    with pytest.raises(ChannelMismatch, match=r"the adapted recording lacks: Fz\. The adapted recording also has: C3"):
        AdaptedRecording(recording, Signal(256.0, ("C4", "Fz")))


@pytest.mark.real
def test_a_real_recording_is_brought_to_the_ten_twenty_system(data_dir):
    recording = open_recording(data_dir / "eegmmidb" / "S001R01.edf")
    adapted = AdaptedRecording(recording, Signal(256.0, TEN_TWENTY_19))
    assert adapted.read(0, 2560).shape == (19, 2560)
    assert adapted.n_samples == round(recording.n_samples * 1.6)


def test_rates_that_are_not_exact_have_one_ratio(tmp_path):
    """The stage's own ratio maps samples: a second rounding could differ from it."""
    recording = open_recording(write(tmp_path / "x_raw.fif", ["C3"], 512.0001, np.ones((1, 5120))))
    adapted = AdaptedRecording(recording, Signal(256.0 * recording.signal.sfreq / 512, ("C3",)))
    assert adapted.n_samples == 2560
    assert adapted.read(0, 2560).shape == (1, 2560)
