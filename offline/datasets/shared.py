"""What an archive has as two people's, or in two of its folds: it can be used without the later of them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from bci.errors import SpecError
from offline.datasets.base import Dataset, Problem, Session, in_folder
from offline.splits import archive_folds, parts_of, require_classes


def without_copies(dataset: Dataset) -> Dataset:
    """Return the dataset without recordings that have the samples of another person's; they are added to its problems.

    Parameters
    ----------
    dataset : Dataset
        Its recordings are read once, for the hashes of their contents. The first of several stays, and with it those
        of the same person.
    """
    first: dict[str, Session] = {}
    kept: list[Session] = []
    problems = list(dataset.problems)
    for session in dataset.sessions:
        one = first.setdefault(session.sha256, session)
        if one.subject == session.subject:
            kept.append(session)
            continue
        reason = (
            f"{session.place}: samples must be of one subject, these of {session.subject} are the same as in "
            f"{in_folder(one.path, one.place)} of {one.subject}. Leave one out, or correct whose it is."
        )
        problems.append(Problem(session.path, reason))
    return replace(dataset, sessions=tuple(kept), problems=tuple(problems))


def in_one_part(dataset: Dataset) -> Dataset:
    """Return the dataset with each person in the first of their parts only; the others are added to its problems.

    Parameters
    ----------
    dataset : Dataset
        Sessions with the part in which the authors of the archive put them, or without.
    """
    home: dict[str, str] = {}
    for part in parts_of(dataset):
        for session in dataset.sessions:
            if session.part == part:
                home.setdefault(session.subject, part)
    elsewhere: dict[tuple[str, str, Path], list[Session]] = defaultdict(list)
    for session in dataset.sessions:
        if session.part != home[session.subject]:
            elsewhere[session.subject, session.part, session.path].append(session)
    problems = [
        Problem(
            path,
            f"{_rows(sessions)}: a subject must be in one part of the archive, {subject} is in {home[subject]} and in "
            f"{part}. Correct whose they are, or use --split k-fold.",
        )
        for (subject, part, path), sessions in elsewhere.items()
    ]
    kept = tuple(session for session in dataset.sessions if session.part == home[session.subject])
    return replace(dataset, sessions=kept, problems=(*dataset.problems, *problems))


def learners_of_one_class(dataset: Dataset) -> tuple[Problem, ...]:
    """Return the archive's own folds whose learners know one class only; none for an archive without folds."""
    try:
        splits = archive_folds(dataset)
    except SpecError:  # too few parts for a split
        return ()
    problems: list[Problem] = []
    for split in splits:
        try:
            require_classes(dataset, split)
        except SpecError as error:
            problems.append(Problem(dataset.of(split.train)[0].path, str(error)))
    return tuple(problems)


def _rows(sessions: list[Session]) -> str:
    more = f" and {len(sessions) - 1} more of its rows" if len(sessions) > 1 else ""
    return f"{sessions[0].place}{more}"
