"""An engine whose device slows down in silence is kept busy by the session, and no prediction depends on it."""

from __future__ import annotations

import numpy as np
import pytest

from bci.decision import DecisionSpec
from bci.decoder import Decoder
from bci.engines.base import WarmEngine
from bci.engines.batching import batched
from bci.fallback import FallbackDecoder
from bci.pipeline import PipelineSpec, Window
from bci.session import WARM_AFTER_S
from tests.bci.scripted import SIGNAL, Clock, Sums, samples, session_of

SILENCE = [0.2] * 50  # as a read without samples takes


class Warm(Sums):
    """An engine that notes when it was used, on the clock of the script."""

    def __init__(self):
        self.clock = Clock()
        self.calls, self.kept = [], []

    def __call__(self, batch):
        self.calls.append(self.clock.now_s)
        return super().__call__(batch)

    def keep_warm(self):
        self.kept.append(self.clock.now_s)


def decoder_of(engine, hop_s=0.5):
    return Decoder(PipelineSpec(SIGNAL, (), Window(0.5, hop_s)).build(), engine, DecisionSpec(("a", "b")))


def play(steps, decoder, engine):
    session, tape, source = session_of(steps, decoder=decoder)
    engine.clock = source.clock
    engine.calls.clear()
    session.run()
    return [output.prediction for output in tape.of("prediction")]


def used(engine):
    return np.sort(np.concatenate([engine.calls, engine.kept]))


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "shared"])
def test_in_silence_an_engine_is_never_idle_for_long(shared):
    engine = Warm()
    assert isinstance(engine, WarmEngine)
    play([samples(60), *SILENCE, samples(60)], decoder_of(batched(engine) if shared else engine), engine)
    assert len(engine.kept) >= len(SILENCE) // 2
    assert np.diff(used(engine)).max() < 0.65  # two reads, and samples that come at once


def test_an_engine_is_kept_warm_before_the_first_sample_and_between_rare_windows():
    """Samples come all the time here, and a prediction every 4 s."""
    engine = Warm()
    play([*SILENCE[:10], *[samples(3)] * 400], decoder_of(engine, hop_s=4.0), engine)
    assert len(engine.calls) == 3
    assert len(engine.kept) >= 10 + 12.0 / (WARM_AFTER_S + 0.03) - 3
    assert np.diff(used(engine)).max() < 0.25


def test_an_engine_that_predicts_is_left_alone():
    engine = Warm()
    play([samples(5)] * 200, decoder_of(engine, hop_s=0.1), engine)
    assert len(engine.calls) == 96
    assert len(engine.kept) <= 3  # only before the first window


def test_no_prediction_depends_on_it():
    steps = [samples(60), *SILENCE[:5], samples(300, start=7.0)]
    found = []
    for engine in (Warm(), Sums()):
        session, tape, _ = session_of(list(steps), decoder=decoder_of(engine))
        session.run()
        found.append([o.prediction.logits for o in tape.of("prediction")])
    assert len(found[0]) > 3
    np.testing.assert_array_equal(*found)


def test_one_of_many_beds_does_not_wake_an_engine_that_others_use():
    engine = Warm()
    shared = batched(engine)
    window = np.zeros((1, 3, 50), np.float32)
    for _ in range(5):
        shared(window)
        shared.keep_warm()
    assert not engine.kept
    shared.keep_warm()
    assert len(engine.kept) == 1


def test_a_fallback_is_kept_warm_too():
    first, second = Warm(), Warm()
    pipeline = PipelineSpec(SIGNAL, (), Window(0.5, 0.5)).build()
    decision = DecisionSpec(("a", "b"))
    FallbackDecoder(pipeline, first, decision, None, decoder_of(second)).keep_warm()
    assert (len(first.kept), len(second.kept)) == (1, 1)
