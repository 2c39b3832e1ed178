"""Predictions and events as two LSL outlets; the contract is in ``docs/streams.md``."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pylsl

from bci.events import Event
from bci.sinks.base import Output, SessionInfo

MAX_BACKLOG_S = 60  # kept for a slow reader
FLUSH_S = 1.0  # liblsl drops what it has not sent when an outlet goes
SLICE_S = 0.02


class LslSink:
    """``NAME`` (type ``Predictions``) and ``NAME-events`` (type ``Markers``)."""

    def __init__(self) -> None:
        self._predictions: Any = None
        self._events: Any = None

    def open(self, info: SessionInfo) -> None:
        """Publish both outlets."""
        described = pylsl.StreamInfo(
            info.name,
            "Predictions",
            len(info.classes) + 3,
            pylsl.IRREGULAR_RATE,
            pylsl.cf_float32,
            f"{info.name}-{info.bundle_sha256[:16]}",
        )
        channels = described.desc().append_child("channels")
        plain = (("quality", "fraction"), ("state", "code"), ("compute_ms", "milliseconds"))
        for label, unit in (*((c, "probability") for c in info.classes), *plain):
            channel = channels.append_child("channel")
            channel.append_child_value("label", label)
            channel.append_child_value("unit", unit)
        decoder = described.desc().append_child("decoder")
        for field in dataclasses.fields(info):
            value = getattr(info, field.name)
            decoder.append_child_value(field.name, ",".join(value) if isinstance(value, tuple) else _text(value))
        self._events = pylsl.StreamOutlet(
            pylsl.StreamInfo(
                f"{info.name}-events",
                "Markers",
                1,
                pylsl.IRREGULAR_RATE,
                pylsl.cf_string,
                f"{info.name}-events-{info.bundle_sha256[:16]}",
            ),
            max_buffered=MAX_BACKLOG_S,
        )
        self._predictions = pylsl.StreamOutlet(described, max_buffered=MAX_BACKLOG_S)

    def prediction(self, output: Output) -> None:
        """Publish one prediction, stamped with the time of its last input sample."""
        p = output.prediction
        compute_ms = (output.computed_s - output.received_s) * 1e3
        self._predictions.push_sample([*p.probabilities, p.quality, float(p.state), compute_ms], p.time)

    def event(self, event: Event) -> None:
        """Publish one event."""
        self._events.push_sample([event.to_json()], event.time)

    def close(self) -> None:
        """Withdraw both outlets, once the last samples have had time to leave or nobody listens any more."""
        let_leave([outlet for outlet in (self._predictions, self._events) if outlet is not None])
        self._predictions = None
        self._events = None


def let_leave(outlets: list[Any]) -> None:
    """Wait until nobody listens to any of `outlets`, at most so long that the last samples have left."""
    until = time.monotonic() + FLUSH_S
    while any(outlet.have_consumers() for outlet in outlets) and time.monotonic() < until:
        time.sleep(SLICE_S)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.17g}" if isinstance(value, float) else str(value)
