"""Anticipation changes when a session is awake, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bci.anticipation import Anticipation
from bci.chunk import Chunk, Signal
from bci.decision import AlarmSpec, DecisionSpec
from bci.decoder import Decoder
from bci.pipeline import PipelineSpec, Window
from bci.sources.base import Marker, Received
from bci.stages.filters import Bandpass
from bci.stages.scale import Scale
from tests.bundles import mel_pipeline

SIGNAL = Signal(128.0, ("C3", "C4", "Cz"))
DATA = np.random.default_rng(4).standard_normal((3, 2000)).astype(np.float32) * 20
DECISION = DecisionSpec(("rest", "event"), smoothing_s=1.0, alarm=AlarmSpec("event", 0.6, 0.4, k=2, n=3))
PIPELINES = {
    "mel": mel_pipeline(SIGNAL),
    "raw": PipelineSpec(SIGNAL, (Bandpass(1.0, 30.0),), Window(1.0, 0.25)),
    "hop longer than window": PipelineSpec(SIGNAL, (Scale(1.0),), Window(0.25, 1.0)),
}


class FirstAndMean:
    """An engine whose logits tell every column of the window apart."""

    name = "test"
    precision = "fp32"

    def __call__(self, batch):
        flat = batch.reshape(len(batch), -1, batch.shape[-1])
        weighted = flat * np.cos(np.arange(batch.shape[-1]))
        return np.stack([weighted.mean(axis=(1, 2)), flat[..., 0].mean(axis=1)], axis=1).astype(np.float32)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        self.now += 1e-5  # looking at the clock takes time, too
        return self.now


class Script:
    """Chunks at given times; a read waits on the fake clock."""

    def __init__(self, clock, arrivals):
        self._clock, self._arrivals = clock, list(arrivals)
        self.reads = []

    def read(self, timeout_s):
        self.reads.append(timeout_s)
        until = self._clock.now + timeout_s
        if not self._arrivals or self._arrivals[0][0] > until:
            self._clock.now = until + 1e-5
            return received(0, self._clock.now)
        time_s, n, markers = self._arrivals.pop(0)
        self._clock.now = max(self._clock.now, time_s)
        return received(n, self._clock.now, markers)


def received(n, now, markers=()):
    return Received(np.zeros((1, n), np.float32), np.full(n, now), now, markers)


class Rehearsals:
    """A predictor that takes `rehearsal_s` for each rehearsal, and keeps their times."""

    def __init__(self, clock, n_missing, rehearsal_s):
        self.times, self.n_prepared, self.n_missing = [], 0, n_missing
        self._clock, self._rehearsal_s = clock, rehearsal_s

    def prepare(self):
        self.n_prepared += 1

    def rehearse(self):
        self.times.append(self._clock.now)
        self._clock.now += self._rehearsal_s


def watch(arrivals, n_missing, lead_s=0.005, rehearsal_s=0.001):
    """Read everything, and return the rehearsals' times, the samples read and the reads asked for."""
    clock = Clock()
    script = Script(clock, arrivals)
    predictor = Rehearsals(clock, n_missing, rehearsal_s)
    reader = Anticipation(script, predictor, lead_s, clock)
    got = []
    while sum(r.times.size for r in got) < sum(n for _, n, _ in arrivals):
        got.append(reader.read(0.2))
    assert predictor.n_prepared == len(got)
    return predictor.times, got, script.reads


@given(
    st.lists(st.tuples(st.integers(1, 60), st.booleans()), min_size=20, max_size=60), st.sampled_from(sorted(PIPELINES))
)
def test_a_rehearsal_changes_no_prediction(cuts, name):
    """The same chunks give bitwise the same predictions, whenever the decoder was asked to rehearse."""
    spec = PIPELINES[name]
    plain, rehearsed = (Decoder(spec.build(), FirstAndMean(), DECISION) for _ in range(2))
    at = 0
    for size, rehearse in cuts:
        chunk = Chunk(DATA[:, at : at + size], at, np.arange(at, at + DATA[:, at : at + size].shape[1]) / 128.0)
        at += size
        if rehearse:
            rehearsed.rehearse()
        for a, b in zip(plain.push(chunk), rehearsed.push(chunk), strict=True):
            np.testing.assert_array_equal(a.logits, b.logits)
            assert (a.last_sample, a.quality, a.state, a.level) == (b.last_sample, b.quality, b.state, b.level)


class TwoSteps(FirstAndMean):
    """An engine in two steps; the first sees nothing of the last columns."""

    n_late = 2

    def early(self, batch):
        return batch[..., :-2].copy()

    def late(self, batch, kept):
        return FirstAndMean.__call__(self, np.concatenate((kept, batch[..., -2:]), axis=-1))

    def __call__(self, batch):
        return self.late(batch, self.early(batch))


