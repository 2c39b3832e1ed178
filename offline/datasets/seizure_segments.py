"""Raw segments of 20 s, labelled by type of seizure: pickles of arrays.

Layout: ``data.pkl``, ``labels.pkl`` and ``patients.pkl``, each an array or a list of n; 20 channels of 5120 samples at
256 Hz, in either order, without names. Values are taken as µV: the files state no unit.

References
----------
Layout of github.com/GabiYamato/eeg_seizure.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bci.chunk import Signal
from bci.errors import RecordingError
from bci.texts import printable
from offline.datasets.base import Dataset, Problem, Session, Stretch
from offline.datasets.plain_pickle import load_plain
from offline.datasets.seizure_images import CLASSES, SUBJECT
from offline.datasets.unpacked import unpacked

SFREQ = 256.0
N_SAMPLES = 5120
NAMES = tuple(f"E{i:02d}" for i in range(1, 21))
"""Numbers in place of names: the files have none."""
FILES = ("data.pkl", "labels.pkl", "patients.pkl")


def load(folder: Path) -> Dataset:
    """Read the segments.

    Parameters
    ----------
    folder : Path
        Folder with the three pickles. They are read once, by a reader that knows arrays, lists and numbers only, and
        kept in the user's cache from then on.

    Returns
    -------
    dataset : Dataset
        One session per segment, with one stretch. Rows with labels outside the classes, samples that are not finite or
        patients whose names cannot name files are listed as problems.

    Raises
    ------
    RecordingError
        If a pickle is missing, damaged or holds something else, or the three differ in length.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise RecordingError(
            f"The task seizure-segments needs {', '.join(FILES)}, {folder} lacks {', '.join(missing)}. Add them, or "
            "check --data."
        )
    data = unpacked(folder / "data.pkl", partial(_segments, folder / "data.pkl"))["data"]
    labels, patients = (_column(folder / name) for name in FILES[1:])
    if not len(data) == len(labels) == len(patients):
        raise RecordingError(
            f"The pickles must have the same number of rows, got {len(data)} in data.pkl, {len(labels)} in labels.pkl "
            f"and {len(patients)} in patients.pkl. Use three that were written together."
        )
    sessions: list[Session] = []
    problems: list[Problem] = []
    for row, (label, patient) in enumerate(zip(labels, patients, strict=True)):
        if label not in range(len(CLASSES)) or isinstance(label, str):
            reason = f"labels.pkl, row {row}: a label must be 0, 1 or 2, got {printable(repr(label))}. Correct it."
            problems.append(Problem(folder / "labels.pkl", reason))
        elif not SUBJECT.fullmatch(_name(patient)):  # it names files
            reason = (
                f"patients.pkl, row {row}: a patient must have a plain name, got {printable(repr(patient))}. "
                "Use letters, digits, dots, - and _."
            )
            problems.append(Problem(folder / "patients.pkl", reason))
        elif not np.isfinite(data[row]).all():
            reason = f"data.pkl, row {row}: a segment must hold finite samples, it does not. Leave it out."
            problems.append(Problem(folder / "data.pkl", reason))
        else:
            sessions.append(_session(folder, data, row, int(label), _name(patient)))
    if not sessions:
        raise RecordingError(
            f"The task seizure-segments needs at least one usable row, got none of {len(data)}. First: "
            f"{problems[0].reason if problems else 'the pickles are empty.'} Check --data."
        )
    return Dataset("seizure-segments", CLASSES, tuple(sessions), tuple(problems))


def _session(folder: Path, data: np.ndarray, row: int, label: int, patient: str) -> Session:
    def read(start: int = 0, stop: int | None = None) -> np.ndarray:
        return np.array(data[row, :, start:stop])

    return Session(
        f"segment-{row:05d}",
        f"patient-{patient}",
        folder / "data.pkl",
        Signal(SFREQ, NAMES),
        N_SAMPLES,
        (Stretch(0, N_SAMPLES, label),),
        read,
        row=row,
    )


def _segments(path: Path) -> dict[str, np.ndarray]:
    """Return the segments as float32, shape (n, 20, 5120)."""
    value = load_plain(path)
    try:
        data = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise RecordingError(
            f"{path.name} must hold segments of one shape, it does not: {printable(str(error))}. Make them alike."
        ) from error
    data = data.squeeze(axis=tuple(i for i in range(1, data.ndim) if data.shape[i] == 1))
    if data.shape[1:] == (N_SAMPLES, len(NAMES)):
        data = data.transpose(0, 2, 1)
    if data.shape[1:] != (len(NAMES), N_SAMPLES):
        raise RecordingError(
            f"{path.name} must hold segments of {len(NAMES)} channels and {N_SAMPLES} samples, got {data.shape}. Write "
            f"them as (n, {len(NAMES)}, {N_SAMPLES})."
        )
    return {"data": np.ascontiguousarray(data)}


def _column(path: Path) -> list[Any]:
    value = load_plain(path)
    rows = value.ravel().tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(rows, list):
        raise RecordingError(f"{path.name} must hold an array or a list, got a {type(rows).__name__}. Write it as one.")
    return rows


def _name(patient: Any) -> str:
    return str(int(patient)) if isinstance(patient, float) and patient.is_integer() else str(patient)
