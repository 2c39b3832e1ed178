"""Small archives in the SSVEP layout, written by the tests."""

from __future__ import annotations

import warnings
from pathlib import Path

import mne
import numpy as np

NAMES = ("Oz", "O1", "O2", "POz")
SFREQ = 256.0
HZ = {1: None, 2: 13.0, 3: 21.0, 4: 17.0}
CODES = (1, 2, 3, 4, 1, 2, 3, 4)


def write_session(
    folder: Path,
    subject: str,
    run: int = 1,
    *,
    seed: int = 0,
    codes: tuple[int, ...] = CODES,
    names: tuple[str, ...] = NAMES,
    sfreq: float = SFREQ,
    trial_s: float = 4.0,
) -> Path:
    """Write one session with a sine in every trial that is not rest, and return the recording's path."""
    rng = np.random.default_rng(seed)
    step = round(trial_s * sfreq)
    first = round(3 * sfreq)
    data = rng.standard_normal((len(names), first + step * len(codes))) * 10e-3  # volts: 1000 times too large
    onsets = first + step * np.arange(len(codes))
    pattern = rng.standard_normal((len(names), 1))
    for onset, code in zip(onsets, codes, strict=True):
        if HZ.get(code) is not None:
            t = np.arange(step) / sfreq
            data[:, onset : onset + step] += 8e-3 * pattern * np.sin(2 * np.pi * HZ[code] * t)
    info = mne.create_info(list(names), sfreq, "eeg")
    path = folder / f"{subject}_run-{run}_raw.fif"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MNE dislikes the name of the event file
        mne.io.RawArray(data, info, verbose="ERROR").save(path, verbose="ERROR")
        events = np.stack([onsets, np.zeros_like(onsets), np.array(codes)], axis=1)
        mne.write_events(folder / f"{subject}_run-{run}-eve.fif", events, verbose="ERROR")
    return path


def write_archive(folder: Path, n_subjects: int = 3) -> Path:
    """Write one session for each of some people."""
    for i in range(n_subjects):
        write_session(folder, f"sub-{i + 1:02d}", seed=i)
    return folder
