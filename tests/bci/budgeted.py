"""A session with a budget on a scripted clock, whose engine takes as long as it is told."""

from __future__ import annotations

from bci.decision import DecisionSpec
from bci.decoder import Decoder
from bci.fallback import FallbackDecoder
from bci.pipeline import PipelineSpec, Window
from bci.session import Session, SessionSettings
from bci.stages.scale import Scale
from tests.bci.scripted import IDENTITY, SIGNAL, Clock, Script, Sums, Tape, samples

CLASSES = ("a", "b")
HOP = 10  # samples, of 10 ms
CHUNK = 5


class Timed(Sums):
    """An engine that takes as long as it is told for each call, on the clock of a script."""

    def __init__(self, clock, seconds_of):
        self.clock, self.seconds_of, self.n_calls = clock, seconds_of, None

    def __call__(self, batch):
        if self.n_calls is not None:
            self.clock.now_s += self.seconds_of(self.n_calls)
            self.n_calls += 1
        return super().__call__(batch)


def run(budget, seconds_of, n_windows=100, alarm=None, standby_of=None, chunk=CHUNK, **source):
    """Decode so many windows of 0.5 s every 0.1 s; return the summary, the tape and the engine."""
    clock = Clock()
    pipeline = PipelineSpec(SIGNAL, (Scale(0.01),), Window(0.5, 0.1))
    engine, decision = Timed(clock, seconds_of), DecisionSpec(CLASSES, alarm=alarm)
    if standby_of is None:
        decoder = Decoder(pipeline.build(), engine, decision, clock)
    else:
        decoder = FallbackDecoder(pipeline.build(), engine, decision, clock, standby_of(clock))
    engine.n_calls = 0
    data = samples(50 + HOP * (n_windows - 1))
    steps = [data[:, at : at + chunk] for at in range(0, data.shape[1], chunk)]
    tape = Tape()
    settings = SessionSettings("out", budget=budget, overload="all")
    session = Session(Script(clock, steps, **source), decoder, IDENTITY, settings, None, [tape], clock)
    return session.run(), tape, engine
