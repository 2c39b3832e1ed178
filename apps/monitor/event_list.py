"""The list of events: bounded, counted, each in one line of plain text."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from apps.monitor.fields import count, number, text, texts
from apps.monitor.snapshot import EventPanel, EventRow
from bci.texts import printable

KEPT_S = 1800.0
MAX_ROWS = 2000
MAX_TEXT = 160
MAX_KINDS = 64
OTHER = "other"


class EventList:
    """Keeps events of the last 30 minutes, at most 2000."""

    def __init__(self) -> None:
        self._rows: deque[EventRow] = deque()
        self._received: deque[float] = deque()  # of each row
        self._left_out: deque[tuple[int, int]] = deque()  # minute, events that had no room
        self._counts: Counter[str] = Counter()
        self._n = self._version = 0
        self._made: EventPanel | None = None

    def add(self, time_s: float, received_s: float, kind: str, fields: Mapping[str, Any]) -> None:
        """Take an event with its stamp; the list drops the oldest when it is full."""
        kind = printable(kind, 40) or OTHER
        self._counts[kind if kind in self._counts or len(self._counts) < MAX_KINDS else OTHER] += 1
        self._rows.append(EventRow(self._n, time_s, kind, event_text(kind, fields)))
        self._received.append(received_s)
        self._n += 1
        self._version += 1
        if len(self._rows) > MAX_ROWS:
            self._rows.popleft()
            minute = int(self._received.popleft() // 60)
            before = self._left_out.pop()[1] if self._left_out and self._left_out[-1][0] == minute else 0
            self._left_out.append((minute, before + 1))

    def panel(self, now_s: float) -> EventPanel:
        """Return the list as it is at `now_s`; the same object while nothing has changed."""
        while self._rows and self._received[0] < now_s - KEPT_S:
            self._rows.popleft()
            self._received.popleft()
            self._version += 1
        while self._left_out and self._left_out[0][0] < (now_s - KEPT_S) // 60:
            self._left_out.popleft()
            self._version += 1
        if self._made is None or self._made.version != self._version:
            left_out = sum(n for _, n in self._left_out)
            self._made = EventPanel(self._version, tuple(self._rows), dict(self._counts), left_out)
        return self._made


def event_text(kind: str, fields: Mapping[str, Any]) -> str:
    """Return what an event says, in one printable line."""
    if kind == "bad_channel":
        what = "is bad: " if fields.get("bad") is True else "is good again: "
        return printable(f"{text(fields, 'channel')} {what}{', '.join(texts(fields, 'reasons'))}", MAX_TEXT)
    if kind == "gap":
        filled = "filled" if fields.get("filled") is True else "pipeline reset"
        lost_s = number(fields, "t1") - number(fields, "t0")
        return f"{count(fields, 'n_lost')} samples never came ({1e3 * lost_s:.0f} ms); {filled}"
    if kind in ("alarm_on", "alarm_off", "fault"):
        more = [text(fields, "reason")] + (["muted"] if fields.get("muted") is True else [])
        said = f"level {number(fields, 'level'):.2f}, quality {number(fields, 'quality'):.2f}"
        return ", ".join([said, *filter(None, more)])
    if kind == "annotation":
        return f"{text(fields, 'description')} ({number(fields, 'duration', 0.0):g} s)"
    words = (f"{key} {_said(value)}" for key, value in fields.items() if key not in ("kind", "t"))
    return printable(", ".join(words), MAX_TEXT)


def _said(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value[:MAX_TEXT] if isinstance(value, str) else str(value)[:MAX_TEXT]
