"""From probabilities to seizure events, and their score by the rules of SzCORE."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from bci.decision import DecisionSpec, softmax
from bci.errors import SpecError

EARLY_S, LATE_S = 30.0, 60.0
"""An alarm so long before the onset or after the end of a seizure still belongs to it."""
MERGE_S = 90.0
"""Events with a shorter pause between them are one."""
LONGEST_S = 300.0
"""A longer event is cut into pieces of this length, each counted as one."""
DAY_S = 86400.0
_SAME_S = 1e-9


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time.

    Parameters
    ----------
    start_s, stop_s : float
        Begin and end, in seconds.
    """

    start_s: float
    stop_s: float

    def __post_init__(self) -> None:
        if not self.start_s <= self.stop_s:
            raise SpecError(f"A span needs start_s <= stop_s, got {self.start_s:g} and {self.stop_s:g} s.")


@dataclass(frozen=True, slots=True)
class EventScore:
    """What a detector did on one recording, or on several together.

    Parameters
    ----------
    n_seizures : int
        Seizures after merging and cutting.
    n_found : int
        Seizures with an alarm.
    n_false : int
        Alarms without a seizure.
    duration_s : float
        Length scored, in seconds.
    delays_s : tuple of float
        `onset_delays`, 0 where the alarm was on before.
    alarm_s : float
        Time in alarm, in seconds.
    """

    n_seizures: int
    n_found: int
    n_false: int
    duration_s: float
    delays_s: tuple[float, ...]
    alarm_s: float

    @property
    def sensitivity(self) -> float:
        """Share of seizures found; NaN without seizures."""
        return share(self.n_found, self.n_seizures)

    @property
    def precision(self) -> float:
        """Share of found seizures among found seizures and false alarms; NaN without either."""
        return share(self.n_found, self.n_found + self.n_false)

    @property
    def f1(self) -> float:
        """Harmonic mean of sensitivity and precision; 0 if nothing was found, NaN if there was nothing to find."""
        return share(2 * self.n_found, self.n_seizures + self.n_found + self.n_false)

    @property
    def false_per_day(self) -> float:
        """False alarms per 24 hours."""
        return self.n_false / self.duration_s * DAY_S

    @property
    def median_delay_s(self) -> float:
        """Median of `delays_s`; NaN if nothing was found."""
        return float(np.median(self.delays_s)) if self.delays_s else float("nan")


def score_events(seizures: Iterable[Span], alarms: Iterable[Span], duration_s: float) -> EventScore:
    """Score the alarms of one recording.

    Events closer than 90 s are merged, and cut where longer than 5 min. A seizure is found if any alarm meets the time
    from 30 s before it to 60 s after it; an alarm is false if it meets no found seizure so extended.

    Parameters
    ----------
    seizures : iterable of Span
        Truth.
    alarms : iterable of Span
        What the detector says.
    duration_s : float
        Length of the recording, in seconds.

    Returns
    -------
    score : EventScore

    References
    ----------
    Dan et al. (2024), doi:10.1111/epi.18113 (SzCORE).
    """
    if not duration_s > 0:
        raise SpecError(f"A recording to score needs a length above 0 s, got {duration_s:g} s.")
    events, raised = tuple(seizures), united(alarms)
    truth = merged(events)
    said = merged(raised)
    extended = [Span(max(0.0, s.start_s - EARLY_S), min(duration_s, s.stop_s + LATE_S)) for s in truth]
    found = [(s, e) for s, e in zip(truth, extended, strict=True) if any(_meet(e, alarm) for alarm in said)]
    n_false = sum(not any(_meet(e, alarm) for _, e in found) for alarm in said)
    delays_s = tuple(max(0.0, delay) for delay in onset_delays(events, raised))
    alarm_s = sum(span.stop_s - span.start_s for span in raised)
    return EventScore(len(truth), len(found), n_false, duration_s, delays_s, alarm_s)


def onset_delays(seizures: Iterable[Span], alarms: Iterable[Span]) -> tuple[float, ...]:
    """Return how long after each onset the alarm began.

    A seizure is what is closer than 90 s, whole however long. Its alarm is the first that is on between its onset and
    60 s after its end. A seizure without one has no delay, even if an alarm within the tolerance ended before it began.

    Parameters
    ----------
    seizures, alarms : iterable of Span
        Truth, and what the detector says.

    Returns
    -------
    delays_s : tuple of float
        Begin of the alarm less the onset, in seconds; negative where it was on before.
    """
    raised = united(alarms)
    stops = [alarm.stop_s for alarm in raised]
    delays = []
    for seizure in _joined(seizures, MERGE_S):
        first = bisect_right(stops, seizure.start_s + _SAME_S)
        if first < len(raised) and raised[first].start_s < seizure.stop_s + LATE_S - _SAME_S:
            delays.append(raised[first].start_s - seizure.start_s)
    return tuple(delays)


