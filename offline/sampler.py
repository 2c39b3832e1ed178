"""Which stretches an epoch shows, in which order: drawn from the seed and the epoch alone."""

from __future__ import annotations

import numpy as np

from bci.errors import SpecError
from offline.choices import Balance


def epoch_order(labels: np.ndarray, shown: np.ndarray, balance: Balance, rng: np.random.Generator) -> np.ndarray:
    """Return the stretches of an epoch.

    Parameters
    ----------
    labels : ndarray of int64, shape (n_stretches,)
        Class of every stretch.
    shown : ndarray of int64, shape (n_shown,)
        Those that take part.
    balance : {"none", "classes"}
        ``none``: each once, in random order. ``classes``: as many draws, with replacement, in which every class is
        equally probable, and every stretch within its class.
    rng : Generator
        Source of the draws.

    Returns
    -------
    order : ndarray of int64, shape (n_shown,)
    """
    if balance == "none":
        return rng.permutation(shown)
    return rng.choice(shown, size=len(shown), replace=True, p=class_shares(labels[shown]))


def class_shares(labels: np.ndarray) -> np.ndarray:
    """Return the probability of each stretch, shape (n_stretches,), with which every class is equally probable."""
    weights = 1.0 / np.bincount(labels)[labels]
    return weights / weights.sum()


def second_stage(votes: np.ndarray | None, least: float) -> np.ndarray:
    """Return the stretches with at least so many votes: what the second stage of a training learns from.

    Raises
    ------
    SpecError
        If there are no votes, or no stretch has so many.
    """
    if votes is None:
        raise SpecError("A second stage needs votes, the stretches have labels only. Leave second_stage_votes out.")
    total = votes.sum(axis=1)
    shown = np.flatnonzero(total >= least)
    if not shown.size:
        raise SpecError(
            f"A second stage needs stretches with at least {least:g} votes, the most that one has is {total.max():g}. "
            "Lower second_stage_votes."
        )
    return shown
