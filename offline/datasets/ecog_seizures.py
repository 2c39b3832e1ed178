"""Before or during a seizure: ECoG of one patient, 10 s on either side of five onsets.

Layout: ``sz1_pre_clean.mat`` and ``sz1_ict_clean.mat``, each with one matrix of 4000 samples by 76 electrodes at 400
Hz. All are of one patient: what counts as a subject here is a seizure, so that leaving one subject out leaves a seizure
out. Despite the name, some recordings hold 60 Hz hum that separates the classes: pipelines take it out first.

References
----------
Kramer, Kolaczyk & Kirsch (2008), doi:10.1016/j.eplepsyres.2008.02.002.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from pathlib import Path
from zlib import error as ZlibError

import numpy as np
import scipy.io
from scipy.io.matlab import MatReadError

from bci.chunk import Signal
from bci.errors import BciError, RecordingError
from bci.texts import printable
from offline.datasets.annotated import nothing_usable
from offline.datasets.base import Dataset, Problem, Session, Stretch

CLASSES = ("pre-ictal", "ictal")
SFREQ = 400.0
NAMES = tuple(f"E{i:02d}" for i in range(1, 77))
"""Numbers in place of names: the archive has positions only."""
LAYOUT = "szN_pre_clean.mat with szN_ict_clean.mat"
_NAME = re.compile(r"(sz\d+)_(pre|ict)_clean")
_LABELS = {"pre": 0, "ict": 1}
_PARTNER = {"pre": "ict", "ict": "pre"}


def load(folder: Path) -> Dataset:
    """Read the archive.

    Parameters
    ----------
    folder : Path
        Folder with the matrices.

    Returns
    -------
    dataset : Dataset
        Two sessions per seizure. Files that are damaged, without partner, of another shape or with samples that are
        not finite are listed as problems.

    Raises
    ------
    RecordingError
        If no file can be used.
    """
    sessions: list[Session] = []
    problems: list[Problem] = []
    for path in sorted(folder.glob("sz*_clean.mat")):
        try:
            sessions.append(_session(path))
        except BciError as error:
            problems.append(Problem(path, str(error)))
    if not sessions:
        raise nothing_usable("ecog-seizures", LAYOUT, folder, problems)
    return Dataset("ecog-seizures", CLASSES, tuple(sessions), tuple(problems))


def _session(path: Path) -> Session:
    match = _NAME.fullmatch(path.stem)
    if match is None:
        raise RecordingError("The name must be szN_pre_clean.mat or szN_ict_clean.mat. Rename it.")
    partner = path.with_name(f"{match[1]}_{_PARTNER[match[2]]}_clean.mat")
    if not partner.is_file():
        raise RecordingError(f"The other side of the onset, {partner.name}, is missing. Fetch it.")
    n_samples = _matrix(path).shape[1]
    stretches = (Stretch(0, n_samples, _LABELS[match[2]]),)
    return Session(
        path.stem.removesuffix("_clean"),
        match[1],
        path,
        Signal(SFREQ, NAMES),
        n_samples,
        stretches,
        partial(_read, path),
    )


def _read(path: Path, start: int = 0, stop: int | None = None) -> np.ndarray:
    return _matrix(path)[:, start:stop].copy()


@lru_cache(maxsize=16)
def _matrix(path: Path) -> np.ndarray:
    """Return a recording, shape (76, n_samples)."""
    try:
        content = scipy.io.loadmat(path)
    except (OSError, ValueError, TypeError, NotImplementedError, MatReadError, ZlibError) as error:
        raise RecordingError(
            f"{path.name} must be a MATLAB file, it cannot be read: {printable(str(error))}. Fetch it again."
        ) from error
    matrices = [value for name, value in content.items() if not name.startswith("__")]
    if len(matrices) != 1 or matrices[0].ndim != 2 or matrices[0].shape[1] != len(NAMES) or len(matrices[0]) == 0:
        found = ", ".join(str(matrix.shape) for matrix in matrices) or "none"
        raise RecordingError(f"{path.name} must hold one matrix of samples by {len(NAMES)} electrodes, got {found}.")
    data = matrices[0].T.astype(np.float32)
    if not np.isfinite(data).all():
        row = int(np.flatnonzero(~np.isfinite(data).all(axis=0))[0])
        raise RecordingError(f"{path.name} must hold finite samples, row {row} does not. Leave it out.")
    return np.ascontiguousarray(data)
