"""Predictions of people that models had not met, and their figures when people are drawn anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bci.decision import softmax
from offline import classification as of
from offline.fold import FoldResult, Scored

MOST_DRAWS, FEWEST_DRAWS = 2000, 200
"""Resamples of people, for up to 50,000 rows and for very many: there, people differ more than resamples."""
FIGURES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "kl": "KL",
    "log_loss": "log loss",
    "ece": "ECE",
    "accuracy": "accuracy",
}
"""Names of figures in JSON, and in words. AUROC and AUPRC are means over classes, each against the rest."""
BY_CLASS = ("auroc", "auprc")
_NUMBERS_AT_ONCE = 2_000_000
_NUMBERS_IN_ALL = 100_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What was predicted, in an order that does not depend on the folds.

    Parameters
    ----------
    subjects : tuple of str
        Whose each row is.
    places : tuple of (str, int)
        Recording of each row and its first sample there.
    labels : ndarray of int64, shape (n_rows,)
        True classes.
    targets, probabilities : ndarray of float64, shape (n_rows, n_classes)
        Distributions: of the votes or the label, and of the models.
    """

    subjects: tuple[str, ...]
    places: tuple[tuple[str, int], ...]
    labels: np.ndarray
    targets: np.ndarray
    probabilities: np.ndarray

    @property
    def people(self) -> tuple[str, ...]:
        """Names, sorted."""
        return tuple(sorted(set(self.subjects)))

    @property
    def person(self) -> np.ndarray:
        """Number of each row's person in `people`, int64 (n_rows,)."""
        return np.searchsorted(self.people, self.subjects)


def pooled(results: Sequence[FoldResult], probabilities: Sequence[np.ndarray] | None = None) -> Predictions:
    """Return the predictions of all folds, each with its own temperature.

    Parameters
    ----------
    results : sequence of FoldResult
        Folds.
    probabilities : sequence of ndarray or None, default=None
        What is predicted in place of the folds' own probabilities, fold by fold, (n_stretches, n_classes).

    Returns
    -------
    predictions : Predictions
    """
    if probabilities is None:
        probabilities = [softmax(np.array(fold.logits), fold.temperature) for fold in results]
    labels = [label for fold in results for label in fold.labels]
    return arranged([stretch for fold in results for stretch in fold.scored], labels, np.concatenate(probabilities))


def arranged(scored: Sequence[Scored], labels: Sequence[int], probabilities: np.ndarray) -> Predictions:
    """Return predictions in the order of people, recordings and time.

    Parameters
    ----------
    scored : sequence of Scored
        Which stretches.
    labels : sequence of int
        Their classes.
    probabilities : ndarray, shape (n_stretches, n_classes)
        What was predicted.
    """
    order = sorted(range(len(scored)), key=lambda i: (scored[i].subject, scored[i].session, scored[i].start))
    return Predictions(
        tuple(scored[i].subject for i in order),
        tuple((scored[i].session, scored[i].start) for i in order),
        np.array(labels, dtype=np.int64)[order],
        np.array([stretch.target for stretch in scored], dtype=np.float64)[order],
        probabilities.astype(np.float64)[order],
    )


def by_person(rows: Predictions) -> Predictions | None:
    """Return one prediction for each person, the mean of theirs.

    None if that says nothing new: a person has several labels, all people have the same, or each has one row anyway.
    """
    people, person = rows.people, rows.person
    if len(people) == len(rows.labels):
        return None
    shares = np.eye(rows.targets.shape[1])[rows.labels]
    labels = _person_means(shares, person)
    if (labels.max(axis=1) < 1).any() or len(set(labels.argmax(axis=1))) < 2:
        return None
    return Predictions(
        people,
        tuple((name, 0) for name in people),
        labels.argmax(axis=1),
        _person_means(rows.targets, person),
        _person_means(rows.probabilities, person),
    )


