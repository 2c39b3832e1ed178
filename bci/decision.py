"""From logits to calibrated and smoothed probabilities, and what the alarm makes of them; no clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bci.alarm import Alarm, AlarmFlags, AlarmSpec, State
from bci.errors import SpecError
from bci.records import json_object, record_from_dict, to_json

__all__ = ["AlarmFlags", "AlarmSpec", "Decision", "DecisionSpec", "State", "Verdict", "softmax"]


@dataclass(frozen=True, slots=True)
class DecisionSpec:
    """How logits become probabilities and states.

    Parameters
    ----------
    classes : tuple of str
        Names in logit order.
    temperature : float, default=1.0
        Divides the logits before the softmax.
    smoothing_s : float, default=0.0
        Time constant of the exponential mean of the watched probability, in seconds; 0 does not smooth.
    min_quality : float, default=0.5
        Valid share of a window below which the state is FAULT.
    alarm : AlarmSpec or None, default=None
        None: there is nothing to raise an alarm for.
    """

    classes: tuple[str, ...]
    temperature: float = 1.0
    smoothing_s: float = 0.0
    min_quality: float = 0.5
    alarm: AlarmSpec | None = None

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise SpecError(f"A decision needs at least two different classes, got {self.classes}.")
        if not (0 < self.temperature < np.inf and 0 <= self.smoothing_s < np.inf and 0 <= self.min_quality <= 1):
            raise SpecError(
                "A decision needs temperature > 0, smoothing_s >= 0 and min_quality within 0 to 1, "
                f"got {self.temperature:g}, {self.smoothing_s:g}, {self.min_quality:g}."
            )
        if self.alarm is not None and self.alarm.label not in self.classes:
            raise SpecError(f"The alarm watches {self.alarm.label!r}, the classes are {', '.join(self.classes)}.")

    def to_json(self) -> str:
        """Return the canonical JSON text."""
        return to_json(self)

    @classmethod
    def from_json(cls, text: str) -> DecisionSpec:
        """Return the spec that `text` describes.

        Raises
        ------
        SpecError
            If the text is not JSON or has unknown, missing or mistyped fields.
        """
        return record_from_dict(cls, json_object(text, "A decision"), "decision")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one prediction means.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n_classes,)
        Calibrated, not smoothed.
    state : State
        State after this prediction.
    changed : str or None
        ``alarm_on``, ``alarm_off``, ``fault`` or None.
    level : float
        Smoothed probability of the watched class; 0 without an alarm.
    alarm : AlarmFlags
        What holds beside the state.
    """

    probabilities: np.ndarray
    state: State
    changed: str | None
    level: float
    alarm: AlarmFlags


class Decision:
    """Run the decision over a sequence of predictions.

    Parameters
    ----------
    spec : DecisionSpec
        Settings.
    hop_s : float
        Time between predictions, in seconds; the only clock there is.

    Attributes
    ----------
    late : bool
        Whether predictions come too late to be acted on: from the next one on, alarms are held in FAULT.
    """

    def __init__(self, spec: DecisionSpec, hop_s: float) -> None:
        self.spec = spec
        self.hop_s = hop_s
        self.late = False
        self._keep = float(np.exp(-hop_s / spec.smoothing_s)) if spec.smoothing_s > 0 else 0.0
        self._watched = None if spec.alarm is None else spec.classes.index(spec.alarm.label)
        self._alarm = Alarm(spec.alarm, hop_s)
        self.reset()

    def reset(self) -> None:
        """Start a new sequence: no alarm, nothing smoothed; a mute goes on."""
        self._level: float | None = None
        self._at_s: float | None = None  # where the last prediction stood
        self._alarm.reset()

    def restart(self) -> None:
        """Go on after a gap: what was smoothed is forgotten, a running alarm is not."""
        self._level = None
        self._alarm.restart()

    def elapse(self, hops: int) -> None:
        """Let time pass without a prediction: minimum duration, refractory time and mute go on.

        Parameters
        ----------
        hops : int
            Whole hops since the last prediction; less than was said before changes nothing.
        """
        self._alarm.elapse(hops)

    def step(
        self,
        logits: np.ndarray,
        quality: float,
        settled: bool,
        at_s: float | None = None,
        probabilities: np.ndarray | None = None,
    ) -> Verdict:
        """Take the next prediction.

        Parameters
        ----------
        logits : ndarray, shape (n_classes,)
            Output of the network.
        quality : float
            Valid share of the window, 0 to 1.
        settled : bool
            Whether the pipeline had settled before the window began.
        at_s : float or None, default=None
            Where in the stream the window ends, in seconds from any origin; None is one hop after the last.
        probabilities : ndarray of float64, shape (n_classes,), or None, default=None
            Softmax of the logits with the temperature, if the engine has computed it already.

        Returns
        -------
        verdict : Verdict
        """
        if probabilities is None:
            probabilities = softmax(logits, self.spec.temperature)
        # NaN compares false: a network that overflowed must not reach the smoothing, where it would stay
        trusted = quality >= self.spec.min_quality and bool(np.isfinite(probabilities).all())
        if trusted and settled and self._watched is not None:
            p = float(probabilities[self._watched])
            self._level = p if self._level is None else self._keep * self._level + (1.0 - self._keep) * p
        level = self._level or 0.0
        if at_s is not None and self._at_s is not None:
            self.elapse(int((at_s - self._at_s) / self.hop_s + 1e-6))
        self._at_s = at_s
        changed = self._alarm.step(level, trusted and not self.late, settled)
        return Verdict(probabilities, self._alarm.now, changed, level, self._alarm.flags)

    def fault(self) -> str | None:
        """Say that the stream is lost: alarms are held until the next prediction; return ``fault`` if this is news."""
        return self._alarm.fault()

    def acknowledge(self) -> str | None:
        """Silence the running alarm and release its latch; return ``alarm_off`` if this ends it."""
        return self._alarm.acknowledge()

    def mute(self, seconds: float) -> None:
        """Silence alarms and faults for at least `seconds` of signal; 0 ends a mute.

        Raises
        ------
        SpecError
            If `seconds` is no duration.
        """
        self._alarm.mute(seconds)

    @property
    def alarmed(self) -> bool:
        """Whether an alarm is running."""
        return self._alarm.flags.on

    @property
    def now(self) -> State:
        """State after all that has been said."""
        return self._alarm.now

    @property
    def flags(self) -> AlarmFlags:
        """What holds beside the state."""
        return self._alarm.flags

    @property
    def mute_left_s(self) -> float:
        """Longest time for which nothing sounds yet, in seconds."""
        return self._alarm.mute_left_s

    @property
    def state(self) -> dict[str, Any]:
        """Copy of everything remembered."""
        return {"level": self._level, "at_s": self._at_s, "alarm": self._alarm.state}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._level, self._at_s, self._alarm.state = state["level"], state["at_s"], state["alarm"]


def softmax(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return ``exp(logits / temperature)`` normalised over the last axis, in float64; NaN where one is not finite."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled = np.where(np.isfinite(scaled).all(axis=-1, keepdims=True), scaled, np.nan)
    raised = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)
