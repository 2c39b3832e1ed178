"""EEGNet: temporal filters, spatial filters per temporal filter, then a separable temporal convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers import MaxNormConv2d, MaxNormLinear


class EEGNet(nn.Module):
    """EEGNet v4 for raw signals.

    Parameters
    ----------
    n_channels, n_times : int
        Shape of a window.
    sfreq : float
        Sampling rate, in Hz.
    n_classes : int
        Number of logits.
    n_temporal : int, default=8
        Temporal filters (F1).
    depth : int, default=2
        Spatial filters per temporal filter (D).
    n_separable : int, default=16
        Filters of the separable convolution (F2).
    kernel_s : float, default=0.5
        Length of the temporal filters, in seconds, rounded to samples.
    separable_s : float, default=0.5
        Length of the separable filters, in seconds, rounded to samples after the first pooling.
    pool_1, pool_2 : int, default=4, 8
        Pooling factors, in samples. The paper's are for 128 Hz; at 256 Hz, 4 leaves 64 Hz after the first pooling.
    dropout : float, default=0.25
        The paper takes 0.5 within and 0.25 across subjects.
    head_max_norm : float or None, default=0.25
        Bound of the classifier's row norms; None leaves them free.

    Raises
    ------
    ValueError
        If the window is shorter than the two poolings.

    Notes
    -----
    The norm constraints act only where training calls `models.layers.constrain_` after each step. Batch
    normalisation uses the reference implementation's momentum (Keras 0.99) and epsilon (1e-3).

    References
    ----------
    Lawhern et al. (2018), doi:10.1088/1741-2552/aace8c.
    """

    def __init__(
        self,
        n_channels: int,
        n_times: int,
        sfreq: float,
        n_classes: int,
        n_temporal: int = 8,
        depth: int = 2,
        n_separable: int = 16,
        kernel_s: float = 0.5,
        separable_s: float = 0.5,
        pool_1: int = 4,
        pool_2: int = 8,
        dropout: float = 0.25,
        head_max_norm: float | None = 0.25,
    ) -> None:
        super().__init__()
        n_pooled = n_times // pool_1 // pool_2
        if n_pooled < 1:
            raise ValueError(
                f"EEGNet needs windows of at least pool_1 * pool_2 = {pool_1 * pool_2} samples, got n_times={n_times}. "
                "Use a longer window or smaller pooling factors."
            )
        self.input_shape = (n_channels, n_times)
        kernel = max(1, round(kernel_s * sfreq))
        separable = max(1, round(separable_s * sfreq / pool_1))
        n_spatial = n_temporal * depth
        self.features = nn.Sequential(
            nn.ZeroPad2d((kernel // 2, (kernel - 1) // 2, 0, 0)),
            nn.Conv2d(1, n_temporal, (1, kernel), bias=False),
            _norm(n_temporal),
            MaxNormConv2d(n_temporal, n_spatial, (n_channels, 1), groups=n_temporal, bias=False, max_norm=1.0),
            _norm(n_spatial),
            nn.ELU(),
            nn.AvgPool2d((1, pool_1)),
            nn.Dropout(dropout),
            nn.ZeroPad2d((separable // 2, (separable - 1) // 2, 0, 0)),
            nn.Conv2d(n_spatial, n_spatial, (1, separable), groups=n_spatial, bias=False),
            nn.Conv2d(n_spatial, n_separable, 1, bias=False),
            _norm(n_separable),
            nn.ELU(),
            nn.AvgPool2d((1, pool_2)),
            nn.Dropout(dropout),
            nn.Flatten(),
        )
        n_features = n_separable * n_pooled
        self.head = (
            nn.Linear(n_features, n_classes)
            if head_max_norm is None
            else MaxNormLinear(n_features, n_classes, max_norm=head_max_norm)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Classify windows.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_times)
            Filtered signals, scaled to a standard deviation of about 1.

        Returns
        -------
        logits : Tensor, shape (batch, n_classes)
        """
        return self.head(self.features(torch.unsqueeze(x, 1)))


def eegnet(n_channels: int, n_times: int, sfreq: float, n_classes: int, dropout: float = 0.25) -> nn.Module:
    """Build EEGNet-8,2 with the filter lengths of the paper, in seconds.

    For 8 channels, 256 samples at 256 Hz and 4 classes: 2,516 parameters.

    Parameters
    ----------
    n_channels, n_times, sfreq, n_classes, dropout
        See `EEGNet`.
    """
    return EEGNet(n_channels, n_times, sfreq, n_classes, dropout=dropout)


def eegnet_ssvep(n_channels: int, n_times: int, sfreq: float, n_classes: int, dropout: float = 0.5) -> nn.Module:
    """Build EEGNet for steady-state responses: 96 temporal filters of 1 s, one spatial filter each.

    For 8 channels, 256 samples at 256 Hz and 4 classes: 39,748 parameters. The classifier's norm is free, as in the
    paper's code.

    Parameters
    ----------
    n_channels, n_times, sfreq, n_classes, dropout
        See `EEGNet`.

    References
    ----------
    Waytowich et al. (2018), doi:10.1088/1741-2552/aae5d8.
    """
    return EEGNet(
        n_channels,
        n_times,
        sfreq,
        n_classes,
        n_temporal=96,
        depth=1,
        n_separable=96,
        kernel_s=1.0,
        separable_s=0.25,
        dropout=dropout,
        head_max_norm=None,
    )


def _norm(n: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(n, eps=1e-3, momentum=0.01)