def n_draws(n_rows: int) -> int:
    """Return how many resamples of people an interval of so many rows comes from."""
    return max(FEWEST_DRAWS, min(MOST_DRAWS, _NUMBERS_IN_ALL // n_rows))


def figures(runs: Sequence[Predictions], classes: Sequence[str], seed: int) -> dict[str, Any]:
    """Return figures with 95 % percentile intervals over people, as JSON values.

    Parameters
    ----------
    runs : sequence of Predictions
        Of the same rows; of several (repeated folds), a figure is the mean of theirs.
    classes : sequence of str
        Their names.
    seed : int
        Seed of the resamples. Each draws as many people as there are, all rows of a person with each.

    Returns
    -------
    figures : dict
        ``n`` (rows), each name of `FIGURES` with ``value`` and ``interval`` (None where there is none), ``classes``
        (for each ``n``, ``auroc`` and ``auprc``) and ``reliability`` (of the first run).
    """
    first = runs[0]
    values = _mean(runs, np.ones((1, len(first.labels))))
    drawn = _drawn(lambda weights: _mean(runs, weights), first.person, seed)
    found: dict[str, Any] = {"n": len(first.labels)}
    found |= {name: _figure(values[name], drawn[name]) for name in FIGURES}
    found["classes"] = {
        str(label): {
            "n": int((first.labels == i).sum()),
            **{name: _figure(values[f"{name}/{i}"], drawn[f"{name}/{i}"]) for name in BY_CLASS},
        }
        for i, label in enumerate(classes)
    }
    found["reliability"] = of.reliability(first.labels, first.probabilities)
    return found


def gains(
    runs: Sequence[Predictions], reference: Sequence[Predictions], seed: int, names: Sequence[str]
) -> dict[str, Any]:
    """Return by how much figures are above those of a reference on the same rows, with paired intervals over people.

    Parameters
    ----------
    runs, reference : sequence of Predictions
        As in `figures`; every resample of people is used for both.
    seed : int
        Seed of the resamples.
    names : sequence of str
        Which of `FIGURES`.

    Returns
    -------
    gains : dict
        Each name with ``value`` and ``interval``.
    """

    def difference(weights: np.ndarray) -> dict[str, np.ndarray]:
        ours, theirs = _mean(runs, weights), _mean(reference, weights)
        return {name: ours[name] - theirs[name] for name in names}

    values = difference(np.ones((1, len(runs[0].labels))))
    drawn = _drawn(difference, runs[0].person, seed)
    return {name: _figure(values[name], drawn[name]) for name in names}


def mean_figure(values: np.ndarray, subjects: Sequence[str], seed: int) -> dict[str, Any]:
    """Return the mean of a number per row with its 95 % percentile interval over people.

    Parameters
    ----------
    values : ndarray, shape (n_rows,)
        The numbers.
    subjects : sequence of str
        Whose each row is.
    seed : int
        Seed of the resamples, as in `figures`.

    Returns
    -------
    figure : dict
        ``value`` and ``interval`` (None for one person).
    """
    _, person = np.unique(np.array(subjects), return_inverse=True)
    drawn = _drawn(lambda weights: {"mean": of.mean(values, weights)}, person, seed)
    return _figure(values.mean(keepdims=True), drawn["mean"])


def _mean(runs: Sequence[Predictions], weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return every figure for every weighting, the mean over runs."""
    every = [_values(run, weights) for run in runs]
    return {name: np.mean([values[name] for values in every], axis=0) for name in every[0]}


def _values(rows: Predictions, weights: np.ndarray) -> dict[str, np.ndarray]:
    labels, chances = rows.labels, rows.probabilities
    n_classes = chances.shape[1]
    said = chances.argmax(axis=1)
    values: dict[str, np.ndarray] = {}
    for name, area in (("auroc", of.auroc), ("auprc", of.average_precision)):
        areas = [area(chances[:, i], labels == i, weights) for i in range(n_classes)]
        values |= {f"{name}/{i}": value for i, value in enumerate(areas)}
        values[name] = of.mean_of_defined(np.stack(areas))
    return values | {
        "balanced_accuracy": of.balanced_accuracy(labels, said, n_classes, weights),
        "macro_f1": of.macro_f1(labels, said, n_classes, weights),
        "kl": of.divergence(rows.targets, chances, weights),
        "log_loss": of.divergence(np.eye(n_classes)[labels], chances, weights),
        "ece": of.calibration_error(labels, chances, weights),
        "accuracy": of.accuracy(labels, said, weights),
    }


def _drawn(
    values: Callable[[np.ndarray], dict[str, np.ndarray]], person: np.ndarray, seed: int
) -> Mapping[str, np.ndarray]:
    """Return figures for resamples of people, a part of the resamples at a time."""
    parts = [values(weights) for weights in _resamples(person, seed)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _resamples(person: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Yield weights of the rows, (some resamples, n_rows); of one person none that counts, as nothing can be drawn."""
    rng = np.random.default_rng(seed)
    n = int(person.max()) + 1
    if n == 1:
        yield np.zeros((1, len(person)))
        return
    total = n_draws(len(person))
    size = max(1, min(total, _NUMBERS_AT_ONCE // len(person)))
    for start in range(0, total, size):
        times = rng.multinomial(n, np.full(n, 1 / n), size=min(size, total - start))
        yield times[:, person].astype(np.float64)


def _figure(value: np.ndarray, drawn: np.ndarray) -> dict[str, Any]:
    """Return a figure; without an interval if fewer than half of the resamples have it."""
    if np.isnan(value[0]):
        return {"value": None, "interval": None}
    there = drawn[~np.isnan(drawn)]
    if len(there) < len(drawn) / 2:
        return {"value": float(value[0]), "interval": None}
    return {"value": float(value[0]), "interval": np.quantile(there, [0.025, 0.975]).tolist()}


def _person_means(values: np.ndarray, person: np.ndarray) -> np.ndarray:
    sums = np.zeros((int(person.max()) + 1, values.shape[1]))
    np.add.at(sums, person, values)
    return sums / np.bincount(person)[:, None]
