"""The decoder: the same samples give the same predictions, however they are cut, and no others."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bci.chunk import Chunk, Signal
from bci.decision import AlarmSpec, DecisionSpec, State
from bci.decoder import Decoder, Ledger, n_plain_stages
from bci.errors import SpecError
from bci.pipeline import PipelineSpec, Window, window_starts
from bci.stages.filters import Bandpass, Highpass
from bci.stages.logmel import LogMel
from bci.stages.resample import Resample
from bci.stages.scale import Scale
from offline.score import score_recording
from tests.bundles import mel_pipeline, noise, raw_pipeline

SIGNAL = Signal(128.0, ("C3", "Cz", "C4"))
CLASSES = ("background", "seizure", "other")
DECISION = DecisionSpec(CLASSES, smoothing_s=0.5, alarm=AlarmSpec("seizure", 0.5, 0.3))
N_SAMPLES = 1200


class Means:
    """An engine that shows what it is given: the mean, the newest column and the oldest of a window."""

    name = "means"
    precision = "fp32"

    def __call__(self, batch):
        flat = batch.reshape(len(batch), -1, batch.shape[-1])
        logits = [flat.mean(axis=(1, 2)), flat[..., -1].mean(axis=1), flat[..., 0].mean(axis=1)]
        return np.stack(logits, axis=1).astype(np.float32)


def plain(length_s=1.0, hop_s=0.25):
    """A pipeline whose columns are the samples."""
    return PipelineSpec(SIGNAL, (Scale(1.0),), Window(length_s, hop_s))


PIPELINES = {
    "mel": mel_pipeline(SIGNAL),
    "raw": raw_pipeline(SIGNAL),
    "down": PipelineSpec(SIGNAL, (Resample(64.0), Bandpass(1.0, 20.0)), Window(1.0, 0.125)),
    "up": PipelineSpec(SIGNAL, (Highpass(1.0), Resample(192.0)), Window(0.5, 0.25)),
    "hop longer than window": plain(0.25, 1.0),
    "one column": PipelineSpec(SIGNAL, (Scale(1.0),), Window(1 / 128, 1 / 128)),
}


def decode(decoder, data, sizes, first_sample=0, filled=None):
    """Push `data` in chunks of `sizes`; sample n happens at 50 + n / 128 s."""
    predictions, at = [], 0
    for size in sizes:
        index = first_sample + np.arange(at, at + size)
        flags = None if filled is None else filled[at : at + size]
        predictions += decoder.push(Chunk(data[:, at : at + size], int(first_sample + at), 50 + index / 128.0, flags))
        at += size
    assert at == data.shape[1]
    return predictions


def decoder_of(spec, timer=None, decision=DECISION):
    return Decoder(spec.build(), Means(), decision, timer)


def assert_same(found, wanted):
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert (a.index, a.last_sample, a.time, a.state, a.changed) == (
            b.index,
            b.last_sample,
            b.time,
            b.state,
            b.changed,
        )
        assert a.quality == pytest.approx(b.quality, abs=1e-6)
        assert a.level == pytest.approx(b.level, rel=1e-5, abs=1e-7)
        np.testing.assert_allclose(a.logits, b.logits, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(a.probabilities, b.probabilities, rtol=1e-5, atol=1e-7)


@pytest.fixture(scope="module")
def data():
    """Noise with a stretch of NaN in one channel, which the gate holds and marks."""
    x = noise(SIGNAL, N_SAMPLES / 128.0)
    x[1, 500:560] = np.nan
    return x


@pytest.mark.parametrize("name", PIPELINES)
@settings(max_examples=12, deadline=None)
@given(cut=st.data())
def test_predictions_do_not_depend_on_chunk_sizes(data, name, cut):
    """Any cutting, with empty chunks, also by one sample, gives the predictions of one large chunk."""
    whole = decode(decoder_of(PIPELINES[name]), data, [N_SAMPLES])
    sizes = []
    largest = cut.draw(st.sampled_from([1, 3, 40, 700]))
    while (left := N_SAMPLES - sum(sizes)) > 0:
        seed = cut.draw(st.integers(0, 2**32 - 1))
        batch = np.minimum(np.random.default_rng(seed).integers(0, largest + 1, 200), left)
        sizes += batch[: int(np.searchsorted(np.cumsum(batch), left, side="right"))].tolist() or [left]
    assert whole
    assert_same(decode(decoder_of(PIPELINES[name]), data, sizes), whole)


@pytest.mark.parametrize("name", PIPELINES)
def test_predictions_are_those_of_windows_cut_by_index(data, name):
    """The independent reference: the whole recording through the pipeline at once, a window every hop."""
    spec = PIPELINES[name]
    pipeline = spec.build()
    block = pipeline.process(data)
    finite = np.isfinite(data).all(axis=0)
    n = pipeline.window_frames
    predictions = decode(decoder_of(spec), data, [7] * (N_SAMPLES // 7) + [N_SAMPLES % 7])
    starts = window_starts(block.data.shape[-1], pipeline)
    assert len(predictions) == len(starts)
    for p, start in zip(predictions, starts, strict=True):
        window = block.data[..., start : start + n].astype(np.float32)
        np.testing.assert_allclose(p.logits, Means()(window[None])[0], rtol=1e-5, atol=1e-5)
        assert p.last_sample == block.last_input[start + n - 1]
        assert p.time == 50 + p.last_sample / 128.0
        last = block.last_input
        # all samples that the window contains: a frame reaches back by its length, a resampled column to the one before
        begin = min(last[start] - last[0], last[start - 1] + 1) if start else 0
        assert p.quality == pytest.approx(finite[begin : p.last_sample + 1].mean(), abs=1e-6)


@pytest.mark.parametrize("name", PIPELINES)
def test_predictions_are_those_of_offline_scoring(data, name):
    spec = PIPELINES[name]
    recording = SimpleNamespace(
        signal=SIGNAL, n_samples=N_SAMPLES, gaps=(), read=lambda start, stop: data[:, start:stop], path=None
    )
    offline = score_recording(recording, spec, Means(), DECISION)
    live = decode(decoder_of(spec), data, [11] * (N_SAMPLES // 11) + [N_SAMPLES % 11])
    for a, b in zip(live, offline, strict=True):
        assert (a.index, a.last_sample, a.state, a.changed) == (b.index, b.last_sample, b.state, b.changed)
        assert a.time == pytest.approx(50 + b.time)
        assert a.quality == pytest.approx(b.quality, abs=1e-6)
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-6)


def test_one_chunk_may_complete_many_windows(data):
    """Each prediction bears the time of its own evidence, not of the chunk's end."""
    predictions = decode(decoder_of(plain()), np.abs(data), [N_SAMPLES])
    assert [p.last_sample for p in predictions] == list(range(127, N_SAMPLES, 32))
    assert [p.index for p in predictions] == list(range(len(predictions)))
    np.testing.assert_allclose([p.time for p in predictions], [50 + p.last_sample / 128 for p in predictions])


