"""One recording of the original EPOC epilepsy archive: a gzip table with a row for each sample.

The authors' own code writes them (github.com/NLeSC/EEG-epilepsy-diagnosis, demo/convertedf2csv.R): names in the first
line, then the number of the row, 14 channels in an order of their own, and COUNTER, GYROX, CQ_AF3 and others. Values
are µV in steps of 0.51 µV, with an offset that has no meaning: the median of each channel is taken out, as the
authors do before they look at them.

References
----------
van Hees et al. (2018), doi:10.1038/s41598-018-23425-y.
"""

from __future__ import annotations

import gzip
import zlib
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from bci.chunk import Signal
from bci.errors import RecordingError
from bci.texts import printable
from offline.datasets.unpacked import unpacked

SIGNAL = Signal(128.0, ("AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4"))
"""The rate is that of the paper: the tables of samples do not tell it."""
LENGTH_S = 280.0
"""Recordings differ in length, and their length alone predicted the group: all are cut to their first 280 s."""
N_SAMPLES = round(LENGTH_S * SIGNAL.sfreq)
MAX_BYTES = 256 << 20
_ARRAY = "first_280_s"


def read(path: Path, start: int = 0, stop: int | None = None) -> np.ndarray:
    """Return samples ``start`` to ``stop - 1`` of the first 280 s of a recording.

    The table is parsed once; then the samples are mapped from the user's cache (`offline.datasets.unpacked`).

    Parameters
    ----------
    path : Path
        The table, ``.csv.gz``.
    start, stop : int, int or None
        First sample and the one after the last; None for the end.

    Returns
    -------
    samples : ndarray of float32, shape (14, n_samples)
        In µV, channels as in `SIGNAL`.

    Raises
    ------
    RecordingError
        If the file is cut off or too large, lacks a channel, is shorter than 280 s, or has a row in them with another
        number of cells than the first line or with something else than finite numbers.
    """
    return np.array(_opened(path)[:, start:stop])


@lru_cache(maxsize=64)  # windows are read one after the other
def _opened(path: Path) -> np.ndarray:
    return unpacked(path, partial(_arrays, path))[_ARRAY]


def _arrays(path: Path) -> dict[str, np.ndarray]:
    names, rows = _rows(path)
    columns = _columns(names)
    if len(rows) < N_SAMPLES:
        raise RecordingError(
            f"The recording must last {LENGTH_S:g} s at least, it lasts {len(rows) / SIGNAL.sfreq:.1f} s. Leave it out."
        )
    values = np.empty((len(columns), N_SAMPLES))
    for i, row in enumerate(rows[:N_SAMPLES]):
        cells = _cells(row)
        try:
            values[:, i] = [float(cells[column]) for column in columns] if len(cells) == len(names) else np.nan
        except ValueError:
            values[:, i] = np.nan
    bad = np.flatnonzero(~np.isfinite(values).all(axis=0))
    if bad.size:
        raise RecordingError(
            f"Each row must have {len(names)} cells and finite numbers for the channels, {bad.size} have not, the "
            f"first is row {bad[0] + 2}: {printable(rows[bad[0]], 40)!r}. Leave the recording out."
        )
    return {_ARRAY: (values - np.median(values, axis=1, keepdims=True)).astype(np.float32)}


def _rows(path: Path) -> tuple[list[str], list[str]]:
    """Return the names in the first line, and the other lines."""
    try:
        with gzip.open(path) as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(
            f"The recording must be a whole gzip file, it is not: {printable(str(error))}. Fetch it again."
        ) from error
    if len(data) > MAX_BYTES:
        raise RecordingError(f"The recording must unpack to {MAX_BYTES >> 20} MiB at most, got more. Leave it out.")
    first, *rows = data.decode("utf-8", "replace").rstrip().split("\n")
    return [name.strip() for name in _cells(first)], rows


def _cells(row: str) -> list[str]:
    return row.replace('"', "").split(",")  # names and numbers: no cell has a comma inside


def _columns(names: list[str]) -> list[int]:
    """Return where the channels are."""
    missing = [name for name in SIGNAL.names if names.count(name) != 1]
    if missing:
        raise RecordingError(
            f"The recording must have one column each of {', '.join(SIGNAL.names)}; not so: {', '.join(missing)}. "
            "Leave it out."
        )
    return [names.index(name) for name in SIGNAL.names]
