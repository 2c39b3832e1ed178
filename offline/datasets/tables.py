"""Texts and tables that lie beside recordings, read line by line so that a fault has a row."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from bci.errors import AnnotationError
from bci.texts import printable

MAX_BYTES = 256 << 20


def read_lines(path: Path) -> tuple[str, ...]:
    """Return the lines of a text file, without their ends.

    Raises
    ------
    AnnotationError
        If it is missing, too large or no text.
    """
    if not path.is_file():
        raise AnnotationError(f"The file {path.name} is missing in {path.parent}. Fetch it.")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise AnnotationError(f"{path.name} must have at most {MAX_BYTES >> 20} MiB, got more. Split it.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(
            f"{path.name} must be text in UTF-8, it cannot be read: {printable(str(error))}. Fetch it again."
        ) from error
    return tuple(text.splitlines())


def read_rows(
    path: Path, needed: Sequence[str], delimiter: str = ",", bad: list[str] | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a table with their line numbers, cells by the names in its first line.

    Lines that begin with ``#`` are left out. A row is one line, whatever is quoted in it.

    Parameters
    ----------
    path : Path
        The table.
    needed : sequence of str
        Columns it must have; it may have more.
    delimiter : str, default=","
        Between cells.
    bad : list of str or None, default=None
        Takes what is wrong with rows that have another number of cells than the first line, and the others are
        yielded; None refuses the table at such a row.

    Raises
    ------
    AnnotationError
        If it cannot be read, a column is missing, or, without `bad`, a row has another number of cells.
    """
    lines = [(n, line) for n, line in enumerate(read_lines(path), 1) if line.strip() and not line.startswith("#")]
    try:  # line by line: a quotation mark that is not closed spoils its own row only
        table = [[cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))] for _, line in lines]
    except csv.Error as error:
        raise AnnotationError(
            f"{path.name} must be a table, it is not: {printable(str(error))}. Fetch it again."
        ) from error
    names = table[0] if table else []
    missing = [name for name in needed if names.count(name) != 1]
    if missing:
        raise AnnotationError(
            f"{path.name} must have one column each of {', '.join(needed)}; not so: {', '.join(missing)}. "
            f"It has: {printable(', '.join(names)) or 'none'}. Correct its first line, or fetch it again."
        )
    for (number, _), cells in zip(lines[1:], table[1:], strict=True):
        if len(cells) == len(names):
            yield number, dict(zip(names, cells, strict=True))
            continue
        reason = (
            f"{path.name}, row {number}: a row must have {len(names)} cells like the first, got {len(cells)}. "
            "Correct the row, or take it out of the table."
        )
        if bad is None:
            raise AnnotationError(reason)
        bad.append(reason)


def number(text: str, column: str, where: str, least: float = 0.0) -> float:
    """Return a cell as a number.

    Parameters
    ----------
    text : str
        The cell.
    column, where : str
        Its column, and file and row, for the message.
    least : float, default=0.0
        Smallest number that is allowed.

    Raises
    ------
    AnnotationError
        If it is none, not finite or smaller.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= least):
        raise AnnotationError(
            f"{where}: {column} must be a number from {least:g} on, got {printable(text)!r}. Correct it, or take the "
            "row out."
        )
    return value


def whole_number(text: str, column: str, where: str) -> int:
    """Return a cell as a whole number of 0 or more; ``12.0`` is one.

    Raises
    ------
    AnnotationError
        If it is none.
    """
    value = number(text, column, where)
    if value != int(value):
        raise AnnotationError(
            f"{where}: {column} must be a whole number, got {printable(text)!r}. Correct it, or take the row out."
        )
    return int(value)