def test_predictions_do_not_share_memory(data):
    """The window and the engine's output are used again; what was handed out stays."""

    class Reused:
        name, precision = "reused", "fp32"
        output = np.zeros((1, 3), np.float32)

        def __call__(self, batch):
            self.output[0] = batch[0].ravel()[:3]
            return self.output

    decoder = Decoder(plain().build(), Reused(), DECISION)
    predictions = decode(decoder, data[:, :400], [400])
    kept = [p.logits.copy() for p in predictions]
    decode(decoder, data[:, 400:], [800], first_sample=400)
    np.testing.assert_array_equal([p.logits for p in predictions], kept)
    assert len({tuple(k) for k in kept}) == len(kept)


def test_chunks_are_not_written_to(data):
    chunk = data.copy()
    chunk.flags.writeable = False
    decode(decoder_of(PIPELINES["mel"]), chunk, [N_SAMPLES])


# breaks of the stream


@pytest.mark.parametrize("name", PIPELINES)
def test_a_jump_of_the_sample_number_starts_anew(data, name):
    """After a gap the grid of windows starts at the first sample, as for a new stream; only the count goes on."""
    decoder = decoder_of(PIPELINES[name])
    before = decode(decoder, data[:, :700], [700])
    after = decode(decoder, data[:, 700:], [500], first_sample=5000)
    alone = decode(decoder_of(PIPELINES[name]), data[:, 700:], [500], first_sample=5000)
    assert [p.last_sample for p in after] == [p.last_sample for p in alone]
    assert [p.time for p in after] == [p.time for p in alone]
    np.testing.assert_array_equal([p.logits for p in after], [p.logits for p in alone])
    assert [p.index for p in after] == [p.index + len(before) for p in alone]
    assert [p.quality for p in after] == [p.quality for p in alone]


