"""The table of tasks: which module reads which archive."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from bci.errors import UsageError
from offline.datasets.base import Dataset


@dataclass(frozen=True, slots=True)
class Task:
    """An archive that models can be trained on.

    Parameters
    ----------
    module : str
        Module with ``load(folder) -> Dataset``; imported only when it is needed.
    line : str
        What the task is, in one line.
    """

    module: str
    line: str


TASKS: dict[str, Task] = {
    "ssvep": Task(
        "offline.datasets.ssvep", "which of three flickering lights a person looks at, or none (13, 21, 17 Hz)"
    ),
}
"""Fixed table: a file can name a row of it, never a module."""


def load_dataset(task: str, folder: Path) -> Dataset:
    """Read the archive of a task.

    Parameters
    ----------
    task : str
        A name in `TASKS`.
    folder : Path
        Where the archive lies.

    Returns
    -------
    dataset : Dataset
        Usable sessions, and the files that are not.

    Raises
    ------
    UsageError
        If the task is unknown or the folder does not exist.
    """
    if task not in TASKS:
        raise UsageError(f"No task is named {task!r}. Tasks: {', '.join(TASKS)}.")
    if not folder.is_dir():
        raise UsageError(f"The data of task {task} must be a folder, got {folder}, which is not one. Pass --data.")
    dataset: Dataset = importlib.import_module(TASKS[task].module).load(folder)
    return dataset
