"""Predictions and events as lines of a recording's log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bci.events import Event
from bci.sinks.base import Output, SessionInfo
from bci.sinks.jsonl_sink import output_record, session_record


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is still to be spelled, where nobody waits for it.

    Parameters
    ----------
    record : callable
        Returns it as JSON values.
    """

    record: Callable[[], dict[str, Any]]


class RecorderLog:
    """A sink that hands lines to a recorder.

    Parameters
    ----------
    put : callable
        Takes a line and never waits.
    """

    def __init__(self, put: Callable[[Line], None]) -> None:
        self._put = put
        self._classes: tuple[str, ...] = ()

    def open(self, info: SessionInfo) -> None:
        """Begin with the session line."""
        self._classes = info.classes
        self._put(Line(lambda: session_record(info)))

    def prediction(self, output: Output) -> None:
        """Take one prediction."""
        self._put(Line(lambda: output_record(output, self._classes)))

    def event(self, event: Event) -> None:
        """Take one event."""
        self._put(Line(lambda: {"kind": event.kind, "t": event.time, **event.fields}))

    def close(self) -> None:
        """Do nothing: the recorder writes what is left when it is closed."""
