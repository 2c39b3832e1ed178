"""Files that grow by whole records: lines of JSON, and the stamps of samples."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

STAMP = np.dtype([("sample", "<i8"), ("time", "<f8")])
"""A record of ``*_times.bin``: number of a sample in its recording, and its stamp in seconds of the LSL clock."""


class RecordFile:
    """A file to which records are added; one that was not written whole is taken back.

    Parameters
    ----------
    path : Path
        File to make.
    overwrite : bool, default=False
        Whether one that exists is emptied; else there must be none.
    """

    def __init__(self, path: Path, overwrite: bool = False) -> None:
        self.path = path
        flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | (os.O_TRUNC if overwrite else os.O_EXCL)
        self._fd = os.open(path, flags, 0o666)
        self._size = 0

    def add(self, contents: bytes) -> None:
        """Write whole records.

        Raises
        ------
        OSError
            If they could not be written; none of them is then in the file.
        """
        view = memoryview(contents)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(contents)

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def json_lines(records: Iterable[Mapping[str, Any]]) -> bytes:
    """Return records as JSON Lines."""
    return "".join(json.dumps(record, allow_nan=False) + "\n" for record in records).encode()


def stamps(first_sample: int, times: np.ndarray) -> bytes:
    """Return records of samples that follow each other.

    Parameters
    ----------
    first_sample : int
        Number of the first.
    times : ndarray of float64, shape (n_samples,)
        Their stamps.
    """
    records = np.empty(len(times), STAMP)
    records["sample"] = np.arange(first_sample, first_sample + len(times))
    records["time"] = times
    return records.tobytes()


def read_stamps(path: Path) -> np.ndarray:
    """Return the records of a ``*_times.bin``, whole ones only.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    records : ndarray of `STAMP`, shape (n_samples,)
    """
    contents = path.read_bytes()
    return np.frombuffer(contents[: len(contents) // STAMP.itemsize * STAMP.itemsize], STAMP)


def replace_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON object in place of the one that is there, whole or not at all."""
    scratch = path.with_name(f".{path.name}.part")
    try:
        scratch.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(scratch, path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise
