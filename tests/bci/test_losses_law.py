"""What losses may do to predictions, on the real clock check and decoder: lower their quality, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from bci.bundle import SHIPPED
from bci.clock import Gap, SampleClock
from bci.decision import AlarmSpec, DecisionSpec, State
from bci.decoder import Decoder
from bci.pipeline import PipelineSpec

CHUNK = 8
DURATION_S = 300


class Switch:
    """An engine whose answer is set by hand."""

    name, precision = "switch", "fp32"
    logits = (0.0, 0.0)

    def __call__(self, batch):
        return np.array([self.logits], dtype=np.float32)


def shipped_pipeline():
    return PipelineSpec.from_json((SHIPPED / "seizure-demo" / "pipeline.json").read_text(encoding="utf-8"))


def received(signal, rng, share, duration_s=DURATION_S):
    """Return which samples arrive if `share` of the chunks is lost at random, never the first ones."""
    n_chunks = round(duration_s * signal.sfreq) // CHUNK
    arrives = rng.random(n_chunks) >= share
    arrives[:50] = arrives[-1] = True
    return np.flatnonzero(np.repeat(arrives, CHUNK))


def decode(decoder, clock, index):
    """Feed the samples of `index` in their chunks; return predictions and breaks."""
    signal = decoder.signal_in
    rng = np.random.default_rng(7)
    noise = rng.normal(0.0, 20.0, (signal.n_channels, 4096)).astype(np.float32)
    predictions, breaks = [], []
    for n in range(0, len(index), CHUNK):
        part = index[n : n + CHUNK]
        chunks, new = clock.number(noise[:, part % 4096], 100.0 + part / signal.sfreq)
        breaks += new
        for chunk in chunks:
            predictions += decoder.push(chunk)
    return predictions, breaks


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("exact", [True, False], ids=["replay", "amplifier"])
def test_with_one_percent_of_the_chunks_lost_predictions_stay_usable(seed, exact):
    spec = shipped_pipeline()
    assert spec.signal.sfreq == 256.0
    decoder = Decoder(spec.build(), Switch(), DecisionSpec(("rest", "seizure")))
    index = received(spec.signal, np.random.default_rng(seed), 0.01)
    predictions, breaks = decode(decoder, SampleClock(spec.signal, exact=exact), index)
    n_sent = index[-1] + 1
    assert sum(gap.n_lost for gap in breaks if isinstance(gap, Gap)) == n_sent - len(index) > 0
    hop, first = round(spec.window.hop_s * spec.signal.sfreq), predictions[0].last_sample
    n_windows = (n_sent - 1 - first) // hop + 1
    assert n_windows > 500
    assert sum(p.state is State.OK for p in predictions) >= 0.9 * n_windows
    qualities = [p.quality for p in predictions if p.state is State.OK]
    assert min(qualities) > 0.9
    assert np.mean(qualities) == pytest.approx(0.99, abs=0.005)


@pytest.mark.parametrize("alarmed", [True, False])
@pytest.mark.parametrize("gap_s", [0.05, 0.5, 30.0])
def test_a_gap_neither_raises_nor_clears_an_alarm(gap_s, alarmed):
    """While the pipeline settles the network may say what it likes."""
    spec = shipped_pipeline()
    engine = Switch()
    decision = DecisionSpec(("rest", "seizure"), alarm=AlarmSpec("seizure", 0.9, 0.5))
    decoder = Decoder(spec.build(), engine, decision)
    clock = SampleClock(spec.signal, exact=True)
    engine.logits = (0.0, 9.0) if alarmed else (9.0, 0.0)
    sfreq = spec.signal.sfreq
    before = np.arange(round(30 * sfreq))
    decode(decoder, clock, before)
    assert decoder.decision.alarmed is alarmed
    after = before[-1] + 1 + round(gap_s * sfreq) + np.arange(round(30 * sfreq))
    n_settling = 0
    for n in range(0, len(after), CHUNK):
        predictions, _ = decode(decoder, clock, after[n : n + CHUNK])
        if decoder.decision.now is State.SETTLING or (predictions and predictions[-1].state is State.SETTLING):
            n_settling += 1
            engine.logits = (9.0, 0.0) if n_settling % 2 else (0.0, 9.0)  # what settles must not count
        else:
            engine.logits = (0.0, 9.0) if alarmed else (9.0, 0.0)
        assert all(p.changed is None for p in predictions)
        assert decoder.decision.alarmed is alarmed
    assert (n_settling > 0) == (gap_s > 0.1 and not alarmed)
