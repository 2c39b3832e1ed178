"""What an archive is to training: sessions of people, with labelled stretches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bci.chunk import Signal


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples of a recording during which one label holds.

    Parameters
    ----------
    start, stop : int
        First sample, and the one after the last, counted from the first sample of the recording.
    label : int
        Index into the classes of the dataset.
    """

    start: int
    stop: int
    label: int


@dataclass(frozen=True, slots=True)
class Session:
    """One continuous recording of one person.

    Parameters
    ----------
    name : str
        Name of the session, unique in the dataset.
    subject : str
        Who was recorded. Splits never separate the sessions of a person.
    path : Path
        The recording.
    signal : Signal
        Rate, channel names and unit of what `read` returns.
    n_samples : int
        Length of the recording.
    stretches : tuple of Stretch
        Labelled stretches, by start. Trials are short ones; a continuous annotation is a few long ones.
    read : callable
        Returns the whole recording as ndarray of float32, shape (n_channels, n_samples): the values that a live
        stream of it would carry.
    """

    name: str
    subject: str
    path: Path
    signal: Signal
    n_samples: int
    stretches: tuple[Stretch, ...]
    read: Callable[[], np.ndarray]


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that cannot be used.

    Parameters
    ----------
    path : Path
        The file.
    reason : str
        What is wrong with it, in one sentence.
    """

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """All sessions of an archive for one task.

    Parameters
    ----------
    task : str
        Name of the task.
    classes : tuple of str
        Names of the labels, in label order.
    sessions : tuple of Session
        Usable sessions, by name.
    problems : tuple of Problem, default=()
        Files that were left out, with the reason.
    """

    task: str
    classes: tuple[str, ...]
    sessions: tuple[Session, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def subjects(self) -> tuple[str, ...]:
        """Names of the people, sorted."""
        return tuple(sorted({session.subject for session in self.sessions}))

    def of(self, subjects: tuple[str, ...]) -> tuple[Session, ...]:
        """Return the sessions of some people."""
        return tuple(session for session in self.sessions if session.subject in subjects)


def class_counts(sessions: tuple[Session, ...], n_classes: int) -> np.ndarray:
    """Return the number of stretches of each label, shape (n_classes,), as int64."""
    labels = [stretch.label for session in sessions for stretch in session.stretches]
    return np.bincount(np.array(labels, dtype=np.int64), minlength=n_classes)
