"""The numbers of a run: per person, with intervals, beside what needs no brain signal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from offline.datasets.base import Dataset, Session, class_counts
from offline.fold import FoldResult
from offline.losses import distributions
from offline.people import Predictions, by_person, figures, gains, n_draws, pooled
from offline.splits import sides
from offline.statistics import balanced_accuracy, confusion_matrix, mean_interval, wilson_interval

GAINS = ("auroc", "balanced_accuracy")
"""Figures in which models are compared."""
MAJORITY_FIGURES = ("accuracy", "balanced_accuracy", "macro_f1")
PRIOR_FIGURES = ("kl", "log_loss", "ece")
"""Figures of constants. Their AUROC is one half; pooled over folds, whose constants differ, it would be less."""


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
        ``accuracy`` (mean over people, interval over people), ``balanced_accuracy``, ``confusion``, ``figures`` (see
        `figure_levels`), ``subjects`` (each with a Wilson interval, which takes its stretches as independent) and
        ``folds``.
    """
    labels = np.concatenate([fold.labels for fold in results])
    predicted = np.concatenate([fold.predicted for fold in results])
    confusion = confusion_matrix(labels, predicted, len(dataset.classes))
    rows = pooled(results)
    return {
        "accuracy": _mean_accuracy(list(_accuracies(results).values()), results, seed),
        "balanced_accuracy": balanced_accuracy(confusion),
        "classes": list(dataset.classes),
        "confusion": confusion.tolist(),
        "figures": figure_levels([rows], dataset.classes, seed),
        "subjects": [_subject(rows, i, dataset.classes) for i in range(len(rows.people))],
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


def figure_levels(runs: Sequence[Predictions], classes: Sequence[str], seed: int) -> dict[str, Any]:
    """Return figures of stretches and of people, as JSON values.

    Parameters
    ----------
    runs : sequence of Predictions
        Repeats of a cross-validation; one, as a rule.
    classes : sequence of str
        Their names.
    seed : int
        Seed of the resamples.

    Returns
    -------
    levels : dict
        ``stretches``, ``people`` (one prediction for each person, see `offline.people.by_person`; None without) as
        `offline.people.figures` returns them, and ``over`` in words.
    """
    n_people, n = len(runs[0].people), n_draws(len(runs[0].labels))
    bootstrap = f"95 % percentile bootstrap over {n_people} people, {n} resamples"
    people = [each for rows in runs if (each := by_person(rows)) is not None]
    return {
        "over": f"{bootstrap if n_people > 1 else 'one person: no intervals'}; pooled over folds",
        "stretches": figures(runs, classes, seed),
        "people": figures(people, classes, seed) if people else None,
    }


def gain_levels(
    runs: Sequence[Predictions], reference: Sequence[Predictions], seed: int, names: Sequence[str] = GAINS
) -> dict[str, Any]:
    """Return the gains over a reference on the same rows, as JSON values.

    Parameters
    ----------
    runs, reference : sequence of Predictions
        Repeats of two models' cross-validations, in the same order of rows.
    seed : int
        Seed of the resamples, each of which is used for both.
    names : sequence of str, default=GAINS
        In which figures.

    Returns
    -------
    levels : dict
        ``stretches`` and ``people`` (None without), as `offline.people.gains` returns them.
    """
    people = [[each for rows in side if (each := by_person(rows)) is not None] for side in (runs, reference)]
    return {
        "stretches": gains(runs, reference, seed, names),
        "people": gains(people[0], people[1], seed, names) if people[0] else None,
    }


def compare(results: Sequence[FoldResult], reference: Sequence[FoldResult], seed: int) -> dict[str, Any]:
    """Return how much better a model is than another one on the same people.

    Parameters
    ----------
    results, reference : sequence of FoldResult
        Folds of both, with the same splits.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    difference : dict
        ``mean`` difference in accuracy with its ``interval`` over people, and ``gains``, see `gain_levels`.
    """
    ours, theirs = _accuracies(results), _accuracies(reference)
    differences = [ours[name] - theirs[name] for name in ours]
    low, high, method = mean_interval(differences, np.random.default_rng(seed), (-1.0, 1.0))
    return {
        "mean": float(np.mean(differences)),
        "interval": [low, high],
        "over": f"subjects, paired {method}, 95 %",
        "gains": gain_levels([pooled(results)], [pooled(reference)], seed),
    }


def trivial_baselines(dataset: Dataset, results: Sequence[FoldResult], seed: int) -> dict[str, Any]:
    """Return what predictors without any brain signal reach on the same folds.

    Parameters
    ----------
    dataset : Dataset
        All sessions.
    results : sequence of FoldResult
        Their splits are used, their predictions are not.
    seed : int
        Seed of the resamples.

    Returns
    -------
    baselines : dict
        Accuracies: ``chance`` (one over the classes), ``majority`` (most frequent class of the other people),
        ``trial_index`` (most frequent class at the same place in the other people's sessions: what a leak of time would
        give; None unless every session holds trials of several classes in an order). ``figures``: of the stretches,
        for ``majority`` and ``prior`` (how frequent the classes are among the other people), those that a constant has.
    """
    n_classes = len(dataset.classes)
    constants: dict[str, list[np.ndarray]] = {"majority": [], "prior": []}
    position = []
    for fold in results:
        train, validation, _ = sides(dataset, fold.split)
        others = (*train, *validation)
        guess = int(class_counts(others, n_classes).argmax())
        for name, constant in (("majority", np.eye(n_classes)[guess]), ("prior", _prior(others, n_classes))):
            constants[name].append(np.tile(constant, (len(fold.labels), 1)))
        position += _by_position(dataset, fold)
    rows = {name: pooled(results, chances) for name, chances in constants.items()}
    found = {name: figures([each], dataset.classes, seed) for name, each in rows.items()}
    named = {"majority": MAJORITY_FIGURES, "prior": PRIOR_FIGURES}
    hits = (rows["majority"].probabilities.argmax(axis=1) == rows["majority"].labels).astype(float)
    return {
        "chance": 1.0 / n_classes,
        "majority": _mean_over_people(hits, rows["majority"]),
        "trial_index": float(np.mean(position)) if _has_trials(dataset) else None,
        "figures": {name: {figure: found[name][figure] for figure in named[name]} for name in named},
    }


def _prior(sessions: Sequence[Session], n_classes: int) -> np.ndarray:
    """Return how frequent classes are, with one stretch more of each: none is impossible because few were seen."""
    stretches = [stretch for session in sessions for stretch in session.stretches]
    votes = np.array([(0.0,) * n_classes if stretch.votes is None else stretch.votes for stretch in stretches])
    targets = distributions(np.array([stretch.label for stretch in stretches]), votes, n_classes)
    return (targets.sum(axis=0) + 1) / (len(targets) + n_classes)


def _has_trials(dataset: Dataset) -> bool:
    return all(len({stretch.label for stretch in session.stretches}) > 1 for session in dataset.sessions)


def _by_position(dataset: Dataset, fold: FoldResult) -> list[bool]:
    train, validation, test = sides(dataset, fold.split)
    others = [session.stretches for session in (*train, *validation)]
    hits = []
    for session in test:
        for i, stretch in enumerate(session.stretches):
            seen = np.bincount([s[i].label for s in others if i < len(s)], minlength=len(dataset.classes))
            hits.append(int(seen.argmax()) == stretch.label)
    return hits


def _accuracies(results: Sequence[FoldResult]) -> dict[str, float]:
    """Return the share of each person's stretches whose class was found, by name."""
    hits: dict[str, list[bool]] = {}
    for fold in results:
        for stretch, label, said in zip(fold.scored, fold.labels, fold.predicted, strict=True):
            hits.setdefault(stretch.subject, []).append(label == said)
    return {name: float(np.mean(hits[name])) for name in sorted(hits)}


def _mean_accuracy(people: Sequence[float], results: Sequence[FoldResult], seed: int) -> dict[str, Any]:
    """Return the mean over people; over folds if there is one person."""
    what, values = ("subjects", people) if len(people) > 1 else ("folds", [fold.accuracy for fold in results])
    low, high, method = mean_interval(values, np.random.default_rng(seed), (0.0, 1.0))
    return {"mean": float(np.mean(values)), "interval": [low, high], "over": f"{what}, {method}, 95 %"}


def _mean_over_people(values: np.ndarray, rows: Predictions) -> float:
    return float(np.mean(np.bincount(rows.person, values) / np.bincount(rows.person)))


def _subject(rows: Predictions, i: int, classes: Sequence[str]) -> dict[str, Any]:
    own = rows.person == i
    labels, chances = rows.labels[own], rows.probabilities[own]
    n, n_correct = len(labels), int((chances.argmax(axis=1) == labels).sum())
    low, high = wilson_interval(n_correct, n)
    return {
        "subject": rows.people[i],
        "label": classes[labels[0]] if (labels == labels[0]).all() else None,
        "accuracy": n_correct / n,
        "interval": [low, high],
        "n": n,
        "n_correct": n_correct,
        "probabilities": chances.mean(axis=0).tolist(),
    }
