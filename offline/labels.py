"""Other classes from those of a task, and shorter stretches: what a run learns, when not all the task says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bci.chunk import samples
from bci.errors import UsageError
from offline.datasets.base import Dataset, Session, Stretch


def regrouped(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """Return the dataset with classes that are made of its own.

    Parameters
    ----------
    dataset : Dataset
        Its stretches keep their place. One whose label is in no new class is left out, and so are votes for such
        classes.
    classes : sequence of str
        Each ``name`` of an old class, or ``name=one+other`` for a new one of several: two, three and six classes come
        from the same six.

    Returns
    -------
    dataset : Dataset
        Sessions without a stretch that is left are left out.

    Raises
    ------
    UsageError
        If a class is unknown or stands in two new ones, or fewer than two new ones are named.
    """
    groups = _groups(dataset.classes, classes)
    new = {dataset.classes.index(old): i for i, members in enumerate(groups.values()) for old in members}
    sessions = [_relabelled(session, new, len(groups)) for session in dataset.sessions]
    return replace(dataset, classes=tuple(groups), sessions=tuple(s for s in sessions if s.stretches))


def cut_up(dataset: Dataset, piece_s: float) -> Dataset:
    """Return the dataset with long stretches cut into pieces.

    Parameters
    ----------
    dataset : Dataset
        Each of its stretches gives one window per epoch, and one prediction that is scored.
    piece_s : float
        Length of a piece, in seconds. What is left over belongs to the last one.

    Raises
    ------
    UsageError
        If a piece is not a whole number of samples.
    """
    return replace(dataset, sessions=tuple(_cut(session, piece_s) for session in dataset.sessions))


def _groups(known: tuple[str, ...], classes: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    groups: dict[str, tuple[str, ...]] = {}
    for text in classes:
        name, equals, members = text.partition("=")
        groups[name] = tuple(members.split("+")) if equals else (name,)
    used = [member for members in groups.values() for member in members]
    unknown = sorted(set(used) - set(known))
    if unknown:
        raise UsageError(f"Classes are made of those of the task, {', '.join(known)}; got {', '.join(unknown)}.")
    if len(groups) < max(2, len(classes)) or len(set(used)) < len(used):
        raise UsageError(
            "Classes need at least two different names, and each class of the task in one of them at most, "
            f"got {', '.join(classes)}."
        )
    return groups


def _relabelled(session: Session, new: Mapping[int, int], n_classes: int) -> Session:
    stretches = tuple(
        replace(stretch, label=new[stretch.label], votes=_votes(stretch, new, n_classes))
        for stretch in session.stretches
        if stretch.label in new
    )
    return replace(session, stretches=stretches)


def _votes(stretch: Stretch, new: Mapping[int, int], n_classes: int) -> tuple[float, ...] | None:
    if stretch.votes is None:
        return None
    votes = [0.0] * n_classes
    for old, count in enumerate(stretch.votes):
        if old in new:
            votes[new[old]] += count
    return tuple(votes)


def _cut(session: Session, piece_s: float) -> Session:
    try:
        n = samples(piece_s, session.signal.sfreq, "piece_s")
    except ValueError as error:
        raise UsageError(f"Pieces of stretches: {error}") from error
    pieces = []
    for stretch in session.stretches:
        starts = range(stretch.start, max(stretch.stop - n, stretch.start) + 1, n)
        stops = [*starts[1:], stretch.stop]
        pieces += [replace(stretch, start=a, stop=b) for a, b in zip(starts, stops, strict=True)]
    return replace(session, stretches=tuple(pieces))
