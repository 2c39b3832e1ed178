"""What the monitor knows: streams in, a snapshot and images out. No Qt, no LSL, no threads."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from apps.monitor.alarm_state import CONNECTED, LOOKING, AlarmState, is_reset
from apps.monitor.described import ROLES, Described
from apps.monitor.event_list import EventList, event_text
from apps.monitor.fields import number, said_number, text, texts
from apps.monitor.health_figures import HealthFigures
from apps.monitor.maps import MapPanel
from apps.monitor.probabilities import KEPT_S, MAX_KEPT, Probabilities
from apps.monitor.snapshot import Mark, SessionPanel, Snapshot
from apps.monitor.spectrogram import SpectrogramPanel
from apps.monitor.traces import FILTERED, RAW, TracePanel
from bci.errors import SpecError
from bci.texts import printable

MAX_EVENT_CHARS = 65_536
MAX_MARKS = 200
MAX_BAD = 1024
MARKED = ("alarm_on", "alarm_off", "fault", "gap", "lost", "recovered", "clock_jump", "loop", "seek")
UNREADABLE = "unreadable"
PLAIN_CHANNELS = 3  # quality, state, compute_ms
MAX_CLASSES = 256


class MonitorModel:
    """Takes what the streams of a session bring, in one thread.

    Parameters
    ----------
    clock : callable
        The LSL clock, in seconds.
    wall_offset_s : float, default=0.0
        Add to an LSL stamp for seconds since 1970.
    name : str, default=""
        Prediction stream that is looked for, for the words while it is not there.
    """

    def __init__(self, clock: Callable[[], float], wall_offset_s: float = 0.0, name: str = "") -> None:
        self.traces, self.spectrogram, self.maps = TracePanel(), SpectrogramPanel(), MapPanel()
        self.curve_span_s = 600.0
        """Time that the curves show, in seconds; at most 30 minutes."""
        self.wall_offset_s = wall_offset_s
        self.monitor_dropped = 0
        """Chunks that the feed has dropped, since the window was too slow."""
        self.behind_s = 0.0
        """How long the oldest that has come, and is not shown yet, waits, in seconds."""
        self.clock = clock
        self._session = SessionPanel(name=printable(name))
        self._streams: dict[str, str] = {}
        self._state = AlarmState(clock())
        self._probabilities = Probabilities()
        self._health, self._events = HealthFigures(), EventList()
        self._bad: dict[str, str] = {}
        self._doubtful: frozenset[str] = frozenset()
        self._marks: deque[Mark] = deque(maxlen=MAX_MARKS)
        self._map_source = ""
        self._arrived: dict[str, float] = {}  # role → when something of it came last

    def on_stream(self, role: str, described: Described | None, reason: str = "") -> None:
        """Note that a stream is there, or is not.

        Parameters
        ----------
        role : str
            One of `ROLES`.
        described : Described or None
            What it says of itself; None if it is not there.
        reason : str, default=""
            Why it is not there.

        Raises
        ------
        SpecError
            If the role is none.
        """
        if role not in ROLES:
            raise SpecError(f"A stream of the monitor is one of {', '.join(ROLES)}, got {role!r}.")
        self._streams[role] = CONNECTED if described is not None else printable(reason, 200) or LOOKING
        if described is None:
            return
        rate = described.sfreq * (speed_of(described) or 1.0)
        described = dataclasses.replace(described, sfreq=rate if math.isfinite(rate) else described.sfreq)
        if role == "predictions":
            self._begin(described)
        elif role in ("signal", "raw"):
            self.traces.connect(FILTERED if role == "signal" else RAW, described)
            if role == "signal" or self._map_source != "signal" or not self.maps.kinds:
                self._map_source = role
                self.maps.connect(described)
        elif role == "features":
            self.spectrogram.connect(described)

    def on_session_process(self, ended: str) -> None:
        """Note why the session that the monitor has started has ended; empty while it runs."""
        self._state.process_ended = printable(ended, 300)

    def on_signal(self, data: np.ndarray, stamps: np.ndarray) -> None:
        """Take samples of the decoder's own signal, shape (n_channels, n_samples), and their stamps."""
        self._arrived["signal"] = self.clock()
        self.traces.push(FILTERED, data, stamps)
        if self._map_source == "signal":
            self.maps.push(data, stamps)

    def on_raw(self, data: np.ndarray, stamps: np.ndarray) -> None:
        """Take samples of the stream that is decoded, likewise."""
        self._arrived["raw"] = self.clock()
        self.traces.push(RAW, data, stamps)
        if self._map_source == "raw":
            self.maps.push(data, stamps)

    def on_features(self, data: np.ndarray, stamps: np.ndarray) -> None:
        """Take frames of the decoder's own features, shape (n_channels · n_mels, n_frames), and their stamps."""
        self._arrived["features"] = self.clock()
        self.spectrogram.push(data, stamps)

    def on_prediction(self, rows: np.ndarray, stamps: np.ndarray) -> None:
        """Take predictions, shape (n, n_classes + 3), as `docs/streams.md` has them; others are dropped."""
        n = len(self._session.classes)
        if rows.ndim != 2 or rows.shape != (len(stamps), n + PLAIN_CHANNELS):
            return
        now_s = self.clock()
        for row, stamp in zip(rows, stamps, strict=True):
            finite = bool(np.isfinite(row[:n]).all())
            self._state.predict(float(row[n + 1]), float(row[n]), finite, now_s)
            if math.isfinite(stamp):
                self._probabilities.take(row, float(stamp))

    def on_event(self, line: str, stamp: float) -> None:
        """Take one event of the session, a JSON object; what is none is counted as ``unreadable``."""
        fields = _object(line)
        kind = fields.get("kind")
        if not isinstance(kind, str):
            self._events.add(stamp, self.clock(), UNREADABLE, {"text": line[:MAX_EVENT_CHARS]})
            return
        now_s, time_s = self.clock(), number(fields, "t", stamp)
        self._state.event(kind, now_s, fields)
        if kind == "status":
            self._health.take(now_s, fields)
            self._know_bad(fields)
        else:
            self._happen(kind, time_s, fields)
            self._events.add(time_s, now_s, kind, fields)

    def on_annotation(self, line: str, stamp: float) -> None:
        """Take one marker of the stream that is decoded, a JSON object or any text."""
        fields = _object(line)
        kind = text(fields, "kind") or "annotation"
        said = fields if fields else {"description": line[:MAX_EVENT_CHARS]}
        if kind == "annotation":  # loops, seeks and pauses come as events of the session, too
            duration_s = max(0.0, number(said, "duration", 0.0)) / (self._session.speed or 1.0)
            self._marks.append(Mark(stamp, duration_s, kind, text(said, "description")))
            self._events.add(stamp, self.clock(), kind, said)

    def snapshot(self, now_s: float) -> Snapshot:
        """Return all that is shown at `now_s` of the LSL clock, besides the images of the panels."""
        newest_s, session = self._probabilities.newest_s, self._session
        return Snapshot(
            now_s=now_s,
            wall_offset_s=self.wall_offset_s,
            session=session,
            state=self._state.panel(now_s, session, self._streams, self.behind_s),
            curves=self._probabilities.curves(self.curve_span_s),
            health=self._health.panel(now_s, session.hop_s, self.monitor_dropped),
            bad_channels=dict(self._bad),
            events=self._events.panel(now_s),
            marks=tuple(self._marks),
            window=(newest_s - session.window_s / (session.speed or 1.0), newest_s),
            streams=dict(self._streams),
            silent_s={role: max(0.0, now_s - came_s) for role, came_s in self._arrived.items()},
        )

    def whole(self, now_s: float) -> Snapshot:
        """Return a snapshot with every probability and alarm that is kept, for a table."""
        return dataclasses.replace(self.snapshot(now_s), curves=self._probabilities.curves(KEPT_S, MAX_KEPT))

    def _begin(self, described: Described) -> None:
        """Begin with a session, also if the same one comes again."""
        session = session_panel(described)
        if len(session.classes) + PLAIN_CHANNELS != len(described.labels) or len(session.classes) > MAX_CLASSES:
            self._streams["predictions"] = "This is no prediction stream of bci run: its channels are others."
            return
        if (session.classes, session.hop_s, session.smoothing_s) != (
            self._session.classes, self._session.hop_s, self._session.smoothing_s
        ):  # fmt: skip
            hop_s, smoothing_s = (x / (session.speed or 1.0) for x in (session.hop_s, session.smoothing_s))
            self._probabilities = Probabilities(session.classes, hop_s, smoothing_s)
        self._probabilities.alarm(False, self._probabilities.newest_s)
        self._session, self._health = session, HealthFigures()
        self._state.connect(self.clock())
        self._doubtful = frozenset()
        self._set_bad({})

    def _happen(self, kind: str, time_s: float, fields: Mapping[str, Any]) -> None:
        if kind in ("alarm_on", "alarm_off"):
            self._probabilities.alarm(kind == "alarm_on", time_s)
        if is_reset(kind, fields):
            self._probabilities.restart(time_s)
        if kind == "bad_channel" and (channel := text(fields, "channel")):
            bad = {name: why for name, why in self._bad.items() if name != channel}
            if fields.get("bad") is True and len(bad) < MAX_BAD:
                bad[channel] = ", ".join(texts(fields, "reasons")) or "bad"
            self._set_bad(bad)
        if kind in MARKED:
            self._marks.append(Mark(time_s, 0.0, kind, event_text(kind, fields)))

    def _know_bad(self, fields: Mapping[str, Any]) -> None:
        """Take the bad channels of a ``status``; their reasons come with events, which a late monitor has not seen."""
        if isinstance(fields.get("bad_channels"), list):
            now_bad = texts(fields, "bad_channels")
            self._doubtful = frozenset(texts(fields, "doubtful_channels")[:MAX_BAD])
            self._set_bad({name: self._bad.get(name, "bad (since before this monitor)") for name in now_bad})
        alarm = fields.get("alarm")
        if isinstance(alarm, dict) and isinstance(alarm.get("on"), bool):
            newest_s = self._probabilities.newest_s
            self._probabilities.alarm(alarm["on"], self.clock() if math.isnan(newest_s) else newest_s)

    def _set_bad(self, bad: dict[str, str]) -> None:
        self.traces.set_bad(bad, self._doubtful)
        if bad != self._bad:
            self._bad = bad
            self.maps.set_bad(bad)


def session_panel(described: Described) -> SessionPanel:
    """Return what a prediction stream says of itself."""
    said = described.fields
    words = {key: printable(said.get(key, "")) for key in ("stream", "bundle", "engine", "precision", "alarm_class")}
    values = {
        key: max(0.0, said_number(said, key))
        for key in ("on_threshold", "off_threshold", "hop_s", "window_s", "delay_s", "smoothing_s", "sfreq")
    }
    classes = tuple(printable(name) for name in said.get("classes", "").split(",") if name)
    return SessionPanel(name=described.name, classes=classes, speed=speed_of(described) or 1.0, **words, **values)  # type: ignore[arg-type]


def speed_of(described: Described) -> float:
    """Return the speed of the replay that a stream comes from; 0 if it says none."""
    speed = said_number(described.fields, "speed") or said_number(described.fields, "replay/speed")
    return speed if speed > 0 else 0.0


def _object(line: str) -> dict[str, Any]:
    """Return the JSON object in a text from outside; empty if there is none."""
    if len(line) > MAX_EVENT_CHARS:
        return {}
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
