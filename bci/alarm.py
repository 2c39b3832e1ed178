"""The alarm: a state machine that counts predictions and knows no clock; ``docs/alarms.md`` has its rules."""

from __future__ import annotations

import enum
import math
from collections import deque
from dataclasses import dataclass
from typing import Any

from bci.errors import SpecError


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
    latch : bool, default=False
        An alarm whose cause has gone stays until it is acknowledged.
    """

    label: str
    on_threshold: float
    off_threshold: float
    k: int = 1
    n: int = 1
    min_duration_s: float = 0.0
    refractory_s: float = 0.0
    latch: bool = False

    def __post_init__(self) -> None:
        if not (0 < self.off_threshold <= self.on_threshold <= 1 and 1 <= self.k <= self.n):
            raise SpecError(
                "An alarm needs 0 < off_threshold <= on_threshold <= 1 and 1 <= k <= n, "
                f"got off_threshold={self.off_threshold:g}, on_threshold={self.on_threshold:g}, k={self.k}, n={self.n}."
            )
        if not (0 <= self.min_duration_s < math.inf and 0 <= self.refractory_s < math.inf):
            raise SpecError(
                "An alarm needs min_duration_s and refractory_s of at least 0 s, "
                f"got {self.min_duration_s:g} and {self.refractory_s:g}."
            )


@dataclass(frozen=True, slots=True)
class AlarmFlags:
    """What holds beside the state.

    Parameters
    ----------
    on : bool, default=False
        An alarm is running, also where a fault hides it from the state.
    latched : bool, default=False
        It is running although its cause has gone: it waits to be acknowledged.
    acknowledged : bool, default=False
        It is running and has been acknowledged.
    muted : bool, default=False
        Nothing sounds: neither alarms nor faults.
    """

    on: bool = False
    latched: bool = False
    acknowledged: bool = False
    muted: bool = False

    @property
    def sounding(self) -> bool:
        """Whether an alarm should be heard."""
        return self.on and not (self.acknowledged or self.muted)


QUIET = AlarmFlags()
"""No alarm."""


class Alarm:
    """Raise, hold and clear one alarm over a sequence of predictions.

    Parameters
    ----------
    spec : AlarmSpec or None
        Settings; with None there are faults and mutes, but no alarms.
    hop_s : float
        Time between predictions, in seconds.
    """

    def __init__(self, spec: AlarmSpec | None, hop_s: float) -> None:
        self.spec = spec
        self._hop_s = hop_s
        self._min_on = 0 if spec is None else n_hops(spec.min_duration_s, hop_s)
        self._min_quiet = 0 if spec is None else n_hops(spec.refractory_s, hop_s)
        self._n_mute = 0  # hops for which nothing sounds yet
        self.reset()

    def reset(self) -> None:
        """Start a new sequence: no alarm, no fault; a mute goes on."""
        self._recent: deque[bool] = deque(maxlen=self.spec.n if self.spec else 1)
        self._n_on: int | None = None  # hops since the alarm was raised
        self._n_quiet: int | None = None  # hops since the last alarm ended
        self._n_elapsed = 0  # hops since the last prediction that are counted already
        self._gone = False  # the cause of the running alarm
        self._acknowledged = False
        self._now = State.SETTLING

    def restart(self) -> None:
        """Go on after a gap: votes are forgotten, a running alarm, a refractory time and a mute are not."""
        self._recent.clear()
        if self._now is not State.FAULT:
            self._now = State.SETTLING

    def elapse(self, hops: int) -> None:
        """Let time pass without a prediction: minimum duration, refractory time and mute go on.

        Parameters
        ----------
        hops : int
            Whole hops since the last prediction; less than was said before changes nothing.
        """
        new = max(0, hops - self._n_elapsed)
        self._n_elapsed += new
        if self._n_on is not None:
            self._n_on += new
        if self._n_quiet is not None:
            self._n_quiet += new
        self._n_mute = max(0, self._n_mute - new)

    def step(self, level: float, trusted: bool = True, settled: bool = True) -> str | None:
        """Take the next prediction, at least one hop after the last.

        Parameters
        ----------
        level : float
            Smoothed probability of the watched class; not looked at unless `trusted` and `settled`.
        trusted : bool, default=True
            False is a fault: the alarm is neither raised nor cleared.
        settled : bool, default=True
            False: likewise, but no fault.

        Returns
        -------
        changed : str or None
            ``alarm_on``, ``alarm_off``, ``fault`` or None.
        """
        self.elapse(1)
        self._n_elapsed = 0
        if not trusted:
            return self.fault()
        changed = None
        if not settled:
            self._now = State.SETTLING
        elif self.spec is None:
            self._now = State.OK
        else:
            self._now = State.WARNING if level >= self.spec.on_threshold else State.OK
            changed = self._watch(self.spec, level)
        return changed

    def fault(self) -> str | None:
        """Hold everything until the next trusted prediction; return ``fault`` if this is news."""
        was, self._now = self._now, State.FAULT
        return None if was is State.FAULT else "fault"

    def acknowledge(self) -> str | None:
        """Silence the running alarm and release its latch; harmless without an alarm, and twice.

        An alarm whose cause is there goes on in silence, and ends when its cause has gone. One whose cause has gone
        ends now, unless a fault or settling hides whether that still holds: then the next prediction decides.

        Returns
        -------
        changed : str or None
            ``alarm_off`` if this ends the alarm.
        """
        if self._n_on is None:
            return None
        self._acknowledged = True
        return self._end() if self._gone and self._now in (State.OK, State.WARNING) else None

    def mute(self, seconds: float) -> None:
        """Silence everything for at least `seconds` of signal, less than one hop longer; 0 ends a mute.

        Parameters
        ----------
        seconds : float
            From now on, in place of what was left of an earlier mute.

        Raises
        ------
        SpecError
            If `seconds` is no duration.
        """
        if not 0 <= seconds < math.inf:
            raise SpecError(f"A mute needs a duration of at least 0 s, got {seconds:g}. Mute for 0 s to end one.")
        # one more: the first of these hops has partly passed
        self._n_mute = n_hops(seconds, self._hop_s) + 1 if seconds > 0 else 0

    def _watch(self, spec: AlarmSpec, level: float) -> str | None:
        """Raise or clear the alarm, and say which."""
        self._recent.append(level >= spec.on_threshold)
        caused = sum(self._recent) >= spec.k
        if self._n_on is None:
            if caused and (self._n_quiet is None or self._n_quiet >= self._min_quiet):
                self._n_on = 0
                return "alarm_on"
        elif level < spec.off_threshold and self._n_on >= self._min_on:
            self._gone = True
            if self._acknowledged or not spec.latch:
                return self._end()
        elif self._gone and caused:  # it is back before the alarm has ended: it must be heard again
            self._gone = self._acknowledged = False
        return None

    def _end(self) -> str:
        self._n_on, self._n_quiet = None, 0
        self._gone = self._acknowledged = False
        self._recent.clear()
        return "alarm_off"

    @property
    def now(self) -> State:
        """State of the monitor."""
        running = self._n_on is not None and self._now is not State.FAULT
        return State.ALARM if running else self._now

    @property
    def flags(self) -> AlarmFlags:
        """What holds beside the state."""
        return AlarmFlags(self._n_on is not None, self._gone, self._acknowledged, self._n_mute > 0)

    @property
    def mute_left_s(self) -> float:
        """Longest time for which nothing sounds yet, in seconds."""
        return self._n_mute * self._hop_s

    @property
    def state(self) -> dict[str, Any]:
        """Copy of everything remembered."""
        return {
            "recent": tuple(self._recent),
            "n_on": self._n_on,
            "n_quiet": self._n_quiet,
            "n_elapsed": self._n_elapsed,
            "n_mute": self._n_mute,
            "gone": self._gone,
            "acknowledged": self._acknowledged,
            "now": self._now,
        }

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._recent = deque(state["recent"], maxlen=self._recent.maxlen)
        self._n_on, self._n_quiet, self._n_elapsed = state["n_on"], state["n_quiet"], state["n_elapsed"]
        self._n_mute, self._gone, self._acknowledged = state["n_mute"], state["gone"], state["acknowledged"]
        self._now = state["now"]


def n_hops(seconds: float, hop_s: float) -> int:
    """Return how many hops make up at least `seconds`; counted, since summed hops round differently."""
    return math.ceil(seconds / hop_s - 1e-6)
