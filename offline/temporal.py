"""Splits in time: each person's later stretches are scored by what was learnt from the earlier ones."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from bci.errors import SpecError
from offline.datasets.base import Dataset, Reader, Session

_PART = re.compile(r"(.+)\[(\d+):(\d+)\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TemporalSplit:
    """Parts of one person's recordings, the learners' strictly before the others'.

    Parameters
    ----------
    subject : str
        Whose they are.
    index : int
        Number of the split, from 0.
    train, validation, test : tuple of str
        Parts of recordings, as ``session[first:stop]`` over their stretches.
    """

    subject: str
    index: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def name(self) -> str:
        """Subject and number."""
        return f"{self.subject}-{self.index + 1}"


def temporal_splits(dataset: Dataset, n_folds: int) -> tuple[TemporalSplit, ...]:
    """Return splits of every person's stretches in time.

    A person's stretches, in the order of their recordings, are cut into ``n_folds + 2`` blocks. Fold i learns from
    the first i + 1 of them, stops by the next one, and is scored on the one after that.

    Parameters
    ----------
    dataset : Dataset
        Recordings of a person with dates are ordered by them; without any, there must be one recording.
    n_folds : int
        Folds per person.

    Returns
    -------
    splits : tuple of TemporalSplit

    Raises
    ------
    SpecError
        If a person has too few stretches or recordings whose order is not known, or stretches overlap in time.
    """
    return tuple(split for subject in dataset.subjects for split in _of_subject(dataset, subject, n_folds))


def part_of(sessions: Sequence[Session], text: str, *, cut: bool) -> Session:
    """Return the part of a recording that a split names.

    Parameters
    ----------
    sessions : sequence of Session
        Where it is.
    text : str
        As in `TemporalSplit`.
    cut : bool
        Whether the recording ends with its last stretch: learners see nothing of what comes later.

    Raises
    ------
    SpecError
        If there is no such part.
    """
    found = _PART.fullmatch(text)
    session = next((s for s in sessions if found is not None and s.name == found[1]), None)
    if found is None or session is None or not int(found[2]) < int(found[3]) <= len(session.stretches):
        raise SpecError(f"A part of a recording needs a form such as name[0:4] within what is there, got {text!r}.")
    stretches = session.stretches[int(found[2]) : int(found[3])]
    if not cut:
        return replace(session, stretches=stretches)
    stop = stretches[-1].stop
    return replace(session, stretches=stretches, n_samples=stop, read=partial(_read_until, session.read, stop))


def part_key(sessions: Sequence[Session], text: str) -> tuple[str, int, int]:
    """Return the recording of a part and the samples that its stretches cover, first and one after the last."""
    part = part_of(sessions, text, cut=False)
    return part.name, part.stretches[0].start, part.stretches[-1].stop


def in_time(sessions: Sequence[Session]) -> tuple[Session, ...]:
    """Return the recordings of a person in the order of time.

    Raises
    ------
    SpecError
        If there are several and one has no date, or two have the same.
    """
    dates = [session.recorded_at for session in sessions]
    known = [date for date in dates if date is not None]
    if len(sessions) > 1 and len(known) < len(sessions):
        raise SpecError(
            f"A split in time needs the date of each recording of {sessions[0].subject}, {len(known)} of "
            f"{len(sessions)} have one; {sessions[dates.index(None)].place} has none. Use another --split."
        )
    ordered = sorted(sessions, key=lambda session: session.recorded_at.timestamp() if session.recorded_at else 0.0)
    for one, other in itertools.pairwise(ordered):
        if one.recorded_at is not None and one.recorded_at == other.recorded_at:
            raise SpecError(
                f"A split in time needs recordings of {one.subject} that began one after the other, {one.place} and "
                f"{other.place} both began at {one.recorded_at:%Y-%m-%d %H:%M:%S}. Use another --split."
            )
    return tuple(ordered)


def _of_subject(dataset: Dataset, subject: str, n_folds: int) -> list[TemporalSplit]:
    sessions = in_time(dataset.of((subject,)))
    units = [(session, i) for session in sessions for i in range(len(session.stretches))]
    n_blocks = n_folds + 2
    if len(units) < n_blocks:
        raise SpecError(
            f"A split in time into {n_folds} folds needs at least {n_blocks} stretches of each person, {subject} has "
            f"{len(units)}. Lower --n-folds, or use --piece-s."
        )
    for session in sessions:
        ends = [(s.start - s.context, s.stop + s.context) for s in session.stretches]
        if any(later[0] < earlier[1] for earlier, later in itertools.pairwise(ends)):
            raise SpecError(
                f"A split in time needs stretches that do not overlap, with their context, {session.name} has some "
                "that do. Use another --split."
            )
    edges = [len(units) * k // n_blocks for k in range(n_blocks + 1)]
    return [
        TemporalSplit(
            subject,
            i,
            _parts(units[: edges[i + 1]]),
            _parts(units[edges[i + 1] : edges[i + 2]]),
            _parts(units[edges[i + 2] : edges[i + 3]]),
        )
        for i in range(n_folds)
    ]


def _parts(units: Sequence[tuple[Session, int]]) -> tuple[str, ...]:
    names = list(dict.fromkeys(session.name for session, _ in units))
    places = {name: [i for session, i in units if session.name == name] for name in names}
    return tuple(f"{name}[{at[0]}:{at[-1] + 1}]" for name, at in places.items())


def _read_until(read: Reader, last: int, start: int = 0, stop: int | None = None) -> np.ndarray:
    return read(start, last if stop is None else min(stop, last))
