"""Stretches of long recordings in which no window fits: left out of what is learnt and scored, counted and told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from bci.errors import UsageError
from offline.datasets.base import Dataset, Session, Stretch

MARGIN_S = 0.5
"""Seconds that a stretch must have beside a window: columns of a pipeline need not begin where it does. The same for
all models, so that all learn from, and are scored on, the same stretches."""


def without_short(dataset: Dataset, window_s: float) -> Dataset:
    """Return the dataset without the stretches in which no window fits; they are in its `too_short`.

    Background between two seizures that follow each other closely is left out so, and a seizure before whose end there
    is not a window of recording.

    Parameters
    ----------
    dataset : Dataset
        Any.
    window_s : float
        Length of a window, in seconds.

    Returns
    -------
    dataset : Dataset
        Sessions without a stretch that is left are left out.

    Raises
    ------
    UsageError
        If no stretch of a class is left.
    """
    pairs = [(session, *_parted(session, window_s)) for session in dataset.sessions]
    kept = tuple(_holding(session, roomy) for session, roomy, _ in pairs if roomy)
    short = tuple(_holding(session, left) for session, _, left in pairs if left)
    for label, name in enumerate(dataset.classes):
        lengths = [_length_s(session, stretch) for session, stretch in _all(short) if stretch.label == label]
        if lengths and not any(stretch.label == label for _, stretch in _all(kept)):
            raise UsageError(
                f"A window of {window_s:g} s needs a stretch of each class with {MARGIN_S:g} s to spare, the "
                f"{len(lengths)} of {name} last {max(lengths):g} s at most. Use a shorter --window-s."
            )
    return replace(dataset, sessions=kept, too_short=short)


def whole(dataset: Dataset) -> Dataset:
    """Return the dataset with the stretches that were left out of its sessions: what an alarm is measured against."""
    left = {session.name: session.stretches for session in dataset.too_short}
    sessions = (_holding(session, (*session.stretches, *left.get(session.name, ()))) for session in dataset.sessions)
    return replace(dataset, sessions=tuple(sessions), too_short=())


def counted(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Return number, seconds and places of the stretches that were left out, by class, as JSON values."""
    found: dict[str, dict[str, Any]] = {}
    for label, name in enumerate(dataset.classes):
        stretches = [(session, stretch) for session, stretch in _all(dataset.too_short) if stretch.label == label]
        if stretches:
            found[name] = {
                "n": len(stretches),
                "seconds": round(sum(_length_s(*pair) for pair in stretches), 3),
                "where": [_place(*pair) for pair in stretches],
            }
    return found


def short_lines(dataset: Dataset, window_s: float) -> list[str]:
    """Return what was left out in words, one line for each class."""
    return [
        f"no room for a window of {window_s:g} s: {part['n']} stretches of {name}, {part['seconds']:g} s in all, the "
        f"first {part['where'][0]}"
        for name, part in counted(dataset).items()
    ]


def _parted(session: Session, window_s: float) -> tuple[tuple[Stretch, ...], tuple[Stretch, ...]]:
    """Return the stretches in which a window fits, and the others."""
    n_margin = round(MARGIN_S * session.signal.sfreq)
    n = round(window_s * session.signal.sfreq) + n_margin
    fits = []
    for stretch in session.stretches:
        first, last = stretch.starts(n)
        fits.append(first <= last and stretch.stop - stretch.start >= n_margin)
    pairs = tuple(zip(session.stretches, fits, strict=True))
    return tuple(s for s, there in pairs if there), tuple(s for s, there in pairs if not there)


def _holding(session: Session, stretches: tuple[Stretch, ...]) -> Session:
    return replace(session, stretches=tuple(sorted(stretches, key=lambda stretch: stretch.start)))


def _all(sessions: Iterable[Session]) -> list[tuple[Session, Stretch]]:
    return [(session, stretch) for session in sessions for stretch in session.stretches]


def _length_s(session: Session, stretch: Stretch) -> float:
    return (stretch.stop - stretch.start) / session.signal.sfreq


def _place(session: Session, stretch: Stretch) -> str:
    sfreq = session.signal.sfreq
    return f"{session.name} from {stretch.start / sfreq:g} to {stretch.stop / sfreq:g} s"