@pytest.mark.parametrize("jump", [-1, 1, -700, 10**12])
def test_any_jump_is_a_restart(data, jump):
    decoder = decoder_of(plain())
    decode(decoder, data[:, :700], [700])
    first = 700 + jump
    after = decode(decoder, data[:, 700:], [1] * 500, first_sample=first)
    assert [p.last_sample for p in after] == [first + 127 + 32 * i for i in range(len(after))]
    assert len(after) == 12


def test_after_a_restart_windows_settle_again():
    """A window counts as settled when its first column came after the warm-up of the stages."""
    spec = PipelineSpec(SIGNAL, (Bandpass(1.0, 40.0),), Window(1.0, 0.25))
    x = np.abs(noise(SIGNAL, 30.0))
    decoder = decoder_of(spec, decision=DecisionSpec(CLASSES))
    warmup = int(np.ceil(spec.build().warmup_s * 128.0))
    assert warmup > 64
    for first_sample in (0, 100_000):
        predictions = decode(decoder, x, [x.shape[1]], first_sample=first_sample)
        settled = [p.last_sample - first_sample - 127 >= warmup for p in predictions]
        assert [p.state is not State.SETTLING for p in predictions] == settled
        assert settled.index(True) > 0


def test_an_alarm_is_held_over_a_gap_but_not_over_a_reset():
    decision = DecisionSpec(CLASSES, alarm=AlarmSpec("seizure", 0.5, 0.3))
    spec = PipelineSpec(SIGNAL, (Highpass(1.0),), Window(0.25, 0.25))

    class High(Means):
        def __call__(self, batch):
            return np.tile(np.float32([0.0, 9.0, 0.0]), (len(batch), 1))

    decoder = Decoder(spec.build(), High(), decision)
    x = noise(SIGNAL, 6.0)
    assert decode(decoder, x, [768])[-1].state is State.ALARM
    held = decode(decoder, x, [768], first_sample=9000)
    assert {p.state for p in held} == {State.ALARM}
    assert all(p.changed is None for p in held)
    decoder.reset()
    fresh = decode(decoder, x, [768], first_sample=9768)
    assert fresh[0].state is State.SETTLING
    assert [p.changed for p in fresh].count("alarm_on") == 1
    assert fresh[0].index == 2 * len(held)


def test_the_time_of_a_gap_counts_towards_durations():
    """A gap of 4 s in an alarm that lasts at least 5 s: what follows clears it as soon as without the gap."""
    spec = PipelineSpec(SIGNAL, (), Window(0.5, 0.25))
    decision = DecisionSpec(CLASSES, alarm=AlarmSpec("seizure", 0.5, 0.4, min_duration_s=5.0))

    class First(Means):
        def __call__(self, batch):
            return np.stack([[0.0, 9.0 * float(window[0, -1] > 0), 0.0] for window in batch]).astype(np.float32)

    def off_at(gap_s):
        decoder = Decoder(spec.build(), First(), decision)
        ill, well = np.ones((3, 128), np.float32), np.zeros((3, 128 * 8), np.float32)
        on = decode(decoder, ill, [128])[0]
        assert (on.changed, on.last_sample) == ("alarm_on", 63)
        rest = decode(decoder, well, [1024], first_sample=128 + round(gap_s * 128))
        return next(p.last_sample for p in rest if p.changed == "alarm_off")

    assert off_at(0.0) == off_at(4.0) == 63 + 5 * 128
    assert off_at(100.0) == 128 + 100 * 128 + 63  # the first window after it


