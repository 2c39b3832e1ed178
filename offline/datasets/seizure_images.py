"""Spectrogram images of seizures, cut into folds by their authors: no seizure and two types of seizure.

Layouts, with k from 1 on:

- ``MEL_DATA_FOLD_fold_k.npy`` with ``MEL_LABELS_FOLD_fold_k.npy`` and ``MEL_PATIENTS_FOLD_fold_k.npy``, likewise for
  CWT and STFT: montages of all channels as colour images of 224 by 224;
- ``mel_data_fold_k.npy``, ``mel_labels_fold_k.npy``, ``mel_patients_fold_k.npy``: the same in lower case;
- ``eeg_fold_k.npy``, ``labels_fold_k.npy``, ``patients_fold_k.npy``: images of 100 by 100 in 20 channels;
- ``folds_data_concat.mat``: the cell arrays ``data`` and ``labels``, one cell per fold, and maybe ``patients``. Without
  them nobody knows who is in a fold: each fold counts as one subject.

Images have their channels last on disk, and first here. Two classes: map both types to one.

References
----------
Layouts of github.com/GabiYamato/eeg_seizure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from zlib import error as ZlibError

import numpy as np
import scipy.io
from scipy.io.matlab import MatReadError

from bci.errors import BciError, RecordingError
from bci.texts import printable
from offline.datasets.annotated import nothing_usable
from offline.datasets.base import Problem
from offline.datasets.examples import Examples, Fold, FoldReader
from offline.datasets.unpacked import unpacked

CLASSES = ("no seizure", "seizure type 1", "seizure type 2")
AXES = ("channel", "frequency", "time")
MATLAB = "folds_data_concat.mat"
MATLAB_FOLDS = "matlab"
_FILES = {
    "mel": ("MEL_{}_FOLD_fold_{}.npy", "mel_{}_fold_{}.npy"),
    "cwt": ("CWT_{}_FOLD_fold_{}.npy", "cwt_{}_fold_{}.npy"),
    "stft": ("STFT_{}_FOLD_fold_{}.npy", "stft_{}_fold_{}.npy"),
    "eeg": ("{}_fold_{}.npy",),
}
_PARTS = ("DATA", "LABELS", "PATIENTS")
SUBJECT = re.compile(r"[\w.-]{1,64}", re.ASCII)


def load(folder: Path, images: str) -> Examples:
    """Read a set of images.

    Parameters
    ----------
    folder : Path
        Folder with the files of one layout; sets of other transforms may lie beside.
    images : {"mel", "cwt", "stft", "eeg", "matlab"}
        Which set.

    Returns
    -------
    examples : Examples
        float32, shape (n_channels, height, width) each. Folds with a missing or damaged file, with files of unequal
        length or images of another shape than most, and rows with labels outside the classes are listed as problems.

    Raises
    ------
    RecordingError
        If no fold can be used, or two layouts of the set lie in the folder.
    """
    problems: list[Problem] = []
    folds = _from_matlab(folder / MATLAB, problems) if images == MATLAB_FOLDS else _from_files(folder, images, problems)
    folds = _of_one_shape(folds, problems)
    if not folds:
        raise nothing_usable(f"seizure-images-{images}", _layout(images), folder, problems)
    height, width, n_channels = folds[0].data.shape[1:]
    return Examples(
        f"seizure-images-{images}",
        CLASSES,
        AXES,
        (n_channels, height, width),
        np.concatenate([fold.labels for fold in folds]),
        tuple(name for fold in folds for name in fold.subjects),
        np.concatenate([np.full(len(fold.labels), fold.number) for fold in folds]),
        FoldReader(folds, channels_first),
        tuple(fold.path for fold in folds for _ in fold.rows),
        np.concatenate([fold.rows for fold in folds]),
        tuple(problems),
    )


def channels_first(images: np.ndarray) -> np.ndarray:
    """Return images of shape (n, height, width, channels) as float32, shape (n, channels, height, width)."""
    return np.ascontiguousarray(np.moveaxis(images, -1, 1), dtype=np.float32)


def _layout(images: str) -> str:
    return MATLAB if images == MATLAB_FOLDS else " or ".join(_names(form, "k")[0] for form in _FILES[images])


def _names(form: str, number: int | str) -> tuple[str, str, str]:
    parts = _PARTS if form[0].isupper() else tuple(part.lower() for part in _PARTS)
    if form.startswith("{"):
        parts = ("eeg", *parts[1:])
    data, labels, patients = (form.format(part, number) for part in parts)
    return data, labels, patients


def _from_files(folder: Path, images: str, problems: list[Problem]) -> list[Fold]:
    found: dict[str, list[int]] = {}
    for form in _FILES[images]:
        name = re.compile("|".join(re.escape(n).replace("NUMBER", r"(\d+)") for n in _names(form, "NUMBER")))
        matches = (name.fullmatch(path.name) for path in folder.glob("*.npy"))
        numbers = {int(next(filter(None, match.groups()))) for match in matches if match}
        if numbers:
            found[form] = sorted(numbers)
    if len(found) > 1:
        both = " and ".join(_names(form, numbers[0])[0] for form, numbers in found.items())
        raise RecordingError(f"A folder must hold one layout of a set, {folder} has {both}. Move one elsewhere.")
    folds: list[Fold] = []
    for form, in_form in found.items():
        for number in in_form:
            data, labels, patients = (folder / name for name in _names(form, number))
            try:
                arrays = [_mapped(path) for path in (data, labels, patients)]
                folds.append(_fold(number, (data, labels, patients), (arrays[0], arrays[1], arrays[2]), problems))
            except BciError as error:
                problems.append(Problem(data, str(error)))
    return folds


def _mapped(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise RecordingError(f"The file {path.name} of the fold is missing. Fetch it.") from error
    except (OSError, ValueError, EOFError) as error:
        raise RecordingError(
            f"{path.name} must be a whole file of numpy.save, it cannot be read: {printable(str(error))}. "
            "Fetch it again, or leave the fold out."
        ) from error


def _from_matlab(path: Path, problems: list[Problem]) -> list[Fold]:
    if not path.is_file():
        return []
    arrays = unpacked(path, partial(_matlab_arrays, path))
    folds: list[Fold] = []
    for number in range(1, sum(name.startswith("data") for name in arrays) + 1):
        names = [f"{part}-{number:02d}" for part in ("data", "labels", "patients")]
        labels = arrays[names[1]].ravel()
        patients = arrays[names[2]].ravel() if names[2] in arrays else np.full(len(labels), f"fold-{number}")
        where = tuple(path.with_name(f"{path.name}, fold {number}: {part}") for part in ("data", "labels", "patients"))
        try:
            folds.append(_fold(number, (where[0], where[1], where[2]), (arrays[names[0]], labels, patients), problems))
        except BciError as error:
            problems.append(Problem(path, str(error)))
    return folds


def _matlab_arrays(path: Path) -> Mapping[str, np.ndarray]:
    try:
        content = scipy.io.loadmat(path, chars_as_strings=True)
    except (OSError, ValueError, TypeError, NotImplementedError, MatReadError, ZlibError) as error:
        raise RecordingError(
            f"{path.name} must be a MATLAB file before version 7.3, it cannot be read: {printable(str(error))}. "
            "Save it with -v7, or fetch it again."
        ) from error
    parts = [name for name in ("data", "labels", "patients") if name in content]
    cells = {name: content[name].ravel() for name in parts if content[name].dtype == object}
    if parts[:2] != ["data", "labels"] or len(cells) != len(parts) or len({len(c) for c in cells.values()}) != 1:
        found = ", ".join(f"{name} {content[name].shape}" for name in parts) or "neither"
        raise RecordingError(
            f"{path.name} must hold the cell arrays data and labels with one cell per fold, got {found}. Leave it out."
        )
    arrays = {f"{name}-{k:02d}": cell for name in parts for k, cell in enumerate(cells[name], start=1)}
    return {
        name: np.array([str(np.ravel(x)[0]) for x in cell.ravel()]) if cell.dtype == object else cell
        for name, cell in arrays.items()
    }


def _fold(
    number: int,
    paths: tuple[Path, Path, Path],
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
    problems: list[Problem],
) -> Fold:
    data, labels, patients = arrays
    lengths = {path.name: len(array) if array.ndim else 0 for path, array in zip(paths, arrays, strict=True)}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        shown = ", ".join(f"{n} in {name}" for name, n in lengths.items())
        raise RecordingError(f"The files of a fold must have the same number of rows, got {shown}. Leave the fold out.")
    if data.ndim != 4 or data.dtype.kind not in "fiu":
        raise RecordingError(
            f"{paths[0].name} must hold numbers of shape (n, height, width, channels), got {data.dtype} {data.shape}. "
            "Leave the fold out."
        )
    for path, array in zip(paths[1:], (labels, patients), strict=True):
        if array.size != len(array):
            raise RecordingError(
                f"{path.name} must hold one value for each image, got {array.dtype} {array.shape}. Save class numbers "
                "and names, or leave the fold out."
            )
    rows: list[int] = []
    kept: list[int] = []
    names: list[str] = []
    for row, (label, patient) in enumerate(zip(np.ravel(labels).tolist(), np.ravel(patients).tolist(), strict=True)):
        name = str(int(patient)) if isinstance(patient, float) and patient.is_integer() else str(patient)
        if label not in range(len(CLASSES)):
            reason = f"{paths[1].name}, row {row}: a label must be 0, 1 or 2, got {printable(repr(label))}. Correct it."
            problems.append(Problem(paths[1], reason))
        elif not SUBJECT.fullmatch(name):
            reason = (
                f"{paths[2].name}, row {row}: a patient must have a plain name, got {printable(repr(name))}. Use "
                "letters, digits, dots, - and _."
            )
            problems.append(Problem(paths[2], reason))
        else:
            rows.append(row)
            kept.append(int(label))
            names.append(name)
    return Fold(number, paths[0], data, np.array(rows, np.int64), np.array(kept, np.int64), tuple(names))


def _of_one_shape(folds: list[Fold], problems: list[Problem]) -> list[Fold]:
    shapes = [fold.data.shape[1:] for fold in folds]
    common = max(shapes, key=shapes.count, default=())
    for fold, shape in zip(folds, shapes, strict=True):
        if shape != common:
            reason = (
                f"{fold.path.name}: images must have the shape {common} like most, got {shape}. Leave the fold out."
            )
            problems.append(Problem(fold.path, reason))
    return [fold for fold, shape in zip(folds, shapes, strict=True) if shape == common and len(fold.rows)]
