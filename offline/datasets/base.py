"""What an archive is to training: sessions of people, with labelled stretches."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np

from bci.chunk import Signal

_BLOCK_SAMPLES = 1 << 18
"""Samples that are hashed at once: recordings of days are never in memory as a whole."""
UNKNOWN = -1
"""Label of a stretch that is to be predicted."""


class Reader(Protocol):
    """Reads samples of one recording."""

    def __call__(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return samples ``start`` to ``stop - 1``, float32, shape (n_channels, n); without `stop`, up to the end."""

    def __hash__(self) -> int:
        """Return the same for the same recording: its content is hashed once."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples of a recording during which one label holds.

    Parameters
    ----------
    start, stop : int
        First sample, and the one after the last, counted from the first sample of the recording.
    label : int
        Index into the classes of the dataset, or `UNKNOWN`.
    votes : tuple of float or None, default=None
        Votes of the experts for each class; None if there is a label only.
    context : int, default=0
        A window that is longer than the stretch may reach so many samples beyond each of its ends.
    ending : int or None, default=None
        A window may begin before the stretch, at the recording's first sample at the earliest, if it ends in the
        stretch and so many samples at its end lie there; of a shorter stretch, all of it. None: it lies inside.
    """

    start: int
    stop: int
    label: int
    votes: tuple[float, ...] | None = None
    context: int = 0
    ending: int | None = None

    def starts(self, n_window: int) -> tuple[int, int]:
        """Return the first and the last sample at which a window of `n_window` samples may start.

        A window lies inside the stretch, or, with `ending`, ends in it. One that is longer contains it and stays inside
        its context; if no such window exists, the last start is before the first.
        """
        if self.ending is not None:
            least = min(self.ending, self.stop - self.start)
            return max(self.start + least - n_window, 0), self.stop - n_window
        if n_window <= self.stop - self.start:
            return self.start, self.stop - n_window
        first = max(self.start - self.context, self.stop - n_window)
        return first, min(self.start, self.stop + self.context - n_window)


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
    read : Reader
        Returns the whole recording, or samples ``start`` to ``stop - 1`` of it, as ndarray of float32, shape
        (n_channels, n_samples): the values that a live stream of it would carry.
    recorded_at : datetime or None, default=None
        When it began, for splits by time; archives shift dates, but not within a person. None if it is not known.
    part : str, default=""
        Side on which the authors of the archive put it (``train``, ``dev``, ``eval``); empty if they did not.
    row : int or None, default=None
        Which row of the file it is; None if it is all of the file.
    """

    name: str
    subject: str
    path: Path
    signal: Signal
    n_samples: int
    stretches: tuple[Stretch, ...]
    read: Reader
    recorded_at: datetime | None = None
    part: str = ""
    row: int | None = None

    @property
    def place(self) -> str:
        """File and row, for messages."""
        return self.path.name if self.row is None else f"{self.path.name}, row {self.row}"

    @property
    def sha256(self) -> str:
        """Hash of rate, unit and samples: the same for two copies of a recording, whoever it is said to be of.

        The recording is read, once; names of channels and people, labels and paths do not count.
        """
        return _content_sha256(self.signal, self.n_samples, self.read)


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

    @property
    def text(self) -> str:
        """The file with its folder, named once, and the reason."""
        named = self.reason if self.reason.startswith(self.path.name) else f"{self.path.name}: {self.reason}"
        return in_folder(self.path, named)


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
    too_short : tuple of Session, default=()
        Stretches that were left out since no window fits there, as sessions that hold nothing else.
    """

    task: str
    classes: tuple[str, ...]
    sessions: tuple[Session, ...]
    problems: tuple[Problem, ...] = ()
    too_short: tuple[Session, ...] = ()

    @property
    def subjects(self) -> tuple[str, ...]:
        """Names of the people, sorted."""
        return tuple(sorted({session.subject for session in self.sessions}))

    def of(self, subjects: tuple[str, ...]) -> tuple[Session, ...]:
        """Return the sessions of some people."""
        return tuple(session for session in self.sessions if session.subject in subjects)


def in_folder(path: Path, text: str) -> str:
    """Return what begins with the name of a file with its folder before it."""
    return f"{path.parent.name}/{text}" if path.parent.name else text


def class_counts(sessions: tuple[Session, ...], n_classes: int) -> np.ndarray:
    """Return the number of stretches of each label, shape (n_classes,), as int64."""
    labels = [stretch.label for session in sessions for stretch in session.stretches]
    return np.bincount(np.array(labels, dtype=np.int64), minlength=n_classes)


@cache
def _content_sha256(signal: Signal, n_samples: int, read: Reader) -> str:
    """Return the hash of a recording; however its stretches are cut, it is read once."""
    digest = hashlib.sha256(f"{signal.sfreq!r} {signal.unit} {signal.n_channels} {n_samples}".encode())
    for start in range(0, n_samples, _BLOCK_SAMPLES):
        block = read(start, min(start + _BLOCK_SAMPLES, n_samples))
        digest.update(np.ascontiguousarray(block, dtype="<f4").tobytes())
    return digest.hexdigest()
