"""Choice of learning rate and dropout by inner folds that never contain the subject who is scored."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bci.errors import SpecError, UsageError
from offline.checkpoint import write_atomic
from offline.config import TrainConfig, overridden
from offline.datasets.registry import TASKS, load_dataset
from offline.evaluate import FoldResult, cross_validate, resolve
from offline.identity import claim, sessions_sha256
from offline.metrics import summary
from offline.progress import Progress, Step
from offline.recipes import Recipe, recipe
from offline.splits import Split, inner_splits
from offline.train import n_units, outer_splits, torch_threads, usable
from offline.training_loop import Epoch

log = logging.getLogger(__name__)
RATE_FACTORS = (1 / 3, 1.0, 3.0)
DROPOUTS = (0.1, 0.4)


@dataclass(frozen=True, slots=True)
class Point:
    """Settings that are tried.

    Parameters
    ----------
    learning_rate : float
        Peak of the schedule.
    dropout : float
        Share of dropped activations.
    """

    learning_rate: float
    dropout: float


def grid(plan: Recipe) -> tuple[Point, ...]:
    """Return the settings to try: three learning rates around the recipe's, two dropouts."""
    return tuple(Point(plan.learning_rate * f, d) for f, d in itertools.product(RATE_FACTORS, DROPOUTS))


def tune(config: TrainConfig, n_inner: int, on_step: Callable[[Step], None] | None = None) -> dict[str, Any]:
    """Choose settings for each left-out subject from the others alone, and score the choices.

    Parameters
    ----------
    config : TrainConfig
        Settings, without learning rate and dropout.
    n_inner : int
        Inner folds per left-out subject.
    on_step : callable or None, default=None
        Called after each epoch and at the end of each fold.

    Returns
    -------
    tuned : dict
        ``scores`` of the nested cross-validation and ``choices`` per subject with the inner accuracy of every point.
        The same goes into ``tune.json``.

    Raises
    ------
    UsageError
        If the task has fixed cohorts, the model has no such settings, they are given, the others do not fit the
        data, or the folder holds another run.
    """
    plan = recipe(config.task, config.model)
    if TASKS[config.task].trainer != "offline.train":
        raise UsageError(f"Tuning leaves one subject out, {config.task} has fixed cohorts. Choose another --task.")
    if plan.fit != "network":
        raise UsageError(f"Tuning needs a network, {config.model} has a closed fit. Choose another --model.")
    chosen = overridden(config, ("learning_rate", "dropout"))
    if chosen:
        raise UsageError(f"Tuning chooses learning_rate and dropout itself, got {' and '.join(chosen)}. Leave it out.")
    dataset = usable(load_dataset(config.task, config.data), config.skip_bad)
    splits = outer_splits(dataset, config)
    inner = [_inner(split, n_inner) for split in splits]
    out = Path(config.out)
    claim(out, "tune", config, resolve(dataset, plan, config), sessions_sha256(dataset), n_inner)
    units = n_units(plan, config)
    progress = Progress(len(splits) * (len(grid(plan)) * n_inner + 1) * units, on_step)
    choices: list[dict[str, Any]] = []
    results: list[FoldResult] = []
    with torch_threads(config.threads):
        for split, folds in zip(splits, inner, strict=True):
            tried: list[tuple[float, Point, TrainConfig]] = []
            for i, point in enumerate(grid(plan)):
                settings = replace(config, learning_rate=point.learning_rate, dropout=point.dropout)
                label = f"without {split.name}, choice {i + 1}"
                folder = out / "inner" / split.name / str(i)
                found = cross_validate(dataset, folds, plan, settings, folder, *_listeners(progress, label, units))
                tried.append((float(np.mean([fold.accuracy for fold in found])), point, settings))
                log.info(
                    "without %s: lr %g, dropout %g: %.3f", split.name, point.learning_rate, point.dropout, tried[-1][0]
                )
            _, point, settings = max(tried, key=lambda entry: entry[0])
            listeners = _listeners(progress, f"{split.name}, chosen", units)
            results += cross_validate(dataset, [split], plan, settings, out / "folds", *listeners)
            choices.append(_choice(split.name, point, tried))
    tuned = {"model": config.model, "scores": summary(dataset, results, config.seed), "choices": choices}
    write_atomic(out / "tune.json", json.dumps(tuned, indent=1, allow_nan=False) + "\n")
    return tuned


def _inner(split: Split, n_inner: int) -> tuple[Split, ...]:
    try:
        return inner_splits(split, n_inner)
    except SpecError as error:
        raise UsageError(str(error)) from error


def _listeners(
    progress: Progress, label: str, units: int
) -> tuple[Callable[[str, Epoch], None], Callable[[FoldResult], None]]:
    def on_epoch(_: str, epoch: Epoch) -> None:
        progress.epoch(label, epoch)

    def on_fold(fold: FoldResult) -> None:
        progress.over(label, units, len(fold.history))

    return on_epoch, on_fold


def _choice(subject: str, point: Point, tried: list[tuple[float, Point, TrainConfig]]) -> dict[str, Any]:
    return {
        "subject": subject,
        "learning_rate": point.learning_rate,
        "dropout": point.dropout,
        "tried": [{"learning_rate": p.learning_rate, "dropout": p.dropout, "accuracy": a} for a, p, _ in tried],
    }
