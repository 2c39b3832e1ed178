"""Sessions over a scripted source and a clock that it moves, for tests that wait for nothing."""

from __future__ import annotations

import numpy as np

from bci.chunk import Signal
from bci.decision import DecisionSpec
from bci.decoder import Decoder
from bci.identity import Identity
from bci.pipeline import PipelineSpec, Window
from bci.session import Session, SessionSettings
from bci.sources.base import Received, StreamInfo
from bci.stages.scale import Scale

SFREQ = 100.0
SIGNAL = Signal(SFREQ, ("C3", "Cz", "C4"))
START_S = 500.0
IDENTITY = Identity("tiny", "ab" * 32, "eager", "fp32")


class Clock:
    """A clock that the source moves: no test waits."""

    def __init__(self, now_s=START_S):
        self.now_s = now_s

    def __call__(self):
        self.now_s += 1e-6  # every look takes a microsecond
        return self.now_s


class Script:
    """A source that plays steps: an array of samples, seconds of silence, markers, or an error to raise.

    Sample n happens at ``START_S + n / sfreq``; what arrives has just happened.
    """

    def __init__(self, clock, steps, signal=SIGNAL, speed=1.0, offset_s=0.0):
        self.clock, self.steps, self.signal, self.speed = clock, iter(steps), signal, speed
        self.offset_s = offset_s
        self.at = 0
        self.calls = []

    def open(self):
        self.calls.append("open")
        return StreamInfo("script", self.signal, speed=self.speed)

    def stamp(self, sample):
        return START_S + sample / (self.signal.sfreq * self.speed)

    def read(self, timeout_s):
        step = next(self.steps, "end")
        data, markers, ended = np.empty((self.signal.n_channels, 0), np.float32), (), False
        if isinstance(step, Exception):
            raise step
        if callable(step):
            step = step() or data
        if isinstance(step, tuple):  # markers, and the samples that follow
            *markers, step = step
        if isinstance(step, str):
            ended = True
        elif isinstance(step, float):
            self.clock.now_s += step
            self.at += round(step * self.signal.sfreq * self.speed)
        else:
            data = step
        n = data.shape[1]
        times = np.array([self.stamp(i) for i in range(self.at, self.at + n)])
        self.at += n
        self.clock.now_s = max(self.clock.now_s, self.stamp(self.at))
        return Received(data, times, self.clock.now_s, tuple(markers), ended, self.offset_s)

    def close(self):
        self.calls.append("close")


class Returning(Script):
    """A script whose stream comes back: while it is lost, a step is seconds of waiting, an offer, or an error to raise.

    Parameters
    ----------
    offers : sequence of Signal
        What is offered, in turn, by a step ``"offer"``.
    """

    def __init__(self, clock, steps, offers, **options):
        super().__init__(clock, steps, **options)
        self.offers = iter(offers)

    def reopen(self, timeout_s, accept):
        step = next(self.steps, "end")
        if isinstance(step, Exception):
            raise step
        if isinstance(step, float):
            self.clock.now_s += step
            self.at += round(step * self.signal.sfreq * self.speed)
            return None
        assert step == "offer"
        self.calls.append("reopen")
        info = StreamInfo("script", next(self.offers), speed=self.speed)
        accept(info)
        self.signal = info.signal
        return info


class Tape:
    """A sink that keeps what it is told, in order."""

    def __init__(self):
        self.said = []

    def open(self, info):
        self.said.append(("open", info))

    def prediction(self, output):
        self.said.append(("prediction", output))

    def event(self, event):
        event.to_json()  # strict: fails if a field is no JSON value
        self.said.append(("event", event))

    def close(self):
        self.said.append(("close", None))

    def of(self, what):
        return [value for kind, value in self.said if kind == what]

    def events(self, *without):
        return [e for e in self.of("event") if e.kind not in without]


class Sums:
    """An engine that shows the first and the last sample of the window."""

    name, precision = "sums", "fp32"

    def __call__(self, batch):
        return np.stack([batch[:, 0, 0], batch[:, 0, -1]], axis=1).astype(np.float32)


class Slow(Sums):
    """An engine that takes its time on the clock of a script."""

    def __init__(self, seconds=0.0, clock=None):
        self.seconds, self.clock = seconds, clock

    def __call__(self, batch):
        if self.clock is not None:
            self.clock.now_s += self.seconds
        return super().__call__(batch)


def samples(n, start=0.0):
    return (start + np.arange(n) + np.zeros((3, 1))).astype(np.float32)


def decoder_of(decision=None, stages=()):
    pipeline = PipelineSpec(SIGNAL, (*stages, Scale(0.01)), Window(1.0, 0.5))
    return Decoder(pipeline.build(), Sums(), decision or DecisionSpec(("a", "b")))


def session_of(steps, *, decoder=None, publisher=None, logs=None, **changes):
    """Return a session over a script, its tape, and its source."""
    clock = Clock()
    source_changes = {k: changes.pop(k) for k in ("signal", "speed", "offset_s") if k in changes}
    offers = changes.pop("offers", None)
    if offers is None:
        source = Script(clock, steps, **source_changes)
    else:
        source = Returning(clock, steps, offers, **source_changes)
    parts = {k: changes.pop(k) for k in ("recorder", "watches") if k in changes}
    tape = Tape()
    settings = SessionSettings("out", **changes)
    session = Session(source, decoder or decoder_of(), IDENTITY, settings, publisher, logs or [tape], clock, **parts)
    return session, tape, source
