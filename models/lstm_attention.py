"""LSTM over the frames of a spectrogram, with attention that weighs them."""

from __future__ import annotations

from torch import Tensor, nn

from models.layers import FixedScale


class LSTMAttention(nn.Module):
    """Projection of each frame, an LSTM, a softmax over time, and a classifier of the weighted mean.

    Parameters
    ----------
    n_channels, n_features, n_times : int
        Shape of a window of spectral frames.
    n_classes : int
        Number of logits.
    width : int
        Channels that a frame is projected to.
    n_hidden, n_layers : int
        Units and layers of the LSTM.
    dropout : float, default=0.2
        On the projected frames and before the classifier.
    offset_db, scale_db : float, default=30.0, 20.0
        The input is read as ``(dB - offset_db) / scale_db``.

    Attributes
    ----------
    softmax : nn.Module
        Its output is the weight of each frame, shape (batch, n_times, 1).

    Notes
    -----
    The LSTM runs forward in time only.

    References
    ----------
    Hochreiter & Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735; weights as in Yang et al. (2016),
    doi:10.18653/v1/N16-1174, without their hidden layer.
    """

    def __init__(
        self,
        n_channels: int,
        n_features: int,
        n_times: int,
        n_classes: int,
        width: int,
        n_hidden: int,
        n_layers: int,
        dropout: float = 0.2,
        offset_db: float = 30.0,
        scale_db: float = 20.0,
    ) -> None:
        super().__init__()
        self.input_shape = (n_channels, n_features, n_times)
        self.scale = FixedScale(offset_db, scale_db)
        self.project = nn.Sequential(
            nn.Linear(n_channels * n_features, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout)
        )
        self.lstm = nn.LSTM(width, n_hidden, n_layers, batch_first=True)
        self.score = nn.Linear(n_hidden, 1, bias=False)  # a constant would change no weight
        self.softmax = nn.Softmax(dim=1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(n_hidden, n_classes)

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
        hidden, _ = self.lstm(self.project(self.scale(x).flatten(1, 2).transpose(1, 2)))
        weights = self.softmax(self.score(hidden))
        return self.head(self.dropout((weights * hidden).sum(dim=1)))


def lstm_attention(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    n_features: int,
    width: int = 64,
    n_hidden: int = 64,
    n_layers: int = 2,
    dropout: float = 0.2,
    offset_db: float = 30.0,
    scale_db: float = 20.0,
) -> nn.Module:
    """Build the LSTM with attention.

    For 19 channels, 64 features, 129 frames and 2 classes: 144,770 parameters.

    Parameters
    ----------
    n_channels, n_times, n_features : int
        Shape of a window: channels, frames, features.
    sfreq : float
        Frames per second. The layers count in frames, so it does not change the network.
    n_classes : int
        Number of logits.
    width, n_hidden, n_layers, dropout, offset_db, scale_db
        See `LSTMAttention`.
    """
    return LSTMAttention(
        n_channels, n_features, n_times, n_classes, width, n_hidden, n_layers, dropout, offset_db, scale_db
    )
