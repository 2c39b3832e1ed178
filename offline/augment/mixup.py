"""Mix-up: windows and targets of neighbours in the batch are blended."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from bci.chunk import Signal
from offline.augment.base import Batch, Change, Draws, along, require_number, require_probability


@dataclass(frozen=True, slots=True)
class Mixup:
    """Blend of each window with another one, and of their targets. A column is judged where it is in both.

    Windows 2i and 2i + 1 of a batch are partners. Their order is random, so each partner is as good as drawn, and a
    part of a batch with an even number of windows holds both.

    Parameters
    ----------
    p : float, default=0.5
        Probability that a window is blended.
    alpha : float, default=0.4
        The share of the window itself has the distribution Beta(alpha, alpha), folded to at least one half.

    References
    ----------
    Zhang et al. (2018), arXiv:1710.09412.
    """

    p: float = 0.5
    alpha: float = 0.4

    def __post_init__(self) -> None:
        require_probability("mixup", self.p)
        require_number("mixup", "alpha", self.alpha)

    def build(self, signal: Signal) -> Change:
        """Return the change."""
        return partial(_mix, self)


def _mix(spec: Mixup, batch: Batch, draws: Draws) -> Batch:
    share = draws.beta(spec.alpha)
    share = torch.where(draws.chosen(spec.p), torch.maximum(share, 1 - share), torch.ones_like(share))
    n = len(share)
    partner = torch.arange(n, device=share.device)
    partner = torch.where(partner < n - n % 2, partner ^ 1, partner)

    def blend(x: Tensor) -> Tensor:
        own = along(share, x).to(x.dtype)
        return x * own + x[partner] * (1 - own)

    weights = blend(batch.weights)
    if batch.of_columns:
        judged = (batch.weights > 0) & ((batch.weights[partner] > 0) | (share == 1)[:, None])
        weights = weights * judged
    return Batch(blend(batch.windows), blend(batch.targets), weights)
