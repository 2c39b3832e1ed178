"""A linear classifier on the mean levels of blocks of spectra or images: what a network on them has to beat."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from models.closed_form import ClosedForm
from models.limits import check_table


class SpectrumBlocks(ClosedForm):
    """A linear layer on the mean of each block of rows and columns of every channel.

    Parameters
    ----------
    n_channels, n_features, n_times : int
        Shape of a window.
    n_classes : int
        Number of logits.
    n_bands, n_spans : int
        Blocks over the features and over time, of as equal size as can be.

    Raises
    ------
    ValueError
        If there are more blocks than features or columns.
    """

    bands: Tensor
    spans: Tensor

    def __init__(
        self, n_channels: int, n_features: int, n_times: int, n_classes: int, n_bands: int, n_spans: int
    ) -> None:
        if not (1 <= n_bands <= n_features and 1 <= n_spans <= n_times):
            raise ValueError(
                f"SpectrumBlocks needs n_bands from 1 to {n_features} (features) and n_spans from 1 to {n_times} "
                f"(columns), got {n_bands} and {n_spans}. Take fewer."
            )
        check_table(n_bands * n_features + n_spans * n_times, "A grid of blocks")
        check_table(float(n_channels) * n_bands * n_spans * n_classes, "A classifier of blocks")
        super().__init__(n_channels * n_bands * n_spans, n_classes)
        self.input_shape = (n_channels, n_features, n_times)
        self.register_buffer("bands", _means(n_features, n_bands), persistent=False)
        self.register_buffer("spans", _means(n_times, n_spans).T.contiguous(), persistent=False)

    def features(self, x: Tensor) -> Tensor:
        """Return the means of (batch, n_channels, n_features, n_times), float64: bands of a channel, spans within."""
        return (self.bands @ x.to(torch.float64) @ self.spans).flatten(1)


def spectrum_blocks(
    n_channels: int, n_times: int, sfreq: float, n_classes: int, n_features: int, n_bands: int = 8, n_spans: int = 1
) -> nn.Module:
    """Build a linear classifier of blocks of spectra; see `SpectrumBlocks`.

    For 19 channels, 64 features, 129 frames and 2 classes: 306 parameters, beside the fitted scaling.

    Parameters
    ----------
    n_channels, n_features, n_times : int
        Shape of a window.
    sfreq : float
        Rate of the frames, in Hz; not used.
    n_classes : int
        Number of logits.
    n_bands, n_spans : int, default=8 and 1
        Blocks over the features and over time.

    Raises
    ------
    ValueError
        As `SpectrumBlocks`.
    """
    return SpectrumBlocks(n_channels, n_features, n_times, n_classes, n_bands, n_spans)


def _means(n: int, n_blocks: int) -> Tensor:
    """Return the weights of the mean of each block of `n` neighbours, float64 (n_blocks, n)."""
    weights = np.zeros((n_blocks, n))
    for row, block in zip(weights, np.array_split(np.arange(n), n_blocks), strict=True):
        row[block] = 1.0 / len(block)
    return torch.from_numpy(weights)