def pooled(scores: Sequence[EventScore]) -> EventScore:
    """Return the score of several recordings as if they were one."""
    return EventScore(
        sum(s.n_seizures for s in scores),
        sum(s.n_found for s in scores),
        sum(s.n_false for s in scores),
        sum(s.duration_s for s in scores),
        tuple(delay for s in scores for delay in s.delays_s),
        sum(s.alarm_s for s in scores),
    )


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order, those closer than 90 s joined, those longer than 5 min cut."""
    return [piece for span in _joined(spans, MERGE_S) for piece in _pieces(span)]


def united(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order, those that overlap or touch joined."""
    return _joined(spans, 2 * _SAME_S)


def share(part: float, whole: float) -> float:
    """Return ``part / whole``; NaN where there is nothing to share."""
    return part / whole if whole else float("nan")


def _joined(spans: Iterable[Span], closer_than_s: float) -> list[Span]:
    joined: list[Span] = []
    for span in sorted(spans, key=lambda s: s.start_s):
        if joined and span.start_s - joined[-1].stop_s < closer_than_s - _SAME_S:
            joined[-1] = Span(joined[-1].start_s, max(joined[-1].stop_s, span.stop_s))
        else:
            joined.append(span)
    return joined


def alarm_spans(
    logits: np.ndarray, times_s: np.ndarray, settled: np.ndarray, decision: DecisionSpec, hop_s: float
) -> list[Span]:
    """Return when the alarm of a decision is on, over a whole recording at once.

    Equal to stepping `bci.decision.Decision` through a recording without gaps or faults, and fast enough to try many
    settings. A latch is left out: an alarm ends with its cause, as if it were acknowledged at once.

    Parameters
    ----------
    logits : ndarray, shape (n_predictions, n_classes)
        Output of the network for every window of a recording, in order.
    times_s : ndarray, shape (n_predictions,)
        Time of each window's last sample, in seconds: an alarm begins when it is known.
    settled : ndarray of bool, shape (n_predictions,)
        Whether the pipeline had settled before each window began; once it has, it stays so.
    decision : DecisionSpec
        With an alarm.
    hop_s : float
        Time between predictions, in seconds.

    Returns
    -------
    alarms : list of Span
        In order; each lasts at least `hop_s`.

    Raises
    ------
    SpecError
        If the decision has no alarm.
    """
    alarm = decision.alarm
    if alarm is None:
        raise SpecError("Alarms need a decision that watches a class, got one without an alarm. Give it an AlarmSpec.")
    times_s = times_s[settled]
    watched = softmax(logits[settled], decision.temperature)[:, decision.classes.index(alarm.label)]
    level = _smoothed(watched, decision, hop_s)
    above, below = level >= alarm.on_threshold, level < alarm.off_threshold
    step = np.arange(len(level))
    spans: list[Span] = []
    last_off = -math.inf
    at = 0
    while True:
        ready = (step[at:] - last_off) * hop_s >= alarm.refractory_s - _SAME_S
        raised = np.flatnonzero((_votes(above[at:], alarm.n) >= alarm.k) & ready)
        if not raised.size:
            return spans
        on = at + int(raised[0])
        long_enough = (step[on + 1 :] - on) * hop_s >= alarm.min_duration_s - _SAME_S
        cleared = np.flatnonzero(below[on + 1 :] & long_enough)
        if not cleared.size:
            return [*spans, Span(float(times_s[on]), float(times_s[-1]) + hop_s)]
        last_off = on + 1 + int(cleared[0])
        spans.append(Span(float(times_s[on]), float(times_s[last_off])))
        at = last_off + 1


def _smoothed(p: np.ndarray, decision: DecisionSpec, hop_s: float) -> np.ndarray:
    if decision.smoothing_s == 0 or not p.size:
        return p
    keep = np.exp(-hop_s / decision.smoothing_s)
    return np.asarray(lfilter([1 - keep], [1.0, -keep], p, zi=[keep * p[0]])[0])


def _votes(above: np.ndarray, n: int) -> np.ndarray:
    """Return how many of the last `n` are true, at each place."""
    total = np.concatenate([np.zeros(n, dtype=np.int64), above.cumsum()])
    return total[n:] - total[:-n]


def _meet(a: Span, b: Span) -> bool:
    return min(a.stop_s, b.stop_s) - max(a.start_s, b.start_s) > _SAME_S


def _pieces(span: Span) -> list[Span]:
    cuts = np.arange(span.start_s, span.stop_s - _SAME_S, LONGEST_S).tolist() or [span.start_s]
    return [Span(a, b) for a, b in zip(cuts, [*cuts[1:], span.stop_s], strict=True)]
