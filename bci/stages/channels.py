"""Choosing and combining channels: every output sample is a fixed weighting of the same input sample."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bci.chunk import Signal
from bci.errors import SpecError
from bci.stages.base import Stage
from bci.stages.montages import MONTAGES


@dataclass(frozen=True, slots=True)
class Select:
    """Keep the named channels, in the given order.

    Parameters
    ----------
    names : tuple of str
        Channels to keep.
    """

    kind: ClassVar[str] = "select"
    names: tuple[str, ...]

    def build(self, signal: Signal) -> PickStage:
        """Return the running stage for `signal`."""
        return PickStage(signal, positions(self.names, signal, "Select"))


@dataclass(frozen=True, slots=True)
class Bipolar:
    """Differences of electrode pairs.

    Parameters
    ----------
    montage : str, default="double_banana"
        Name of a montage in `bci.stages.montages.MONTAGES`; ignored if `pairs` is given.
    pairs : tuple of (str, str) or None, default=None
        Pairs (anode, cathode); the output is named ``anode-cathode``.
    """

    kind: ClassVar[str] = "bipolar"
    montage: str = "double_banana"
    pairs: tuple[tuple[str, str], ...] | None = None

    def build(self, signal: Signal) -> MixStage:
        """Return the running stage for `signal`."""
        if self.pairs is None and self.montage not in MONTAGES:
            raise SpecError(f"Bipolar needs a known montage, got {self.montage!r}. Known: {', '.join(MONTAGES)}.")
        pairs = MONTAGES[self.montage] if self.pairs is None else self.pairs
        rows = np.arange(len(pairs))
        weights = np.zeros((len(pairs), signal.n_channels))
        weights[rows, positions(tuple(a for a, _ in pairs), signal, "Bipolar")] += 1.0
        weights[rows, positions(tuple(c for _, c in pairs), signal, "Bipolar")] -= 1.0
        return MixStage(signal, replace(signal, names=tuple(f"{a}-{c}" for a, c in pairs)), weights)


@dataclass(frozen=True, slots=True)
class AverageReference:
    """Subtract the mean over channels at each sample.

    Parameters
    ----------
    exclude : tuple of str, default=()
        Channels that do not count towards the mean (it is subtracted from them too).
    """

    kind: ClassVar[str] = "average_reference"
    exclude: tuple[str, ...] = ()

    def build(self, signal: Signal) -> MixStage:
        """Return the running stage for `signal`."""
        share = np.ones(signal.n_channels)
        share[positions(self.exclude, signal, "AverageReference")] = 0.0
        if not share.any():
            raise SpecError("AverageReference needs at least one channel in the mean, got all of them in exclude.")
        weights = np.eye(signal.n_channels) - share / share.sum()
        return MixStage(signal, signal, weights)


class PickStage(Stage):
    """Rows of the input, by position."""

    def __init__(self, signal: Signal, rows: np.ndarray) -> None:
        super().__init__(signal, replace(signal, names=tuple(signal.names[i] for i in rows)))
        self._rows = rows

    def _process(self, x: np.ndarray) -> np.ndarray:
        return x[self._rows]


class MixStage(Stage):
    """Weighted sums of channels: ``weights @ x``."""

    def __init__(self, signal_in: Signal, signal_out: Signal, weights: np.ndarray) -> None:
        super().__init__(signal_in, signal_out)
        self._weights = weights

    def _process(self, x: np.ndarray) -> np.ndarray:
        return self._weights @ x if x.ndim == 2 else np.tensordot(self._weights, x, axes=1)


def positions(names: tuple[str, ...], signal: Signal, who: str) -> np.ndarray:
    """Return where `names` stand in `signal`, as int64.

    Raises
    ------
    SpecError
        If a name is not there; the message lists the channels.
    """
    where = {name: i for i, name in enumerate(signal.names)}
    missing = [n for n in names if n not in where]
    if missing:
        raise SpecError(f"{who} needs channels {', '.join(missing)}. The signal has: {', '.join(signal.names)}.")
    return np.array([where[n] for n in names], dtype=np.int64)
