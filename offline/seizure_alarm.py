"""The alarm of a seizure detector: chosen on some patients, scored on others, with intervals over patients."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bci.alarm_figures import poisson_interval
from bci.decision import AlarmSpec, DecisionSpec, softmax
from bci.errors import SpecError
from offline.seizure_events import DAY_S, EventScore, Span, alarm_spans, pooled, score_events, united

SMOOTHING_S = (0.0, 1.0, 2.0)
VOTES = ((1, 1), (2, 3), (4, 6))
LEVELS = (0.70, 0.80, 0.86, 0.90, 0.93, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995, 0.997, 0.999, 0.9995)
"""Thresholds that are tried: quantiles of the probability over all windows, up to where seizures are one in 2000."""
DIGITS = 5
"""Decimal places of a threshold: where seizures are rare, those of use differ in the fourth."""
OFF_SHARE = 0.5
SHORTEST_S = (5.0, 2.0, 10.0)
"""Minimum durations that are tried; of equal ones the first is taken."""
EQUAL_F1 = 0.03
"""Settings whose F1 is so close to the best are taken as equal; the fastest of them is chosen.

On 90 seizures such a difference is well inside the interval of F1, and it buys seconds of delay.
"""
MOST_BACKGROUND = 0.25
"""Share of the time outside seizures that an alarm may be on.

