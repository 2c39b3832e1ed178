"""Vision transformer on spectrograms: patches of frequency and time as tokens, one token that classifies."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.attention import Encoder
from models.layers import FixedScale


class ViT(nn.Module):
    """Patches of all channels, projected to tokens, encoded together with a class token.

    Parameters
    ----------
    n_channels, n_features, n_times : int
        Shape of a window of spectral frames.
    n_classes : int
        Number of logits.
    patch_features, patch_times : int
        Size of a patch. A window that is no whole number of patches is continued with zeros at its highest features
        and before its first frame.
    width, n_heads, n_layers : int
        See `models.attention.Encoder`.
    dropout : float, default=0.1
        In the encoder and before the classifier.
    offset_db, scale_db : float, default=30.0, 20.0
        The input is read as ``(dB - offset_db) / scale_db``.

    Attributes
    ----------
    grid : tuple of int
        Patches along frequency and along time. Token ``1 + i * grid[1] + j`` is patch ``(i, j)``; token 0 classifies.

    References
    ----------
    Dosovitskiy et al. (2021), arXiv:2010.11929.
    """

    def __init__(
        self,
        n_channels: int,
        n_features: int,
        n_times: int,
        n_classes: int,
        patch_features: int,
        patch_times: int,
        width: int,
        n_heads: int,
        n_layers: int,
        dropout: float = 0.1,
        offset_db: float = 30.0,
        scale_db: float = 20.0,
    ) -> None:
        super().__init__()
        self.input_shape = (n_channels, n_features, n_times)
        self.grid = (math.ceil(n_features / patch_features), math.ceil(n_times / patch_times))
        self._padding = (
            self.grid[1] * patch_times - n_times, 0, 0, self.grid[0] * patch_features - n_features,
        )  # fmt: skip
        self.scale = FixedScale(offset_db, scale_db)
        patch = (patch_features, patch_times)
        self.patches = nn.Conv2d(n_channels, width, patch, stride=patch)
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.encoder = Encoder(1 + math.prod(self.grid), width, n_heads, n_layers, dropout=dropout)
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
        tokens = self.patches(functional.pad(self.scale(x), self._padding)).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.class_token.expand(x.shape[0], -1, -1), tokens), dim=1)
        return self.head(self.dropout(self.encoder(tokens)[:, 0]))


def vit(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    n_features: int,
    patch_features: int = 8,
    patch_times: int = 8,
    width: int = 64,
    n_heads: int = 4,
    n_layers: int = 4,
    dropout: float = 0.1,
    offset_db: float = 30.0,
    scale_db: float = 20.0,
) -> nn.Module:
    """Build the small vision transformer.

    For 19 channels, 64 features, 129 frames and 2 classes: 220,098 parameters.

    Parameters
    ----------
    n_channels, n_times, n_features : int
        Shape of a window: channels, frames, features.
    sfreq : float
        Frames per second. The layers count in frames, so it does not change the network.
    n_classes : int
        Number of logits.
    patch_features, patch_times, width, n_heads, n_layers, dropout, offset_db, scale_db
        See `ViT`.
    """
    return ViT(
        n_channels, n_features, n_times, n_classes, patch_features, patch_times, width, n_heads, n_layers, dropout,
        offset_db, scale_db,
    )  # fmt: skip
