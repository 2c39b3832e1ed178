"""Archives that can only be read whole, unpacked once into files that can be read in part.

Pickles and MATLAB files hold everything in one stream. Their arrays are kept in the user's cache
(``$XDG_CACHE_HOME/streaming-bci/datasets``), by name, size and time of change of the file, and mapped from there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from bci.errors import RecordingError


def unpacked(path: Path, read: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the arrays of a file, mapped.

    Parameters
    ----------
    path : Path
        The file.
    read : callable
        Reads all arrays by name; called if the file was not unpacked yet.

    Returns
    -------
    arrays : dict of str to ndarray
        Mapped, read only.

    Raises
    ------
    RecordingError
        If the cache cannot be written.
    """
    folder = cache_folder() / _key(path)
    if not folder.is_dir():
        arrays = read()
        try:
            _write(folder, arrays)
        except OSError as error:
            raise RecordingError(
                f"The arrays of {path.name} need room in {folder.parent}, they cannot be written: {error.strerror}. "
                "Set XDG_CACHE_HOME."
            ) from error
    return {file.stem: np.load(file, mmap_mode="r", allow_pickle=False) for file in sorted(folder.glob("*.npy"))}


def cache_folder() -> Path:
    """Return the user's folder for unpacked archives (``$XDG_CACHE_HOME/streaming-bci/datasets``)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "streaming-bci" / "datasets"


def _key(path: Path) -> str:
    found = path.stat()
    return hashlib.sha256(f"{path.resolve()}:{found.st_size}:{found.st_mtime_ns}".encode()).hexdigest()[:24]


def _write(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        for name, array in arrays.items():
            np.save(scratch / f"{name}.npy", array, allow_pickle=False)
        try:
            scratch.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first, with the same arrays
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
