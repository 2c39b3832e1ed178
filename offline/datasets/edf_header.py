"""Is an EDF or BDF file complete? Its header tells how long it must be.

MNE reads what is left of a file that was cut off. Labels of such a recording no longer fit it, so archives refuse it.

References
----------
Kemp et al. (1992), doi:10.1016/0013-4694(92)90009-7; EDF+: doi:10.1016/S1388-2457(03)00123-8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from bci.errors import RecordingError
from bci.texts import printable

_MAX_SIGNALS = 4096
_FIXED = 256
_BYTES = {".edf": 2, ".bdf": 3}


@dataclass(frozen=True, slots=True)
class EdfHeader:
    """What the header says about the length of the file.

    Parameters
    ----------
    n_records : int
        Data records; -1 if the writer did not close the file.
    record_s : float
        Length of one, in seconds.
    record_bytes : int
        Length of one, in bytes.
    header_bytes : int
        Where the first begins.
    """

    n_records: int
    record_s: float
    record_bytes: int
    header_bytes: int


def require_complete(path: Path) -> None:
    """Check that an EDF or BDF file holds the data records that its header announces; other files pass.

    Raises
    ------
    RecordingError
        If the header is damaged, or records are missing or cut off.
    """
    if path.suffix.lower() not in _BYTES:
        return
    header = read_header(path)
    n_bytes = path.stat().st_size - header.header_bytes
    whole, rest = divmod(n_bytes, header.record_bytes)
    if rest or (header.n_records >= 0 and whole < header.n_records):
        announced = "whole ones" if header.n_records < 0 else str(header.n_records)
        raise RecordingError(
            f"{path.name} needs {announced} records of {header.record_bytes} bytes as its header says, it ends "
            f"{rest} bytes into record {whole + 1} ({whole * header.record_s:g} s). Fetch it again, or leave it out."
        )


def read_header(path: Path) -> EdfHeader:
    """Read the lengths in the header of an EDF or BDF file.

    Raises
    ------
    RecordingError
        If there is no such header.
    """
    try:
        with path.open("rb") as file:
            fixed = _whole(path, file.read(_FIXED), _FIXED)
            n_signals = _number(path, fixed[252:256], "number of signals", 1, _MAX_SIGNALS)
            signals = _whole(path, file.read(_FIXED * n_signals), _FIXED * n_signals, _FIXED)
    except OSError as error:
        raise _unfit(path, "a header that can be read", printable(str(error))) from error
    fields = (signals[216 * n_signals + 8 * i :][:8] for i in range(n_signals))
    counts = [_number(path, field, f"samples of signal {i} in a record", 1) for i, field in enumerate(fields, start=1)]
    header_bytes = _FIXED * (n_signals + 1)
    _number(path, fixed[184:192], f"length of a header of {n_signals} signals", header_bytes, header_bytes)
    return EdfHeader(
        n_records=_number(path, fixed[236:244], "number of records", -1),
        record_s=_seconds(path, fixed[244:252]),
        record_bytes=sum(counts) * _BYTES[path.suffix.lower()],
        header_bytes=header_bytes,
    )


def _whole(path: Path, found: bytes, n_bytes: int, before: int = 0) -> bytes:
    if len(found) < n_bytes:
        raise _unfit(path, f"a header of {before + n_bytes} bytes", f"{before + len(found)}: the file ends there")
    return found


def _number(path: Path, field: bytes, what: str, least: int, most: int | None = None) -> int:
    try:
        value = int(field)
    except ValueError:
        value = least - 1
    if value < least or (most is not None and value > most):
        bounds = f"{least}" if most == least else f"{least} or more" if most is None else f"{least} to {most}"
        raise _unfit(path, f"{bounds} as {what} in its header", _shown(field))
    return value


def _seconds(path: Path, field: bytes) -> float:
    try:
        value = float(field)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:  # 0 if there are annotations only
        raise _unfit(path, "a number of seconds as length of a record in its header", _shown(field))
    return value


def _shown(field: bytes) -> str:
    return printable(repr(field.decode("latin-1").strip()))


def _unfit(path: Path, needed: str, got: str) -> RecordingError:
    return RecordingError(f"{path.name} needs {needed}, got {got}. Fetch it again, or leave it out.")
