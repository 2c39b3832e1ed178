"""The EPOC epilepsy archive as its authors published it: two countries, a table of people and a zip for each.

Layout: ``metadata_guineabissau.csv`` (``subject.id``, ``Group``) with ``signal-SUBJECT.csv.gz``, one recording for each
person, and ``metadata_nigeria.csv`` (``subject.id``, ``session.id``, ``csv.file``, ``Group``) with the files that it
names, several sessions of a person. Recordings may lie in any folder below. This is what public code reads; the files
themselves were not at hand when this was written.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from bci.errors import AnnotationError, BciError, RecordingError
from bci.texts import printable
from offline.datasets import epoc_csv
from offline.datasets.base import Problem, Session
from offline.datasets.epoc_people import group_label, pieces
from offline.datasets.hidden_files import is_hidden
from offline.datasets.tables import number, read_rows

_ID = re.compile(r"[A-Za-z0-9]+")
_FILE = re.compile(r"[A-Za-z0-9_.-]+\.csv\.gz")
_NOTHING = ("", "NA")


@dataclass(frozen=True, slots=True)
class Country:
    """A table of the archive.

    Parameters
    ----------
    prefix : str
        Before the numbers of its people, which begin anew in each table.
    needed : tuple of str
        Columns that are read.
    recording : callable
        Returns the session, or nothing, and the name of the file of a row.
    """

    prefix: str
    needed: tuple[str, ...]
    recording: Callable[[Mapping[str, str]], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a table."""

    subject: str
    session: str
    file: str
    label: int


def _one_recording(cells: Mapping[str, str]) -> tuple[str, str]:
    return "", f"signal-{cells['subject.id']}.csv.gz"


def _named_recording(cells: Mapping[str, str]) -> tuple[str, str]:
    return cells["session.id"], PurePosixPath(cells["csv.file"]).name


COUNTRIES: dict[str, Country] = {
    "metadata_guineabissau.csv": Country("GB", ("subject.id", "Group"), _one_recording),
    "metadata_nigeria.csv": Country("NI", ("subject.id", "session.id", "csv.file", "Group"), _named_recording),
}
"""By the names of their tables."""


def read_original(folder: Path) -> tuple[tuple[Session, ...], tuple[Problem, ...]]:
    """Read the tables that are there, and the first 280 s of their recordings.

    Parameters
    ----------
    folder : Path
        Folder with at least one of the tables.

    Returns
    -------
    sessions : tuple of Session
        By name; a person is a subject.
    problems : tuple of Problem
        Rows and files that cannot be used: unknown groups, people in two groups (nothing of them is used), numbers that
        are none, recordings that are missing, there twice, nobody's, shorter than 280 s, at another rate, with other
        channels, cut off or damaged.

    Raises
    ------
    AnnotationError
        If a table cannot be read or lacks a column.
    """
    problems: list[Problem] = []
    sessions: dict[str, Session] = {}
    files: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*.csv.gz")):
        if not is_hidden(path.relative_to(folder).as_posix()):
            files[path.name].append(path)
    named: set[str] = set()
    for table in (folder / name for name in COUNTRIES if (folder / name).is_file()):
        for row in _rows(table, problems, named):
            try:
                sessions[row.session] = _session(row, files.get(row.file, []))
            except BciError as error:
                problems.append(Problem(folder / row.file, str(error)))
    for path in (path for name, paths in files.items() if name not in named for path in paths):
        problems.append(Problem(path, "A table must give the group of the recording, none does. Leave the file out."))
    return tuple(sessions[name] for name in sorted(sessions)), tuple(problems)


def _rows(table: Path, problems: list[Problem], named: set[str]) -> list[_Row]:
    """Return the rows of a table that can be used; the files of all that give a group are added to `named`."""
    country = COUNTRIES[table.name]
    rows: list[_Row] = []
    labels: dict[str, int] = {}
    in_two: set[str] = set()
    taken: set[str] = set()
    bad: list[str] = []
    for line, cells in read_rows(table, country.needed, bad=bad):
        where = f"{table.name}, row {line}"
        try:
            row = _row(cells, country, where)
            named.add(row.file)
            if labels.setdefault(row.subject, row.label) != row.label:
                in_two.add(row.subject)
                raise AnnotationError(
                    f"{where}: a person must be in one group, {row.subject} is in two and not used. Correct the table."
                )
            if not taken.isdisjoint((row.session, row.file)):
                raise AnnotationError(
                    f"{where}: each recording must have one row, {row.session} or {row.file} has two. Take one out."
                )
        except BciError as error:
            problems.append(Problem(table, str(error)))
            continue
        taken |= {row.session, row.file}
        rows.append(row)
    problems += [Problem(table, reason) for reason in bad]
    return [row for row in rows if row.subject not in in_two]


def _row(cells: Mapping[str, str], country: Country, where: str) -> _Row:
    session, file = country.recording(cells)
    subject = cells["subject.id"]
    # a number with a session in it would make two people of one, and put them on two sides of a split
    if not _ID.fullmatch(subject) or not (session == "" or _ID.fullmatch(session)):
        raise AnnotationError(
            f"{where}: subject.id and session.id must be letters and digits, got {printable(subject)!r} and "
            f"{printable(session)!r}. Correct the row."
        )
    if not _FILE.fullmatch(file):
        raise AnnotationError(f"{where}: csv.file must name a .csv.gz file, got {printable(file)!r}. Correct the row.")
    rate = cells.get("sampleRate", "")
    if rate not in _NOTHING and number(rate, "sampleRate", where) != epoc_csv.SIGNAL.sfreq:
        raise RecordingError(
            f"{where}: the rate must be {epoc_csv.SIGNAL.sfreq:g} Hz like that of the others, got {rate}. Take the row "
            "out."
        )
    label = group_label(cells["Group"], where)
    name = f"{country.prefix}-{subject}"
    return _Row(name, f"{name}-{session}" if session else name, file, label)


def _session(row: _Row, paths: list[Path]) -> Session:
    if len(paths) != 1:
        raise RecordingError(
            f"The recording must be there once below the folder, it is there {len(paths)} times. Fetch it or unpack "
            "its zip if it is missing, and take out copies."
        )
    path, signal = paths[0], epoc_csv.SIGNAL
    epoc_csv.read(path, 0, 1)
    stretches = pieces(epoc_csv.N_SAMPLES, signal.sfreq, row.label)
    return Session(row.session, row.subject, path, signal, epoc_csv.N_SAMPLES, stretches, partial(epoc_csv.read, path))
