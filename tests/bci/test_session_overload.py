"""A network that cannot keep up: the newest window wins, every other one is counted, and nothing grows."""

from __future__ import annotations

import numpy as np
import pytest

from bci.decision import DecisionSpec
from bci.decoder import Decoder
from bci.identity import Identity
from bci.overload import Overload
from bci.pipeline import PipelineSpec, Window
from bci.session import Session, SessionSettings
from bci.sources.base import Received, StreamInfo
from tests.bci.scripted import SFREQ, SIGNAL, START_S, Clock, Slow, Tape

CHUNK = 10
HOP_S, WINDOW_S = 0.5, 1.0
MOST_A_READ = 400


class Live:
    """A source whose samples go on happening while nobody reads; channel 0 counts them."""

    def __init__(self, clock, duration_s, most=MOST_A_READ):
        self.clock, self.n_samples, self.most = clock, round(duration_s * SFREQ), most
        self.at = 0

    def open(self):
        return StreamInfo("live", SIGNAL)

    def read(self, timeout_s):
        waits_until = self.clock.now_s + timeout_s
        due_s = START_S + (self.at + CHUNK) / SFREQ
        if self.at + CHUNK <= self.n_samples and due_s > self.clock.now_s:
            self.clock.now_s = min(waits_until, due_s)
        n_happened = min(self.n_samples, int((self.clock.now_s - START_S) * SFREQ + 1e-6) // CHUNK * CHUNK)
        index = np.arange(self.at, min(n_happened, self.at + self.most))
        self.at += len(index)
        data = np.zeros((3, len(index)), np.float32)
        data[0] = index
        ended = self.at >= self.n_samples
        return Received(data, START_S + (index + 1) / SFREQ, self.clock.now_s, ended=ended)

    def close(self):
        pass


class Behind(Live):
    """Each read takes longer than what it brings: there is always more."""

    def read(self, timeout_s):
        self.clock.now_s += 0.6
        return super().read(timeout_s)


def run_live(seconds_of, duration_s=60.0, overload="newest", most=MOST_A_READ, source_of=Live, stop_s=None):
    """Run a session whose engine takes `seconds_of` (number of the call) each time."""
    clock = Clock()

    class Varying(Slow):
        n_calls = 0

        def __call__(self, batch):
            self.seconds = seconds_of(self.n_calls)
            self.n_calls += 1
            return super().__call__(batch)

    engine = Varying()
    decoder = Decoder(PipelineSpec(SIGNAL, (), Window(WINDOW_S, HOP_S)).build(), engine, DecisionSpec(("a", "b")))
    engine.clock, engine.n_calls = clock, 0  # the decoder has tried it
    source, tape = source_of(clock, duration_s, most), Tape()
    settings = SessionSettings("out", duration_s=stop_s, overload=overload)
    session = Session(source, decoder, Identity("tiny", "ab", "slow", "fp32"), settings, None, [tape], clock)
    summary = session.run()
    outputs = tape.of("prediction")
    latency_s = np.array([o.published_s - o.prediction.time for o in outputs])
    return summary, tape, [o.prediction for o in outputs], latency_s


N_WINDOWS = round((60.0 - WINDOW_S) / HOP_S) + 1


@pytest.mark.parametrize("seconds", [0.6, 0.95, 2.0, 7.0])
def test_latency_is_bounded_and_every_window_is_accounted_for(seconds):
    summary, tape, predictions, latency_s = run_live(lambda n: seconds)
    # the last one is older: the stream has ended meanwhile, and nothing newer is there
    assert latency_s[2:-1].max() < seconds + HOP_S + 2 * CHUNK / SFREQ
    assert len(predictions) == summary.counts["predictions"]
    assert summary.n_skipped == N_WINDOWS - len(predictions) > 0
    assert sum(e.fields["n_skipped"] for e in tape.events() if e.kind == "overflow") == summary.n_skipped
    assert tape.events()[-2].fields["dropped"] == summary.n_skipped
    assert [p.last_sample for p in predictions] == [99 + 50 * p.index for p in predictions]  # numbers stay right
    assert len(predictions) >= 59.0 / (seconds + HOP_S) - 2  # it goes on computing
    times = [e.time for e in tape.events() if e.kind == "overflow"]
    assert np.diff(times[:-1]).min(initial=1.0) >= 1.0


def test_a_network_slower_than_a_whole_read_does_not_fall_behind():
    """One read brings 0.5 s at most, a prediction takes 3 s: more reads are waiting when it is done."""
    _, _, predictions, latency_s = run_live(lambda n: 3.0, most=50)
    assert latency_s[3:-1].max() < 3.0 + HOP_S + 2 * CHUNK / SFREQ
    assert len(predictions) >= 15


def test_a_session_that_never_catches_up_still_tells_and_ends():
    """Reading alone takes too long: no read is ever empty, and nobody may wait for one."""
    summary, tape, _, _ = run_live(lambda n: 1.0, most=50, source_of=Behind, stop_s=30.0)
    assert summary.ended == "duration"
    times = [e.time for e in tape.events() if e.kind == "status"]
    assert np.diff(times[:-1]).max() < 3.0
    assert sum(e.fields["n_skipped"] for e in tape.events() if e.kind == "overflow") == summary.n_skipped > 0


def test_a_network_that_keeps_up_skips_nothing():
    summary, tape, predictions, _ = run_live(lambda n: 0.4)
    assert (summary.n_skipped, len(predictions)) == (0, N_WINDOWS)
    assert "overflow" not in {e.kind for e in tape.events()}


def test_a_network_that_becomes_slow_is_bounded_from_the_first():
    """What was fast so far says little: a read is cut short when it has taken a hop."""
    _, _, _, latency_s = run_live(lambda n: 0.01 if n < 20 else 2.0)
    assert latency_s[:-1].max() < 3 * 2.0 + HOP_S
    assert latency_s[25:-1].max() < 2.0 + HOP_S + 2 * CHUNK / SFREQ


def test_one_slow_prediction_is_no_overload():
    """What waits after a hiccup is computed: it takes less than a hop."""
    summary, _, predictions, latency_s = run_live(lambda n: 3.0 if n == 20 else 0.01)
    assert (summary.n_skipped, len(predictions)) == (0, N_WINDOWS)
    assert latency_s[-10:].max() < 0.2


def test_all_windows_are_computed_if_that_is_asked_for():
    summary, _, predictions, latency_s = run_live(lambda n: 0.6, overload="all")
    assert (summary.n_skipped, len(predictions)) == (0, N_WINDOWS)
    assert latency_s[-1] > 5.0


def test_reads_without_a_whole_hop_are_never_skipped():
    overload = Overload(0.5, 50)
    overload.note(10.0, 1)
    assert not overload.skips(49)
    assert not overload.skips(49, spent_s=9.0)
    assert overload.skips(50)
    assert not Overload(0.5, 50).skips(500)  # nothing is known yet
    assert Overload(0.5, 50).skips(500, spent_s=0.6)
