"""Offline scoring: gaps as a live session treats them, and errors before any work."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bci.chunk import Signal
from bci.clock import ClockSpec, SampleClock
from bci.decision import AlarmSpec, DecisionSpec, State
from bci.decoder import Decoder
from bci.errors import ChannelMismatch, RecordingError
from bci.pipeline import PipelineSpec, Window
from bci.sources.file_source import FileSource
from bci.stages.filters import Highpass
from bci.stages.resample import Resample
from offline.score import GPU_BATCH, NO_LEDGER, Stretch, read_blocks, score_recording, stretches
from tests.bundles import mel_pipeline, noise, raw_pipeline

SIGNAL = Signal(128.0, ("C3", "Cz", "C4"))
ALARM = AlarmSpec("b", 0.36, 0.34, min_duration_s=4.0, refractory_s=1.0)  # durations that gaps count towards
DECISION = DecisionSpec(("a", "b", "c"), smoothing_s=0.5, alarm=ALARM)
ALL = np.arange(3)
SPARSE = PipelineSpec(SIGNAL, (Highpass(1.0), Resample(64.0)), Window(0.5, 1.75))  # windows that leave samples out


class Means:
    """An engine whose output depends on the whole window."""

    name, precision = "means", "fp32"

    def __init__(self):
        self.sizes = []

    def __call__(self, batch):
        self.sizes.append(len(batch))
        flat = batch.reshape(len(batch), -1, batch.shape[-1])
        logits = [flat.mean(axis=(1, 2)), flat[..., -1].mean(axis=1), flat[..., 0].mean(axis=1)]
        return np.stack(logits, axis=1).astype(np.float32)


class Memory:
    """A recording in memory; in its gaps stands what must never be seen."""

    def __init__(self, data, gaps=(), signal=SIGNAL):
        self.data, self.gaps, self.signal = data.copy(), tuple(gaps), signal
        for start, stop in gaps:
            self.data[:, start:stop] = 1e9
        self.n_samples = data.shape[1]
        self.path = SimpleNamespace(name="memory.fif", stem="memory")
        self.annotations, self.types, self.units = (), (), ()

    def read(self, start, stop):
        return self.data[:, start:stop].copy()

    def fingerprint(self):
        return "memory"


def live(recording, spec, chunk_size=7):
    """Decode as a session does: source, sample clock, decoder."""
    source = FileSource(recording, chunk_size, first_stamp_s=100.0)
    signal = source.open().signal
    clock, decoder = SampleClock(signal), Decoder(spec.build(), Means(), DECISION)
    predictions, ended = [], False
    while not ended:
        received = source.read(0.0)
        chunks, _ = clock.number(received.data, received.times)
        for chunk in chunks:
            predictions += decoder.push(chunk)
        ended = received.ended
    return predictions


@pytest.mark.parametrize("spec", [mel_pipeline(SIGNAL), raw_pipeline(SIGNAL)], ids=["mel", "raw"])
@pytest.mark.parametrize(
    "gaps",
    [
        (),
        [(700, 705)],
        [(700, 712), (1000, 1001)],
        [(700, 713)],
        [(700, 1100), (1500, 1503), (2000, 2100)],
        [(2500, 2560)],
    ],
    ids=["none", "short", "0.1 s", "longer", "several", "at the end"],
)
def test_gaps_are_treated_as_in_a_live_session(spec, gaps):
    """Up to 0.1 s filled and marked, longer ones a new start; what stands in a gap of the file is never seen."""
    recording = Memory(noise(SIGNAL, 20.0), gaps)
    offline = score_recording(recording, spec, Means(), DECISION)
    online = live(recording, spec)
    assert len(online) == len(offline) > 20
    for a, b in zip(online, offline, strict=True):
        assert (a.index, a.last_sample, a.state, a.changed) == (b.index, b.last_sample, b.state, b.changed)
        assert a.alarm == b.alarm
        assert a.time == pytest.approx(100.0 + b.time)
        assert a.quality == pytest.approx(b.quality, abs=1e-6)
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-6)
        assert np.abs(b.logits).max() < 1e3
        assert b.ledger == NO_LEDGER


def test_stretches_are_filled_on_a_line_and_marked():
    data = np.tile(np.arange(400.0), (3, 1)).astype(np.float32)
    recording = Memory(data, [(50, 53), (100, 200), (390, 400)])
    found = stretches(recording, 0.1)
    assert found == [Stretch(0, 100, ((50, 53),)), Stretch(200, 390, ())]
    for n_samples in (1000, 52, 51, 50, 1):  # cut behind, inside, before
        blocks = [list(read_blocks(recording, ALL, stretch, n_samples)) for stretch in found]
        first, second = (np.concatenate([data for data, _ in some], axis=-1) for some in blocks)
        flags = np.concatenate([filled for _, filled in blocks[0]])
        np.testing.assert_allclose(first, data[:, :100], rtol=1e-6)
        assert np.flatnonzero(flags).tolist() == [50, 51, 52]
        np.testing.assert_array_equal(second, data[:, 200:390])
        assert not any(filled.any() for _, filled in blocks[1])


def test_gaps_that_touch_are_one():
    recording = Memory(noise(SIGNAL, 5.0), [(100, 110), (105, 115), (115, 118)])
    assert stretches(recording, 0.1) == [Stretch(0, 100, ()), Stretch(118, 640, ())]


@pytest.mark.parametrize("spec", [mel_pipeline(SIGNAL), raw_pipeline(SIGNAL), SPARSE], ids=["mel", "raw", "sparse"])
@pytest.mark.parametrize("block_s", [1.0, 7.0, 0.05])
def test_the_size_of_a_block_changes_no_prediction(spec, block_s):
    """Blocks smaller than a window, smaller than the lead, and cuts inside filled gaps."""
    data = noise(SIGNAL, 30.0)
    data[1, 1700:1800] = np.nan
    recording = Memory(data, [(254, 259), (1100, 1400), (1790, 1795), (2303, 2306)])
    whole = score_recording(recording, spec, Means(), DECISION, block_s=1e6)
    cut = score_recording(recording, spec, Means(), DECISION, block_s=block_s)
    assert len(whole) == len(cut) > 7
    assert len({p.state for p in whole}) > 1
    for a, b in zip(whole, cut, strict=True):
        assert (a.index, a.last_sample, a.time, a.state, a.changed) == (
            b.index,
            b.last_sample,
            b.time,
            b.state,
            b.changed,
        )
        assert a.quality == pytest.approx(b.quality, abs=1e-7)
        np.testing.assert_allclose(a.logits, b.logits, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-5)


def test_no_more_than_a_block_is_read_at_once():
    class Watched(Memory):
        largest = 0

        def read(self, start, stop):
            self.largest = max(self.largest, stop - start)
            return super().read(start, stop)

    recording = Watched(noise(SIGNAL, 20.0))
    score_recording(recording, raw_pipeline(SIGNAL), Means(), DECISION, block_s=3.0)
    assert recording.largest == 3 * 128


def test_an_engine_may_use_its_output_again():
    """A fixed buffer of an engine must not show through earlier predictions."""

    class Reusing(Means):
        out = np.zeros((GPU_BATCH, 3), np.float32)

        def __call__(self, batch):
            self.out[: len(batch)] = super().__call__(batch)
            return self.out[: len(batch)]

    spec = PipelineSpec(SIGNAL, (Highpass(1.0),), Window(0.5, 0.125))
    recording = Memory(noise(SIGNAL, 20.0))
    wanted = score_recording(recording, spec, Means(), DECISION)
    found = score_recording(recording, spec, Reusing(), DECISION)
    np.testing.assert_array_equal([p.logits for p in found], [p.logits for p in wanted])


def test_a_gap_at_the_start_is_no_stretch():
    recording = Memory(noise(SIGNAL, 5.0), [(0, 5)])
    assert stretches(recording, 0.1) == [Stretch(5, 640, ())]


def test_the_limit_of_filling_is_the_clocks():
    recording = Memory(noise(SIGNAL, 10.0), [(700, 705)])
    filled = score_recording(recording, raw_pipeline(SIGNAL), Means(), DECISION)
    split = score_recording(recording, raw_pipeline(SIGNAL), Means(), DECISION, ClockSpec(max_fill_s=0.0))
    assert min(p.quality for p in filled) == pytest.approx(1 - 5 / 128)
    assert {p.quality for p in split} == {1.0}
    assert any(p.last_sample == 705 + 127 for p in split)


def test_a_gpu_gets_batches_and_a_processor_single_windows():
    """A long recording is not one batch: memory does not grow with it."""

    class OnGpu(Means):
        def keep_warm(self):
            """What engines on a GPU have."""

    spec = PipelineSpec(SIGNAL, (Highpass(1.0),), Window(0.5, 0.125))
    alone, together = Means(), OnGpu()
    found = [score_recording(Memory(noise(SIGNAL, 20.0)), spec, engine, DECISION) for engine in (alone, together)]
    n = len(found[0])
    assert alone.sizes == [1] * n
    assert together.sizes == [GPU_BATCH] * (n // GPU_BATCH) + [n % GPU_BATCH]
    np.testing.assert_allclose([p.logits for p in found[0]], [p.logits for p in found[1]], rtol=1e-6)


def test_channels_are_taken_by_name():
    data = noise(SIGNAL, 6.0)
    other = Signal(128.0, ("C4", "EMG", "C3", "Cz"))
    wide = np.stack([data[2], np.full(data.shape[1], 1e9), data[0], data[1]]).astype(np.float32)
    found = score_recording(Memory(wide, signal=other), mel_pipeline(SIGNAL), Means(), DECISION)
    wanted = score_recording(Memory(data), mel_pipeline(SIGNAL), Means(), DECISION)
    np.testing.assert_array_equal([p.logits for p in found], [p.logits for p in wanted])


def test_a_recording_that_does_not_fit_is_refused():
    with pytest.raises(ChannelMismatch, match="needs 128 Hz, the recording has 256 Hz"):
        score_recording(
            Memory(noise(SIGNAL, 6.0), signal=Signal(256.0, SIGNAL.names)), mel_pipeline(SIGNAL), Means(), DECISION
        )


@pytest.mark.parametrize("gaps", [(), [(100, 200)]], ids=["short", "in pieces"])
def test_a_recording_without_one_whole_window_is_refused(gaps):
    with pytest.raises(RecordingError, match=r"memory\.fif must hold at least one window of 2 s, got 2\.3\d* s"):
        score_recording(Memory(noise(SIGNAL, 2.34), gaps or [(0, 60)]), mel_pipeline(SIGNAL), Means(), DECISION)


def test_bad_samples_lower_the_quality_and_are_a_fault():
    data = noise(SIGNAL, 10.0)
    data[1, 700:900] = np.nan
    predictions = score_recording(Memory(data), raw_pipeline(SIGNAL), Means(), DECISION)
    for p in predictions:
        window = slice(p.last_sample - 127, p.last_sample + 1)
        assert p.quality == pytest.approx(np.isfinite(data[1, window]).mean(), abs=1e-6)
        assert (p.state is State.FAULT) == (p.quality < 0.5)
    assert [p.changed for p in predictions].count("fault") == 1
