"""Scores with their uncertainty, where people and not windows are the independent draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import norm, t

from bci.errors import SpecError

FEW = 10
"""With fewer people an interval comes from Student's t."""


def wilson_interval(n_correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of a proportion.

    Parameters
    ----------
    n_correct, n : int
        Successes and trials; ``0 <= n_correct <= n`` and ``n > 0``.
    confidence : float, default=0.95
        Coverage.

    Returns
    -------
    low, high : float

    Raises
    ------
    SpecError
        If the counts are not counts of a proportion.

    References
    ----------
    Wilson (1927), doi:10.1080/01621459.1927.10502953.
    """
    if not 0 <= n_correct <= n or n == 0:
        raise SpecError(f"A proportion needs 0 <= n_correct <= n and n > 0, got n_correct={n_correct}, n={n}.")
    z = float(norm.ppf(0.5 + confidence / 2))
    p = n_correct / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def cluster_bootstrap(
    values: Sequence[float], rng: np.random.Generator, confidence: float = 0.95, n_draws: int = 10_000
) -> tuple[float, float]:
    """Return the percentile interval of the mean over people.

    Parameters
    ----------
    values : sequence of float
        One score per person.
    rng : Generator
        Source of the draws.
    confidence : float, default=0.95
        Nominal coverage. With fewer than about ten people the true coverage is lower.
    n_draws : int, default=10000
        Resamples of people, with replacement.

    Returns
    -------
    low, high : float

    Raises
    ------
    SpecError
        If there is no value.
    """
    if not values:
        raise SpecError("A bootstrap over people needs at least one value, got none.")
    scores = np.asarray(values, dtype=np.float64)
    means = scores[rng.integers(0, len(scores), (n_draws, len(scores)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def mean_interval(
    values: Sequence[float], rng: np.random.Generator, bounds: tuple[float, float], confidence: float = 0.95
) -> tuple[float, float, str]:
    """Return the interval of the mean over people that fits their number.

    Parameters
    ----------
    values : sequence of float
        One score per person; at least two.
    rng : Generator
        Source of the bootstrap's draws.
    bounds : tuple of float
        Lowest and highest possible mean; the interval is cut there.
    confidence : float, default=0.95
        Nominal coverage.

    Returns
    -------
    low, high : float
    method : str
        ``t`` below `FEW` people, where a bootstrap covers too little, else ``bootstrap``.

    Raises
    ------
    SpecError
        If there are fewer than two values.
    """
    if len(values) < 2:
        raise SpecError(f"An interval over people needs at least two of them, got {len(values)}. Add people.")
    if len(values) >= FEW:
        return *cluster_bootstrap(values, rng, confidence), "bootstrap"
    half = t.ppf(0.5 + confidence / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    mean = float(np.mean(values))
    return float(max(bounds[0], mean - half)), float(min(bounds[1], mean + half)), "t"


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Return counts, shape (n_classes, n_classes): true class in rows, predicted in columns."""
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def balanced_accuracy(confusion: np.ndarray) -> float:
    """Return the mean recall over the classes that occur."""
    totals = confusion.sum(axis=1)
    return float(np.mean(np.diag(confusion)[totals > 0] / totals[totals > 0]))