def test_an_empty_chunk_is_nothing(data):
    """Not even a jump: it has no sample whose number could be compared."""
    decoder = decoder_of(plain())
    empty = Chunk(np.empty((3, 0), np.float32), 999, np.empty(0))
    assert decoder.push(empty) == []
    first = decode(decoder, data[:, :600], [600])
    assert decoder.push(empty) == []
    assert_same(first + decode(decoder, data[:, 600:], [600], 600), decode(decoder_of(plain()), data, [N_SAMPLES]))


# quality


def test_quality_is_the_valid_share_of_the_window():
    x = noise(SIGNAL, N_SAMPLES / 128.0)
    x[0, 256:288] = np.nan
    x[2, 272:304] = np.inf
    for p in decode(decoder_of(plain()), x, [13] * 92 + [4]):
        window = x[:, p.last_sample - 127 : p.last_sample + 1]
        assert p.quality == pytest.approx(np.isfinite(window).all(axis=0).mean())
        assert np.isfinite(p.probabilities).all()


def test_filled_samples_count_as_invalid_and_too_many_are_a_fault():
    x = np.abs(noise(SIGNAL, N_SAMPLES / 128.0))
    filled = np.zeros(N_SAMPLES, dtype=bool)
    filled[300:400] = True
    predictions = decode(decoder_of(plain()), x, [100] * 12, filled=filled)
    for p in predictions:
        share = 1 - filled[p.last_sample - 127 : p.last_sample + 1].mean()
        assert p.quality == pytest.approx(share)
        assert (p.state is State.FAULT) == (share < 0.5)
    assert [p.changed for p in predictions].count("fault") == 1


# ledger


def test_with_a_timer_the_ledger_is_complete_and_adds_up(data):
    """Every stage has its share, and the shares are no more than the time that has passed."""
    ticks = itertools.count()
    decoder = decoder_of(PIPELINES["mel"], timer=lambda: next(ticks) * 1e-3)
    started = next(ticks)
    (first, *_) = predictions = decode(decoder, data[:, :400], [400])
    passed = (next(ticks) - started) * 1e-3
    ledger = first.ledger
    assert ledger.filter_s == pytest.approx(3e-3)  # gate, band-pass, average
    assert ledger.features_s == pytest.approx(1e-3)
    assert ledger.engine_s > 0
    assert ledger.decision_s > 0
    assert (
        ledger.filter_s + ledger.features_s + sum(p.ledger.engine_s + p.ledger.decision_s for p in predictions)
        <= passed
    )


def test_without_a_timer_the_ledger_is_zero(data):
    assert {p.ledger for p in decode(decoder_of(PIPELINES["mel"]), data, [N_SAMPLES])} == {Ledger(0.0, 0.0, 0.0, 0.0)}


def test_the_timer_changes_no_prediction(data):
    ticks = itertools.count()
    timed = decode(decoder_of(PIPELINES["mel"], timer=lambda: float(next(ticks))), data, [N_SAMPLES])
    assert_same(timed, decode(decoder_of(PIPELINES["mel"]), data, [N_SAMPLES]))


def test_plain_stages_are_those_before_the_first_features():
    assert n_plain_stages(PIPELINES["mel"].build()) == 2
    assert n_plain_stages(PIPELINES["raw"].build()) == 3
    log_mel = LogMel(n_fft=64, win_length=64, hop_length=16, n_mels=8, low_hz=1.0, high_hz=40.0)
    assert n_plain_stages(PipelineSpec(SIGNAL, (log_mel,), Window(1.0, 0.25)).build()) == 0


# construction


def test_the_network_must_give_one_logit_per_class():
    with pytest.raises(SpecError, match=r"names 2 classes \(a, b\), the network gives 3 logits\. The bundle's parts"):
        Decoder(plain().build(), Means(), DecisionSpec(("a", "b")))


def test_the_engine_is_tried_before_the_first_sample():
    """A network of another shape fails when the decoder is made, not at the first window."""

    class Picky(Means):
        def __call__(self, batch):
            if batch.shape != (1, 3, 16, 32):
                raise ValueError(f"unexpected shape {batch.shape}")
            return super().__call__(batch)

    assert Decoder(PIPELINES["mel"].build(), Picky(), DECISION).signal_in == SIGNAL
    with pytest.raises(ValueError, match=r"unexpected shape \(1, 3, 128\)"):
        Decoder(PIPELINES["raw"].build(), Picky(), DECISION)
