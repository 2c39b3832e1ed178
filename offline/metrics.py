"""The numbers of a run: per person, with intervals, beside what needs no brain signal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from offline.datasets.base import Dataset, class_counts
from offline.fold import FoldResult
from offline.splits import sides
from offline.statistics import balanced_accuracy, confusion_matrix, mean_interval, wilson_interval


def summary(dataset: Dataset, results: Sequence[FoldResult], seed: int) -> dict[str, Any]:
    """Return the scores of a cross-validation as JSON values.

    Parameters
    ----------
    dataset : Dataset
        Its classes name rows and columns.
    results : sequence of FoldResult
        One per fold.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    scores : dict
        ``accuracy`` (mean over people, interval over people), ``balanced_accuracy``, ``confusion``, ``subjects``
        (each with a Wilson interval, which takes its stretches as independent) and ``folds``.
    """
    accuracies = [fold.accuracy for fold in results]
    labels = np.concatenate([fold.labels for fold in results])
    predicted = np.concatenate([fold.predicted for fold in results])
    confusion = confusion_matrix(labels, predicted, len(dataset.classes))
    low, high, method = mean_interval(accuracies, np.random.default_rng(seed), (0.0, 1.0))
    return {
        "accuracy": {"mean": float(np.mean(accuracies)), "interval": [low, high], "over": f"subjects, {method}, 95 %"},
        "balanced_accuracy": balanced_accuracy(confusion),
        "classes": list(dataset.classes),
        "confusion": confusion.tolist(),
        "subjects": [_subject(fold) for fold in results],
        "folds": [
            {
                "test": list(fold.split.test),
                "validation": list(fold.split.validation),
                "train": list(fold.split.train),
                "best_epoch": fold.best_epoch,
                "epochs": len(fold.history),
                "predicted": list(fold.predicted),
            }
            for fold in results
        ],
    }


def compare(results: Sequence[FoldResult], reference: Sequence[FoldResult], seed: int) -> dict[str, Any]:
    """Return the mean difference in accuracy to another model on the same people, with its interval over people."""
    differences = [a.accuracy - b.accuracy for a, b in zip(results, reference, strict=True)]
    low, high, method = mean_interval(differences, np.random.default_rng(seed), (-1.0, 1.0))
    return {"mean": float(np.mean(differences)), "interval": [low, high], "over": f"subjects, paired {method}, 95 %"}


def trivial_baselines(dataset: Dataset, results: Sequence[FoldResult]) -> dict[str, float]:
    """Return what predictors without any brain signal reach on the same folds.

    Parameters
    ----------
    dataset : Dataset
        All sessions.
    results : sequence of FoldResult
        Their splits are used, their predictions are not.

    Returns
    -------
    accuracy : dict
        ``chance`` (one over the classes), ``majority`` (most frequent class of the other people), ``trial_index``
        (most frequent class at the same place in the other people's sessions: what a leak of time would give).
    """
    majority, position = [], []
    for fold in results:
        train, validation, _ = sides(dataset, fold.split)
        others = (*train, *validation)
        guess = int(class_counts(others, len(dataset.classes)).argmax())
        majority.append(float(np.mean(np.array(fold.labels) == guess)))
        position.append(_by_position(dataset, fold))
    return {
        "chance": 1.0 / len(dataset.classes),
        "majority": float(np.mean(majority)),
        "trial_index": float(np.mean(position)),
    }


def _by_position(dataset: Dataset, fold: FoldResult) -> float:
    train, validation, test = sides(dataset, fold.split)
    others = [session.stretches for session in (*train, *validation)]
    hits = []
    for session in test:
        for i, stretch in enumerate(session.stretches):
            seen = np.bincount([s[i].label for s in others if i < len(s)], minlength=len(dataset.classes))
            hits.append(int(seen.argmax()) == stretch.label)
    return float(np.mean(hits))


def _subject(fold: FoldResult) -> dict[str, Any]:
    n = len(fold.labels)
    n_correct = int(np.sum(np.equal(fold.labels, fold.predicted)))
    low, high = wilson_interval(n_correct, n)
    return {
        "subject": fold.split.name,
        "accuracy": n_correct / n,
        "interval": [low, high],
        "n": n,
        "n_correct": n_correct,
    }
