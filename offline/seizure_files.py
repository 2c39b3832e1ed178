"""Which hypothesis belongs to which reference: two tables of events, or two folders of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bci.errors import AnnotationError, UsageError

PATTERN = "*_events.tsv"
MAX_FILES = 10_000
_SUBJECT = re.compile(r"sub-[A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Pair:
    """A reference and what a detector says of the same recording.

    Parameters
    ----------
    name : str
        Path of the reference inside its folder.
    subject : str
        ``sub-…`` of its path; without one, the first folder, or the name of the file.
    reference : Path
    hypothesis : Path or None
        None: there is no such file.
    """

    name: str
    subject: str
    reference: Path
    hypothesis: Path | None


def match(reference: Path, hypothesis: Path) -> tuple[list[Pair], list[str]]:
    """Pair two files, or the files ``*_events.tsv`` of two folders by their paths inside these.

    Parameters
    ----------
    reference, hypothesis : Path
        Two files, or two folders.

    Returns
    -------
    pairs : list of Pair
        One for each reference, in the order of their names.
    unmatched : list of str
        Hypotheses without a reference.

    Raises
    ------
    UsageError
        If one does not exist, or one is a file and the other a folder.
    AnnotationError
        If there is no reference, or there are too many files.
    """
    for path in (reference, hypothesis):
        if not path.exists():
            raise UsageError(f"bci score needs two files or folders that exist, got {str(path)!r}.")
    if reference.is_dir() != hypothesis.is_dir():
        raise UsageError("bci score needs two files or two folders, got one of each. Name both alike.")
    if not reference.is_dir():
        return [Pair(reference.name, _subject(Path(reference.name)), reference, hypothesis)], []
    truth, said = _tables(reference), _tables(hypothesis)
    if not truth:
        raise AnnotationError(
            f"A folder of references needs files named {PATTERN}, got none in {str(reference)!r}. Name another folder."
        )
    pairs = [
        Pair(str(name), _subject(name), reference / name, hypothesis / name if name in said else None) for name in truth
    ]
    return pairs, [str(name) for name in said if name not in set(truth)]


def _tables(folder: Path) -> list[Path]:
    found = sorted(path.relative_to(folder) for path in folder.rglob(PATTERN))
    if len(found) > MAX_FILES:
        raise AnnotationError(
            f"A folder of tables needs at most {MAX_FILES} files, got {len(found)} in {str(folder)!r}. Score parts."
        )
    return found


def _subject(name: Path) -> str:
    found = _SUBJECT.search(str(name))
    if found:
        return found.group()
    return name.parts[0] if len(name.parts) > 1 else name.stem.removesuffix("_events")
