"""Calibration: one temperature, from people that the model has not learnt from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from bci.errors import SpecError
from offline.fold import FoldResult

LOWEST, HIGHEST = 0.05, 20.0


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature under which the logits explain the labels best.

    Parameters
    ----------
    logits : ndarray, shape (n_windows, n_classes)
        Output of the network.
    labels : ndarray of int64, shape (n_windows,), or of float64, shape (n_windows, n_classes)
        True classes, or distributions over them.

    Returns
    -------
    temperature : float
        Between 0.05 and 20; divides the logits.

    Raises
    ------
    SpecError
        If there are no windows.

    References
    ----------
    Guo et al. (2017), arXiv:1706.04599.
    """
    if not len(labels):
        raise SpecError("A temperature needs labelled windows, got none. Add validation patients.")
    x = logits.astype(np.float64)
    true = x[np.arange(len(labels)), labels] if labels.ndim == 1 else (x * labels).sum(axis=1)

    def loss(log_temperature: float) -> float:
        temperature = np.exp(log_temperature)
        return float(np.mean(logsumexp(x / temperature, axis=1) - true / temperature))

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded")
    return float(np.exp(found.x))


def pooled_temperature(folds: Sequence[FoldResult]) -> float:
    """Return the temperature of what several models gave for people whom they had not met."""
    logits = np.concatenate([fold.logits for fold in folds])
    return fit_temperature(logits, np.array([stretch.target for fold in folds for stretch in fold.scored]))
