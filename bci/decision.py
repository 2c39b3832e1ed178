"""From logits to probabilities, states and alarms: pure functions of the sequence of predictions."""

from __future__ import annotations

import enum
import math
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from bci.errors import SpecError
from bci.records import json_object, record_from_dict, to_json


class State(enum.IntEnum):
    """State of the monitor, as published."""

    SETTLING = 0
    OK = 1
    WARNING = 2
    ALARM = 3
    FAULT = 4


@dataclass(frozen=True, slots=True)
class AlarmSpec:
    """When an alarm is raised and cleared.

    Parameters
    ----------
    label : str
        Class whose probability is watched.
    on_threshold, off_threshold : float
        The smoothed probability must reach the first to raise and fall below the second to clear.
    k, n : int
        At least `k` of the last `n` smoothed probabilities must reach `on_threshold`.
    min_duration_s : float, default=0.0
        An alarm lasts at least this long.
    refractory_s : float, default=0.0
        After an alarm has ended, none is raised for this long.
    """

    label: str
    on_threshold: float
    off_threshold: float
    k: int = 1
    n: int = 1
    min_duration_s: float = 0.0
    refractory_s: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.off_threshold <= self.on_threshold <= 1 and 1 <= self.k <= self.n):
            raise SpecError(
                "An alarm needs 0 < off_threshold <= on_threshold <= 1 and 1 <= k <= n, "
                f"got off_threshold={self.off_threshold:g}, on_threshold={self.on_threshold:g}, k={self.k}, n={self.n}."
            )
        if not (0 <= self.min_duration_s < np.inf and 0 <= self.refractory_s < np.inf):
            raise SpecError(
                "An alarm needs min_duration_s and refractory_s of at least 0 s, "
                f"got {self.min_duration_s:g} and {self.refractory_s:g}."
            )


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
    """

    probabilities: np.ndarray
    state: State
    changed: str | None
    level: float


class Decision:
    """Run the decision over a sequence of predictions.

    Parameters
    ----------
    spec : DecisionSpec
        Settings.
    hop_s : float
        Time between predictions, in seconds; the only clock there is.
    """

    def __init__(self, spec: DecisionSpec, hop_s: float) -> None:
        self.spec = spec
        self.hop_s = hop_s
        self._keep = float(np.exp(-hop_s / spec.smoothing_s)) if spec.smoothing_s > 0 else 0.0
        self._watched = None if spec.alarm is None else spec.classes.index(spec.alarm.label)
        self._min_on = 0 if spec.alarm is None else _n_hops(spec.alarm.min_duration_s, hop_s)
        self._min_quiet = 0 if spec.alarm is None else _n_hops(spec.alarm.refractory_s, hop_s)
        self.reset()

    def reset(self) -> None:
        """Start a new sequence: no alarm, nothing smoothed."""
        self._level: float | None = None
        self._recent: deque[bool] = deque(maxlen=self.spec.alarm.n if self.spec.alarm else 1)
        self._n_on: int | None = None  # predictions since the alarm was raised
        self._n_quiet: int | None = None  # predictions since the last alarm ended
        self._faulty = False

    def restart(self) -> None:
        """Go on after a gap: what was smoothed is forgotten, a running alarm is not."""
        self._level = None
        self._recent.clear()

    def step(self, logits: np.ndarray, quality: float, settled: bool) -> Verdict:
        """Take the next prediction.

        Parameters
        ----------
        logits : ndarray, shape (n_classes,)
            Output of the network.
        quality : float
            Valid share of the window, 0 to 1.
        settled : bool
            Whether the pipeline had settled before the window began.

        Returns
        -------
        verdict : Verdict
        """
        probabilities = softmax(logits, self.spec.temperature)
        # NaN compares false: a network that overflowed must not reach the smoothing, where it would stay
        trusted = quality >= self.spec.min_quality and bool(np.isfinite(probabilities).all())
        was_faulty, self._faulty = self._faulty, not trusted
        if self._n_on is not None:
            self._n_on += 1
        if self._n_quiet is not None:
            self._n_quiet += 1
        if self._faulty:  # held: an alarm is neither raised nor cleared by what cannot be trusted
            return Verdict(probabilities, State.FAULT, None if was_faulty else "fault", self._level or 0.0)
        if not settled:
            state = State.SETTLING if self._n_on is None else State.ALARM
            return Verdict(probabilities, state, None, self._level or 0.0)
        if self.spec.alarm is None or self._watched is None:
            return Verdict(probabilities, State.OK, None, 0.0)
        p = float(probabilities[self._watched])
        level = p if self._level is None else self._keep * self._level + (1.0 - self._keep) * p
        self._level = level
        changed = self._watch(self.spec.alarm, level)
        if self._n_on is not None:
            state = State.ALARM
        else:
            state = State.WARNING if level >= self.spec.alarm.on_threshold else State.OK
        return Verdict(probabilities, state, changed, level)

    def _watch(self, alarm: AlarmSpec, level: float) -> str | None:
        """Raise or clear the alarm, and say which."""
        self._recent.append(level >= alarm.on_threshold)
        if self._n_on is None:
            if sum(self._recent) >= alarm.k and (self._n_quiet is None or self._n_quiet >= self._min_quiet):
                self._n_on = 0
                return "alarm_on"
        elif level < alarm.off_threshold and self._n_on >= self._min_on:
            self._n_on = None
            self._n_quiet = 0
            self._recent.clear()
            return "alarm_off"
        return None

    @property
    def alarmed(self) -> bool:
        """Whether an alarm is running."""
        return self._n_on is not None

    @property
    def state(self) -> dict[str, Any]:
        """Copy of everything remembered."""
        return {
            "level": self._level,
            "recent": tuple(self._recent),
            "n_on": self._n_on,
            "n_quiet": self._n_quiet,
            "faulty": self._faulty,
        }

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._level, self._faulty = state["level"], state["faulty"]
        self._n_on, self._n_quiet = state["n_on"], state["n_quiet"]
        self._recent = deque(state["recent"], maxlen=self._recent.maxlen)


def softmax(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return ``exp(logits / temperature)`` normalised over the last axis, in float64; NaN where one is not finite."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled = np.where(np.isfinite(scaled).all(axis=-1, keepdims=True), scaled, np.nan)
    raised = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def _n_hops(seconds: float, hop_s: float) -> int:
    """Return how many hops make up at least `seconds`; counted, since summed hops round differently."""
    return math.ceil(seconds / hop_s - 1e-6)
