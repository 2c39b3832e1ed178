"""Choice of learning rate and dropout by inner folds that never contain the subject who is scored."""

from __future__ import annotations

import itertools
import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bci.errors import UsageError
from offline.checkpoint import write_atomic
from offline.config import TrainConfig
from offline.datasets.registry import TASKS, load_dataset
from offline.evaluate import FoldResult, cross_validate
from offline.metrics import summary
from offline.recipes import Recipe, recipe
from offline.splits import inner_splits, leave_one_out
from offline.train import claim, torch_threads, usable

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


def tune(config: TrainConfig, n_inner: int) -> dict[str, Any]:
    """Choose settings for each left-out subject from the others alone, and score the choices.

    Parameters
    ----------
    config : TrainConfig
        Settings; learning rate and dropout among them are replaced by the choices.
    n_inner : int
        Inner folds per left-out subject.

    Returns
    -------
    tuned : dict
        ``scores`` of the nested cross-validation and ``choices`` per subject with the inner accuracy of every point.
        The same goes into ``tune.json``.

    Raises
    ------
    UsageError
        If the task has fixed cohorts or the model has no such settings.
    """
    plan = recipe(config.task, config.model)
    if TASKS[config.task].trainer != "offline.train":
        raise UsageError(f"Tuning leaves one subject out, {config.task} has fixed cohorts. Choose another --task.")
    if plan.fit != "network":
        raise UsageError(f"Tuning needs a network, {config.model} has a closed fit. Choose another --model.")
    dataset = usable(load_dataset(config.task, config.data), config.skip_bad)
    out = Path(config.out)
    claim(out, config, dataset)
    choices: list[dict[str, Any]] = []
    results: list[FoldResult] = []
    with torch_threads(config.threads):
        for split in leave_one_out(dataset.subjects, config.n_validation):
            inner = inner_splits(split, n_inner)
            tried: list[tuple[float, Point, TrainConfig]] = []
            for i, point in enumerate(grid(plan)):
                settings = replace(config, learning_rate=point.learning_rate, dropout=point.dropout)
                found = cross_validate(dataset, inner, plan, settings, out / "inner" / split.name / str(i))
                tried.append((float(np.mean([fold.accuracy for fold in found])), point, settings))
                log.info(
                    "without %s: lr %g, dropout %g: %.3f", split.name, point.learning_rate, point.dropout, tried[-1][0]
                )
            _, point, settings = max(tried, key=lambda entry: entry[0])
            results += cross_validate(dataset, [split], plan, settings, out / "folds")
            choices.append(_choice(split.name, point, tried))
    tuned = {"model": config.model, "scores": summary(dataset, results, config.seed), "choices": choices}
    write_atomic(out / "tune.json", json.dumps(tuned, indent=1, allow_nan=False) + "\n")
    return tuned


def _choice(subject: str, point: Point, tried: list[tuple[float, Point, TrainConfig]]) -> dict[str, Any]:
    return {
        "subject": subject,
        "learning_rate": point.learning_rate,
        "dropout": point.dropout,
        "tried": [{"learning_rate": p.learning_rate, "dropout": p.dropout, "accuracy": a} for a, p, _ in tried],
    }
