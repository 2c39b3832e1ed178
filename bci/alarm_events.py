"""What a session says about its alarm: events, flags and live figures, from predictions, commands and markers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from bci.alarm_figures import AlarmFigures, Figures, seizure_onset
from bci.decision import AlarmFlags, Decision, State
from bci.decoder import Prediction
from bci.events import Event
from bci.sources.base import Marker


class AlarmEvents:
    """Turns what happens to the decision into events, each ``alarm_on`` followed by one ``alarm_off``.

    Parameters
    ----------
    decision : Decision
        That of the decoder.
    """

    def __init__(self, decision: Decision) -> None:
        self._decision = decision
        self._label = decision.spec.alarm.label if decision.spec.alarm else ""
        self._counted = AlarmFigures(decision.hop_s)
        self._newest: Prediction | None = None
        self._muted = False  # has been said, and not taken back

    def annotate(self, markers: Sequence[Marker]) -> None:
        """Keep the seizures that the stream's annotations mark."""
        for marker in markers:
            onset = seizure_onset(marker.time, marker.fields, self._label) if marker.kind == "annotation" else None
            if onset is not None:
                self._counted.expect(onset)

    def take(self, prediction: Prediction, speed: float) -> list[Event]:
        """Return the events of a prediction.

        Parameters
        ----------
        prediction : Prediction
            The next one.
        speed : float
            Seconds of signal per second of its clock.
        """
        self._newest = prediction
        self._counted.take(prediction.state, prediction.changed, prediction.alarm.on, prediction.time, speed)
        events = self._unmuted(prediction.alarm.muted, prediction.time)
        if prediction.changed is not None:
            events.append(self._change(prediction, prediction.changed, "cleared"))
        return events

    def obey(self, command: Event) -> list[Event]:
        """Do what a command asks for, and return what that changes."""
        if command.kind == "mute":
            self._decision.mute(command.fields["seconds"])
            events = self._unmuted(self._decision.flags.muted, command.time)
            self._muted = self._decision.flags.muted
            return events
        if command.kind == "acknowledge" and self._decision.acknowledge() and self._newest is not None:
            return [self._change(self._newest, "alarm_off", "acknowledged")]
        return []

    def lose(self, time_s: float) -> list[Event]:
        """Hold the alarm, since the stream is lost at `time_s`, and return the events of that."""
        if not self._decision.fault() or self._newest is None:
            return []
        return [Event("fault", time_s, _seen(self._newest) | {"quality": 0.0, "muted": self._muted})]

    def wait(self, time_s: float, signal_s: float) -> list[Event]:
        """Let a lost stream's time pass: at `time_s`, `signal_s` seconds of signal have not come."""
        self._decision.elapse(int(signal_s / self._decision.hop_s))
        return self._unmuted(self._decision.flags.muted, time_s)

    def close(self, reason: str, time_s: float = math.inf) -> list[Event]:
        """End the sequence, which no prediction goes on with.

        Parameters
        ----------
        reason : str
            ``loop``, ``seek`` or ``ended``.
        time_s : float, default=inf
            When the next sequence begins, in the clock of the predictions.
        """
        self._counted.break_off(time_s)
        if not self._decision.alarmed or self._newest is None:
            return []
        return [self._change(self._newest, "alarm_off", reason)]

    def figures(self) -> Figures:
        """Return how the alarm has done so far."""
        return self._counted.figures()

    def fields(self) -> dict[str, Any]:
        """Return what a ``status`` event has of the alarm."""
        alarm = {"state": self.state.name.lower(), **dataclasses.asdict(self.flags)}
        return {
            "alarm": alarm | {"mute_left_s": round(self.mute_left_s, 3)},
            "alarm_figures": rounded(self.figures()),
        }

    @property
    def mute_left_s(self) -> float:
        """Longest time for which nothing sounds yet, in seconds."""
        return self._decision.mute_left_s

    @property
    def state(self) -> State:
        """State after all that has happened, a loss included."""
        return self._decision.now

    @property
    def flags(self) -> AlarmFlags:
        """What holds beside the state."""
        return self._decision.flags

    def _unmuted(self, muted: bool, time_s: float) -> list[Event]:
        if muted or not self._muted:
            return []
        self._muted = False
        return [Event("unmuted", time_s)]

    def _change(self, prediction: Prediction, kind: str, reason: str) -> Event:
        more = {"reason": reason} if kind == "alarm_off" else {"muted": self._muted}
        return Event(kind, prediction.time, _seen(prediction) | more)


def _seen(prediction: Prediction) -> dict[str, Any]:
    return {"last_sample": prediction.last_sample, "level": prediction.level, "quality": prediction.quality}


def rounded(figures: Figures) -> dict[str, Any]:
    """Return figures as JSON values with as many digits as can be meant."""
    fields = dataclasses.asdict(figures)
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in fields.items()}
