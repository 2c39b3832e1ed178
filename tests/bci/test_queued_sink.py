"""A queue before a sink: decoding never waits, order is kept, and every loss is counted and told."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from bci.errors import SpecError
from bci.events import Event
from bci.sinks import queued
from bci.sinks.queued import Delivery, QueuedSink
from tests.bci.test_sinks import INFO, output_of

TIMEOUT_S = 60.0


class Receiver:
    """A sink that notes what it gets, waits at a gate and fails on demand."""

    def __init__(self):
        self.said = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.error = None
        self.closed = threading.Event()
        self.threads = set()

    def _take(self, what):
        self.entered.set()
        self.threads.add(threading.current_thread().name)
        assert self.gate.wait(TIMEOUT_S)
        if self.error is not None:
            raise self.error
        self.said.append(what)

    def open(self, info):
        self._take("open")

    def prediction(self, output):
        self._take(output.prediction.index)

    def event(self, event):
        self._take(event.kind)

    def close(self):
        self.said.append("close")
        self.closed.set()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.error = None
    receiver.gate.set()


def blocked(receiver, **settings):
    """Return a queue whose sink has taken the opening and stays there until its gate is set."""
    receiver.gate.clear()
    sink = QueuedSink(receiver, name="slow", **settings)
    sink.open(INFO)
    assert receiver.entered.wait(TIMEOUT_S)
    return sink


def wait_until(condition):
    until = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < until
        threading.Event().wait(0.001)


def test_everything_arrives_in_order_in_one_other_thread(receiver):
    sink = QueuedSink(receiver, name="quick")
    sink.open(INFO)
    for index in range(5):
        sink.prediction(output_of(index))
        sink.event(Event("gap", 1.0))
    sink.close()
    sink.close()
    assert receiver.said == ["open", 0, "gap", 1, "gap", 2, "gap", 3, "gap", 4, "gap", "close"]
    assert receiver.threads == {"sink-quick"}
    assert sink.delivery() == Delivery(n_sent=10, n_dropped=0, n_refused=0, n_left=0)
    assert sink.events() == []


def test_a_blocked_sink_delays_nobody(receiver):
    """The law of this class: the caller's time does not depend on the sink's."""
    sink = blocked(receiver, max_items=4, close_within_s=0.05)
    began_s = time.thread_time()
    for index in range(2000):
        sink.prediction(output_of(index))
        sink.event(Event("status", 1.0))
    assert time.thread_time() - began_s < TIMEOUT_S / 10  # it has returned at all, and without work
    assert receiver.said == []
    receiver.gate.set()
    wait_until(lambda: sink.delivery().n_left == 0)
    sink.close()
    assert receiver.said == ["open", 1998, "status", 1999, "status", "close"]


def test_the_oldest_predictions_go_and_no_event(receiver):
    sink = blocked(receiver, max_items=3)
    for index in range(10):
        sink.prediction(output_of(index))
        sink.event(Event("gap", float(index)))
    receiver.gate.set()
    sink.close()
    assert [said for said in receiver.said if isinstance(said, int)] == [7, 8, 9]
    assert receiver.said.count("gap") == 10
    assert sink.delivery() == Delivery(n_sent=13, n_dropped=7, n_refused=0, n_left=0)


def test_events_are_bounded_too(receiver, monkeypatch):
    """A sink that is dead for days must not eat the memory."""
    monkeypatch.setattr(queued, "MAX_EVENTS", 5)
    sink = blocked(receiver)
    for index in range(20):
        sink.event(Event(f"kind{index}", 1.0))
    receiver.gate.set()
    sink.close()
    assert receiver.said == ["open", *(f"kind{i}" for i in range(15, 20)), "close"]
    assert sink.delivery().n_dropped == 15


def test_a_lasting_overflow_is_told_at_once_and_then_seldom(receiver):
    """Else the events of a dead sink would fill it further."""
    now_s = 100.0
    sink = blocked(receiver, max_items=1, clock=lambda: now_s)
    for index in range(4):
        sink.prediction(output_of(index))
    (event,) = sink.events()
    assert (event.kind, event.time, event.fields) == ("sink_overflow", 100.0, {"sink": "slow", "n_dropped": 3})
    sink.prediction(output_of(4))
    now_s = 109.9
    assert sink.events() == []
    now_s = 110.0
    assert [event.fields["n_dropped"] for event in sink.events()] == [1]
    assert sink.events() == []


def test_closing_waits_for_what_is_left_but_not_for_ever(receiver, caplog):
    sink = blocked(receiver, close_within_s=0.05)
    sink.prediction(output_of(0))
    sink.event(Event("gap", 1.0))
    with caplog.at_level(logging.WARNING, "bci.sinks.queued"):
        sink.close()
    assert not receiver.closed.is_set()
    assert "slow: 0 predictions and events were sent, 0 dropped, 0 refused, 2 left at the end" in caplog.text
    receiver.gate.set()
    assert receiver.closed.wait(TIMEOUT_S)
    sink.prediction(output_of(1))  # too late: ignored
    assert receiver.said == ["open", 0, "gap", "close"]


def test_closing_without_opening_closes_the_sink(receiver):
    sink = QueuedSink(receiver)
    sink.close()
    assert receiver.closed.wait(TIMEOUT_S)
    assert receiver.said == ["close"]


def test_while_the_other_side_is_away_what_waits_is_kept(receiver):
    """An outage shorter than the queue loses nothing, and is told once when it begins and once when it ends."""
    now_s = 50.0
    sink = QueuedSink(receiver, name="broker", retry_s=0.001, clock=lambda: now_s)
    sink.open(INFO)
    wait_until(lambda: receiver.said == ["open"])
    receiver.error = ConnectionRefusedError("nobody listens")
    for index in range(3):
        sink.prediction(output_of(index))
    told = []
    wait_until(lambda: told.extend(sink.events()) or told)
    assert [(e.kind, e.fields) for e in told] == [("sink_failed", {"sink": "broker", "reason": "nobody listens"})]
    now_s = 57.5
    receiver.error = None
    sink.event(Event("gap", 1.0))
    wait_until(lambda: sink.delivery().n_left == 0)
    assert [(e.kind, e.time, e.fields) for e in sink.events()] == [
        ("sink_recovered", 57.5, {"sink": "broker", "away_s": 7.5})
    ]
    sink.close()
    assert receiver.said == ["open", 0, 1, 2, "gap", "close"]


def test_a_session_that_ends_during_an_outage_does_not_wait_for_its_end(receiver, caplog):
    sink = QueuedSink(receiver, name="broker", retry_s=TIMEOUT_S, close_within_s=TIMEOUT_S)
    receiver.error = OSError()
    sink.open(INFO)
    sink.prediction(output_of(0))
    wait_until(sink.events)
    began_s = time.monotonic()
    sink.close()
    assert time.monotonic() - began_s < TIMEOUT_S / 2
    assert receiver.said == ["close"]
    assert "0 predictions and events were sent, 0 dropped, 0 refused, 1 left at the end" in caplog.text


def test_what_does_not_fit_during_an_outage_is_counted(receiver):
    """The one that was tried first may be on its way: it is not dropped."""
    sink = QueuedSink(receiver, name="broker", retry_s=0.001, max_items=2)
    sink.open(INFO)
    wait_until(lambda: receiver.said == ["open"])
    receiver.error = ConnectionRefusedError("nobody listens")
    sink.prediction(output_of(0))
    wait_until(sink.events)
    for index in range(1, 6):
        sink.prediction(output_of(index))
    assert sink.delivery() == Delivery(n_sent=0, n_dropped=3, n_refused=0, n_left=3)
    receiver.error = None
    wait_until(lambda: sink.delivery().n_left == 0)
    sink.close()
    assert receiver.said == ["open", 0, 4, 5, "close"]
    assert sink.delivery() == Delivery(n_sent=3, n_dropped=3, n_refused=0, n_left=0)


def test_one_item_that_is_refused_does_not_hold_up_the_next(receiver):
    sink = QueuedSink(receiver, name="picky")
    sink.open(INFO)
    wait_until(lambda: receiver.said == ["open"])
    receiver.error = ValueError("too long")
    sink.prediction(output_of(0))
    sink.prediction(output_of(1))
    wait_until(lambda: sink.delivery().n_refused == 2)
    receiver.error = None
    sink.prediction(output_of(2))
    sink.close()
    assert receiver.said == ["open", 2, "close"]
    assert [(e.kind, e.fields["reason"]) for e in sink.events()] == [("sink_failed", "ValueError: too long")]
    assert sink.delivery() == Delivery(n_sent=1, n_dropped=0, n_refused=2, n_left=0)


def test_a_sink_that_cannot_open_gets_nothing_more(receiver):
    sink = QueuedSink(receiver, name="broken")
    receiver.error = SpecError("no such topic")
    sink.open(INFO)
    told = []
    wait_until(lambda: told.extend(sink.events()) or told)
    assert told[0].fields == {"sink": "broken", "reason": "SpecError: no such topic"}
    receiver.error = None
    sink.prediction(output_of(0))
    sink.close()
    assert receiver.said == ["close"]
    assert sink.delivery() == Delivery(n_sent=0, n_dropped=0, n_refused=1, n_left=0)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_sink_with_a_mistake_in_it_is_reported_not_lost(receiver):
    """The session goes on; that the sink has gone is an event."""
    sink = QueuedSink(receiver, name="wrong")
    sink.open(INFO)
    receiver.error = KeyError("oops")
    sink.prediction(output_of(0))
    told = []
    wait_until(lambda: told.extend(sink.events()) or told)
    assert "its thread has ended" in told[0].fields["reason"]
    sink.prediction(output_of(1))
    sink.close()
    assert sink.delivery().n_refused == 2


def test_a_queue_needs_room(receiver):
    with pytest.raises(SpecError, match=r"A queue of osc needs room for at least 1 prediction, got 0\."):
        QueuedSink(receiver, max_items=0, name="osc")
