"""How many threads the numerical libraries of this process use, fixed and put back without importing any of them."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

MAPS = Path("/proc/self/maps")
_PAIRS = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),  # wheels of numpy
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),  # wheels of scipy
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
    ("omp_get_max_threads", "omp_set_num_threads"),
)
_NAMES = ("openblas", "mkl_rt", "libomp", "libiomp")
"""Parts of the file names of libraries whose count holds for the process; GNU OpenMP is torch's, which sets it."""


def fix_thread_counts(n_threads: int, undo: ExitStack) -> dict[str, tuple[int, int]]:
    """Let every loaded library compute with `n_threads`.

    Parameters
    ----------
    n_threads : int
        At least 1.
    undo : ExitStack
        Puts the counts back when it is closed.

    Returns
    -------
    counts : dict of str to (int, int)
        By library: threads before and after, as the library says.
    """
    counts = {}
    for name, get, put in _counters():
        before = get()
        undo.callback(put, before)
        put(n_threads)
        counts[name] = (before, get())
    return counts


def _counters() -> list[tuple[str, Callable[[], int], Callable[[int], object]]]:
    """Return name, reader and setter of each library that is loaded."""
    found: list[tuple[str, Callable[[], int], Callable[[int], object]]] = []
    for path in _loaded():
        library = ctypes.CDLL(str(path))
        for getter, setter in _PAIRS:
            if hasattr(library, getter) and hasattr(library, setter):
                found.append((path.name.partition("-")[0], partial(getattr(library, getter)), getattr(library, setter)))
                break
    torch = sys.modules.get("torch")
    if torch is not None:
        found.append(("torch", torch.get_num_threads, torch.set_num_threads))
    return found


def _loaded() -> list[Path]:
    """Return the files of numerical libraries in this process; none where /proc is missing."""
    if not MAPS.is_file():
        return []
    files = {Path(line.split(maxsplit=5)[5]) for line in MAPS.read_text().splitlines() if line.count("/")}
    return sorted(file for file in files if ".so" in file.name and any(name in file.name for name in _NAMES))