In short recordings with a seizure each, the tolerances of the score cover so much that an alarm which never ends has an
F1 of 1 and no delay.
"""
FIGURES = ("f1", "sensitivity", "precision", "false_per_day", "median_delay_s")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Track:
    """What a detector gives over one recording, and the truth.

    Parameters
    ----------
    logits : ndarray, shape (n_windows, n_classes)
        For every window, in order.
    times_s : ndarray, shape (n_windows,)
        Time of each window's last sample, in seconds.
    settled : ndarray of bool, shape (n_windows,)
        Whether the pipeline had settled before the window began.
    seizures : tuple of Span
        Truth.
    duration_s : float
        Length of the recording, in seconds.
    """

    logits: np.ndarray
    times_s: np.ndarray
    settled: np.ndarray
    seizures: tuple[Span, ...]
    duration_s: float


def choose_alarm(
    tracks: Sequence[Track],
    classes: tuple[str, ...],
    hop_s: float,
    temperature: float = 1.0,
    label: str | None = None,
) -> DecisionSpec:
    """Return the decision with the best event F1; among equals, the one with the smallest median delay.

    Alarms that are on for more than `MOST_BACKGROUND` of the time outside seizures are not eligible. If no other one
    finds a seizure, the setting that is on least is returned, with a warning.

    Parameters
    ----------
    tracks : sequence of Track
        Patients whose scores are not reported.
    classes : tuple of str
        Names in logit order.
    hop_s : float
        Time between predictions, in seconds.
    temperature : float, default=1.0
        Divides the logits.
    label : str or None, default=None
        Class that is watched; None takes the second.

    Returns
    -------
    decision : DecisionSpec
        With threshold, smoothing, votes and minimum duration.

    Raises
    ------
    SpecError
        If there is no seizure to choose by.
    """
    if not any(track.seizures for track in tracks):
        raise SpecError("An alarm is chosen by seizures, the patients have none. Add patients or recording time.")
    label = classes[1] if label is None else label
    watched = classes.index(label)
    levels = np.concatenate([softmax(track.logits, temperature)[track.settled, watched] for track in tracks])
    quantiles = np.round(np.quantile(levels, LEVELS), DIGITS)
    thresholds = sorted(set(np.clip(quantiles, 10**-DIGITS, 1 - 10**-DIGITS).tolist()))
    tried = []
    for smoothing_s, (k, n), shortest_s, on in itertools.product(SMOOTHING_S, VOTES, SHORTEST_S, thresholds):
        alarm = AlarmSpec(label, on, on * OFF_SHARE, k, n, min_duration_s=shortest_s)
        decision = DecisionSpec(classes, temperature, smoothing_s, alarm=alarm)
        alarms = [_alarms(track, decision, hop_s) for track in tracks]
        tried.append((decision, pooled(_scores(tracks, alarms)), _background_share(tracks, alarms)))
    eligible = [(decision, score) for decision, score, share in tried if score.n_found and share <= MOST_BACKGROUND]
    if not eligible:
        quietest, score, share = min(tried, key=lambda one: one[2])
        log.warning(
            "no alarm finds a seizure and is on for at most %.0f %% of the other time; chose the one that is on least "
            "(%.0f %%, %d of %d found)",
            100 * MOST_BACKGROUND,
            100 * share,
            score.n_found,
            score.n_seizures,
        )
        return quietest
    best = max(score.f1 for _, score in eligible)
    close = [(decision, score) for decision, score in eligible if score.f1 >= best - EQUAL_F1]
    return min(close, key=lambda pair: (pair[1].median_delay_s, -pair[1].f1))[0]


def score_tracks(tracks: Sequence[Track], decision: DecisionSpec, hop_s: float) -> list[EventScore]:
    """Return the event score of every recording."""
    return _scores(tracks, [_alarms(track, decision, hop_s) for track in tracks])


def of_people(subjects: Sequence[str], scores: Sequence[EventScore]) -> list[EventScore]:
    """Return the score of each person, all recordings taken as one, in the order in which people appear.

    Parameters
    ----------
    subjects : sequence of str
        Whose each score is.
    scores : sequence of EventScore
        One per recording.
    """
    found: dict[str, list[EventScore]] = {}
    for subject, score in zip(subjects, scores, strict=True):
        found.setdefault(subject, []).append(score)
    return [pooled(own) for own in found.values()]


def shifted_chance(
    tracks: Sequence[Track], decision: DecisionSpec, hop_s: float, rng: np.random.Generator, n_draws: int = 200
) -> dict[str, float]:
    """Return what the same alarms give at times that have nothing to do with the seizures.

    The alarms of each recording are shifted around its end by a random time, so that their number, lengths and total
    time stay.

    Parameters
    ----------
    tracks, decision, hop_s
        As for `score_tracks`.
    rng : Generator
        Source of the shifts.
    n_draws : int, default=200
        Repetitions, over which the figures are averaged.

    Returns
    -------
    figures : dict of str to float
        ``f1``, ``sensitivity``, ``precision`` and ``false_per_day``.
    """
    alarms = [_alarms(track, decision, hop_s) for track in tracks]
    draws = []
    for _ in range(n_draws):
        scores = []
        for track, spans in zip(tracks, alarms, strict=True):
            moved = _rotated(spans, float(rng.uniform(0.0, track.duration_s)), track.duration_s)
            scores.append(score_events(track.seizures, moved, track.duration_s))
        draws.append(pooled(scores))
    return {name: float(np.nanmean([getattr(draw, name) for draw in draws])) for name in FIGURES[:4]}


def figures(
    scores: Sequence[EventScore], rng: np.random.Generator, n_draws: int = 2000, confidence: float = 0.95
) -> dict[str, Any]:
    """Return pooled figures with percentile intervals over patients.

    Parameters
    ----------
    scores : sequence of EventScore
        One per patient: a patient's recordings are not independent, see `of_people`.
    rng : Generator
        Source of the resamples.
    n_draws : int, default=2000
        Resamples of patients, with replacement.
    confidence : float, default=0.95
        Coverage.

    Returns
    -------
    figures : dict
        For each of ``f1``, ``sensitivity``, ``precision``, ``false_per_day`` and ``median_delay_s`` the ``value`` (None
        if it has none) and its ``interval`` (None with one patient); the counts behind them, and ``hours`` scored.
        ``false_per_day`` has a ``poisson`` interval too, which is above 0 where no false alarm was seen.
    """
    whole = pooled(scores)
    n = len(scores)
    draws = [pooled([scores[i] for i in rng.integers(0, n, n)]) for _ in range(n_draws if n > 1 else 0)]
    tail = (1 - confidence) / 2
    found: dict[str, Any] = {
        "n_seizures": whole.n_seizures,
        "n_found": whole.n_found,
        "n_false": whole.n_false,
        "hours": whole.duration_s / 3600,
        "alarm_share": whole.alarm_s / whole.duration_s,
    }
    for name in FIGURES:
        value = getattr(whole, name)
        values = np.array([getattr(draw, name) for draw in draws])
        values = values[np.isfinite(values)]
        interval = [float(q) for q in np.quantile(values, [tail, 1 - tail])] if values.size else None
        found[name] = {"value": float(value) if np.isfinite(value) else None, "interval": interval}
    found["false_per_day"]["poisson"] = [
        bound / whole.duration_s * DAY_S for bound in poisson_interval(whole.n_false, confidence)
    ]
    return found


def _alarms(track: Track, decision: DecisionSpec, hop_s: float) -> list[Span]:
    return alarm_spans(track.logits, track.times_s, track.settled, decision, hop_s)


def _scores(tracks: Sequence[Track], alarms: Sequence[Sequence[Span]]) -> list[EventScore]:
    return [score_events(t.seizures, spans, t.duration_s) for t, spans in zip(tracks, alarms, strict=True)]


def _background_share(tracks: Sequence[Track], alarms: Sequence[Sequence[Span]]) -> float:
    """Return the share of the time outside seizures that is in alarm; 0 where there is no such time."""
    seizures_s = sum(_length_s(track.seizures) for track in tracks)
    either_s = sum(_length_s((*track.seizures, *spans)) for track, spans in zip(tracks, alarms, strict=True))
    background_s = sum(track.duration_s for track in tracks) - seizures_s
    return (either_s - seizures_s) / background_s if background_s > 0 else 0.0


def _length_s(spans: Sequence[Span]) -> float:
    return sum(span.stop_s - span.start_s for span in united(spans))


def _rotated(spans: Sequence[Span], shift_s: float, duration_s: float) -> list[Span]:
    moved = []
    for span in spans:
        start = (span.start_s + shift_s) % duration_s
        stop = start + span.stop_s - span.start_s
        moved.append(Span(start, min(stop, duration_s)))
        if stop > duration_s:
            moved.append(Span(0.0, stop - duration_s))
    return moved
