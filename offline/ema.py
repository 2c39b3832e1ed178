"""A moving average of weights beside the weights that are trained."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from bci.errors import SpecError


class WeightAverage:
    """Exponential mean of a network's parameters; its other state (counts, running means) is that of the network.

    Parameters
    ----------
    network : nn.Module
        What is trained. Its weights are the first term.
    decay : float
        Weight of the past in each step, from 0 to below 1. Early steps use ``(1 + n) / (10 + n)`` where that is less,
        so that the first weights are soon forgotten.

    Raises
    ------
    SpecError
        If the decay is out of range.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise SpecError(f"A mean of weights needs a decay from 0 to below 1, got {decay:g}. Use 0.999 or so.")
        self.decay = decay
        self.n_steps = 0
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.network.eval()

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the weights after a step of the optimiser."""
        keep = min(self.decay, (1 + self.n_steps) / (10 + self.n_steps))
        for mean, value in zip(self.network.parameters(), network.parameters(), strict=True):
            mean.lerp_(value, 1 - keep)
        for own, current in zip(self.network.buffers(), network.buffers(), strict=True):
            own.copy_(current)
        self.n_steps += 1

    @property
    def state(self) -> dict[str, Tensor]:
        """Weights, without copying them."""
        return dict(self.network.state_dict())

    def load(self, state: dict[str, Tensor], n_steps: int) -> None:
        """Go on from a state."""
        self.network.load_state_dict(state)
        self.n_steps = n_steps
