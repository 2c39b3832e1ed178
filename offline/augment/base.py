"""What an augmentation takes and gives: a batch of windows with its targets, and the numbers drawn for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bci.chunk import Signal
from bci.errors import SpecError


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows that are learnt from together.

    Parameters
    ----------
    windows : Tensor of float32, shape (n_windows, n_channels[, n_features], n_columns)
        Outputs of the pipeline.
    targets : Tensor of float32, shape (n_windows, n_classes[, n_columns])
        Distributions over the classes, of windows or of each of their columns.
    weights : Tensor of float32, shape (n_windows[, n_columns])
        How much each window or column counts.
    """

    windows: Tensor
    targets: Tensor
    weights: Tensor

    @property
    def of_columns(self) -> bool:
        """Whether every column has a target of its own."""
        return self.weights.ndim == 2


class Draws:
    """Random numbers for the windows of a step, of which this process may hold a part.

    The numbers are drawn for all windows of the step and then cut, so that how many processes or parts a step is
    computed in has no say in them. They are drawn on the CPU: the device has no say either.

    Parameters
    ----------
    rng : Generator
        Source.
    n_windows : int
        Windows of the whole step.
    own : slice
        Those of the batch.
    device : torch.device
        Where the numbers are wanted.
    """

    def __init__(self, rng: np.random.Generator, n_windows: int, own: slice, device: torch.device) -> None:
        self._rng = rng
        self._n_windows = n_windows
        self._own = own
        self._device = device

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Return numbers from `low` to `high`, float32, shape (n_own, *shape)."""
        return self._cut(self._rng.uniform(low, high, (self._n_windows, *shape)))

    def normal(self, scale: float, *shape: int) -> Tensor:
        """Return normal numbers with the mean 0, float32, shape (n_own, *shape)."""
        return self._cut(self._rng.normal(0.0, scale, (self._n_windows, *shape)))

    def beta(self, alpha: float) -> Tensor:
        """Return numbers of the distribution Beta(alpha, alpha), float32, shape (n_own,)."""
        return self._cut(self._rng.beta(alpha, alpha, self._n_windows))

    def chosen(self, p: float) -> Tensor:
        """Return for each window whether it is changed, with the probability `p`; bool, shape (n_own,)."""
        return self._cut(self._rng.random(self._n_windows)) < p

    def subset(self, n_items: int, least: int, most: int) -> Tensor:
        """Return for each window which items are chosen: from `least` to `most`; bool, shape (n_own, n_items)."""
        n = self._rng.integers(least, min(most, n_items) + 1, self._n_windows)
        rank = self._rng.random((self._n_windows, n_items)).argsort(axis=1).argsort(axis=1)
        return torch.from_numpy((rank < n[:, None])[self._own]).to(self._device)

    def _cut(self, numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(numbers[self._own], dtype=np.float32)).to(self._device)


Change = Callable[[Batch, Draws], Batch]
"""A ready augmentation: returns a new batch and leaves the one that it gets as it is."""


class Augmentation(Protocol):
    """Settings of an augmentation: a frozen dataclass of numbers with their units in the names."""

    def build(self, signal: Signal) -> Change:
        """Return the change for windows of a signal, the output of a pipeline.

        Raises
        ------
        SpecError
            If it cannot be made of this signal.
        """


def replaced(batch: Batch, chosen: Tensor, **changed: Tensor) -> Batch:
    """Return the batch with `windows`, `targets` or `weights` exchanged where windows are chosen."""
    return replace(
        batch, **{name: torch.where(along(chosen, x), x, getattr(batch, name)) for name, x in changed.items()}
    )


def along(per_window: Tensor, windows: Tensor) -> Tensor:
    """Return one value per window (or per window and channel) so shaped that it spreads over the other axes."""
    return per_window.reshape(*per_window.shape, *[1] * (windows.ndim - per_window.ndim))


def require_probability(name: str, p: float) -> None:
    """Raise SpecError unless ``0 <= p <= 1``."""
    if not 0 <= p <= 1:
        raise SpecError(f"The augmentation {name} needs a probability p from 0 to 1, got {p:g}.")


def require_share(name: str, what: str, share: float) -> None:
    """Raise SpecError unless ``0 < share <= 1``."""
    if not 0 < share <= 1:
        raise SpecError(f"The augmentation {name} needs {what} above 0 and at most 1, got {share:g}.")


def require_number(name: str, what: str, number: float) -> None:
    """Raise SpecError unless the number is finite and above 0."""
    if not 0 < number < np.inf:
        raise SpecError(f"The augmentation {name} needs {what} above 0, got {number:g}.")
