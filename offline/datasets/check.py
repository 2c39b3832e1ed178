"""Is an archive whole? Every sample is read once: what was found, what is damaged, what is there twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bci.errors import BciError, UsageError
from bci.texts import printable
from offline.datasets.base import UNKNOWN, Dataset, Problem, Session
from offline.datasets.examples import Examples, as_dataset
from offline.datasets.plausible import Guarded
from offline.datasets.shared import in_one_part, learners_of_one_class, without_copies
from offline.short_stretches import short_lines, without_short

_LISTED = 64
"""Sessions of larger archives are not listed one by one."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a check has found.

    Parameters
    ----------
    lines : tuple of str
        What is there, for a terminal.
    problems : tuple of Problem
        What cannot be used, is missing or damaged, or is there as two people's.
    """

    lines: tuple[str, ...]
    problems: tuple[Problem, ...]


def readable(dataset: Dataset, on_session: Callable[[int], None] | None = None) -> Dataset:
    """Return the dataset without the sessions whose samples cannot be read; they are added to its problems.

    Archives are opened without reading their samples, so that damage inside a file is found here, and values that no
    amplifier gives. The hashes of sessions are known from then on.

    Parameters
    ----------
    dataset : Dataset
        Any.
    on_session : callable or None, default=None
        Called with the number of sessions done after each.
    """
    return _read(dataset, lambda session: replace(session, read=Guarded(session)), on_session)


def check_dataset(
    dataset: Dataset, on_session: Callable[[int], None] | None = None, window_s: float | None = None
) -> Report:
    """Read a whole archive and say what is in it.

    Parameters
    ----------
    dataset : Dataset
        As it was opened.
    on_session : callable or None, default=None
        Called with the number of sessions done after each.
    window_s : float or None, default=None
        Length of the windows that are to be learnt from: how many stretches are too short for one is told.

    Returns
    -------
    report : Report
        Recordings that two people are said to have made, people in two parts of the archive, and parts whose learners
        would know one class only are problems; that one person has a recording twice is told.
    """
    counted = {session.name: _Counted(session) for session in dataset.sessions}
    left = _read(dataset, lambda session: replace(session, read=counted[session.name]), on_session)
    short = [] if window_s is None else _short(left, window_s)
    lines = _lines(left, {name: one.n_invalid for name, one in counted.items()})
    return Report((*lines, *map(printable_line, [*short, *_twice(left)])), _problems(left))


def describe(dataset: Dataset) -> Report:
    """Say what is in a dataset without reading a sample: what is simulated cannot be damaged."""
    return Report(_lines(dataset, {}), dataset.problems)


def check_examples(examples: Examples, on_done: Callable[[int], None] | None = None) -> Report:
    """Read all examples of an archive and say what is in it.

    Parameters
    ----------
    examples : Examples
        As they were opened.
    on_done : callable or None, default=None
        Called with the number of examples done.

    Returns
    -------
    report : Report
        Examples with numbers that are not finite are problems, and what is one for `check_dataset`.
    """
    left = readable(as_dataset(examples), on_done)
    lines = [
        f"{len(examples)} examples of {len(set(examples.subjects))} subjects in {len(np.unique(examples.folds))} folds",
        f"{' by '.join(map(str, examples.shape))} ({' by '.join(examples.axes)})",
    ]
    for label, name in enumerate(examples.classes):
        of_class = np.flatnonzero(examples.labels == label)
        lines.append(f"{name}: {len(of_class)} of {len({examples.subjects[i] for i in of_class})} subjects")
    return Report(tuple(map(printable_line, [*lines, *_twice(left)])), _problems(left))


def printable_line(text: str) -> str:
    """Return a line safe to print; names in it come from files."""
    return printable(text, 4000)


def _read(dataset: Dataset, made: Callable[[Session], Session], on_session: Callable[[int], None] | None) -> Dataset:
    """Return the dataset with the sessions, as `made` makes them, that can be read."""
    kept: list[Session] = []
    problems = list(dataset.problems)
    for number, session in enumerate(map(made, dataset.sessions), start=1):
        try:
            session.sha256  # noqa: B018 - it reads every sample, once
            kept.append(session)
        except BciError as error:
            problems.append(Problem(session.path, str(error)))
        if on_session is not None:
            on_session(number)
    return replace(dataset, sessions=tuple(kept), problems=tuple(problems))


def _problems(dataset: Dataset) -> tuple[Problem, ...]:
    apart = in_one_part(without_copies(dataset))
    return (*apart.problems, *learners_of_one_class(apart))


def _lines(dataset: Dataset, n_invalid: Mapping[str, int]) -> tuple[str, ...]:
    lines = [
        f"{len(dataset.sessions)} sessions of {len(dataset.subjects)} subjects",
        *_signals(dataset.sessions),
        *_classes(dataset),
        *_parts(dataset.sessions),
    ]
    if len(dataset.sessions) <= _LISTED:
        lines += [f"  {_session_line(s, dataset.classes, n_invalid.get(s.name, 0))}" for s in dataset.sessions]
    elif any(n_invalid.values()):
        n = sum(1 for count in n_invalid.values() if count)
        lines.append(f"samples that are not finite: in {n} sessions")
    return tuple(map(printable_line, lines))


class _Counted:
    """Reads a session and counts the samples with a value that is not finite."""

    def __init__(self, session: Session) -> None:
        self._read = Guarded(session)
        self.n_invalid = 0

    def __call__(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        data = self._read(start, stop)
        self.n_invalid += int((~np.isfinite(data)).any(axis=0).sum())
        return data


def _twice(dataset: Dataset) -> list[str]:
    """Return what a subject has twice, in words."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for session in dataset.sessions:
        name = session.name if session.row is None else session.place
        groups[session.sha256, session.subject].append(name)
    return [f"the same samples twice, of one subject: {', '.join(names)}" for names in groups.values() if names[1:]]


