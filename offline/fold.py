"""What a model did on people it had not met, and the file that keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bci.errors import SchemaError
from offline.identity import require_same_settings
from offline.splits import Split, split_from
from offline.temporal import TemporalSplit
from offline.training_settings import Epoch


@dataclass(frozen=True, slots=True)
class Scored:
    """A stretch that was scored.

    Parameters
    ----------
    subject, session : str
        Whose, and in which recording.
    start : int
        Its first sample there.
    target : tuple of float
        Distribution over the classes: of the votes, or of the label.
    n_votes : float, default=0.0
        How many votes there are; 0 where there is a label only.
    """

    subject: str
    session: str
    start: int
    target: tuple[float, ...]
    n_votes: float = 0.0


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What a model did on people it had not met.

    Parameters
    ----------
    split : Split or TemporalSplit
        Who was on which side.
    best_epoch : int
        Epoch whose weights were kept; 0 for a closed fit.
    history : tuple of Epoch
        Learning curve; empty for a closed fit.
    labels, predicted : tuple of int
        True and predicted class of each test stretch.
    logits : tuple of tuple of float
        Output of the model for each test stretch.
    temperature : float
        What divides the logits, from the people who stopped the training, or from inner folds; 1 for a closed fit.
    loss : float
        Mean loss of the test stretches that is minimised in training, without smoothing.
    n_incomplete : int
        Scored windows that cover samples which were missing or not finite.
    scored : tuple of Scored
        Which stretches they are, in the same order.
    """

    split: Split | TemporalSplit
    best_epoch: int
    history: tuple[Epoch, ...]
    labels: tuple[int, ...]
    predicted: tuple[int, ...]
    logits: tuple[tuple[float, ...], ...]
    temperature: float
    loss: float
    n_incomplete: int
    scored: tuple[Scored, ...]

    @property
    def accuracy(self) -> float:
        """Share of test stretches whose class was found."""
        return float(np.mean(np.equal(self.labels, self.predicted)))


def read_fold(path: Path, needed: Mapping[str, Any] | None = None) -> FoldResult:
    """Return a fold that `cross_validate` wrote.

    Parameters
    ----------
    path : Path
        The file.
    needed : mapping or None, default=None
        Settings and split that it must have; None takes any.

    Returns
    -------
    fold : FoldResult

    Raises
    ------
    SchemaError
        If the file is damaged, or older than what is kept now.
    UsageError
        If it was trained in another way.
    """
    try:
        record = json.loads(path.read_text())
        split = split_from(record["split"])
        history = tuple(Epoch(**epoch) for epoch in record["history"])
        found = {**record["settings"], "split": record["split"]}
        fold = FoldResult(
            split,
            int(record["best_epoch"]),
            history,
            tuple(record["labels"]),
            tuple(record["predicted"]),
            tuple(tuple(row) for row in record["logits"]),
            float(record["temperature"]),
            float(record["loss"]),
            int(record["n_incomplete"]),
            tuple(Scored(**{**stretch, "target": tuple(stretch["target"])}) for stretch in record["scored"]),
        )
        _require_whole(fold)
    except (ValueError, KeyError, TypeError) as error:
        raise SchemaError(f"A fold needs complete JSON, {path} is damaged ({error}). Delete it.") from error
    if needed is not None:
        require_same_settings(path, found, needed)
    return fold


def _require_whole(fold: FoldResult) -> None:
    """Raise if stretches, classes and logits of a file do not fit each other."""
    logits = np.array(fold.logits, dtype=np.float64)
    n, n_classes = logits.shape
    targets = np.array([stretch.target for stretch in fold.scored], dtype=np.float64)
    classes = {*fold.labels, *fold.predicted}
    fits = (
        len(fold.labels) == len(fold.predicted) == n
        and targets.shape == logits.shape
        and classes <= set(range(n_classes))
        and np.isfinite(logits).all()
        and 0 < fold.temperature < np.inf
    )
    if not fits:
        raise ValueError("its stretches, classes and logits do not fit each other")
