"""Transformer encoder over the frames of a spectrogram."""

from __future__ import annotations

from torch import Tensor, nn

from models.attention import Encoder
from models.layers import FixedScale


class FrameTransformer(nn.Module):
    """Projection of each frame, an encoder over the frames, and a classifier of their mean.

    Parameters
    ----------
    n_channels, n_features, n_times : int
        Shape of a window of spectral frames.
    n_classes : int
        Number of logits.
    width, n_heads, n_layers : int
        See `models.attention.Encoder`.
    dropout : float, default=0.2
        In the encoder and before the classifier.
    offset_db, scale_db : float, default=30.0, 20.0
        The input is read as ``(dB - offset_db) / scale_db``.

    References
    ----------
    Vaswani et al. (2017), arXiv:1706.03762.
    """

    def __init__(
        self,
        n_channels: int,
        n_features: int,
        n_times: int,
        n_classes: int,
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
        self.project = nn.Linear(n_channels * n_features, width)
        self.encoder = Encoder(n_times, width, n_heads, n_layers, dropout=dropout)
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
        frames = self.project(self.scale(x).flatten(1, 2).transpose(1, 2))
        return self.head(self.dropout(self.encoder(frames).mean(dim=1)))


def transformer(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    n_features: int,
    width: int = 64,
    n_heads: int = 4,
    n_layers: int = 2,
    dropout: float = 0.2,
    offset_db: float = 30.0,
    scale_db: float = 20.0,
) -> nn.Module:
    """Build the transformer over frames.

    For 19 channels, 64 features, 129 frames and 2 classes: 152,962 parameters.

    Parameters
    ----------
    n_channels, n_times, n_features : int
        Shape of a window: channels, frames, features.
    sfreq : float
        Frames per second. The layers count in frames, so it does not change the network.
    n_classes : int
        Number of logits.
    width, n_heads, n_layers, dropout, offset_db, scale_db
        See `FrameTransformer`.
    """
    return FrameTransformer(
        n_channels, n_features, n_times, n_classes, width, n_heads, n_layers, dropout, offset_db, scale_db
    )
