"""The state that is shown large: what the decoder says, or why nothing that it says can be relied on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from apps.monitor.fields import mapping, number, text
from apps.monitor.snapshot import SHAPES, SessionPanel, StatePanel
from bci.decision import State

FIND_S = 10.0
SILENT_S = 4.0  # a status comes every second
PATIENCE_S = 5.0  # with the window, as in bci.health
CONNECTED, LOOKING, GONE = "connected", "looking", "its sender has gone away."
UNHEARD = "No events of the session are heard: health, bad channels and muting are unknown."
RESETS = ("loop", "seek", "clock_jump")
WORDS = {state: state.name.lower() for state in State}


def is_reset(kind: str, fields: Mapping[str, Any]) -> bool:
    """Return whether the pipeline begins anew with an event: what was decided before says nothing of now."""
    return kind in RESETS or (kind == "gap" and fields.get("filled") is not True)


class AlarmState:
    """Follows predictions, events and streams, by when they come: the sender's clock may be any.

    Parameters
    ----------
    now_s : float
        When the monitor began to look, in seconds of the LSL clock.
    """

    def __init__(self, now_s: float) -> None:
        self._began_s = now_s
        self.process_ended = ""
        """Why the session's process has ended; empty while it runs, or is not known."""
        self._found = False
        self.begin()
        self._shown = ("waiting", now_s)

    def begin(self) -> None:
        """Start with a session: nothing is known of it yet."""
        self._code: State | None = None
        self._code_since_s = self._newest_s = self._onset_s = math.nan
        self._quality, self._finite = 1.0, True
        self._lost: str | None = None
        self._ended: str | None = None
        self._paused = False
        self._connected_s = math.nan
        self._status_s = math.nan
        self._flags: dict[str, bool] = {}
        self._unmuted_s = -math.inf

    def connect(self, now_s: float) -> None:
        """Note that the prediction stream is there."""
        self.begin()
        self._found, self._connected_s = True, now_s

    def predict(self, code: float, quality: float, finite: bool, received_s: float) -> None:
        """Take state, quality and whether all probabilities are finite from a prediction that has just come."""
        state = State(int(code)) if code in WORDS else State.FAULT
        if state is not self._code:
            self._code, self._code_since_s = state, received_s
        self._newest_s, self._quality, self._finite = received_s, quality, finite
        self._ended = None

    def event(self, kind: str, received_s: float, fields: Mapping[str, Any]) -> None:
        """Take an event that has just come."""
        if kind == "status":
            self._status_s = received_s
            alarm = mapping(fields, "alarm")
            self._flags = {key: alarm.get(key) is True for key in ("on", "latched", "acknowledged", "muted")}
            self._unmuted_s = received_s + number(alarm, "mute_left_s", 0.0) if self._flags["muted"] else -math.inf
        elif kind == "lost":
            self._lost = text(fields, "reason", 200) or "no reason given"
        elif kind == "recovered":
            self._lost = None
        elif kind == "ended":
            self._ended = text(fields, "reason", 200) or "no reason given"
        elif kind in ("pause", "resume"):
            self._paused = kind == "pause"
        elif kind in ("alarm_on", "alarm_off"):
            self._flags = {**self._flags, "on": kind == "alarm_on", "acknowledged": False, "latched": False}
        elif kind == "acknowledge":
            self._flags = {**self._flags, "acknowledged": self._flags.get("on", False)}
        elif kind == "mute":
            seconds = number(fields, "seconds", 0.0)
            self._flags = {**self._flags, "muted": seconds > 0}
            self._unmuted_s = received_s + seconds
        elif kind == "unmuted":
            self._flags = {**self._flags, "muted": False}
        if is_reset(kind, fields) and self._code in (State.OK, State.WARNING):  # an alarm is held
            self._code, self._code_since_s = State.SETTLING, received_s
        if not self._flags.get("on", False):
            self._onset_s = math.nan
        elif math.isnan(self._onset_s):
            self._onset_s = received_s

    def panel(
        self, now_s: float, session: SessionPanel, streams: Mapping[str, str], behind_s: float = 0.0
    ) -> StatePanel:
        """Return what is shown at `now_s`.

        Parameters
        ----------
        now_s : float
            LSL clock, in seconds.
        session : SessionPanel
        streams : mapping of str to str
            As in `Snapshot`.
        behind_s : float, default=0.0
            How long what has come waits to be taken: what is said of now may be of then.
        """
        state, reasons, since_s = self._judge(now_s, session, streams)
        if behind_s > SILENT_S and state in ("ok", "settling", "warning"):
            state, reasons, since_s = "fault", (f"This monitor is {behind_s:.0f} s behind: it is too slow.",), math.nan
        if state != self._shown[0]:
            self._shown = (state, now_s if math.isnan(since_s) else since_s)
        on, muted = self._flags.get("on", False), self._flags.get("muted", False)
        unheard = math.isnan(self._status_s) and now_s - self._connected_s > SILENT_S
        beside = [
            UNHEARD if unheard and state in ("settling", "ok", "warning", "alarm") else "",
            "An alarm is held." if on and state not in ("alarm", "ended") else "",
            "Latched: waits to be acknowledged." if self._flags.get("latched") else "",
            "Acknowledged." if self._flags.get("acknowledged") else "",
            "The replay is paused." if self._paused else "",
        ]
        return StatePanel(
            state,
            state.upper(),
            SHAPES[state],
            tuple(reason for reason in (*reasons, *beside) if reason),
            max(0.0, now_s - self._shown[1]),
            max(0.0, now_s - self._onset_s) if on else math.nan,
            on,
            self._flags.get("latched", False),
            self._flags.get("acknowledged", False),
            muted,
            max(0.0, self._unmuted_s - now_s) if muted else 0.0,
        )

    def _judge(
        self, now_s: float, session: SessionPanel, streams: Mapping[str, str]
    ) -> tuple[str, tuple[str, ...], float]:
        """Return state, reasons and when it began (NaN: now)."""
        predictions = streams.get("predictions", "")
        if self._ended is not None:
            if self._lost is not None:
                return "fault", (f"The session has ended: {self._ended}", "Nothing is watched."), math.nan
            return "ended", (f"The session has ended: {self._ended}.", "Nothing is watched."), math.nan
        if self.process_ended:
            return "fault", (f"bci run has ended: {self.process_ended}", "Nothing is watched."), math.nan
        if predictions not in (CONNECTED, LOOKING, GONE, ""):
            return "fault", (f"The prediction stream cannot be shown: {predictions}",), math.nan
        if not self._found:
            name = session.name or "the session"
            if now_s - self._began_s < FIND_S:
                return "waiting", (f"Looking for the predictions of {name}.",), self._began_s
            return "fault", (f"No predictions of {name} are found.", "Is bci run running?"), math.nan
        if predictions != CONNECTED:
            return "fault", (f"The prediction stream has gone: {predictions}", "Nothing is watched."), math.nan
        if self._lost is not None:
            return "fault", (f"The signal is lost: {self._lost}",), math.nan
        silent_s = now_s - max(self._status_s, self._connected_s) if self._status_s == self._status_s else -math.inf
        if silent_s > SILENT_S:
            return "fault", (f"The decoder has said nothing for {silent_s:.0f} s.",), math.nan
        age_s = now_s - (self._connected_s if math.isnan(self._newest_s) else self._newest_s)
        allowed_s = session.window_s / min(session.speed, 1.0) + max(PATIENCE_S, 3 * session.hop_s)
        if age_s > allowed_s and not self._paused:
            return "fault", (f"No prediction for {age_s:.0f} s.",), math.nan
        if self._code is None:
            return "settling", ("Waiting for the first prediction.",), self._connected_s
        if self._code is State.FAULT:
            return "fault", (self._why(),), self._code_since_s
        if self._code is State.OK and not self._finite:
            return "fault", (self._why(),), math.nan
        return WORDS[self._code], (), self._code_since_s

    def _why(self) -> str:
        if not self._finite:
            return "The network's output is no number."
        return f"Only {100 * self._quality:.0f} % of the window is valid signal."
