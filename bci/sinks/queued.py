"""A sink behind a bounded queue and a thread of its own: however slow or dead it is, decoding never waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bci.errors import BciError, SpecError
from bci.events import Event
from bci.realtime import step_back
from bci.sinks.base import Output, SessionInfo, Sink

log = logging.getLogger(__name__)

MAX_ITEMS = 256  # a minute at four predictions a second
MAX_EVENTS = 10_000  # a hundred times what a bad night has; beyond it memory counts for more
RETRY_S = 1.0  # between attempts while the other side is away
CLOSE_WITHIN_S = 2.0
REPORT_EVERY_S = 10.0  # a lasting overflow is one event in this time, not one per prediction
REPLACEABLE = "status"  # kind of events that the next of their kind makes needless
OPEN = -1  # number of the item that opens the sink; it comes before all others

Item = tuple[int, Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a sink's predictions and events.

    Parameters
    ----------
    n_sent : int
        Taken by the sink.
    n_dropped : int
        Dropped because the queue was full.
    n_refused : int
        Those that the sink could not take at all.
    n_left : int
        Still waiting when the session ended, or now.
    """

    n_sent: int
    n_dropped: int
    n_refused: int
    n_left: int


class QueuedSink:
    """Hand predictions and events on to `sink` in a thread of its own, in their order.

    When the queue is full, the oldest prediction or ``status`` is dropped and counted; other events are kept (up to
    `MAX_EVENTS`, so that memory stays bounded). An `OSError` of the sink says that the other side is away: the item is
    tried again every `RETRY_S`. A `BciError`, `ValueError` or `RuntimeError` refuses that one item; one from ``open``
    refuses all.

    Parameters
    ----------
    sink : Sink
        Receiver; it is called from that thread only.
    max_items : int, default=256
        Most predictions that wait, besides one that the sink is being given.
    name : str, default="sink"
        What events and messages call it.
    clock : callable, default=time.monotonic
        The LSL clock, in seconds; stamps the events.
    close_within_s : float, default=2.0
        Longest wait of `close` for what is left, in seconds.
    retry_s : float, default=1.0
        Time between attempts while the other side is away, in seconds.

    Raises
    ------
    SpecError
        If `max_items` is less than 1.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        max_items: int = MAX_ITEMS,
        name: str = "sink",
        clock: Callable[[], float] = time.monotonic,
        close_within_s: float = CLOSE_WITHIN_S,
        retry_s: float = RETRY_S,
    ) -> None:
        if max_items < 1:
            raise SpecError(f"A queue of {name} needs room for at least 1 prediction, got {max_items}.")
        self.name = name
        self._sink, self._clock = sink, clock
        self._max_items, self._close_within_s, self._retry_s = max_items, close_within_s, retry_s
        self._changed = threading.Condition()  # guards all below
        self._opening: deque[Item] = deque()
        self._replaceable: deque[Item] = deque()
        self._lasting: deque[Item] = deque()
        self._n_taken = self._n_sent = self._n_dropped = self._n_refused = 0
        self._n_reported = 0  # drops that an event has told
        self._reported_s = -float("inf")
        self._pending: list[Event] = []
        self._away_s: float | None = None  # since when the other side is away
        self._refused = self._closing = False
        self._in_flight = 0
        self._thread: threading.Thread | None = None

    def open(self, info: SessionInfo) -> None:
        """Begin, in the thread."""
        self._put(self._opening, partial(self._sink.open, info), OPEN)

    def prediction(self, output: Output) -> None:
        """Queue one prediction; never waits, never raises."""
        self._put(self._replaceable, partial(self._sink.prediction, output))

    def event(self, event: Event) -> None:
        """Queue one event; never waits, never raises."""
        lane = self._replaceable if event.kind == REPLACEABLE else self._lasting
        self._put(lane, partial(self._sink.event, event))

    def close(self) -> None:
        """Wait for what is left, at most `close_within_s`, and say what was not sent."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._start()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(self._close_within_s)
        told = self.delivery()
        if told.n_dropped or told.n_refused or told.n_left:
            log.warning(
                "%s: %d predictions and events were sent, %d dropped, %d refused, %d left at the end",
                self.name,
                told.n_sent,
                told.n_dropped,
                told.n_refused,
                told.n_left,
            )

    def delivery(self) -> Delivery:
        """Return what became of the predictions and events so far; from any thread."""
        with self._changed:
            n_left = len(self._replaceable) + len(self._lasting) + self._in_flight
            return Delivery(self._n_sent, self._n_dropped, self._n_refused, n_left)

    def events(self) -> list[Event]:
        """Return ``sink_failed``, ``sink_recovered`` and ``sink_overflow`` events since the last call.

        A lasting overflow is told at once and then every `REPORT_EVERY_S`, with the number dropped since.
        """
        with self._changed:
            told, self._pending = self._pending, []
            n_new, now = self._n_dropped - self._n_reported, self._clock()
            if n_new and (told or now - self._reported_s >= REPORT_EVERY_S):
                self._n_reported, self._reported_s = self._n_dropped, now
                told.append(Event("sink_overflow", now, {"sink": self.name, "n_dropped": n_new}))
            return told

    def _put(self, lane: deque[Item], call: Callable[[], None], number: int | None = None) -> None:
        with self._changed:
            if self._closing:
                return
            if self._refused:
                self._n_refused += 1
                return
            lane.append((self._n_taken if number is None else number, call))
            self._n_taken += 1
            self._trim()
            self._start()
            self._changed.notify()

    def _trim(self) -> None:
        for lane, limit in ((self._replaceable, self._max_items), (self._lasting, MAX_EVENTS)):
            while len(lane) > limit:
                lane.popleft()
                self._n_dropped += 1

    def _start(self) -> None:
        if self._thread is None:
            # daemon: a sink that blocks for ever must not keep the process
            self._thread = threading.Thread(target=self._serve, name=f"sink-{self.name}", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        step_back()
        finished = False
        try:
            while (item := self._take()) is not None:
                while not self._deliver(item):
                    with self._changed:
                        if self._changed.wait_for(lambda: self._closing, self._retry_s):
                            break
            self._close_sink()
            finished = True
        finally:
            if not finished:  # an error that a sink must not have; the interpreter prints its traceback
                self._refuse_all("its thread has ended with an error that is no answer of a sink")

    def _take(self) -> Item | None:
        """Wait for the oldest item; None when the session has ended and nothing is left that can be sent."""
        with self._changed:
            while not (lanes := [lane for lane in (self._opening, self._replaceable, self._lasting) if lane]):
                if self._closing:
                    return None
                self._changed.wait()
            if self._closing and self._away_s is not None:
                return None  # nobody there: what is left stays unsent
            item = min(lanes, key=lambda lane: lane[0][0]).popleft()
            self._in_flight = int(item[0] != OPEN)
            return item

    def _deliver(self, item: Item) -> bool:
        """Return whether the sink has taken or refused an item; False while the other side is away."""
        try:
            item[1]()
        except OSError as error:
            with self._changed:
                if self._away_s is None:
                    self._away_s = self._clock()
                    self._tell("sink_failed", reason=str(error) or type(error).__name__)
            return False
        except (BciError, ValueError, RuntimeError) as error:
            if item[0] == OPEN:
                self._refuse_all(f"{type(error).__name__}: {error}")
            else:
                self._refuse(error)
            return True
        with self._changed:
            self._n_sent += self._in_flight
            self._in_flight = 0
            if self._away_s is not None:
                self._tell("sink_recovered", away_s=self._clock() - self._away_s)
                self._away_s = None
        return True

    def _refuse(self, error: Exception) -> None:
        with self._changed:
            self._in_flight = 0
            self._n_refused += 1
            if self._n_refused == 1:  # the next ones are counted
                self._tell("sink_failed", reason=f"{type(error).__name__}: {error}")

    def _refuse_all(self, reason: str) -> None:
        with self._changed:
            self._refused = True
            self._n_refused += self._in_flight + len(self._replaceable) + len(self._lasting)
            self._in_flight = 0
            self._opening.clear()
            self._replaceable.clear()
            self._lasting.clear()
            self._tell("sink_failed", reason=reason)

    def _tell(self, kind: str, **fields: float | str) -> None:
        log.warning("%s: %s %s", self.name, kind, fields)
        self._pending.append(Event(kind, self._clock(), {"sink": self.name, **fields}))

    def _close_sink(self) -> None:
        try:
            self._sink.close()
        except (OSError, BciError, ValueError, RuntimeError) as error:
            log.warning("%s could not be closed: %s", self.name, error)
