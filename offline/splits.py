"""Splits by person: nobody is on two sides. Splits in time are in `offline.temporal`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bci.errors import SpecError
from offline.datasets.base import Dataset, Session, class_counts
from offline.temporal import TemporalSplit, part_of

SIDES = ("train", "dev", "eval")
"""Parts of an archive that say what each is for: to learn from, to stop by, and to score once."""
LONGEST_NAME = 80
"""Letters of a split's name, which names files."""


@dataclass(frozen=True, slots=True)
class Split:
    """Who a model learns from, who stops its training, who it is scored on.

    Parameters
    ----------
    train, validation, test : tuple of str
        Subjects. No subject is in two of them; `test` may be empty for a final model.

    Raises
    ------
    SpecError
        If a subject is on two sides, or nobody is left to learn from.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        everyone = (*self.train, *self.validation, *self.test)
        twice = sorted({name for name in everyone if everyone.count(name) > 1})
        if twice:
            raise SpecError(f"A split needs each subject on one side, got {', '.join(twice)} on two.")
        if not self.train:
            raise SpecError("A split needs at least one subject to learn from, got none. Add subjects.")

    @property
    def name(self) -> str:
        """Names of the test subjects, joined; of many, the first, their number and a hash."""
        joined = "+".join(self.test) or "all"
        if len(joined) <= LONGEST_NAME:
            return joined
        return f"{self.test[0]}+{len(self.test) - 1}-{hashlib.sha256(joined.encode()).hexdigest()[:8]}"


def leave_one_out(subjects: Sequence[str], n_validation: int = 1) -> tuple[Split, ...]:
    """Return one split per subject: it is the test side, the next ones in order stop the training.

    Parameters
    ----------
    subjects : sequence of str
        All subjects, in order.
    n_validation : int, default=1
        Subjects that stop the training.

    Returns
    -------
    splits : tuple of Split
        As many as subjects.

    Raises
    ------
    SpecError
        If fewer than ``n_validation + 2`` subjects are there.
    """
    return tuple(_rotations(subjects, n_validation))


def k_fold(labels: Mapping[str, int], n_folds: int, seed: int) -> tuple[Split, ...]:
    """Return one split per fold of subjects: it is the test side, the next fold stops the training.

    Parameters
    ----------
    labels : mapping of str to int
        Subjects and the class of most of their stretches: every fold gets its share of each class.
    n_folds : int
        Folds.
    seed : int
        Seed of the order in which subjects are dealt.

    Returns
    -------
    splits : tuple of Split
        As many as folds.

    Raises
    ------
    SpecError
        If there are fewer than 3 folds, or fewer subjects than folds.
    """
    if not 3 <= n_folds <= len(labels):
        raise SpecError(
            f"Folds of subjects need at least 3 folds (one is scored, one stops the training) and a subject in each, "
            f"got {n_folds} folds and {len(labels)} subjects."
        )
    folds = _dealt(labels, n_folds, seed)
    return tuple(_fold(folds, i) for i in range(n_folds))


def archive_folds(dataset: Dataset) -> tuple[Split, ...]:
    """Return the split of an archive's authors: of ``train``, ``dev`` and ``eval`` one, of folds one each.

    Parts with the names of `SIDES` are learnt from, stop the training and are scored, once. Of others, each is the test
    side of one split, and the next one stops the training.

    Parameters
    ----------
    dataset : Dataset
        Sessions with their ``part``. The parts are those of the archive's authors; that nobody is in two of them is
        checked, how else they were drawn is not known.

    Returns
    -------
    splits : tuple of Split
        One, or as many as parts, in the order of their names and numbers.

    Raises
    ------
    SpecError
        If there are fewer than three parts, some of `SIDES` but not just those, or a person is in two.
    """
    parts: dict[str, set[str]] = {}
    for session in dataset.sessions:
        parts.setdefault(session.part, set()).add(session.subject)
    if parts.keys() & set(SIDES) and parts.keys() != set(SIDES):
        raise SpecError(
            f"The archive's own split needs the parts {', '.join(SIDES)}, {dataset.task} has "
            f"{', '.join(sorted(parts))}. Add the others, or use --split k-fold."
        )
    if "" in parts or len(parts) < 3:
        raise SpecError(
            f"Folds of an archive need at least 3 parts (one is scored, one stops the training), {dataset.task} has "
            f"{', '.join(sorted(filter(None, parts))) or 'none'}. Use another --split."
        )
    names = parts_of(dataset)
    where = {subject: [name for name in names if subject in parts[name]] for subject in dataset.subjects}
    for subject, found in where.items():
        if len(found) > 1:
            raise SpecError(
                f"Folds of an archive need each subject in one part, {subject} is in {', '.join(found)}. Use "
                "--split k-fold, which deals subjects anew."
            )
    if set(names) == set(SIDES):
        train, stopping, scored = (tuple(sorted(parts[name])) for name in SIDES)
        return (Split(train, stopping, scored),)
    folds = [tuple(sorted(parts[name])) for name in names]
    return tuple(_fold(folds, i) for i in range(len(folds)))


def parts_of(dataset: Dataset) -> tuple[str, ...]:
    """Return the parts of an archive, in the order of their names and numbers: fold-2 before fold-10."""
    return tuple(sorted({session.part for session in dataset.sessions}, key=lambda name: (len(name), name)))


def require_classes(dataset: Dataset, split: Split | TemporalSplit) -> None:
    """Refuse a split whose learners know one class only: whatever is shown to them, they would name it.

    Raises
    ------
    SpecError
        If the labels, or votes, of the training side are of fewer than two classes.
    """
    learners = sides(dataset, split)[0]
    n_classes = len(dataset.classes)
    found = class_counts(learners, n_classes) > 0
    for votes in (stretch.votes for session in learners for stretch in session.stretches):
        found |= np.array((0.0,) * n_classes if votes is None else votes) > 0
    if found.sum() < 2:
        only = ", ".join(name for name, there in zip(dataset.classes, found, strict=True) if there) or "none"
        raise SpecError(
            f"A fold needs learners of at least two classes, fold {split.name} has {len(learners)} recordings of "
            f"{only} only, the first {learners[0].place}. Add recordings of the others, or use another --split."
        )


def sides(dataset: Dataset, split: Split | TemporalSplit) -> tuple[tuple[Session, ...], ...]:
    """Return the sessions that are learnt from, that stop the training, and that are scored.

    Of a split in time they are parts: with the stretches of their side, and for learners without what comes later.
    """
    named = (split.train, split.validation, split.test)
    if isinstance(split, Split):
        return tuple(dataset.of(names) for names in named)
    sessions = dataset.of((split.subject,))
    return tuple(
        tuple(part_of(sessions, text, cut=cut) for text in names)
        for names, cut in zip(named, (True, True, False), strict=True)
    )


def split_from(record: Mapping[str, Any]) -> Split | TemporalSplit:
    """Return the split whose fields these are, as JSON values."""
    named = [tuple(record[side]) for side in ("train", "validation", "test")]
    return TemporalSplit(record["subject"], int(record["index"]), *named) if "subject" in record else Split(*named)


def inner_splits(labels: Mapping[str, int], n_splits: int, seed: int) -> tuple[Split, ...]:
    """Return splits of the subjects that an outer split does not score, for choosing settings without it.

    Each subject is scored once; a single split scores a third of them. Of two splits each scores one half, and the
    other half learns and stops the training, 2 to 1.

    Parameters
    ----------
    labels : mapping of str to int
        Subjects and the class of most of their stretches: every side gets its share of each class.
    n_splits : int
        How many to return.
    seed : int
        Seed of the order in which subjects are dealt.

    Returns
    -------
    splits : tuple of Split

    Raises
    ------
    SpecError
        If `n_splits` is not between 1 and the number of subjects, or there are fewer than 3 subjects, or 4 for two.
    """
    if not 1 <= n_splits <= len(labels):
        raise SpecError(
            f"Inner folds must be between 1 and the {len(labels)} subjects left, got {n_splits}. Choose another number."
        )
    needed = 4 if n_splits == 2 else 3
    if len(labels) < needed:
        raise SpecError(
            f"Inner folds ({n_splits}) need at least {needed} subjects left, got {len(labels)}. Add people, or choose "
            "another number."
        )
    if n_splits != 2:
        return k_fold(labels, max(3, n_splits), seed)[:n_splits]
    halves = _dealt(labels, 2, seed)
    splits = []
    for scored, others in (halves, halves[::-1]):
        stopping, *learning = _dealt({name: labels[name] for name in others}, min(3, len(others)), seed)
        splits.append(Split(tuple(sorted(name for part in learning for name in part)), stopping, scored))
    return tuple(splits)


def _dealt(labels: Mapping[str, int], n: int, seed: int) -> list[tuple[str, ...]]:
    """Return groups of subjects, each with its share of every class."""
    shuffled = np.random.default_rng(seed).permutation(sorted(labels)).tolist()
    dealt = sorted(shuffled, key=lambda name: labels[name])
    return [tuple(sorted(dealt[i::n])) for i in range(n)]


def _fold(folds: Sequence[tuple[str, ...]], i: int) -> Split:
    n = len(folds)
    train = [name for k in range(2, n) for name in folds[(i + k) % n]]
    return Split(tuple(sorted(train)), folds[(i + 1) % n], folds[i])


def _rotations(subjects: Sequence[str], n_validation: int) -> Iterator[Split]:
    if len(subjects) < n_validation + 2:
        raise SpecError(
            f"Leave-one-subject-out with {n_validation} validation subject(s) needs at least {n_validation + 2} "
            f"subjects, got {len(subjects)}. Add recordings of other people."
        )
    for i, name in enumerate(subjects):
        others = [*subjects[i + 1 :], *subjects[:i]]
        yield Split(tuple(sorted(others[n_validation:])), tuple(others[:n_validation]), (name,))
