"""What a network should give and how much it counts: for every window, or for every sample of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from bci.errors import SpecError
from offline.losses import distributions, vote_weights
from offline.sampler import class_shares
from offline.training_settings import LoopSettings
from offline.windows import WindowSet


@dataclass(frozen=True, slots=True)
class Targets:
    """What the network should give for some windows.

    Parameters
    ----------
    distributions : ndarray of float64, shape (n_windows, n_classes[, n_columns])
        Targets.
    weights : ndarray of float64, shape (n_windows[, n_columns])
        How much each counts; 0 where nothing is taught.
    """

    distributions: np.ndarray
    weights: np.ndarray


class Taught(Protocol):
    """Targets of windows that are cut from a set."""

    def __call__(self, stretches: np.ndarray, starts: np.ndarray) -> Targets:
        """Return the targets of windows, as `WindowSet.cut` takes them."""


def window_targets(windows: WindowSet, n_classes: int, settings: LoopSettings) -> Targets:
    """Return what the network should give for each stretch, wherever its window lies."""
    return Targets(
        distributions(windows.labels, windows.votes, n_classes),
        vote_weights(windows.votes, len(windows), settings.vote_weights),
    )


def taught(windows: WindowSet, n_classes: int, settings: LoopSettings) -> Taught:
    """Return what the network learns by ``settings.targets``.

    Raises
    ------
    SpecError
        If samples are to be judged and the windows do not know their classes.
    """
    if settings.targets == "samples":
        return SampleTargets(windows, n_classes, settings)
    whole = window_targets(windows, n_classes, settings)
    return lambda stretches, starts: Targets(whole.distributions[stretches], whole.weights[stretches])


class SampleTargets:
    """The class of every column of a window that is judged.

    Where classes are drawn equally often, columns also count so that over the draws every class weighs the same: a
    window that ends in a seizure holds the background before it, too.

    Parameters
    ----------
    windows : WindowSet
        Cut with ``every_column``.
    n_classes : int
        Number of classes.
    settings : LoopSettings
        How they are learnt.

    Attributes
    ----------
    class_weights : ndarray of float64, shape (n_classes,)
        What a judged column of each class counts; 1 in the mean over the draws.

    Raises
    ------
    SpecError
        If columns have no classes, or stretches have votes.
    """

    def __init__(self, windows: WindowSet, n_classes: int, settings: LoopSettings) -> None:
        if not windows.has_classes or windows.votes is not None:
            raise SpecError(
                "Targets of samples need windows whose columns have classes, of stretches without votes. Cut them with "
                "every_column, or use targets window."
            )
        self._windows = windows
        self._weights = vote_weights(windows.votes, len(windows), settings.vote_weights)
        self._one_hot = np.eye(n_classes)
        self.class_weights = np.ones(n_classes)
        if settings.balance == "classes":
            drawn = class_shares(windows.labels) @ windows.mean_counts(n_classes)
            there = drawn > 0
            self.class_weights[there] = drawn.sum() / (there.sum() * drawn[there])

    def __call__(self, stretches: np.ndarray, starts: np.ndarray) -> Targets:
        """Return the targets of windows, as `WindowSet.cut` takes them."""
        classes = self._windows.classes(stretches, starts)
        counted = np.where(classes < 0, 0.0, self.class_weights[classes])
        return Targets(self._one_hot[classes].swapaxes(1, 2), counted * self._weights[stretches, None])


class EverySample(nn.Module):
    """A network as what it says of every sample.

    Parameters
    ----------
    network : nn.Module
        With ``segment(x)``, which gives logits (batch, n_classes, n_columns).

    Raises
    ------
    SpecError
        If it judges windows only.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if not hasattr(network, "segment"):
            raise SpecError(
                f"Targets of samples need a network that judges every sample, {type(network).__name__} judges windows. "
                "Use a segmenter, or targets window."
            )
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Judge every sample."""
        logits: Tensor = self.network.segment(x)  # type: ignore[operator]
        return logits
