"""The table of tasks: which module reads which archive."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bci.errors import UsageError
from offline.datasets.base import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable

    from offline.datasets.examples import Examples
    from offline.train import Outcome


@dataclass(frozen=True, slots=True)
class Task:
    """Something that models can be trained on.

    Parameters
    ----------
    module : str
        Module with ``load(folder) -> Dataset``; imported only when it is needed.
    line : str
        What the task is, in one line.
    trainer : str, default="offline.train"
        Module with ``train(config, created, on_step) -> Outcome``: how the task is split and scored.
    has_archive : bool, default=True
        Whether ``load`` reads a folder; False for simulated data, whose ``load`` gets None.
    options : mapping of str to str, default={}
        Further arguments of ``load``, by name.
    settings : mapping, default={}
        Settings of a run where the user gives none, in place of those of `offline.config.TrainConfig`.
    streams : bool, default=True
        Whether a live stream can carry what is learnt from; models of a task that none can have no bundle.
    continuous : bool, default=False
        Whether stretches are annotations of long recordings, so that those too short for a window are left out.
    unchecked : tuple of str, default=()
        Leaks that cannot be looked for, for want of what the archive does not hold.
    origins : tuple of str, default=()
        What names of people begin with, by where they were recorded. Where people of several are learnt from, a model
        may tell these apart instead of the classes.
    """

    module: str
    line: str
    trainer: str = "offline.train"
    has_archive: bool = True
    options: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    streams: bool = True
    continuous: bool = False
    unchecked: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()


# one decision a second on 10 s; half-minute pieces: an hour is more than one example of background
_LONG: dict[str, Any] = {
    "settings": {"window_s": 10.0, "hop_s": 1.0, "piece_s": 30.0, "split": "k-fold"},
    "continuous": True,
}
_PARTS: dict[str, Any] = {**_LONG, "settings": {**_LONG["settings"], "split": "archive"}}
_BANANA: dict[str, Any] = {"options": {"montage": "banana"}}
TASKS: dict[str, Task] = {
    "ssvep": Task(
        "offline.datasets.ssvep", "which of three flickering lights a person looks at, or none (13, 21, 17 Hz)"
    ),
    "seizure-sim": Task(
        "offline.datasets.simulated",
        "whether a simulated patient has a seizure; needs no data",
        trainer="offline.seizure_training",
        has_archive=False,
    ),
    "epoc-epilepsy": Task(
        "offline.datasets.epoc_epilepsy",
        "epilepsy or control, for each person (Emotiv EPOC, two countries)",
        origins=("GB-", "NI-"),
    ),
    "ecog-seizures": Task("offline.datasets.ecog_seizures", "before or during a seizure, ECoG of one patient"),
    "hms": Task("offline.datasets.hms", "votes of experts for six patterns in ICU EEG (HMS)"),
    "icu-hms": Task("offline.datasets.hms", "the same, a sample of 12 segments"),
    "seizure-segments": Task(
        "offline.datasets.seizure_segments",
        "type of seizure in raw segments of 20 s",
        settings={"window_s": 20.0, "split": "k-fold"},
        unchecked=("whether a patient is there under two names",),
    ),
    "chb-mit": Task("offline.datasets.chbmit", "seizures of children (CHB-MIT), double banana", **_LONG),
    "siena": Task("offline.datasets.siena", "seizures of adults (Siena), average reference", **_LONG),
    "siena-banana": Task("offline.datasets.siena", "the same, double banana", **_BANANA, **_LONG),
    "tusz": Task("offline.datasets.tusz", "seizures in clinical EEG (TUSZ), average reference", **_PARTS),
    "tusz-banana": Task("offline.datasets.tusz", "the same, double banana", **_BANANA, **_PARTS),
    "bids-eeg": Task("offline.datasets.bids_eeg", "seizures in any BIDS-EEG archive, average reference", **_LONG),
    "bids-eeg-banana": Task("offline.datasets.bids_eeg", "the same, double banana", **_BANANA, **_LONG),
}
"""Fixed table: a file can name a row of it, never a module."""
EXAMPLES: dict[str, Task] = {
    f"seizure-images-{images}": Task(
        "offline.datasets.seizure_images",
        f"type of seizure in spectrogram images ({line})",
        options={"images": images},
        # an image counts as one second, whatever it shows
        settings={"window_s": 1.0, "hop_s": 1.0, "split": "archive"},
        streams=False,
        unchecked=(
            "whether two folds show the same seconds of a recording: only equal images are found",
            "whether a patient is in two folds under two names, or at all where the file names no patients",
            "whether images were scaled or chosen by what is in other folds",
        ),
    )
    for images, line in (
        ("mel", "mel, by colour"),
        ("cwt", "CWT, by colour"),
        ("stft", "STFT, by colour"),
        ("eeg", "20 channels"),
        ("matlab", "ten folds of a MATLAB file"),
    )
}
"""Archives of ready-made examples, likewise: they can be scored, but not streamed."""


def load_dataset(task: str, folder: str | Path | None) -> Dataset:
    """Read the archive of a task.

    Parameters
    ----------
    task : str
        A name in `TASKS` or `EXAMPLES`.
    folder : str, Path or None
        Where the archive lies; None for a task without one.

    Returns
    -------
    dataset : Dataset
        Usable sessions, and the files that are not.

    Raises
    ------
    UsageError
        If the task is unknown, or the folder does not exist, is missing or is not wanted.
    """
    if task in EXAMPLES:
        from offline.datasets.examples import as_dataset

        return as_dataset(load_examples(task, folder))
    if task not in TASKS:
        raise _unknown(task)
    if TASKS[task].has_archive and (folder is None or not Path(folder).is_dir()):
        raise UsageError(f"The data of task {task} must be a folder, got {folder}, which is not one. Pass --data.")
    if not TASKS[task].has_archive and folder is not None:
        raise UsageError(f"The task {task} makes its own data, got the folder {folder}. Leave --data out.")
    row = TASKS[task]
    load: Callable[..., Dataset] = importlib.import_module(row.module).load
    return replace(load(None if folder is None else Path(folder), **row.options), task=task)


def load_examples(task: str, folder: str | Path | None) -> Examples:
    """Read an archive of ready-made examples.

    Parameters
    ----------
    task : str
        A name in `EXAMPLES`.
    folder : str, Path or None
        Where the archive lies.

    Returns
    -------
    examples : Examples

    Raises
    ------
    UsageError
        If the name is unknown, or the folder does not exist.
    """
    if task not in EXAMPLES:
        raise UsageError(f"No archive of examples is named {task!r}. There are: {', '.join(EXAMPLES)}.")
    if folder is None or not Path(folder).is_dir():
        raise UsageError(f"The examples of {task} must be in a folder, got {folder}, which is not one. Pass --data.")
    load: Callable[..., Examples] = importlib.import_module(EXAMPLES[task].module).load
    return load(Path(folder), **EXAMPLES[task].options)


def trainer(task: str) -> Callable[..., Outcome]:
    """Return ``train(config, created, on_step) -> Outcome`` of a task.

    Raises
    ------
    UsageError
        If the task is unknown.
    """
    train: Callable[..., Outcome] = importlib.import_module(row_of(task).trainer).train
    return train


def row_of(task: str) -> Task:
    """Return the row of a task, of recordings or of examples.

    Raises
    ------
    UsageError
        If the task is unknown.
    """
    row = (TASKS | EXAMPLES).get(task)
    if row is None:
        raise _unknown(task)
    return row


def _unknown(task: str) -> UsageError:
    return UsageError(f"No task is named {task!r}. Tasks: {', '.join(TASKS | EXAMPLES)}.")
