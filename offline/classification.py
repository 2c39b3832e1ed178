"""Figures of probabilistic classification for many weightings of the same windows at once.

A figure of weights, shape (n_draws, n_windows), is float64 (n_draws,), one number a draw: a resample of people is a
weighting by how often each was drawn. What a draw does not have (an AUROC without a window of the class) is NaN.
"""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

LEAST = 1e-15
"""Smallest probability that a logarithm is taken of, as in the HMS competition."""
N_BINS = 10
"""Bins of the confidence, of equal width."""


def auroc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the area under the receiver operating characteristic.

    Parameters
    ----------
    scores : ndarray, shape (n_windows,)
        Larger speaks for the class.
    positive : ndarray of bool, shape (n_windows,)
        Which windows are of the class.
    weights : ndarray, shape (n_draws, n_windows)
        How much each counts.

    Returns
    -------
    areas : ndarray of float64, shape (n_draws,)
        Equal scores count half.

    References
    ----------
    Hanley & McNeil (1982), doi:10.1148/radiology.143.1.7063747.
    """
    inside, outside = _by_score(scores, positive, weights)
    below = np.cumsum(outside, axis=1) - outside / 2
    return _ratio((inside * below).sum(axis=1), inside.sum(axis=1) * outside.sum(axis=1))


def average_precision(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the area under the precision-recall steps, without interpolation; parameters as `auroc`.

    References
    ----------
    Davis & Goadrich (2006), doi:10.1145/1143844.1143874, on why not to interpolate.
    """
    inside, outside = (part[:, ::-1] for part in _by_score(scores, positive, weights))
    found, total = np.cumsum(inside, axis=1), np.cumsum(inside + outside, axis=1)
    precision = np.divide(found, total, out=np.zeros_like(found), where=total > 0)
    return _ratio((inside * precision).sum(axis=1), inside.sum(axis=1))


def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean of a number per window.

    Parameters
    ----------
    values : ndarray, shape (n_windows,)
        The numbers.
    weights : ndarray, shape (n_draws, n_windows)
        How much each counts.
    """
    return _ratio(weights @ values, weights.sum(axis=1))


def accuracy(labels: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the share of windows whose class was found.

    Parameters
    ----------
    labels, predicted : ndarray of int64, shape (n_windows,)
        True and predicted classes.
    weights : ndarray, shape (n_draws, n_windows)
        How much each counts.
    """
    return mean((labels == predicted).astype(np.float64), weights)


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray, n_classes: int, weights: np.ndarray) -> np.ndarray:
    """Return the mean, over the classes that occur, of the share of their windows that were found.

    Parameters
    ----------
    labels, predicted, weights
        As in `accuracy`.
    n_classes : int
        Classes that there may be.
    """
    there, _, hits = _counts(labels, predicted, n_classes, weights)
    return mean_of_defined(_ratio(hits, there))


def macro_f1(labels: np.ndarray, predicted: np.ndarray, n_classes: int, weights: np.ndarray) -> np.ndarray:
    """Return the mean F1 over the classes that occur or are predicted.

    Parameters
    ----------
    labels, predicted, weights
        As in `accuracy`.
    n_classes : int
        Classes that there may be.
    """
    there, said, hits = _counts(labels, predicted, n_classes, weights)
    return mean_of_defined(_ratio(2 * hits, there + said))


def divergence(targets: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the mean Kullback-Leibler divergence of the probabilities from the targets; of labels, the log loss.

    Parameters
    ----------
    targets, probabilities : ndarray, shape (n_windows, n_classes)
        Distributions.
    weights : ndarray, shape (n_draws, n_windows)
        How much each counts.
    """
    return mean(divergences(targets, probabilities), weights)


def divergences(targets: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the divergence of each window's probabilities from its target, float64 (n_windows,), in nats.

    Parameters
    ----------
    targets, probabilities
        As in `divergence`.
    """
    return (xlogy(targets, targets) - targets * np.log(np.clip(probabilities, LEAST, 1.0))).sum(axis=1)


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the expected calibration error of the most probable class.

    The mean, over windows, of the distance between the mean confidence and the accuracy of a window's bin.

    Parameters
    ----------
    labels : ndarray of int64, shape (n_windows,)
        True classes.
    probabilities : ndarray, shape (n_windows, n_classes)
        Distributions.
    weights : ndarray, shape (n_draws, n_windows)
        How much each counts.

    References
    ----------
    Guo et al. (2017), arXiv:1706.04599. There are 10 bins of equal width here.
    """
    confidence, hit, place = _binned(labels, probabilities)
    excess = np.stack([weights @ np.where(place == k, confidence - hit, 0.0) for k in range(N_BINS)])
    return _ratio(np.abs(excess).sum(axis=0), weights.sum(axis=1))


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> list[dict[str, float]]:
    """Return ``n`` windows, their mean ``confidence`` and ``accuracy`` for each bin of the confidence that has any.

    Parameters
    ----------
    labels, probabilities
        As in `calibration_error`.
    """
    confidence, hit, place = _binned(labels, probabilities)
    return [
        {
            "n": int((place == k).sum()),
            "confidence": float(confidence[place == k].mean()),
            "accuracy": float(hit[place == k].mean()),
        }
        for k in np.unique(place)
    ]


def mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis of what is not NaN; NaN where nothing is."""
    there = ~np.isnan(values)
    return _ratio(np.where(there, values, 0.0).sum(axis=0), there.sum(axis=0))


def _binned(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return confidence, whether the class is right, and the bin of every window."""
    confidence = probabilities.max(axis=1)
    hit = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    return confidence, hit, np.clip((confidence * N_BINS).astype(np.int64), 0, N_BINS - 1)


def _by_score(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights inside and outside a class for each score that occurs, ascending: (n_draws, n_scores)."""
    order = np.argsort(scores, kind="stable")
    first = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    sorted_weights = weights[:, order]
    inside = np.where(positive[order], sorted_weights, 0.0)
    return tuple(np.add.reduceat(part, first, axis=1) for part in (inside, sorted_weights - inside))  # type: ignore[return-value]


def _counts(
    labels: np.ndarray, predicted: np.ndarray, n_classes: int, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the weights of what is there, what is said and what is both, each (n_classes, n_draws)."""
    classes = np.arange(n_classes)[:, None]
    there, said = labels == classes, predicted == classes
    return there @ weights.T, said @ weights.T, (there & said) @ weights.T


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return the quotient, NaN where there is nothing below."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
