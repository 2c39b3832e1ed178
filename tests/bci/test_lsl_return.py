"""Real senders that are killed and come back: what was lost is known to the sample, and only the same is taken."""

from __future__ import annotations

import contextlib
import itertools
import signal
import subprocess
import sys
import threading

import numpy as np
import pylsl
import pytest

from bci.chunk import Signal
from bci.decision import DecisionSpec
from bci.decoder import Decoder
from bci.errors import ChannelMismatch, StreamError, StreamLost
from bci.identity import Identity
from bci.pipeline import PipelineSpec, Window
from bci.session import Session, SessionSettings
from bci.sources.lsl_discovery import Search
from bci.sources.lsl_source import LslSource
from tests.bci.counting_sender import MODULO
from tests.bci.lsl_tools import outlet
from tests.bci.scripted import Sums, Tape

pytestmark = [pytest.mark.lsl, pytest.mark.timeout(120)]

RATE = 250.0
LABELS = ("n", "C3", "Cz", "C4")
SIGNAL = Signal(RATE, LABELS)
NAMES = (f"returning-{n}" for n in itertools.count())


class Senders:
    """Starts senders that share one count, and kills them."""

    def __init__(self):
        self.epoch = pylsl.local_clock()
        self._running = []

    def start(self, name, *options):
        command = [sys.executable, "-m", "tests.bci.counting_sender", name, "--epoch", repr(self.epoch), *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._running.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    def kill(self):
        for process in self._running:
            process.kill()
            process.communicate()
        self._running.clear()


@pytest.fixture
def senders():
    senders = Senders()
    yield senders
    senders.kill()


class Watched(Tape):
    """A tape that tells when an event of a kind has come, or predictions after it."""

    def __init__(self):
        super().__init__()
        self._changed = threading.Condition()

    def event(self, event):
        with self._changed:
            super().event(event)
            self._changed.notify_all()

    def prediction(self, output):
        with self._changed:
            super().prediction(output)
            self._changed.notify_all()

    def wait_for(self, kind):
        with self._changed:
            assert self._changed.wait_for(lambda: any(e.kind == kind for e in self.of("event")), 30.0), kind

    def wait_for_predictions(self, n):
        with self._changed:
            so_far = len(self.of("prediction"))
            assert self._changed.wait_for(lambda: len(self.of("prediction")) >= so_far + n, 30.0)


class Counts:
    """A recorder that keeps the first channel, and that all others go with it."""

    def __init__(self):
        self.n = np.empty(0)
        self.times = np.empty(0)

    def open(self, stream):
        assert stream.signal.names == LABELS

    def samples(self, received):
        np.testing.assert_array_equal(received.data - received.data[:1], np.arange(4)[:, None] + 0 * received.data)
        self.n = np.concatenate([self.n, received.data[0]])
        self.times = np.concatenate([self.times, received.times])

    def close(self):
        pass


@contextlib.contextmanager
def running(name, engine=None, **settings):
    """Run a session on stream `name` in a thread; yield its tape, its counts and what it ends with."""
    tape, counts, result = Watched(), Counts(), {}
    decoder = Decoder(PipelineSpec(SIGNAL, (), Window(0.4, 0.2)).build(), engine or Sums(), DecisionSpec(("a", "b")))
    session = Session(
        LslSource(name),
        decoder,
        Identity("tiny", "ab", "sums", "fp32"),
        SessionSettings(name, **settings),
        None,
        [tape],
        pylsl.local_clock,
        recorder=counts,
    )

    def run():
        try:
            result["summary"] = session.run()
        except StreamError as error:
            result["error"] = error

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield tape, counts, result, thread
    finally:
        session.stop()
        thread.join(30.0)


WITH_ID = ("--source-id", "serial 7")
CASES = {
    "with source_id": (WITH_ID, WITH_ID, False),
    "without": ((), (), False),
    "a made-up source_id": (("--source-id", "-1234567890123456789"), ("--source-id", "987654321098765432"), False),
    "another order": (WITH_ID, (*WITH_ID, "--order", "C4,n,Cz,C3"), True),
}


@pytest.mark.parametrize(("before", "after", "reordered"), CASES.values(), ids=CASES)
def test_the_same_stream_is_taken_back_and_its_loss_is_counted(senders, before, after, reordered):
    name = next(NAMES)
    senders.start(name, *before)
    with running(name) as (tape, counts, result, _):
        tape.wait_for_predictions(3)
        senders.kill()
        tape.wait_for("lost")
        senders.start(name, *after)
        tape.wait_for("recovered")
        tape.wait_for_predictions(3)
    lost, fault, recovered, gap, _ = tape.events("status")
    assert [e.kind for e in (lost, fault, recovered, gap)] == ["lost", "fault", "recovered", "gap"]
    assert recovered.fields["reordered"] is reordered
    (hole,) = np.flatnonzero(np.diff(counts.n) != 1)
    assert gap.fields["n_lost"] == (counts.n[hole + 1] - counts.n[hole]) % MODULO - 1
    assert [gap.fields["t0"], gap.fields["t1"]] == pytest.approx(counts.times[hole : hole + 2], abs=1e-3)
    assert result["summary"].n_lost == gap.fields["n_lost"]
    assert (result["summary"].ended, result["summary"].lost) == ("stopped", False)


DIFFERENT = {
    "rate": (("--rate", "200"), r"must come back as it was, got 200 Hz instead of 250 Hz"),
    "count": (("--labels", "n,C3,Cz"), r"got 3 channels instead of 4 \(missing: C4; new: none\)"),
}


@pytest.mark.parametrize(("options", "message"), DIFFERENT.values(), ids=DIFFERENT)
def test_another_stream_ends_the_session_with_its_name(senders, options, message):
    name = next(NAMES)
    senders.start(name, *WITH_ID)
    with running(name) as (tape, _, result, thread):
        tape.wait_for_predictions(1)
        senders.kill()
        tape.wait_for("lost")
        senders.start(name, *WITH_ID, *options)
        thread.join(30.0)
        with pytest.raises(ChannelMismatch, match=message):
            raise result["error"]
    assert tape.events()[-1].kind == "ended"


def test_the_right_stream_is_waited_for_beside_a_wrong_one(senders):
    """The wrong one stays; it is told once, and looked at once."""
    name = next(NAMES)
    senders.start(name)
    with running(name, on_mismatch="wait") as (tape, _, _, _):
        tape.wait_for_predictions(1)
        senders.kill()
        tape.wait_for("lost")
        senders.start(name, "--rate", "200")
        tape.wait_for("mismatch")
        senders.start(name)
        tape.wait_for("recovered")
        tape.wait_for_predictions(2)
    kinds = [e.kind for e in tape.events("status", "fault", "ended")]
    assert kinds == ["lost", "mismatch", "recovered", "gap"]


def test_a_sender_that_is_replaced_while_its_connection_stands_is_given_up(senders, monkeypatch):
    """As after a power cut: nobody closes the connection, and the new sender has the same identity."""
    monkeypatch.setattr("bci.sources.lsl_source._SUSPECT_S", 0.5)
    name = next(NAMES)
    process = senders.start(name, *WITH_ID)
    with running(name) as (tape, counts, _, _):
        tape.wait_for_predictions(1)
        process.send_signal(signal.SIGSTOP)
        senders.start(name, *WITH_ID)
        tape.wait_for("recovered")
        tape.wait_for_predictions(2)
    lost, _, gap = tape.events("status", "fault", "ended")
    assert "got another one in its place" in lost.fields["reason"]
    (hole,) = np.flatnonzero(np.diff(counts.n) != 1)
    assert gap.fields["n_lost"] == (counts.n[hole + 1] - counts.n[hole]) % MODULO - 1


def test_what_was_never_open_is_not_found_again():
    with pytest.raises(StreamLost, match="must have been open to be found again"):
        LslSource("absent").reopen(0.0, lambda info: None)


def test_two_candidates_are_refused_and_listed():
    name = next(NAMES)
    first = outlet(name, source_id="left")
    source = LslSource(name)
    source.open()
    del first
    two = [outlet(name, source_id="left"), outlet(name, source_id="left")]
    both = Search(name)
    until = pylsl.local_clock() + 20.0
    while len(both.uids()) < 2 and pylsl.local_clock() < until:
        threading.Event().wait(0.05)
    with pytest.raises(StreamError, match=rf"One LSL stream must answer to '{name}', got 2: .*left.*left"):
        source.reopen(5.0, lambda info: None)
    source.close()
    assert len(two) == 2


class Sleepy(Sums):
    """An engine that is slower than the hop."""

    seconds = 0.0

    def __call__(self, batch):
        threading.Event().wait(self.seconds)
        return super().__call__(batch)


def test_a_live_session_that_cannot_keep_up_stays_current(senders):
    """A prediction takes 0.5 s, a new one is due every 0.2 s; for ten seconds."""
    name = next(NAMES)
    senders.start(name)
    engine = Sleepy()
    with running(name, engine) as (tape, counts, result, _):
        tape.wait_for_predictions(1)
        engine.seconds = 0.5
        tape.wait_for_predictions(15)
    summary = result["summary"]
    predictions = [o.prediction for o in tape.of("prediction")]
    assert summary.n_skipped > 10
    assert sum(e.fields["n_skipped"] for e in tape.events() if e.kind == "overflow") == summary.n_skipped
    first = predictions[0].last_sample
    assert [p.last_sample for p in predictions] == [first + 50 * p.index for p in predictions]
    latency_s = [o.published_s - o.prediction.time for o in tape.of("prediction")]
    assert max(latency_s[3:]) < 0.5 + 0.2 + 1.0  # one computation, one hop; the machine may be busy
    assert np.array_equal(np.diff(counts.n), np.ones(len(counts.n) - 1))  # no sample was lost for it
