"""Inception blocks as the stem of a transformer over time."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from models.transformer_cnn import ConvTransformer


class InceptionBlock(nn.Module):
    """Four views of one map side by side: a point, three by three, long in each direction, and a mean around.

    Parameters
    ----------
    n_in, n_out : int
        Channels; `n_out` is a multiple of 4.
    long : int, default=7
        Length of the convolutions along frequency alone and along time alone; odd.

    Raises
    ------
    ValueError
        If `n_out` cannot be divided among the four.

    References
    ----------
    Szegedy et al. (2016), doi:10.1109/CVPR.2016.308: the factorised block, with narrower branches.
    """

    def __init__(self, n_in: int, n_out: int, long: int = 7) -> None:
        super().__init__()
        n = n_out // 4
        if n < 1 or n_out % 4:
            raise ValueError(f"An Inception block needs n_out as a multiple of 4, got {n_out}. Round it.")
        self.branches = nn.ModuleList(
            [
                _conv(n_in, n, (1, 1)),
                nn.Sequential(_conv(n_in, n, (1, 1)), _conv(n, n, (3, 3))),
                nn.Sequential(_conv(n_in, n, (1, 1)), _conv(n, n, (1, long)), _conv(n, n, (long, 1))),
                nn.Sequential(nn.AvgPool2d(3, 1, 1), _conv(n_in, n, (1, 1))),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, n_in, height, width) to (batch, n_out, height, width)."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def inception_transformer(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    n_features: int,
    widths: tuple[int, ...] = (32, 64, 96),
    width: int = 64,
    n_heads: int = 4,
    n_layers: int = 2,
    dropout: float = 0.2,
    offset_db: float = 30.0,
    scale_db: float = 20.0,
) -> nn.Module:
    """Build the transformer on Inception blocks.

    For 19 channels, 64 features, 129 frames and 2 classes: 150,546 parameters.

    Parameters
    ----------
    n_channels, n_times, n_features : int
        Shape of a window: channels, frames, features.
    sfreq : float
        Frames per second. The layers count in frames, so it does not change the network.
    n_classes : int
        Number of logits.
    widths : tuple of int
        Output channels of a strided convolution and of the Inception blocks after it, each behind a pooling by 2.
    width, n_heads, n_layers, dropout, offset_db, scale_db
        See `models.transformer_cnn.ConvTransformer`.
    """
    stem: list[nn.Module] = [_conv(n_channels, widths[0], (3, 3), stride=2)]
    for n_in, n_out in pairwise(widths):
        stem += [nn.MaxPool2d(2, ceil_mode=True), InceptionBlock(n_in, n_out)]
    return ConvTransformer(
        n_channels, n_features, n_times, n_classes, nn.Sequential(*stem), widths[-1], 2 ** len(widths),
        width, n_heads, n_layers, dropout, offset_db, scale_db,
    )  # fmt: skip


def _conv(n_in: int, n_out: int, kernel: tuple[int, int], stride: int = 1) -> nn.Sequential:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return nn.Sequential(nn.Conv2d(n_in, n_out, kernel, stride, padding, bias=False), nn.BatchNorm2d(n_out), nn.SiLU())
