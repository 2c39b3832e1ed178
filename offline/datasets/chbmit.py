"""CHB-MIT: children with epilepsy, days of bipolar EEG at 256 Hz.

Layout: ``chb01/chb01_03.edf`` with ``chb01/chb01-summary.txt``, which lists the seizures of each file in seconds, and
``chb01/chb01_03.edf.seizures``, the same in the annotation format of the MIT. The folders chb01 and chb21 are one
girl, recorded 1.5 years apart: they are one subject here. Electrodes were not stored, only differences, so that the
form is the double banana.

References
----------
Shoeb (2009), PhD thesis, hdl:1721.1/54669. Data: PhysioNet, doi:10.13026/C2K01R.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bci.errors import AnnotationError
from offline.datasets.annotated import AnnotatedFile, annotated_dataset
from offline.datasets.base import Dataset, Problem
from offline.datasets.normalise import BANANA
from offline.datasets.tables import read_lines
from offline.seizure_events import Span

SAME_PERSON = {"chb21": "chb01"}
LAYOUT = "folders chbNN with chbNN_MM.edf and chbNN-summary.txt"
_DIFFER_S = 1.0
_FILE = re.compile(r"File Name:\s*(\S+)\s*")
_COUNT = re.compile(r"Number of Seizures in File:\s*(\d+)\s*")
_TIME = re.compile(r"Seizure\s*\d*\s*(Start|End) Time:\s*(\d+)\s*seconds?\s*", re.IGNORECASE)
_RESOLUTION = re.compile(rb"## time resolution: (\d+)")
_SKIP, _NOTE, _AUX, _BEGIN, _END = 59, 60, 63, 32, 33


def load(folder: Path) -> Dataset:
    """Read the archive.

    Parameters
    ----------
    folder : Path
        Folder with the folders ``chb01`` to ``chb24``, or some of them.

    Returns
    -------
    dataset : Dataset
        18 derivations at 256 Hz. Recordings without an entry in the summary, with lists that contradict each other or
        without the derivations are listed as problems, and so are files of a summary that are missing.

    Raises
    ------
    RecordingError
        If no recording can be used.
    """
    files: list[AnnotatedFile] = []
    problems: list[Problem] = []
    for case in sorted(path for path in folder.glob("chb[0-9][0-9]") if path.is_dir()):
        summary = case / f"{case.name}-summary.txt"
        try:
            listed = read_summary(summary)
        except AnnotationError as error:
            problems.append(Problem(summary, str(error)))
            continue
        problems += [
            Problem(case / name, "The summary lists it, it is missing. Fetch it.") for name in _absent(case, listed)
        ]
        files += _files(case, listed)
    return annotated_dataset("chb-mit", folder, files, BANANA, LAYOUT, problems)


def read_summary(path: Path) -> dict[str, tuple[Span, ...]]:
    """Return the seizures of each file that a summary lists.

    Raises
    ------
    AnnotationError
        If it cannot be read, or begins and ends of seizures do not fit each other or their number.
    """
    seizures: dict[str, list[Span]] = {}
    announced: dict[str, tuple[int, int]] = {}
    name, start_s = "", None
    for row, line in enumerate(read_lines(path), start=1):
        where = f"{path.name}, row {row}"
        if match := _FILE.fullmatch(line):
            name, start_s = match[1], None
            seizures[name] = []
        elif match := _COUNT.fullmatch(line):
            if not name:
                raise AnnotationError(
                    f"{where}: a number of seizures must follow the name of its file, none stands before it. Correct "
                    "the summary."
                )
            announced[name] = int(match[1]), row
        elif match := _TIME.fullmatch(line):
            at_s = float(match[2])
            if match[1].lower() == "start":
                if start_s is not None or not name:
                    raise AnnotationError(
                        f"{where}: a seizure of a file must end before the next begins, it does not. Correct the "
                        "summary, or leave the folder out."
                    )
                start_s = at_s
            elif start_s is None or at_s < start_s:
                raise AnnotationError(
                    f"{where}: the end of a seizure must follow its begin, got {at_s:g} s. Correct the summary, or "
                    "leave the folder out."
                )
            else:
                seizures[name].append(Span(start_s, at_s))
                start_s = None
    for name, (n, row) in announced.items():
        if len(seizures.get(name, ())) != n:
            raise AnnotationError(
                f"{path.name}, row {row}: {name} must have {n} seizures as the row says, got {len(seizures[name])}. "
                "Correct the number or the times, or leave the folder out."
            )
    return {name: tuple(spans) for name, spans in seizures.items()}


def read_seizures(path: Path) -> tuple[Span, ...]:
    """Return the seizures in a file ``.edf.seizures``: annotations in the format of the MIT.

    Words of 16 bits hold a code and a time difference in samples; code 59 is followed by a long difference, code 63 by
    a text; 32 begins a seizure and 33 ends it.

    Raises
    ------
    AnnotationError
        If it is cut off, states no rate, or begins and ends do not fit each other.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"{path.name} must be readable, it is not: {error.strerror}. Fetch it again.") from error
    resolution = _RESOLUTION.search(data)
    if resolution is None or int(resolution[1]) == 0:
        raise AnnotationError(f"{path.name} must state its time resolution, it does not. Fetch it again.")
    spans: list[Span] = []
    start_s = None
    for code, sample in _words(data, path.name):
        at_s = sample / int(resolution[1])
        if code == _BEGIN and start_s is None:
            start_s = at_s
        elif code == _END and start_s is not None and at_s >= start_s:
            spans.append(Span(start_s, at_s))
            start_s = None
        elif code in (_BEGIN, _END):
            raise AnnotationError(
                f"{path.name}: begins and ends of seizures must alternate, at {at_s:g} s they do not. Fetch it "
                "again, or delete it: the summary is read then."
            )
    if start_s is not None:
        raise AnnotationError(
            f"{path.name}: each seizure must end, the one at {start_s:g} s does not. Fetch it again, or delete it: the "
            "summary is read then."
        )
    return tuple(spans)


