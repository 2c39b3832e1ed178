"""A weighted mean of several models' probabilities with a bias for each class, fitted where no model had learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from bci.errors import SpecError
from offline.classification import LEAST


@dataclass(frozen=True, slots=True)
class Blend:
    """How probabilities of several models become those of one.

    Parameters
    ----------
    weights : tuple of float
        One for each model; none below 0, 1 in sum.
    bias : tuple of float
        One for each class, added to the logarithm of the mean; 0 in sum.

    Raises
    ------
    SpecError
        If the weights are not on the simplex or a number is not finite.
    """

    weights: tuple[float, ...]
    bias: tuple[float, ...]

    def __post_init__(self) -> None:
        finite = np.isfinite([*self.weights, *self.bias]).all()
        if not (finite and self.weights and min(self.weights) >= 0 and abs(sum(self.weights) - 1) < 1e-6):
            raise SpecError(
                f"A blend needs finite numbers, and weights from 0 on that sum to 1, got weights {self.weights} and "
                f"bias {self.bias}. Fit it again."
            )

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the blended probabilities.

        Parameters
        ----------
        probabilities : ndarray, shape (n_models, n_rows, n_classes)
            In the order of the weights and of the bias.

        Returns
        -------
        blended : ndarray of float64, shape (n_rows, n_classes)
            Each row sums to 1.

        Raises
        ------
        SpecError
            If there are other numbers of models or classes.
        """
        if len(probabilities) != len(self.weights) or probabilities.shape[-1] != len(self.bias):
            raise SpecError(
                f"The blend needs {len(self.weights)} models and {len(self.bias)} classes, got "
                f"{len(probabilities)} and {probabilities.shape[-1]}. Fit it again."
            )
        mixed = np.tensordot(np.array(self.weights), probabilities, axes=1) * np.exp(self.bias)
        return mixed / mixed.sum(axis=-1, keepdims=True)


def even(n_models: int, n_classes: int) -> Blend:
    """Return the plain mean of so many models' probabilities for so many classes."""
    return Blend((1.0 / n_models,) * n_models, (0.0,) * n_classes)


def fit_blend(probabilities: np.ndarray, targets: np.ndarray) -> Blend:
    """Return the blend of least mean divergence.

    Weights are a softmax of numbers which, like the biases, have a standard normal prior: it counts as much as one
    row, keeps a class that nobody voted for from a bias without bound, and is soon outvoted.

    Parameters
    ----------
    probabilities : ndarray, shape (n_models, n_rows, n_classes)
        Predictions of models that had not learnt from these rows.
    targets : ndarray, shape (n_rows, n_classes)
        Distributions.

    Returns
    -------
    blend : Blend

    Raises
    ------
    SpecError
        If there are no rows, or their numbers differ.
    """
    n_models, n_rows, n_classes = probabilities.shape
    if not n_rows or targets.shape != (n_rows, n_classes):
        raise SpecError(
            f"A blend needs at least one row and a target for each, got {n_rows} rows and targets of shape "
            f"{targets.shape}. Use runs with scored stretches."
        )
    p = np.clip(probabilities, LEAST, 1.0)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        weights, raised = _softmax(x[:n_models]), np.exp(x[n_models:])
        mixed = np.tensordot(weights, p, axes=1)
        norm = (mixed * raised).sum(axis=1, keepdims=True)
        value = -(targets * (np.log(mixed) + x[n_models:])).sum() + np.log(norm).sum() + x @ x / 2
        by_mixed = raised / norm - targets / mixed
        by_weight = np.einsum("nk,mnk->m", by_mixed, p)
        by_bias = (mixed * raised / norm - targets).sum(axis=0)
        by_x = np.concatenate([weights * (by_weight - weights @ by_weight), by_bias]) + x
        return float(value) / n_rows, by_x / n_rows

    found = minimize(loss, np.zeros(n_models + n_classes), jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    weights, bias = _softmax(found.x[:n_models]), found.x[n_models:]
    return Blend(tuple(weights.tolist()), tuple((bias - bias.mean()).tolist()))


def cross_fitted(probabilities: np.ndarray, targets: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Return blended probabilities in which no row had a say in its own weights.

    Parameters
    ----------
    probabilities, targets
        As in `fit_blend`.
    groups : sequence of str
        For each row the fold that is set apart with it.

    Returns
    -------
    blended : ndarray of float64, shape (n_rows, n_classes)

    Raises
    ------
    SpecError
        If there is one group only.
    """
    names = np.array(groups)
    if len(set(groups)) < 2:
        raise SpecError(
            f"A blend is judged on folds that it was not fitted to: at least two are needed, got {len(set(groups))}. "
            "Use runs with more folds."
        )
    blended = np.empty_like(targets, dtype=np.float64)
    for name in sorted(set(groups)):
        apart = names == name
        blended[apart] = fit_blend(probabilities[:, ~apart], targets[~apart])(probabilities[:, apart])
    return blended


def _softmax(x: np.ndarray) -> np.ndarray:
    raised = np.exp(x - x.max())
    return raised / raised.sum()
