"""Siena Scalp EEG: adults with focal epilepsy, 29 electrodes at 512 Hz.

Layout: ``PN00/PN00-1.edf`` with ``PN00/Seizures-list-PN00.txt``. The lists are typed by hand and give times of day, in
several spellings; those known to be mistyped are in `ERRATA`, as in the library epilepsy2bids.

References
----------
Detti, Vatti & Zabalo Manrique de Lara (2020), doi:10.3390/pr8070846. Data: PhysioNet, doi:10.13026/5d4a-j060.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from bci.errors import AnnotationError
from bci.texts import printable
from offline.datasets.annotated import AnnotatedFile, annotated_dataset
from offline.datasets.base import Dataset, Problem
from offline.datasets.normalise import AVERAGE
from offline.datasets.tables import read_lines
from offline.seizure_events import DAY_S, Span

LAYOUT = "folders PNxx with PNxx-y.edf and Seizures-list-PNxx.txt"
NAMES = {"PN01.edf": "PN01-1.edf", "PN11-.edf": "PN11-1.edf"}
"""Names of files in the lists that are other than on disk; the letter O in PNO6 stands for a zero."""
ERRATA = {("PN00-3.edf", "end", "19.29.29"): "18.29.29"}
"""An end that would lie half an hour behind the end of its recording."""
_FILE = re.compile(r"\s*File name:\s*(\S+)\s*", re.IGNORECASE)
_EDGE = re.compile(r"\s*(?:Seizure )?(Registration start|start|end) time:\s*(.+?)\s*", re.IGNORECASE)
_CLOCK = re.compile(r"(\d{1,2})[.:](\d{1,2})[.:](\d{1,2})")


def load(folder: Path, montage: str = AVERAGE) -> Dataset:
    """Read the archive.

    Parameters
    ----------
    folder : Path
        Folder with the folders ``PN00`` to ``PN17``, or some of them.
    montage : {"average", "banana"}, default="average"
        Form, see `offline.datasets.normalise`.

    Returns
    -------
    dataset : Dataset
        Recordings without an entry in the list or with seizures outside are listed as problems, and so are files of a
        list that are missing.

    Raises
    ------
    RecordingError
        If no recording can be used.
    """
    files: list[AnnotatedFile] = []
    problems: list[Problem] = []
    for person in sorted(path for path in folder.glob("PN[0-9][0-9]") if path.is_dir()):
        path = person / f"Seizures-list-{person.name}.txt"
        try:
            listed = read_list(path)
        except AnnotationError as error:
            problems.append(Problem(path, str(error)))
            continue
        problems += [
            Problem(person / name, "The list of seizures names it, it is missing. Fetch it.")
            for name in listed
            if not (person / Path(name).name).is_file()
        ]
        files += [
            AnnotatedFile(edf, edf.stem, person.name, partial(_seizures, edf.name, listed))
            for edf in sorted(person.glob("*.edf"))
        ]
    return annotated_dataset("siena", folder, files, montage, LAYOUT, problems)


def read_list(path: Path) -> dict[str, tuple[Span, ...]]:
    """Return the seizures of each recording that a list names, by its name on disk.

    Raises
    ------
    AnnotationError
        If it cannot be read, a time is none, or a seizure has no begin, no end or no recording.
    """
    found: dict[str, list[Span]] = {}
    registered: dict[str, float] = {}
    name, start_s = "", None
    for row, line, kind, value in _entries(path):
        where = f"{path.name}, row {row}"
        if start_s is not None and kind != "end":
            raise AnnotationError(
                f"{where}: the seizure before must end first, it does not. Correct the list, or leave the folder out."
            )
        if kind == "file":
            name = _on_disk(value)
            found.setdefault(name, [])
            continue
        at_s = _clock_s(ERRATA.get((name, kind, value), value), where)
        if kind == "registration start" and name:
            registered[name] = at_s
            continue
        if name not in registered:
            raise AnnotationError(
                f"{where}: a time must follow the name and the begin of its recording, got {printable(line)!r}. "
                "Correct the list, or leave the folder out."
            )
        since_s = (at_s - registered[name]) % DAY_S  # a recording may go past midnight
        if kind == "start":
            start_s = since_s
        elif start_s is None:
            raise AnnotationError(
                f"{where}: the end of a seizure must follow its begin, it does not. Correct the list, or leave the "
                "folder out."
            )
        else:
            found[name].append(Span(start_s, start_s + (since_s - start_s) % DAY_S))
            start_s = None
    if start_s is not None:
        raise AnnotationError(
            f"{path.name}: each seizure must end, the last one does not. Correct the list, or leave the folder out."
        )
    return {name: tuple(spans) for name, spans in found.items()}


def _entries(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """Yield row, line, kind and value of each line that says something; ``Start time`` alone is that of a seizure."""
    for row, line in enumerate(read_lines(path), start=1):
        if match := _FILE.fullmatch(line):
            yield row, line, "file", match[1]
        elif match := _EDGE.fullmatch(line):
            yield row, line, match[1].lower(), match[2].replace(" ", "")


def _on_disk(name: str) -> str:
    return NAMES.get(name, name.replace("PNO", "PN0"))


def _clock_s(text: str, where: str) -> float:
    match = _CLOCK.fullmatch(text)
    if match is None or not (int(match[1]) < 24 and int(match[2]) < 60 and int(match[3]) < 60):
        raise AnnotationError(
            f"{where}: a time must be hh.mm.ss, got {printable(text)!r}. Correct the list, or leave the folder out."
        )
    return int(match[1]) * 3600.0 + int(match[2]) * 60.0 + int(match[3])


def _seizures(name: str, listed: Mapping[str, tuple[Span, ...]]) -> tuple[Span, ...]:
    if name not in listed:
        raise AnnotationError(f"The list of seizures must name {name}, it does not. Leave the file out.")
    return listed[name]