@given(
    st.lists(st.tuples(st.integers(1, 60), st.sampled_from(["", "prepare", "rehearse"])), min_size=20, max_size=60),
    st.sampled_from(sorted(PIPELINES)),
)
def test_when_a_prediction_is_begun_changes_nothing(cuts, name):
    spec = PIPELINES[name]
    whole, stepwise = Decoder(spec.build(), FirstAndMean(), DECISION), Decoder(spec.build(), TwoSteps(), DECISION)
    at = 0
    for size, ahead in cuts:
        chunk = Chunk(DATA[:, at : at + size], at, np.arange(at, at + DATA[:, at : at + size].shape[1]) / 128.0)
        at += size
        if ahead:
            getattr(stepwise, ahead)()
        for a, b in zip(whole.push(chunk), stepwise.push(chunk), strict=True):
            np.testing.assert_array_equal(a.logits, b.logits)
            assert (a.last_sample, a.quality, a.state, a.level) == (b.last_sample, b.quality, b.state, b.level)


@pytest.mark.parametrize("name", PIPELINES)
def test_the_missing_samples_are_counted_exactly(name):
    """One sample less gives no prediction, the last one does; also after a jump of the stream."""
    decoder = Decoder(PIPELINES[name].build(), FirstAndMean(), DECISION)
    at = 0
    for _ in range(6):
        n = decoder.n_missing
        assert n >= 1
        assert not decoder.push(Chunk(DATA[:, : n - 1], at, np.zeros(n - 1)))
        assert len(decoder.push(Chunk(DATA[:, :1], at + n - 1, np.zeros(1)))) == 1
        at += n
    decoder.push(Chunk(DATA[:, :5], at + 1000, np.zeros(5)))
    n = decoder.n_missing
    assert not decoder.push(Chunk(DATA[:, : n - 1], at + 1005, np.zeros(n - 1)))
    assert len(decoder.push(Chunk(DATA[:, :1], at + 1004 + n, np.zeros(1)))) == 1


REGULAR = [(101.0 + 0.03125 * i, 8, ()) for i in range(20)]


def test_a_regular_stream_is_met_warm():
    """Rehearsals begin shortly before the chunk is due and end before it comes."""
    rehearsals, got, _ = watch(REGULAR, 8)
    assert rehearsals
    for arrival, _, _ in REGULAR[3:]:
        before = [arrival - t for t in rehearsals if 0 < arrival - t < 0.006]
        assert before
        assert min(before) > 0.001
    assert [r.times.size for r in got if r.times.size] == [8] * 20


def test_a_slow_rehearsal_is_not_repeated_before_every_window():
    """What takes longer than the lead makes the chunk wait; after the first time it is known."""
    rehearsals, got, _ = watch(REGULAR, 8, rehearsal_s=0.015)
    assert len(rehearsals) == 1
    assert [r.times.size for r in got if r.times.size] == [8] * 20


def test_nothing_is_rehearsed_while_a_window_is_far_from_complete():
    rehearsals, _, reads = watch(REGULAR, 9)
    assert not rehearsals
    assert set(reads) == {0.2}


@pytest.mark.parametrize(
    ("arrivals", "lead_s"),
    [
        (REGULAR, 0.0),
        ([(101 + 0.004 * i, 1, ()) for i in range(40)], 0.005),
        ([(101 + 0.5 * i, 128, ()) for i in range(5)], 0.005),
    ],
    ids=["switched off", "too fast to cool down", "too slow to wait for"],
)
def test_other_streams_are_simply_read(arrivals, lead_s):
    rehearsals, _, reads = watch(arrivals, 1, lead_s)
    assert not rehearsals
    assert set(reads) == {0.2}


@given(st.lists(st.floats(0.0005, 0.2), min_size=5, max_size=40))
def test_every_sample_of_an_irregular_stream_is_read_once(gaps):
    arrivals = [(float(t), 1 + i % 9, ()) for i, t in enumerate(101 + np.cumsum(gaps))]
    _, got, _ = watch(arrivals, 1)
    assert [r.times.size for r in got if r.times.size] == [n for _, n, _ in arrivals]


def test_a_marker_is_handed_on_while_a_chunk_is_expected():
    marker = Marker("loop", 101.62)
    early = [*REGULAR, (REGULAR[-1][0] + 0.029, 0, (marker,)), (REGULAR[-1][0] + 0.03125, 8, ())]
    _, got, _ = watch(early, 8)
    assert [m for r in got for m in r.markers] == [marker]
