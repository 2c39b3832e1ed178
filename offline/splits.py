"""Splits by person: nobody is on two sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bci.errors import SpecError


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
        """Names of the test subjects, joined."""
        return "+".join(self.test) or "all"


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


def inner_splits(split: Split, n_splits: int) -> tuple[Split, ...]:
    """Return splits of the subjects that are not the test side, for choosing settings without it.

    Parameters
    ----------
    split : Split
        The outer split. Its test subjects appear nowhere in the result.
    n_splits : int
        How many to return, spread over the subjects.

    Returns
    -------
    splits : tuple of Split

    Raises
    ------
    SpecError
        If `n_splits` is not between 1 and the number of subjects left.
    """
    left = tuple(sorted((*split.train, *split.validation)))
    if not 1 <= n_splits <= len(left):
        raise SpecError(
            f"Inner folds must be between 1 and the {len(left)} subjects left, got {n_splits}. Choose another number."
        )
    every = leave_one_out(left)
    return tuple(every[i * len(left) // n_splits] for i in range(n_splits))


def _rotations(subjects: Sequence[str], n_validation: int) -> Iterator[Split]:
    if len(subjects) < n_validation + 2:
        raise SpecError(
            f"Leave-one-subject-out with {n_validation} validation subject(s) needs at least {n_validation + 2} "
            f"subjects, got {len(subjects)}. Add recordings of other people."
        )
    for i, name in enumerate(subjects):
        others = [*subjects[i + 1 :], *subjects[:i]]
        yield Split(tuple(sorted(others[n_validation:])), tuple(others[:n_validation]), (name,))