def _words(data: bytes, name: str) -> Iterator[tuple[int, int]]:
    at = sample = 0
    while at + 2 <= len(data):
        word = int.from_bytes(data[at : at + 2], "little")
        code, difference = word >> 10, word & 1023
        at += 2
        if word == 0:
            return
        if code == _SKIP:
            high, low = (data[at + i : at + i + 2] for i in (0, 2))  # the high word first
            sample += int.from_bytes(low + high, "little", signed=True)
            at += 4
        elif code == _AUX:
            at += difference + difference % 2
        elif code < _SKIP:
            sample += difference
            yield code, sample
    raise AnnotationError(f"{name} must end with a mark of two zero bytes, it is cut off. Fetch it again.")


def _absent(case: Path, listed: dict[str, tuple[Span, ...]]) -> list[str]:
    return [name for name in listed if not (case / Path(name).name).is_file()]


def _files(case: Path, listed: dict[str, tuple[Span, ...]]) -> Iterator[AnnotatedFile]:
    subject = SAME_PERSON.get(case.name, case.name)
    for path in sorted(case.glob("*.edf")):
        yield AnnotatedFile(path, path.stem, subject, partial(_seizures, path, listed.get(path.name)))


def _seizures(path: Path, listed: tuple[Span, ...] | None) -> tuple[Span, ...]:
    marks = path.with_name(path.name + ".seizures")
    if listed is None:
        raise AnnotationError(f"The summary must list {path.name}, it does not. Leave the file out.")
    if not marks.is_file():
        return listed
    marked = read_seizures(marks)
    alike = len(marked) == len(listed) and all(
        abs(one.start_s - other.start_s) <= _DIFFER_S and abs(one.stop_s - other.stop_s) <= _DIFFER_S
        for one, other in zip(marked, listed, strict=True)
    )
    if not alike:
        raise AnnotationError(
            f"The summary and {marks.name} must agree, they list {_shown(listed)} and {_shown(marked)}. Leave it out."
        )
    return marked


def _shown(spans: tuple[Span, ...]) -> str:
    return ", ".join(f"{s.start_s:g} to {s.stop_s:g} s" for s in spans) or "no seizure"
