"""How the alarm does while it runs: time in warning, alarms per 24 hours, delay after annotated seizures."""

from __future__ import annotations

import re
import statistics
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scipy.special import gammaincinv

from bci.alarm import State
from bci.errors import SpecError

DAY_S = 86400.0
AFTER_S = 60.0
"""An alarm so long after the end of a seizure still belongs to it, as SzCORE has it."""
MAX_DURATION_S = 3600.0  # of an annotation, which comes from outside
MAX_KEPT = 1000
SAME_TIME_S = 1e-6  # stamps may differ by rounding
_SEIZURE = re.compile(r"sz[\w-]*|(seizure|ictal)( ?\d+)?( (onset|start))?", re.ASCII)
OBSERVED = (State.OK, State.WARNING, State.ALARM)


@dataclass(frozen=True, slots=True)
class Onset:
    """The begin of an annotated seizure.

    Parameters
    ----------
    time_s : float
        In the clock of the predictions, in seconds.
    duration_s : float
        Length of the seizure, in seconds of signal; 0 if it is not known.
    """

    time_s: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """How the alarm has done so far.

    Parameters
    ----------
    observed_s : float
        Signal that could be judged: neither settling nor fault, in seconds.
    alarm_share : float or None
        Share of it in alarm: the time in warning; None before there is any.
    n_alarms : int
        Alarms that were raised, true or false.
    per_day : float or None
        Alarms per 24 hours of observed signal.
    per_day_low, per_day_high : float or None
        Exact 95 % interval, if alarms come independently.
    n_seizures, n_detected : int
        Annotated seizures that are over or detected. An alarm detects the nearest onset before it whose seizure ended
        less than 60 s ago; one that is on at an onset detects that, too. Offline scores join seizures that are closer
        than 90 s.
    delay_s : float or None
        Median time from onset to the last sample that the alarm needed, in seconds of signal; 0 for one that was on.
    newest_delay_s : float or None
        That of the newest detection.
    """

    observed_s: float
    alarm_share: float | None
    n_alarms: int
    per_day: float | None
    per_day_low: float | None
    per_day_high: float | None
    n_seizures: int
    n_detected: int
    delay_s: float | None
    newest_delay_s: float | None


class AlarmFigures:
    """Counts what the decision says, prediction by prediction.

    Parameters
    ----------
    hop_s : float
        Time between predictions, in seconds of signal.

    References
    ----------
    Snyder et al. (2008), doi:10.1088/1741-2560/5/4/004: time in warning, beside which a detector's sensitivity has to
    be read. Time that a fault hides counts neither as observed nor as warning.
    """

    def __init__(self, hop_s: float) -> None:
        self._hop_s = hop_s
        self._n_observed = self._n_in_alarm = self._n_alarms = 0
        self._n_seizures = self._n_detected = 0
        self._was_on = False
        self._ahead: deque[Onset] = deque(maxlen=MAX_KEPT)  # annotated, but no prediction has reached them
        self._open: deque[Onset] = deque(maxlen=MAX_KEPT)  # not detected, and not over
        self._delays_s: deque[float] = deque(maxlen=MAX_KEPT)

    def expect(self, onset: Onset) -> None:
        """Take the onset of an annotated seizure, no later than the first prediction that sees it."""
        self._ahead.append(onset)

    def take(self, state: State, changed: str | None, running: bool, time_s: float, speed: float = 1.0) -> None:
        """Count one prediction.

        Parameters
        ----------
        state : State
            After the prediction.
        changed : str or None
            What it changed.
        running : bool
            Whether an alarm is running after it, hidden or not.
        time_s : float
            Time of its last input sample, in the clock of the onsets, in seconds.
        speed : float, default=1.0
            Seconds of signal per second of that clock.
        """
        self._n_observed += state in OBSERVED
        self._n_in_alarm += state is State.ALARM
        raised = changed == "alarm_on"
        self._n_alarms += raised
        was_on, self._was_on = self._was_on, running
        while self._ahead and self._ahead[0].time_s <= time_s:
            onset = self._ahead.popleft()
            if was_on and (running or onset.time_s < time_s):
                self._detect(0.0)
            else:
                self._open.append(onset)
        for onset in tuple(self._open):
            if (time_s - onset.time_s) * speed >= onset.duration_s + AFTER_S:
                self._open.remove(onset)
                self._n_seizures += 1
        if raised and self._open:
            self._detect((time_s - self._open.pop().time_s) * speed)

    def break_off(self, time_s: float) -> None:
        """Start a new sequence at `time_s`: seizures before it are forgotten if not reached, else over."""
        self._n_seizures += len(self._open)
        self._was_on = False
        while self._ahead and self._ahead[0].time_s < time_s - SAME_TIME_S:
            self._ahead.popleft()
        self._open.clear()

    def _detect(self, delay_s: float) -> None:
        self._n_seizures += 1
        self._n_detected += 1
        self._delays_s.append(delay_s)

    def figures(self) -> Figures:
        """Return how the alarm has done so far."""
        observed_s = self._n_observed * self._hop_s
        days = observed_s / DAY_S
        low, high = poisson_interval(self._n_alarms)
        return Figures(
            observed_s=observed_s,
            alarm_share=self._n_in_alarm / self._n_observed if self._n_observed else None,
            n_alarms=self._n_alarms,
            per_day=self._n_alarms / days if days else None,
            per_day_low=low / days if days else None,
            per_day_high=high / days if days else None,
            n_seizures=self._n_seizures,
            n_detected=self._n_detected,
            delay_s=statistics.median(self._delays_s) if self._delays_s else None,
            newest_delay_s=self._delays_s[-1] if self._delays_s else None,
        )


def seizure_onset(time_s: float, fields: Mapping[str, Any], label: str) -> Onset | None:
    """Return the onset that an annotation marks, or None if it describes something else.

    Descriptions of seizures are those of SzCORE (``sz``, ``sz_foc_ia``, …), ``seizure`` or ``ictal``, with a number or
    ``onset`` behind, in any case, and the class that raises alarms.

    Parameters
    ----------
    time_s : float
        Its time, in seconds.
    fields : mapping
        ``description`` and ``duration`` as the sender gives them.
    label : str
        Class that raises alarms; empty if none does.

    Returns
    -------
    onset : Onset or None
    """
    description, duration_s = fields.get("description"), fields.get("duration")
    if not isinstance(description, str):
        return None
    said = description.strip().casefold()
    if (not said or said != label.casefold()) and _SEIZURE.fullmatch(said) is None:
        return None
    # bool is an int in Python, and NaN fails every comparison
    if isinstance(duration_s, bool) or not isinstance(duration_s, int | float) or not duration_s >= 0:
        return Onset(time_s, 0.0)
    return Onset(time_s, min(duration_s, MAX_DURATION_S))


def poisson_interval(n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of the expected count of a Poisson process.

    Parameters
    ----------
    n : int
        Events that were counted; at least 0.
    confidence : float, default=0.95
        Least coverage. Events in clusters, as false alarms of one person are, vary more.

    Returns
    -------
    low, high : float

    Raises
    ------
    SpecError
        If `n` is below 0.

    References
    ----------
    Garwood (1936), doi:10.1093/biomet/28.3-4.437.
    """
    if n < 0:
        raise SpecError(f"A Poisson count needs n >= 0, got n={n}.")
    tail = (1.0 - confidence) / 2.0
    return float(gammaincinv(n, tail)) if n else 0.0, float(gammaincinv(n + 1, 1.0 - tail))
