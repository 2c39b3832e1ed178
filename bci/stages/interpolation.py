"""Spherical splines: the potential at one electrode from those at others."""

from __future__ import annotations

import numpy as np
from numpy.polynomial.legendre import legval
from scipy.linalg import pinv

STIFFNESS = 4
N_TERMS = 50
SMOOTHING = 1e-5


def spline_weights(sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the weights that interpolate the potential at `targets` from that at `sources`.

    Parameters
    ----------
    sources : ndarray, shape (n_sources, 3)
        Unit vectors of the electrodes that are known.
    targets : ndarray, shape (n_targets, 3)
        Unit vectors of those that are not.

    Returns
    -------
    weights : ndarray, shape (n_targets, n_sources)
        Rows sum to 1: a potential common to all electrodes is kept.

    References
    ----------
    Perrin et al. (1989), doi:10.1016/0013-4694(89)90180-6, with the stiffness, the number of terms and the smoothing
    of MNE-Python, so that both give the same.
    """
    n_sources = len(sources)
    system = np.ones((n_sources + 1, n_sources + 1))
    system[:-1, :-1] = _spline(sources @ sources.T) + SMOOTHING * np.eye(n_sources)
    system[-1, -1] = 0.0
    between = np.hstack([_spline(targets @ sources.T), np.ones((len(targets), 1))])
    weights: np.ndarray = between @ pinv(system)[:, :-1]
    return weights


def _spline(cosine: np.ndarray) -> np.ndarray:
    """Return g of Perrin et al., equation 3."""
    n = np.arange(1, N_TERMS + 1)
    factors = (2 * n + 1) / (n * (n + 1.0)) ** STIFFNESS / (4 * np.pi)
    return np.asarray(legval(np.clip(cosine, -1.0, 1.0), np.concatenate([[0.0], factors])))
