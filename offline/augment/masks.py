"""Parts of a window that are hidden: boxes, stretches of time with bands, and whole channels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from bci.chunk import Signal
from bci.errors import SpecError
from offline.augment.base import Batch, Change, Draws, along, replaced, require_probability, require_share

HIDDEN = 0.0
"""Value of what is hidden: silence in a filtered signal and, at the usual floor of 1 µV², in log-mel."""


@dataclass(frozen=True, slots=True)
class CutOut:
    """A box over the last two axes is hidden: time by features, in a plain signal time by channels.

    Parameters
    ----------
    p : float, default=0.5
        Probability that a window is changed.
    longest_share : float, default=0.3
        Longest edge of the box, as a share of its axis; lengths are drawn evenly.

    References
    ----------
    DeVries & Taylor (2017), arXiv:1708.04552; here with edges of random length.
    """

    p: float = 0.5
    longest_share: float = 0.3

    def __post_init__(self) -> None:
        require_probability("cutout", self.p)
        require_share("cutout", "longest_share", self.longest_share)

    def build(self, signal: Signal) -> Change:
        """Return the change."""
        return partial(_cut_out, self)


@dataclass(frozen=True, slots=True)
class WindowMask:
    """A stretch of time is hidden in all channels, and in features a band as well. Hidden columns are not judged.

    Parameters
    ----------
    p : float, default=0.5
        Probability that a window is changed.
    longest_share : float, default=0.2
        Longest stretch, and widest band, as a share of the axis.

    References
    ----------
    Park et al. (2019), doi:10.21437/Interspeech.2019-2680.
    """

    p: float = 0.5
    longest_share: float = 0.2

    def __post_init__(self) -> None:
        require_probability("window_mask", self.p)
        require_share("window_mask", "longest_share", self.longest_share)

    def build(self, signal: Signal) -> Change:
        """Return the change."""
        return partial(_mask, self)


@dataclass(frozen=True, slots=True)
class ChannelDrop:
    """Whole channels are hidden, as if their electrodes were off.

    Parameters
    ----------
    p : float, default=0.5
        Probability that a window is changed.
    most : int, default=8
        Channels that are hidden at most; the number is drawn evenly from 1 on, and one channel always stays.
    """

    p: float = 0.5
    most: int = 8

    def __post_init__(self) -> None:
        require_probability("channel_drop", self.p)
        if self.most < 1:
            raise SpecError(f"The augmentation channel_drop needs at least one channel to hide, got most={self.most}.")

    def build(self, signal: Signal) -> Change:
        """Return the change.

        Raises
        ------
        SpecError
            If there is one channel only.
        """
        if signal.n_channels < 2:
            raise SpecError("The augmentation channel_drop needs at least 2 channels, got 1. Leave it out.")
        return partial(_drop, self, signal.n_channels)


def _cut_out(spec: CutOut, batch: Batch, draws: Draws) -> Batch:
    rows, columns = batch.windows.shape[-2:]
    box = _span(rows, spec.longest_share, draws)[:, :, None] & _span(columns, spec.longest_share, draws)[:, None, :]
    if batch.windows.ndim == 4:
        box = box[:, None]
    return replaced(batch, draws.chosen(spec.p), windows=batch.windows.masked_fill(box, HIDDEN))


def _mask(spec: WindowMask, batch: Batch, draws: Draws) -> Batch:
    time = _span(batch.windows.shape[-1], spec.longest_share, draws)
    hidden = time.reshape(len(time), *[1] * (batch.windows.ndim - 2), -1)
    if batch.windows.ndim == 4:
        hidden = hidden | _span(batch.windows.shape[-2], spec.longest_share, draws)[:, None, :, None]
    changed = {"windows": batch.windows.masked_fill(hidden, HIDDEN)}
    if batch.of_columns:
        changed["weights"] = batch.weights.masked_fill(time, 0.0)
    return replaced(batch, draws.chosen(spec.p), **changed)


def _drop(spec: ChannelDrop, n_channels: int, batch: Batch, draws: Draws) -> Batch:
    hidden = draws.subset(n_channels, 1, min(spec.most, n_channels - 1))
    changed = batch.windows.masked_fill(along(hidden, batch.windows), HIDDEN)
    return replaced(batch, draws.chosen(spec.p), windows=changed)


def _span(length: int, longest_share: float, draws: Draws) -> Tensor:
    """Return for each window a run of at least one place on an axis; bool, shape (n_own, length)."""
    n = (1 + draws.uniform(0.0, max(longest_share * length - 1, 0.0))).long()
    first = (draws.uniform(0.0, 1.0) * (length - n + 1)).long().clamp(max=length - 1)
    at = torch.arange(length, device=n.device)
    return (at >= first[:, None]) & (at < (first + n)[:, None])
