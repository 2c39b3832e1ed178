"""Whether a session does its work, told by what it publishes; ``docs/service.md`` has the rule."""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bci.decision import State
from bci.events import Event
from bci.sinks.base import Output, SessionInfo
from bci.sinks.queued import QueuedSink

PATIENCE_S = 5.0  # with the window: what a pipeline that was reset needs until its next prediction, and then some
WORST = ("starting", "lost", "stalled", "fault", "ended")
"""States in which no usable predictions come."""

BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


@dataclass(slots=True)
class Latency:
    """Histogram of one latency: counts up to each of `BUCKETS_S` and above, and the sum, in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    total_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one latency."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.total_s += seconds


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known now, for one answer.

    Parameters
    ----------
    report : mapping
        JSON values: see ``docs/service.md``.
    events : mapping of str to int
        Events by kind.
    latency : mapping of str to Latency
        ``total`` (stamp of the last input sample to published) and ``compute`` (receipt to prediction).
    """

    report: Mapping[str, Any]
    events: Mapping[str, int]
    latency: Mapping[str, Latency]


class Health:
    """A sink that keeps the newest of everything; `figures` may be asked from any thread.

    Parameters
    ----------
    clock : callable
        The LSL clock, in seconds.
    queues : sequence of QueuedSink, default=()
        Other sinks, whose delivery is told too.
    """

    def __init__(self, clock: Callable[[], float], queues: Sequence[QueuedSink] = ()) -> None:
        self.clock, self._queues = clock, tuple(queues)
        self._lock = threading.Lock()  # guards all below; held for microseconds
        self._info: SessionInfo | None = None
        self._newest: Output | None = None
        self._alarm_state = State.SETTLING.name.lower()  # after all that has happened, also without a prediction
        self._status: Mapping[str, Any] = {}
        self._events: Counter[str] = Counter()
        self._n_predictions = 0
        self._latency = {"total": Latency(), "compute": Latency()}
        self._lost = False
        self._ended: str | None = None

    def open(self, info: SessionInfo) -> None:
        """Note what is decoded."""
        with self._lock:
            self._info = info

    def prediction(self, output: Output) -> None:
        """Note the newest prediction."""
        with self._lock:
            self._newest = output
            self._alarm_state = State(output.prediction.state).name.lower()
            self._n_predictions += 1
            self._lost = False
            self._latency["total"].add(output.stages_s().get("total", 0.0))
            self._latency["compute"].add(output.computed_s - output.received_s)

    def event(self, event: Event) -> None:
        """Note an event."""
        with self._lock:
            self._events[event.kind] += 1
            if event.kind == "status":
                self._status = event.fields
                self._alarm_state = event.fields["alarm"]["state"]
            elif event.kind == "fault":
                self._alarm_state = event.kind
            elif event.kind in ("lost", "recovered"):
                self._lost = event.kind == "lost"
            elif event.kind == "ended":
                self._ended = str(event.fields.get("reason", ""))

    def close(self) -> None:
        """Note the end, also of a session that never began."""
        with self._lock:
            self._ended = "ended" if self._ended is None else self._ended

    def figures(self) -> Figures:
        """Return what is known now."""
        sinks = {
            queue.name: {"sent": d.n_sent, "dropped": d.n_dropped, "refused": d.n_refused, "waiting": d.n_left}
            for queue in self._queues
            for d in (queue.delivery(),)
        }
        with self._lock:
            now_s, info, newest, status = self.clock(), self._info, self._newest, self._status
            state = self._state(now_s)
            report = {
                "healthy": state not in WORST,
                "state": state,
                "ended": self._ended,
                "pid": os.getpid(),
                "written": round(time.time(), 3),
                "stream": info.stream if info else None,
                "name": info.name if info else None,
                "bundle": info.bundle if info else None,
                "engine": info.engine if info else None,
                "precision": info.precision if info else None,
                "prediction_age_s": round(max(0.0, now_s - newest.computed_s), 3) if newest else None,
                "alarm": status.get("alarm"),
                "quality": newest.prediction.quality if newest else None,
                "predictions": self._n_predictions,
                "samples": status.get("samples", 0),
                "dropped": status.get("dropped", 0),
                "gaps": status.get("gaps", 0),
                "rate": status.get("rate"),
                "latency": status.get("latency", {}),
                "sinks": sinks,
            }
            latency = {name: Latency(list(one.counts), one.total_s) for name, one in self._latency.items()}
            return Figures(report, dict(self._events), latency)

    def _state(self, now_s: float) -> str:
        if self._ended is not None:
            return "ended"
        if self._info is None or self._newest is None:
            return "lost" if self._lost else "starting"
        if self._lost:
            return "lost"
        if now_s - self._newest.computed_s > self._info.window_s + max(PATIENCE_S, 3 * self._info.hop_s):
            return "stalled"
        return self._alarm_state
