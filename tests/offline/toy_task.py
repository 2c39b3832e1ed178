"""A task of a few short noise recordings, louder in class 1, that trains within a second; and a recipe for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bci.chunk import Signal
from offline.datasets.base import Dataset, Session, Stretch
from offline.datasets.registry import TASKS, Task
from offline.recipes import RECIPES, Recipe

SFREQ = 64.0
NAMES = ("C3", "C4")
TRIAL = 64
N_TRIALS = 8


def session(subject: str, seed: int, *, run: int = 1, n_trials: int = N_TRIALS, votes: bool = False) -> Session:
    """Return a recording of one person; every second trial is louder."""
    stretches = tuple(
        Stretch(TRIAL * i, TRIAL * (i + 1), i % 2, (1.0, 3.0 * i) if votes and i % 2 else None) for i in range(n_trials)
    )
    began = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=run)
    read = partial(_read, seed, n_trials)
    name = f"{subject}_run-{run}"
    return Session(name, subject, Path(name), Signal(SFREQ, NAMES), TRIAL * n_trials, stretches, read, began)


def dataset(n_subjects: int = 4, **changes) -> Dataset:
    """Return one recording of each of some people."""
    sessions = tuple(session(f"sub-{i + 1:02d}", i, **changes) for i in range(n_subjects))
    return Dataset("toy", ("quiet", "loud"), sessions)


def install(patch: pytest.MonkeyPatch, n_subjects: int = 4, **changes) -> None:
    """Make the task ``toy`` with the model ``eegnet`` known for as long as the patch lasts."""
    made = dataset(n_subjects, **changes)
    patch.setitem(TASKS, "toy", Task("tests.offline.toy_task", "noise", has_archive=False))
    patch.setitem(RECIPES, "toy", {"eegnet": Recipe("eegnet", "EEGNet on noise", (), 3.0, epochs=3, patience=3)})
    patch.setattr("offline.prepare.load_dataset", lambda task, folder: made)


def _read(seed: int, n_trials: int, start: int = 0, stop: int | None = None) -> np.ndarray:
    rng = np.random.default_rng(seed)
    loud = np.repeat(1.0 + np.arange(n_trials) % 2, TRIAL)
    data = (rng.standard_normal((len(NAMES), TRIAL * n_trials)) * loud).astype(np.float32)
    return data[:, start:stop]
