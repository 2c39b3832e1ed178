"""Folds of small images, written by the tests in the layouts of the real ones."""

from __future__ import annotations

import pickle

import numpy as np
import scipy.io

N = 6
"""Images of a fold, two of each patient."""
UPPER = ("{0}_DATA_FOLD_fold_{1}.npy", "{0}_LABELS_FOLD_fold_{1}.npy", "{0}_PATIENTS_FOLD_fold_{1}.npy")
LOWER = ("{0}_data_fold_{1}.npy", "{0}_labels_fold_{1}.npy", "{0}_patients_fold_{1}.npy")
PLAIN = ("eeg_fold_{1}.npy", "labels_fold_{1}.npy", "patients_fold_{1}.npy")
LAYOUTS = {
    "mel upper": ("mel", UPPER, "MEL"),
    "cwt upper": ("cwt", UPPER, "CWT"),
    "stft upper": ("stft", UPPER, "STFT"),
    "mel lower": ("mel", LOWER, "mel"),
    "cwt lower": ("cwt", LOWER, "cwt"),
    "stft lower": ("stft", LOWER, "stft"),
    "plain": ("eeg", PLAIN, ""),
}
"""End of the task's name, names of the files, and the word in them."""


def made_fold(number, shape=(10, 11, 20), dtype=np.float64, n=N):
    rng = np.random.default_rng(number)
    data = (rng.standard_normal((n, *shape)) * 40 + 100).astype(dtype)
    return data, rng.integers(0, 3, n), np.array([f"p{10 * number + i // 2}" for i in range(n)])


def write_folds(folder, names, word, folds):
    folder.mkdir(exist_ok=True)
    for number, arrays in folds.items():
        for name, array in zip(names, arrays, strict=True):
            np.save(folder / name.format(word, number), array)
    return folder


def _cells(arrays):
    cells = np.empty((1, len(arrays)), object)
    cells[0, :] = arrays
    return cells


def write_matlab(folder, folds, **more):
    folder.mkdir(exist_ok=True)
    data, labels, patients = zip(*folds, strict=True)
    content = {"data": _cells(data), "labels": _cells([row[None] for row in labels])}
    scipy.io.savemat(folder / "folds_data_concat.mat", content | {k: _cells(patients) for k in more if more[k]})
    return folder


def write_segments(folder, *, data=None, labels=None, patients=None, protocol=4):
    rng = np.random.default_rng(0)
    values = {
        "data": rng.standard_normal((3, 20, 5120)).astype(np.float32) if data is None else data,
        "labels": np.array([0, 2, 1]) if labels is None else labels,
        "patients": np.array([4.0, 4.0, 7.0]) if patients is None else patients,
    }
    for name, value in values.items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(value, protocol))
    return values["data"]
