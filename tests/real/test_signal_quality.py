"""Bad channels in real EEG with known disturbances, and how often a clean channel is called bad."""

from __future__ import annotations

import numpy as np
import pytest

from bci.chunk import Signal
from bci.pipeline import Pipeline, PipelineSpec, Window
from bci.sources.recording import open_recording
from bci.sources.simulated_patient import PatientSpec, SimulatedPatient
from bci.stages.quality import InterpolateBad, ReportQuality
from bci.stages.quality_detector import Change

START_S, STOP_S = 15, 45


def judge(signal: Signal, data: np.ndarray, spec: ReportQuality | InterpolateBad) -> tuple[Pipeline, np.ndarray]:
    pipeline = PipelineSpec(signal, (spec,), Window(1.0, 0.5)).build()
    return pipeline, pipeline.process(data.astype(np.float32)).data


def bad_seconds(changes: list[Change], signal: Signal, n_samples: int) -> dict[str, float]:
    """Return how long each channel that was bad was so."""
    spent: dict[str, float] = {}
    for change in changes:
        sign = 1 if change.bad else -1
        spent[change.channel] = spent.get(change.channel, 0.0) + sign * (n_samples - change.sample) / signal.sfreq
    return spent


def muscle(n_samples: int, sfreq: float) -> np.ndarray:
    """Return noise of 40 µV from 25 Hz up, as of a tense muscle."""
    hz = np.fft.rfftfreq(n_samples, 1 / sfreq)
    noise = np.fft.irfft(np.fft.rfft(np.random.default_rng(0).standard_normal(n_samples)) * (hz > 25.0), n_samples)
    return np.asarray(40.0 * noise / noise.std())


@pytest.fixture(scope="module")
def eyes_open(data_dir):
    recording = open_recording(data_dir / "eegmmidb" / "S001R01.edf")
    return recording.signal, recording.read(0, recording.n_samples).astype(np.float64)


@pytest.fixture(scope="module")
def disturbed(eyes_open):
    """The recording with four channels disturbed from 15 to 45 s."""
    signal, clean = eyes_open
    data, part = clean.copy(), slice(round(START_S * signal.sfreq), round(STOP_S * signal.sfreq))
    t = np.arange(part.stop - part.start) / signal.sfreq
    rows = [signal.names.index(name) for name in ("C3..", "Pz..", "F4..", "T7..")]
    data[rows[0], part] = data[rows[0], part.start]
    data[rows[1], part] += 200.0 * np.sin(2 * np.pi * 50.0 * t)
    data[rows[2], part] = np.clip(2.0 * data[rows[2], part], -60.0, 60.0)
    data[rows[3], part] += muscle(t.size, signal.sfreq)
    return signal, data, rows, part


@pytest.mark.real
def test_each_disturbance_is_found_by_its_reason_and_goes_away(disturbed):
    signal, data, _, _ = disturbed
    pipeline, _ = judge(signal, data, ReportQuality())
    changes = pipeline.changes()
    found = {c.channel: (c.sample / signal.sfreq, c.reasons) for c in changes if c.bad}
    assert found == {
        "C3..": (START_S + 3, ("flat",)),
        "Pz..": (START_S + 3, ("line",)),
        "F4..": (START_S + 3, ("railing",)),
        "T7..": (START_S + 3, ("high_frequency",)),
    }
    assert {c.channel: c.sample / signal.sfreq for c in changes if not c.bad} == dict.fromkeys(found, STOP_S + 5)


@pytest.mark.real
def test_what_replaces_them_is_like_what_was_there(eyes_open, disturbed):
    """Among 64 electrodes, to within half of the channel's own deviation; the others stay as they are."""
    _, clean = eyes_open
    signal, data, rows, part = disturbed
    _, y = judge(signal, data, InterpolateBad())
    bad = slice(part.start + round(3 * signal.sfreq), part.stop)
    for row in rows:
        error = y[row, bad] - clean[row, bad]
        assert error.std() < 0.5 * clean[row, bad].std()
    others = np.setdiff1d(np.arange(signal.n_channels), rows)
    np.testing.assert_array_equal(y[others], data[others].astype(np.float32))


@pytest.mark.real
def test_clean_channels_are_hardly_ever_called_bad(data_dir, record_property):
    """Four runs, 64 channels, 370 s: measured 0.042 % of channel-seconds, one tense temporal electrode."""
    spent = total = 0.0
    for run in ("R01", "R02", "R03", "R04"):
        recording = open_recording(data_dir / "eegmmidb" / f"S001{run}.edf")
        data = recording.read(0, recording.n_samples)
        pipeline, _ = judge(recording.signal, data, ReportQuality())
        spent += sum(bad_seconds(pipeline.changes(), recording.signal, data.shape[1]).values())
        total += data.size / recording.signal.sfreq
    record_property("false_bad_share", spent / total)
    assert spent / total < 0.001


def test_a_seizure_is_no_bad_channel():
    """A simulated patient: muscle artefacts are found, a seizure of 85 s on 19 channels is not taken for one."""
    patient = SimulatedPatient(PatientSpec(5, duration_s=900.0))
    (seizure,) = patient.seizures
    end_s = seizure.onset_s + seizure.duration_s
    data = patient.read(round((end_s + 10.0) * patient.signal.sfreq))
    pipeline, _ = judge(patient.signal, data, ReportQuality())
    changes = pipeline.changes()
    assert {reason for change in changes for reason in change.reasons} == {"high_frequency"}
    spent = sum(bad_seconds(changes, patient.signal, data.shape[1]).values())
    assert spent / (data.size / patient.signal.sfreq) < 0.01
    from_s = [np.clip(change.sample / patient.signal.sfreq, seizure.onset_s, end_s) for change in changes]
    within = sum((end_s - at) * (1 if change.bad else -1) for change, at in zip(changes, from_s, strict=True))
    assert within / (seizure.duration_s * patient.signal.n_channels) < 0.03
