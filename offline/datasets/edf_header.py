"""Is an EDF or BDF file complete? Its header tells how long it must be.

MNE reads what is left of a file that was cut off. Labels of such a recording no longer fit it, so archives refuse it.

References
----------
Kemp et al. (1992), doi:10.1016/0013-4694(92)90009-7; EDF+: doi:10.1016/S1388-2457(03)00123-8.
"""

from __future__ import annotations

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
            fixed = file.read(_FIXED)
            n_signals = int(fixed[252:256])
            if not 1 <= n_signals <= _MAX_SIGNALS:
                raise ValueError(f"{n_signals} signals")
            signals = file.read(_FIXED * n_signals)
        counts = [int(signals[216 * n_signals + 8 * i : 216 * n_signals + 8 * i + 8]) for i in range(n_signals)]
        header = EdfHeader(
            n_records=int(fixed[236:244]),
            record_s=float(fixed[244:252]),
            record_bytes=sum(counts) * _BYTES[path.suffix.lower()],
            header_bytes=int(fixed[184:192]),
        )
        if min(counts) < 1 or header.header_bytes != _FIXED * (n_signals + 1):
            raise ValueError(f"a header of {header.header_bytes} bytes")
    except (OSError, ValueError) as error:
        raise RecordingError(
            f"{path.name} needs an EDF header with whole numbers in its fields, got {printable(str(error))}. "
            "Fetch it again, or leave it out."
        ) from error
    return header
