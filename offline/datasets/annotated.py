"""Continuous EEG with marked seizures: what the corpora of seizure detection have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from bci.errors import BciError, RecordingError
from bci.sources.recording import Recording, open_recording
from offline.datasets.base import Dataset, Problem, Session, Stretch
from offline.datasets.edf_header import require_complete
from offline.datasets.normalise import Normaliser, normaliser
from offline.seizure_events import Span

CLASSES = ("background", "seizure")
BACKGROUND, SEIZURE = 0, 1
ENDING_S = 2.0
"""A window is of a seizure if it ends in it and so much of its end, or all of a shorter seizure, lies there."""
END_SLACK_S = 1.0
"""Times in lists are rounded to seconds: a seizure may end so long after its recording; what is beyond is cut."""


@dataclass(frozen=True, slots=True)
class AnnotatedFile:
    """A recording of an archive, and how to find its seizures.

    Parameters
    ----------
    path : Path
        The recording.
    name : str
        Name of the session, unique in the archive.
    subject : str
        Who was recorded.
    seizures : callable
        Returns the seizures, from the first sample, in seconds. May raise a `BciError`.
    part : str, default=""
        Side on which the archive puts it.
    """

    path: Path
    name: str
    subject: str
    seizures: Callable[[], Sequence[Span]]
    part: str = ""


def annotated_dataset(
    task: str, folder: Path, files: Iterable[AnnotatedFile], montage: str, layout: str, problems: Sequence[Problem] = ()
) -> Dataset:
    """Return the recordings of an archive in one form, lazily.

    Parameters
    ----------
    task : str
        Name of the task.
    folder : Path
        The archive, for messages.
    files : iterable of AnnotatedFile
        What was found.
    montage : {"average", "banana"}
        Form, see `offline.datasets.normalise`.
    layout : str
        Files that the archive consists of, for the message if there are none.
    problems : sequence of Problem, default=()
        What is known to be wrong already.

    Returns
    -------
    dataset : Dataset
        Recordings that are unreadable, cut off, without electrodes or with seizures outside are listed as problems.

    Raises
    ------
    RecordingError
        If no recording can be used.
    """
    sessions: list[Session] = []
    found = list(problems)
    for file in files:
        try:
            sessions.append(_session(file, montage))
        except BciError as error:
            found.append(Problem(file.path, str(error)))
    if not sessions:
        raise nothing_usable(task, layout, folder, found)
    return Dataset(task, CLASSES, tuple(sorted(sessions, key=lambda s: s.name)), tuple(found))


def nothing_usable(task: str, layout: str, folder: Path, problems: Sequence[Problem]) -> RecordingError:
    """Return the error for an archive in which nothing can be used."""
    first = f" First problem: {problems[0].text}" if problems else ""
    return RecordingError(f"The task {task} needs {layout}, found no usable one in {folder}.{first} Check --data.")


def seizure_stretches(seizures: Sequence[Span], n_samples: int, sfreq: float, name: str) -> tuple[Stretch, ...]:
    """Return a whole recording as stretches of background and seizure in turn.

    Parameters
    ----------
    seizures : sequence of Span
        In any order; those that touch or overlap are one.
    n_samples : int
        Length of the recording.
    sfreq : float
        Its rate, in Hz.
    name : str
        What the recording is called, for messages.

    Returns
    -------
    stretches : tuple of Stretch
        Windows of background lie inside its stretches; those of a seizure may begin before it, see `ENDING_S`.

    Raises
    ------
    RecordingError
        If a seizure lies outside the recording.
    """
    duration_s = n_samples / sfreq
    stretches: list[Stretch] = []
    at = 0
    for number, span in enumerate(sorted(seizures, key=lambda s: s.start_s), start=1):
        if span.start_s >= duration_s or span.stop_s > duration_s + END_SLACK_S or span.start_s < 0:
            raise RecordingError(
                f"Seizures must lie in the recording of {duration_s:g} s, {name} has one (number {number}) from "
                f"{span.start_s:g} to {span.stop_s:g} s. Correct its list, or leave the recording out."
            )
        start, stop = max(round(span.start_s * sfreq), at), min(round(span.stop_s * sfreq), n_samples)
        if stop <= start:
            continue
        if start > at:
            stretches.append(Stretch(at, start, BACKGROUND))
        if stretches and stretches[-1].label == SEIZURE:
            start = stretches.pop().start
        stretches.append(Stretch(start, stop, SEIZURE, ending=round(ENDING_S * sfreq)))
        at = stop
    if at < n_samples:
        stretches.append(Stretch(at, n_samples, BACKGROUND))
    return tuple(stretches)


def _session(file: AnnotatedFile, montage: str) -> Session:
    seizures = file.seizures()
    require_complete(file.path)
    recording, made = _opened(file.path, montage)
    stretches = seizure_stretches(seizures, made.n_samples, made.signal.sfreq, file.path.name)
    return Session(
        file.name,
        file.subject,
        file.path,
        made.signal,
        made.n_samples,
        stretches,
        partial(_read, file.path, montage),
        recording.started,
        file.part,
    )


def _read(path: Path, montage: str, start: int = 0, stop: int | None = None) -> np.ndarray:
    recording, made = _opened(path, montage)
    return made.read(recording.read, start, stop)


@lru_cache(maxsize=4)  # windows are read one after the other; opening takes longer than reading one
def _opened(path: Path, montage: str) -> tuple[Recording, Normaliser]:
    recording = open_recording(path)
    if recording.gaps:
        start, stop = recording.gaps[0]
        raise RecordingError(
            f"The recording must be continuous, it has {len(recording.gaps)} gap(s), the first from {start} to {stop} "
            "samples. Cut it there into runs, or leave it out."
        )
    return recording, normaliser(recording.signal, recording.n_samples, montage)
