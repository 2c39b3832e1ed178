"""Score tables of seizures by the rules of SzCORE, with the delay and the cost of the alarms beside.

Counts of events and samples are those of `timescoring`, SzCORE's own scorer; what it lacks is computed here: delays,
intervals, time in alarm. Definitions: ``docs/scoring.md``.

References
----------
Dan et al. (2024), doi:10.1111/epi.18113 (SzCORE).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bci.alarm_figures import poisson_interval
from bci.errors import AnnotationError, UsageError
from bci.seizure_table import END_SLACK_S, SeizureTable
from offline.seizure_events import DAY_S, EventScore, Span, onset_delays, pooled, share, united

TICK_S = 0.1  # the scorer's own resolution for events
SHORTEST_S = 1.0
RATIOS = ("sensitivity", "precision", "f1")


@dataclass(frozen=True, slots=True)
class SampleScore:
    """Seconds of seizure, and of what a detector says is one.

    Parameters
    ----------
    n_seizure, n_found, n_false : int
        Seconds of seizure, those of them in an event, and seconds of events outside any seizure.
    """

    n_seizure: int
    n_found: int
    n_false: int

    @property
    def sensitivity(self) -> float:
        """Share of the seconds of seizure that were found; NaN without any."""
        return share(self.n_found, self.n_seizure)

    @property
    def precision(self) -> float:
        """Share of the seconds of events that are seizure; NaN without any."""
        return share(self.n_found, self.n_found + self.n_false)

    @property
    def f1(self) -> float:
        """Harmonic mean of both; NaN without seizure and event."""
        return share(2 * self.n_found, self.n_seizure + self.n_found + self.n_false)


@dataclass(frozen=True, slots=True)
class Score:
    """What a detector did on one recording, or on several together.

    Parameters
    ----------
    events : EventScore
        By event.
    samples : SampleScore
        By second.
    onset_delays_s : tuple of float
        As `offline.seizure_events.onset_delays`: negative where the alarm was on before the seizure.
    n_recordings : int, default=1
    """

    events: EventScore
    samples: SampleScore
    onset_delays_s: tuple[float, ...]
    n_recordings: int = 1

    def figures(self) -> dict[str, Any]:
        """Return all numbers as JSON values; null for what is not defined."""
        e, s = self.events, self.samples
        low, high = (bound / e.duration_s * DAY_S for bound in poisson_interval(e.n_false))
        delays = np.array(e.delays_s)
        low_s, median_s, high_s = np.quantile(delays, [0.25, 0.5, 0.75]).tolist() if delays.size else [math.nan] * 3
        found: dict[str, Any] = {
            "n_recordings": self.n_recordings,
            "hours": e.duration_s / 3600,
            "events": {"n_seizures": e.n_seizures, "n_found": e.n_found, "n_false": e.n_false}
            | {name: getattr(e, name) for name in RATIOS}
            | {"false_per_day": e.false_per_day, "false_per_day_interval": [low, high]},
            "samples": {"n_seizure": s.n_seizure, "n_found": s.n_found, "n_false": s.n_false}
            | {name: getattr(s, name) for name in RATIOS},
            "delay": {
                "n": int(delays.size),
                "n_on_before": sum(delay < 0 for delay in self.onset_delays_s),
                "median_s": median_s,
                "q25_s": low_s,
                "q75_s": high_s,
            },
            "alarm": {"hours": e.alarm_s / 3600, "share": e.alarm_s / e.duration_s},
        }
        return _without_nan(found)


@dataclass(frozen=True, slots=True)
class Report:
    """Scores of all recordings.

    Parameters
    ----------
    recordings : dict of str to Score
        By name.
    subjects : dict of str to str
        Subject of each name.
    notes : list of str, default=[]
        What a reader has to know: missing files, lengths that differ.
    """

    recordings: dict[str, Score] = field(default_factory=dict)
    subjects: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def by_subject(self) -> dict[str, Score]:
        """Return the score of each subject, its recordings taken as one."""
        return {
            subject: together([score for name, score in self.recordings.items() if self.subjects[name] == subject])
            for subject in sorted(set(self.subjects.values()))
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        subjects = {subject: score.figures() for subject, score in self.by_subject().items()}
        return {
            "total": together(list(self.recordings.values())).figures(),
            "macro": {
                "events": _macro(subjects, "events", (*RATIOS, "false_per_day")),
                "samples": _macro(subjects, "samples", RATIOS),
            },
            "subjects": subjects,
            "recordings": {
                name: {"subject": self.subjects[name]} | score.figures() for name, score in self.recordings.items()
            },
            "notes": self.notes,
        }


def score_tables(reference: SeizureTable, hypothesis: SeizureTable | None, name: str) -> tuple[Score, list[str]]:
    """Score one recording.

    Parameters
    ----------
    reference : SeizureTable
        Truth. Its length counts; only without one that of the hypothesis does.
    hypothesis : SeizureTable or None
        What the detector says; None, for a missing file, is a detector that says nothing.
    name : str
        Name of the recording, for messages.

    Returns
    -------
    score : Score
    notes : list of str
        Where the two do not fit.

    Raises
    ------
    AnnotationError
        If no length is known, or it is below 1 s.
    UsageError
        If `timescoring` is not installed.
    """
    notes: list[str] = []
    said = hypothesis or SeizureTable((), None)
    if hypothesis is None:
        notes.append(f"{name!r}: no hypothesis; counted as no events.")
    duration_s = reference.duration_s if reference.duration_s is not None else said.duration_s
    if duration_s is None or duration_s < SHORTEST_S:
        raise AnnotationError(
            f"{name!r}: scoring needs a recordingDuration of at least {SHORTEST_S:g} s in a row of the reference, "
            f"got {'none' if duration_s is None else f'{duration_s:g} s'}. Add it."
        )
    if said.duration_s is not None and abs(said.duration_s - duration_s) > END_SLACK_S:
        notes.append(
            f"{name!r}: the hypothesis covers {said.duration_s:g} s of {duration_s:g} s; "
            "what it does not cover counts as no events, what lies beyond is cut."
        )
    truth, raised = (_spans(table, duration_s) for table in (reference, said))
    return _score(truth, raised, duration_s), notes


def together(scores: Sequence[Score]) -> Score:
    """Return the score of several recordings as if they were one."""
    return Score(
        pooled([score.events for score in scores]),
        SampleScore(
            sum(score.samples.n_seizure for score in scores),
            sum(score.samples.n_found for score in scores),
            sum(score.samples.n_false for score in scores),
        ),
        tuple(delay for score in scores for delay in score.onset_delays_s),
        sum(score.n_recordings for score in scores),
    )


def _score(truth: list[Span], raised: list[Span], duration_s: float) -> Score:
    try:
        from timescoring.annotations import Annotation
        from timescoring.scoring import EventScoring, SampleScoring
    except ImportError as error:
        raise UsageError("bci score needs timescoring. Install it: pip install 'streaming-bci[train]'.") from error
    rate = round(1 / TICK_S)
    annotated = [
        Annotation([(span.start_s, span.stop_s) for span in spans], rate, round(duration_s * rate))
        for spans in (truth, raised)
    ]
    events, samples = EventScoring(*annotated), SampleScoring(*annotated)
    delays_s = onset_delays(truth, raised)
    return Score(
        EventScore(
            n_seizures=events.refTrue,
            n_found=events.tp,
            n_false=events.fp,
            duration_s=duration_s,
            delays_s=tuple(max(0.0, delay) for delay in delays_s),
            alarm_s=sum(span.stop_s - span.start_s for span in raised),
        ),
        SampleScore(int(samples.refTrue), int(samples.tp), int(samples.fp)),
        delays_s,
    )


def _spans(table: SeizureTable, duration_s: float) -> list[Span]:
    """Return the seizures inside the recording, in order and apart, each at least a tick long.

    The scorer takes events that overlap for several, and one without a tick for a false alarm wherever it lies.
    """
    spans = []
    for event in table.seizures:
        start_s, stop_s = event.onset_s, min(event.onset_s + event.duration_s, duration_s)
        if stop_s - start_s < TICK_S and start_s <= duration_s:
            start_s = math.floor(min(start_s, duration_s - TICK_S) / TICK_S) * TICK_S
            stop_s = start_s + TICK_S
        if start_s < stop_s:
            spans.append(Span(start_s, stop_s))
    return united(spans)


def _macro(subjects: dict[str, dict[str, Any]], part: str, names: Sequence[str]) -> dict[str, Any]:
    """Return mean and deviation over the subjects that have a number."""
    macro = {}
    for name in names:
        values = [figures[part][name] for figures in subjects.values() if figures[part][name] is not None]
        macro[name] = {
            "mean": float(np.mean(values)) if values else None,
            "std": float(np.std(values)) if values else None,
            "n": len(values),
        }
    return macro


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