def _signals(sessions: Sequence[Session]) -> list[str]:
    counts: dict[str, int] = defaultdict(int)
    for session in sessions:
        signal = session.signal
        counts[f"{signal.n_channels} channels at {signal.sfreq:g} Hz in {signal.unit}: {', '.join(signal.names)}"] += 1
    if len(counts) == 1:
        return list(counts)
    return [f"{text} ({n} sessions)" for text, n in counts.items()]


def _classes(dataset: Dataset) -> list[str]:
    """Return one line for each class: stretches, time and people."""
    n: dict[int, int] = defaultdict(int)
    seconds: dict[int, float] = defaultdict(float)
    subjects: dict[int, set[str]] = defaultdict(set)
    n_voted = 0
    for session in dataset.sessions:
        for stretch in session.stretches:
            n[stretch.label] += 1
            seconds[stretch.label] += (stretch.stop - stretch.start) / session.signal.sfreq
            subjects[stretch.label].add(session.subject)
            n_voted += stretch.votes is not None
    names = dict(enumerate(dataset.classes)) | ({UNKNOWN: "not labelled"} if UNKNOWN in n else {})
    lines = [
        f"{name}: {n[label]} stretches, {seconds[label]:.0f} s, of {len(subjects[label])} subjects"
        for label, name in names.items()
    ]
    return [*lines, f"{n_voted} stretches with votes"] if n_voted else lines


def _parts(sessions: Sequence[Session]) -> list[str]:
    parts = sorted({session.part for session in sessions if session.part})
    return [
        f"part {part}: {sum(s.part == part for s in sessions)} sessions of "
        f"{len({s.subject for s in sessions if s.part == part})} subjects"
        for part in parts
    ]


def _short(dataset: Dataset, window_s: float) -> list[str]:
    try:
        return short_lines(without_short(dataset, window_s), window_s)
    except UsageError as error:  # nothing is wrong with the archive
        return [str(error)]


def _session_line(session: Session, classes: Sequence[str], n_invalid: int) -> str:
    labels = [stretch.label for stretch in session.stretches]
    shown = ", ".join(f"{name} {labels.count(i)}" for i, name in enumerate(classes))
    share = f"; {n_invalid / session.n_samples:.2%} of samples not finite" if n_invalid else ""
    return f"{session.name}: {session.n_samples / session.signal.sfreq:.0f} s; {shown}{share}"
