"""Losses on distributions over classes: what a network pays for each window, and how much a window counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bci.errors import SpecError
from offline.choices import LossName, VoteWeights

VOTE_STEPS = ((0.0, 0.3), (3.0, 0.5), (9.0, 1.0))
"""Weight from so many votes on, as in the best single 1D model of the HMS competition: 0–2, 3–8 and above 8 votes."""


@dataclass(frozen=True, slots=True)
class LossSpec:
    """What is minimised.

    Parameters
    ----------
    name : {"cross_entropy", "focal", "kl"}, default="cross_entropy"
        ``kl`` is the divergence of the network's distribution from the target; its gradient is that of the cross
        entropy, its value is 0 where they agree.
    label_smoothing : float, default=0.05
        Share of the target that goes to all classes.
    focal_gamma : float, default=2.0
        How much less a class counts that is already probable; used by ``focal`` only.

    Raises
    ------
    SpecError
        If a number is out of range.

    References
    ----------
    Focal loss: Lin et al. (2017), doi:10.1109/ICCV.2017.324; here on distributions, each class with its own factor.
    Label smoothing: Szegedy et al. (2016), doi:10.1109/CVPR.2016.308.
    """

    name: LossName = "cross_entropy"
    label_smoothing: float = 0.05
    focal_gamma: float = 2.0

    def __post_init__(self) -> None:
        if not (0 <= self.label_smoothing < 1 and 0 <= self.focal_gamma < np.inf):
            raise SpecError(
                "A loss needs label_smoothing from 0 to below 1 and focal_gamma of at least 0, "
                f"got {self.label_smoothing:g} and {self.focal_gamma:g}."
            )

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of every window.

        Parameters
        ----------
        logits : Tensor, shape (n_windows, n_classes)
            Output of the network; computed in float32 or finer.
        target : Tensor, shape (n_windows, n_classes)
            Distributions: not negative, each with the sum 1.

        Returns
        -------
        losses : Tensor, shape (n_windows,)
        """
        logs = torch.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), dim=1)
        target = target.to(logs.dtype)
        target = target * (1 - self.label_smoothing) + self.label_smoothing / target.shape[1]
        if self.name == "focal":
            return -(target * (1 - logs.exp()) ** self.focal_gamma * logs).sum(dim=1)
        if self.name == "kl":
            return (torch.xlogy(target, target) - target * logs).sum(dim=1)
        return -(target * logs).sum(dim=1)


def distributions(labels: np.ndarray, votes: np.ndarray | None, n_classes: int) -> np.ndarray:
    """Return the target of every stretch.

    Parameters
    ----------
    labels : ndarray of int64, shape (n_stretches,)
        Classes.
    votes : ndarray, shape (n_stretches, n_classes), or None
        Votes of experts; a stretch without any has the distribution of its label.
    n_classes : int
        Number of classes.

    Returns
    -------
    targets : ndarray of float64, shape (n_stretches, n_classes)
    """
    targets = np.eye(n_classes)[labels]
    if votes is not None:
        total = votes.sum(axis=1)
        voted = total > 0
        targets[voted] = votes[voted] / total[voted, None]
    return targets


def vote_weights(votes: np.ndarray | None, n_stretches: int, rule: VoteWeights) -> np.ndarray:
    """Return how much each stretch counts.

    Parameters
    ----------
    votes : ndarray, shape (n_stretches, n_classes), or None
        Votes of experts; None if there are labels only.
    n_stretches : int
        Number of stretches.
    rule : {"none", "count", "steps"}
        All the same; as many as the votes; by `VOTE_STEPS`.

    Returns
    -------
    weights : ndarray of float64, shape (n_stretches,)
        Not negative.

    Raises
    ------
    SpecError
        If votes are to count and there are none.
    """
    if rule == "none":
        return np.ones(n_stretches)
    if votes is None:
        raise SpecError(f"Vote weights {rule!r} need votes, the stretches have labels only. Use vote_weights none.")
    total = votes.sum(axis=1)
    if rule == "count":
        return total
    least, weights = np.array(VOTE_STEPS).T
    return weights[np.searchsorted(least, total, side="right") - 1]
