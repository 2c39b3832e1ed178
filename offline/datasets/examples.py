"""Archives of ready-made examples: spectrogram images, cut and labelled by somebody else.

They can be learnt from and scored. They cannot be streamed: what made them of a recording is not part of the archive.
`as_dataset` makes sessions of them, so that splits, training and scores are those of recordings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bci.chunk import Signal
from offline.datasets.base import Dataset, Problem, Session, Stretch


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Labelled examples of one shape, read by index.

    Parameters
    ----------
    task : str
        Name of the task.
    classes : tuple of str
        Names of the labels, in label order.
    axes : tuple of str
        What the axes of an example are, time last.
    shape : tuple of int
        Shape of an example.
    labels : ndarray of int64, shape (n_examples,)
        Index into `classes`.
    subjects : tuple of str
        Who each is of. Splits never separate the examples of a person.
    folds : ndarray of int64, shape (n_examples,)
        Fold in which the authors of the archive put each.
    read : callable
        ``read(indices)`` returns examples as ndarray of float32, shape (n, *shape), for an ndarray of int64.
    files : tuple of Path
        The file that each is in.
    rows : ndarray of int64, shape (n_examples,)
        Its row there.
    problems : tuple of Problem, default=()
        Files and rows that were left out, with the reason.
    """

    task: str
    classes: tuple[str, ...]
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    labels: np.ndarray
    subjects: tuple[str, ...]
    folds: np.ndarray
    read: Callable[[np.ndarray], np.ndarray]
    files: tuple[Path, ...]
    rows: np.ndarray
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.labels)

    def counts(self) -> np.ndarray:
        """Return the number of examples of each class, shape (n_classes,), as int64."""
        return np.bincount(self.labels, minlength=len(self.classes))


def as_dataset(examples: Examples) -> Dataset:
    """Return examples as sessions of one stretch each.

    Parameters
    ----------
    examples : Examples
        Of shape (n_channels, n_features, n_columns).

    Returns
    -------
    dataset : Dataset
        A session's samples are the columns of its example, one second in all whatever they were; its channels are
        named ``channel:feature``, which `bci.stages.gather.GatherFeatures` takes apart. ``part`` is the fold of the
        archive's authors.
    """
    n_channels, n_features, n_columns = examples.shape
    width = len(str(n_features - 1))
    names = tuple(f"{channel:02d}:{row:0{width}d}" for channel in range(n_channels) for row in range(n_features))
    signal = Signal(float(n_columns), names, unit="value")
    return Dataset(
        examples.task,
        examples.classes,
        tuple(
            Session(
                f"example-{i:06d}",
                subject,
                examples.files[i],
                signal,
                n_columns,
                (Stretch(0, n_columns, label),),
                partial(_columns, examples, i),
                part=f"fold-{fold}",
                row=int(examples.rows[i]),
            )
            for i, (subject, label, fold) in enumerate(
                zip(examples.subjects, examples.labels.tolist(), examples.folds.tolist(), strict=True)
            )
        ),
        examples.problems,
    )


def _columns(examples: Examples, index: int, start: int = 0, stop: int | None = None) -> np.ndarray:
    (example,) = examples.read(np.array([index]))
    return example.reshape(-1, example.shape[-1])[:, start:stop]


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """The examples of one fold, on disk.

    Parameters
    ----------
    number : int
        Number of the fold.
    path : Path
        The file.
    data : ndarray, shape (n, ...)
        Mapped from it.
    rows : ndarray of int64, shape (n_used,)
        Rows that are used.
    labels : ndarray of int64, shape (n_used,)
        Their labels.
    subjects : tuple of str
        Who they are of.
    """

    number: int
    path: Path
    data: np.ndarray
    rows: np.ndarray
    labels: np.ndarray
    subjects: tuple[str, ...]


class FoldReader:
    """Reads examples out of several folds.

    Parameters
    ----------
    folds : sequence of Fold
        In the order in which examples are counted.
    form : callable
        Turns rows of a fold into examples: ndarray of any type to ndarray of float32.
    """

    def __init__(self, folds: Sequence[Fold], form: Callable[[np.ndarray], np.ndarray]) -> None:
        self._folds = tuple(folds)
        self._form = form
        self._first = np.cumsum([0, *(len(fold.rows) for fold in folds)])

    def __call__(self, indices: np.ndarray) -> np.ndarray:
        """Return examples; only their rows are read."""
        which = np.searchsorted(self._first, indices, side="right") - 1
        parts: dict[int, np.ndarray] = {}
        for fold in np.unique(which):
            rows = self._folds[fold].rows[indices[which == fold] - self._first[fold]]
            parts[int(fold)] = self._form(self._folds[fold].data[rows])
        if not parts:
            return self._form(self._folds[0].data[:0])
        out = np.empty((len(indices), *next(iter(parts.values())).shape[1:]), np.float32)
        for number, part in parts.items():
            out[which == number] = part
        return out
