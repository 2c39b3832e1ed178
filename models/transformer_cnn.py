"""Convolutions over frequency and time, then a transformer over time."""

from __future__ import annotations

import math

from torch import Tensor, nn

from models.attention import Encoder
from models.layers import FixedScale


class ConvTransformer(nn.Module):
    """A convolutional stem, its columns as tokens, an encoder over them, and a classifier of their mean.

    Parameters
    ----------
    n_channels, n_features, n_times : int
        Shape of a window of spectral frames.
    n_classes : int
        Number of logits.
    stem : nn.Module
        From (batch, n_channels, n_features, n_times) to a map of `n_maps` channels.
    n_maps : int
        Channels of the stem's output.
    stride : int
        Factor by which the stem shortens both axes, rounded up.
    width, n_heads, n_layers : int
        See `models.attention.Encoder`.
    dropout : float, default=0.2
        In the encoder and before the classifier.
    offset_db, scale_db : float, default=30.0, 20.0
        The input is read as ``(dB - offset_db) / scale_db``.

    Notes
    -----
    A token is a column of the map with all its frequencies: frequency is not averaged, see `models.mel_cnn.MelCNN`.
    """

    def __init__(
        self,
        n_channels: int,
        n_features: int,
        n_times: int,
        n_classes: int,
        stem: nn.Module,
        n_maps: int,
        stride: int,
        width: int,
        n_heads: int,
        n_layers: int,
        dropout: float = 0.2,
        offset_db: float = 30.0,
        scale_db: float = 20.0,
    ) -> None:
        super().__init__()
        self.input_shape = (n_channels, n_features, n_times)
        self.scale = FixedScale(offset_db, scale_db)
        self.stem = stem
        self.project = nn.Linear(n_maps * math.ceil(n_features / stride), width)
        self.encoder = Encoder(math.ceil(n_times / stride), width, n_heads, n_layers, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify windows.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_features, n_times)
            Spectral power, in dB.

        Returns
        -------
        logits : Tensor, shape (batch, n_classes)
        """
        columns = self.project(self.stem(self.scale(x)).flatten(1, 2).transpose(1, 2))
        return self.head(self.dropout(self.encoder(columns).mean(dim=1)))


def transformer_cnn(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    n_features: int,
    widths: tuple[int, ...] = (16, 32, 64),
    width: int = 64,
    n_heads: int = 4,
    n_layers: int = 2,
    dropout: float = 0.2,
    offset_db: float = 30.0,
    scale_db: float = 20.0,
) -> nn.Module:
    """Build the transformer on a plain convolutional stem.

    For 19 channels, 64 features, 129 frames and 2 classes: 126,738 parameters.

    Parameters
    ----------
    n_channels, n_times, n_features : int
        Shape of a window: channels, frames, features.
    sfreq : float
        Frames per second. The layers count in frames, so it does not change the network.
    n_classes : int
        Number of logits.
    widths : tuple of int
        Output channels of the stem's convolutions, each of stride 2.
    width, n_heads, n_layers, dropout, offset_db, scale_db
        See `ConvTransformer`.
    """
    stem: list[nn.Module] = []
    n_in = n_channels
    for n_out in widths:
        stem += [nn.Conv2d(n_in, n_out, 3, 2, 1, bias=False), nn.BatchNorm2d(n_out), nn.SiLU()]
        n_in = n_out
    return ConvTransformer(
        n_channels, n_features, n_times, n_classes, nn.Sequential(*stem), n_in, 2 ** len(widths),
        width, n_heads, n_layers, dropout, offset_db, scale_db,
    )  # fmt: skip
