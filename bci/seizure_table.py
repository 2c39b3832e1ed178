"""Seizure events of a recording on disk: the tab-separated table of SzCORE, written and read.

One row is one event, with the columns `COLUMNS`; a recording without a seizure has one row ``bckg`` of its own length.

References
----------
Dan et al. (2024), doi:10.1111/epi.18113 (SzCORE); columns as in BIDS events files and HED-SCORE.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from bci.errors import AnnotationError

COLUMNS = ("onset", "duration", "eventType", "confidence", "channels", "dateTime", "recordingDuration")
REQUIRED = COLUMNS[:3]
SEIZURE, BACKGROUND = "sz", "bckg"
NOTHING = "n/a"
END_SLACK_S = 1.0
"""An event may end so long after its recording, in files whose times are rounded to seconds; what is beyond is cut."""
MAX_BYTES = 4 << 20
MAX_ROWS = 20_000
MAX_DURATION_S = 31 * 86400.0  # scorers hold ten values for each second
_MAX_SHOWN = 80
_NUMBER = re.compile(r"[+-]?(\d{1,30}\.?\d{0,30}|\.\d{1,30})([eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class SeizureEvent:
    """One row.

    Parameters
    ----------
    onset_s, duration_s : float
        From the first sample of the recording, and length, in seconds.
    event_type : str, default="sz"
        Begins with ``sz``.
    confidence : float or None, default=None
        0 to 1; None is not known.
    """

    onset_s: float
    duration_s: float
    event_type: str = SEIZURE
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class SeizureTable:
    """The seizures of one recording.

    Parameters
    ----------
    seizures : tuple of SeizureEvent
        In the order of the file; background is what is left.
    duration_s : float or None
        Length of the recording, in seconds; None if the file does not say.
    date_time : str, default="n/a"
        When the recording began, ``YYYY-MM-DD hh:mm:ss``.
    """

    seizures: tuple[SeizureEvent, ...]
    duration_s: float | None
    date_time: str = NOTHING

    def to_tsv(self) -> str:
        """Return the text of the file, times to the millisecond."""
        duration_s = self.duration_s or 0.0
        rows = self.seizures or (SeizureEvent(0.0, duration_s, BACKGROUND),)
        lines = ["\t".join(COLUMNS)]
        for row in rows:
            confidence = NOTHING if row.confidence is None else f"{row.confidence:.2f}"
            times = (f"{row.onset_s:.3f}", f"{row.duration_s:.3f}")
            lines.append("\t".join([*times, row.event_type, confidence, NOTHING, self.date_time, f"{duration_s:.3f}"]))
        return "\n".join(lines) + "\n"


def write_whole(path: Path, text: str) -> None:
    """Write a file at once: whoever reads `path`, or finds it after a crash, has the old or the new one, whole.

    Raises
    ------
    OSError
        If it cannot be written; what was there stays.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the new name without contents
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def read_table(path: Path) -> SeizureTable:
    """Read a file that may come from anywhere.

    Parameters
    ----------
    path : Path
        Needs the columns ``onset``, ``duration`` and ``eventType``, in any order; more columns are ignored.

    Returns
    -------
    table : SeizureTable

    Raises
    ------
    AnnotationError
        If it is no such table, with the line where it is not.
    """
    header, *rows = _lines(path)
    columns = header.split("\t")
    missing = [name for name in REQUIRED if columns.count(name) != 1]
    if missing:
        raise AnnotationError(
            f"A table of events needs one column each of {', '.join(missing)}, got in {_quoted(path.name)}: "
            f"{_quoted(', '.join(columns))}. Write its first line as SzCORE has it, with tabs."
        )
    seizures: list[SeizureEvent] = []
    durations: dict[float, int] = {}
    date_time = NOTHING
    for number, line in enumerate(rows, start=2):
        if not line.strip():
            continue
        where = f"{_quoted(path.name)}, line {number}"
        cells = line.split("\t")
        if len(cells) != len(columns):
            raise AnnotationError(
                f"{where}: a row needs {len(columns)} cells, as the first line, got {len(cells)}. Correct it."
            )
        row = dict(zip(columns, cells, strict=True))
        date_time = row.get("dateTime", NOTHING)
        event = _event(row, where)
        stated = row.get("recordingDuration", NOTHING).strip()
        if stated not in (NOTHING, ""):
            durations.setdefault(_number(stated, "recordingDuration", where), number)
        if event.event_type.startswith(SEIZURE):
            seizures.append(event)
        elif event.event_type != BACKGROUND:
            raise AnnotationError(
                f"{where}: eventType needs sz… or bckg, got {_quoted(event.event_type)}. Remove other events."
            )
    if len(durations) > 1:
        first, second = list(durations)[:2]
        raise AnnotationError(
            f"{_quoted(path.name)}, line {durations[second]}: recordingDuration needs to be the same in each row, "
            f"got {second:g} after {first:g} s. Correct the rows."
        )
    duration_s = next(iter(durations), None)
    if duration_s is not None:
        _check_end(seizures, duration_s, path)
    return SeizureTable(tuple(seizures), duration_s, date_time)


def _lines(path: Path) -> list[str]:
    name = _quoted(path.name)
    if not path.is_file():
        raise AnnotationError(f"A table of events needs an existing file, got {_quoted(str(path))}.")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise AnnotationError(
            f"A table of events needs a file that can be read, got {name}: {error.strerror}."
        ) from error
    if len(data) > MAX_BYTES:
        raise AnnotationError(f"A table of events needs at most {MAX_BYTES >> 20} MiB, got more in {name}. Split it.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnnotationError(
            f"A table of events needs UTF-8 text, got other bytes in {name}. Save it as UTF-8."
        ) from error
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if len(lines) > MAX_ROWS + 1:
        raise AnnotationError(
            f"A table of events needs at most {MAX_ROWS} rows, got {len(lines) - 1} in {name}. Split it."
        )
    return lines


def _event(row: dict[str, str], where: str) -> SeizureEvent:
    onset_s, duration_s = (_number(row[key], key, where) for key in ("onset", "duration"))
    stated = row.get("confidence", NOTHING).strip()
    confidence = None if stated in (NOTHING, "") else _number(stated, "confidence", where)
    if confidence is not None and confidence > 1:
        raise AnnotationError(f"{where}: confidence needs 0 to 1 or n/a, got {confidence:g}.")
    return SeizureEvent(onset_s, duration_s, row["eventType"].strip(), confidence)


def _number(text: str, column: str, where: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text.strip()) else -1.0
    if not 0 <= value <= MAX_DURATION_S:
        _refuse_number(text, column, where)
    return value


def _refuse_number(text: str, column: str, where: str) -> NoReturn:
    raise AnnotationError(f"{where}: {column} needs a number from 0 to {MAX_DURATION_S:.0f}, got {_quoted(text)}.")


def _check_end(seizures: list[SeizureEvent], duration_s: float, path: Path) -> None:
    for event in seizures:
        stop_s = event.onset_s + event.duration_s
        if event.onset_s > duration_s or stop_s > duration_s + END_SLACK_S:
            raise AnnotationError(
                f"{_quoted(path.name)}: an event needs to lie in its recording of {duration_s:g} s, "
                f"got one from {event.onset_s:g} to {stop_s:g} s. Correct the times or recordingDuration."
            )


def _quoted(text: str) -> str:
    """Return text from outside in quotes, control characters escaped."""
    return repr(text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…")
