"""Compact convolutional networks on log-mel frames of many channels."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.early_late import EarlyPart, LatePart
from models.layers import GeMPool


class MelCNN(nn.Module):
    """Channel mixing, depthwise-separable blocks, a filter over frequency, and GeM pooling over time.

    Parameters
    ----------
    n_channels, n_features, n_times : int
        Shape of a window of log-mel frames.
    n_classes : int
        Number of logits.
    n_mixed : int
        Virtual channels that the first layer mixes from the electrodes, frame by frame.
    widths : tuple of int
        Output channels of each block.
    strides : tuple of int
        Stride of each block, in both frequency and time.
    kernel : int, default=5
        Side of the depthwise kernels; odd.
    dropout : float, default=0.2
        Before the classifier.
    offset_db, scale_db : float, default=30.0, 20.0
        The input is read as ``(dB - offset_db) / scale_db``. Fixed: no window's content sets its own scale.

    Notes
    -----
    Frequency is not pooled: a rhythm of 3 Hz and one of 12 Hz differ in nothing but their position. Each output
    channel instead weighs the positions with its own filter.
    """

    def __init__(
        self,
        n_channels: int,
        n_features: int,
        n_times: int,
        n_classes: int,
        n_mixed: int,
        widths: tuple[int, ...],
        strides: tuple[int, ...],
        kernel: int = 5,
        dropout: float = 0.2,
        offset_db: float = 30.0,
        scale_db: float = 20.0,
    ) -> None:
        super().__init__()
        self.input_shape: tuple[int, int, int] = (n_channels, n_features, n_times)
        self.mix = ScaledMix(n_channels, n_mixed, offset_db, scale_db)
        blocks: list[nn.Module] = []
        height, n_in = n_features, n_mixed
        for n_out, stride in zip(widths, strides, strict=True):
            blocks += [
                nn.Conv2d(n_in, n_in, kernel, stride, kernel // 2, groups=n_in, bias=False),
                nn.Conv2d(n_in, n_out, 1, bias=False),
                nn.BatchNorm2d(n_out),
                nn.SiLU(),
            ]
            height, n_in = math.ceil(height / stride), n_out
        self.blocks = nn.Sequential(*blocks)
        self.frequency = nn.Sequential(
            nn.Conv2d(n_in, n_in, (height, 1), groups=n_in, bias=False), nn.BatchNorm2d(n_in), nn.SiLU()
        )
        self.pool = GeMPool()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(n_in, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify windows.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_features, n_times)
            Log-mel power, in dB.

        Returns
        -------
        logits : Tensor, shape (batch, n_classes)
        """
        return self.head(self.dropout(self.pool(self.frequency(self.blocks(self.mix(x))))))

    def parts(self, n_last: int) -> tuple[EarlyPart, LatePart]:
        """Return the network in two parts, for windows whose last `n_last` frames come later than the others.

        ``late(x[..., -n_last:], *early(x[..., :-n_last]))`` is what the network in evaluation mode gives for ``x``.

        Raises
        ------
        ValueError
            If `n_last` is so large that nothing can be computed early.
        """
        return EarlyPart(self, n_last), LatePart(self, n_last)


class ScaledMix(nn.Conv2d):
    """Mix channels frame by frame, reading the input as ``(x - offset) / scale``.

    The scaling is folded into the weights in `forward`: without padding that is exact, and an exported graph
    loses two passes over the largest tensor of the network.
    """

    def __init__(self, n_in: int, n_out: int, offset: float, scale: float) -> None:
        super().__init__(n_in, n_out, 1, bias=False)
        self.offset = offset
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Mix (batch, n_in, n_features, n_times) to (batch, n_out, n_features, n_times)."""
        weight = self.weight / self.scale
        return functional.conv2d(x, weight, -self.offset * torch.sum(weight, dim=(1, 2, 3)))


def mel_cnn(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    n_features: int,
    dropout: float = 0.2,
    offset_db: float = 30.0,
    scale_db: float = 20.0,
) -> nn.Module:
    """Build the small mel CNN.

    For 19 channels, 64 mels, 129 frames and 2 classes: 15,843 parameters, 14.5 MFLOP a window (two for each
    multiply-add of convolutions and classifier).

    Parameters
    ----------
    n_channels, n_times, n_features : int
        Shape of a window: channels, frames, mels.
    sfreq : float
        Frames per second. The layers count in frames, so it does not change the network.
    n_classes : int
        Number of logits.
    dropout, offset_db, scale_db : float
        See `MelCNN`.
    """
    return MelCNN(
        n_channels,
        n_features,
        n_times,
        n_classes,
        n_mixed=16,
        widths=(32, 64, 128),
        strides=(2, 2, 2),
        dropout=dropout,
        offset_db=offset_db,
        scale_db=scale_db,
    )


def mel_cnn_reference(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    n_features: int,
    dropout: float = 0.2,
    offset_db: float = 30.0,
    scale_db: float = 20.0,
) -> nn.Module:
    """Build the network of the latency benchmarks.

    For 19 channels, 64 mels, 129 frames (10 s at 256 Hz, window 512, hop 16) and 2 classes: 121,171 parameters,
    47.1 MFLOP a window (two for each multiply-add of convolutions and classifier). Parameters as `mel_cnn`.
    """
    return MelCNN(
        n_channels,
        n_features,
        n_times,
        n_classes,
        n_mixed=16,
        widths=(48, 128, 256, 256),
        strides=(2, 2, 2, 1),
        dropout=dropout,
        offset_db=offset_db,
        scale_db=scale_db,
    )
