"""What is rehearsed between two chunks changes no prediction, and passes through the same code."""

from __future__ import annotations

import numpy as np

from bci.clock import ClockSpec, SampleClock
from bci.decision import DecisionSpec
from bci.decoder import Decoder
from bci.pipeline import PipelineSpec, Window
from bci.rehearsal import Rehearsal
from bci.stages.filters import Bandpass
from bci.timeline import Timeline
from tests.bci.scripted import SFREQ, SIGNAL, Slow


def predictions(rehearsals):
    decoder = Decoder(
        PipelineSpec(SIGNAL, (Bandpass(1.0, 40.0),), Window(1.0, 0.5)).build(), Slow(), DecisionSpec(("a", "b"))
    )
    timeline = Timeline(SampleClock(SIGNAL))
    rehearsal = Rehearsal(decoder, SIGNAL, ClockSpec())
    data = np.random.default_rng(0).normal(0.0, 20.0, (SIGNAL.n_channels, 1000)).astype(np.float32)
    made = []
    for start in range(0, 1000, 10):
        for _ in range(rehearsals):
            rehearsal.prepare()
            rehearsal.rehearse()
        missing = rehearsal.n_missing
        times = 50.0 + np.arange(start, start + 10) / SFREQ
        new = [p for chunk in timeline.take(data[:, start : start + 10], times) for p in decoder.push(chunk)]
        assert bool(new) == (missing <= 10)
        made += new
    return made


def test_rehearsals_change_nothing():
    with_none, with_two = predictions(0), predictions(2)
    assert len(with_none) == len(with_two) > 10
    for one, two in zip(with_none, with_two, strict=True):
        np.testing.assert_array_equal(one.logits, two.logits)
        assert (one.last_sample, one.time, one.state) == (two.last_sample, two.time, two.state)
