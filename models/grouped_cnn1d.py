"""Parallel grouped convolutions on raw signals, in groups of electrodes, with mixing before and after."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers import GeMPool


class ParallelGrouped(nn.Module):
    """One by one convolution, grouped convolutions of several lengths side by side, one by one convolution.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    kernels : tuple of int
        Lengths of the parallel convolutions, in samples.
    n_groups : int
        Groups of channels within each; each convolution has `n_out` channels.
    stride : int, default=1
        In time.

    Notes
    -----
    Grouping alone would keep channels of different groups apart; the mixing before and after joins them.
    """

    def __init__(self, n_in: int, n_out: int, kernels: tuple[int, ...], n_groups: int, stride: int = 1) -> None:
        super().__init__()
        self.before = nn.Sequential(nn.Conv1d(n_in, n_out, 1, bias=False), nn.BatchNorm1d(n_out), nn.SiLU())
        self.parallel = nn.ModuleList(
            nn.Sequential(
                nn.ConstantPad1d((kernel // 2, (kernel - 1) // 2), 0.0),
                nn.Conv1d(n_out, n_out, kernel, stride, groups=n_groups, bias=False),
                nn.BatchNorm1d(n_out),
                nn.SiLU(),
            )
            for kernel in kernels
        )
        self.after = nn.Sequential(nn.Conv1d(len(kernels) * n_out, n_out, 1, bias=False), nn.BatchNorm1d(n_out))
        self.added = stride == 1 and n_in == n_out
        self.activation = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, n_in, n_times) to (batch, n_out, n_times / stride), rounded up."""
        mixed = self.before(x)
        y = self.after(torch.cat([branch(mixed) for branch in self.parallel], dim=1))
        return self.activation(x + y if self.added else y)


class GroupedCNN1d(nn.Module):
    """A spatial block over the electrodes, temporal blocks that halve the rate, GeM pooling over time.

    Parameters
    ----------
    n_channels, n_times : int
        Shape of a window.
    sfreq : float
        Sampling rate, in Hz.
    n_classes : int
        Number of logits.
    n_spatial : int
        Virtual channels of the spatial block.
    widths : tuple of int
        Output channels of the temporal blocks; each is a multiple of `n_groups`.
    n_groups : int
        Groups of the convolutions.
    kernels_s : tuple of float
        Lengths of the parallel convolutions at the sampling rate, in seconds. Later blocks keep the number of samples:
        as the rate halves, they see twice as long.
    dropout : float, default=0.2
        Before the classifier.

    Raises
    ------
    ValueError
        If the widths cannot be divided among the groups, or the window is shorter than the strides.

    References
    ----------
    Groups as in Krizhevsky et al. (2012), doi:10.1145/3065386; parallel lengths as in Ismail Fawaz et al. (2020),
    doi:10.1007/s10618-020-00710-y.
    """

    def __init__(
        self,
        n_channels: int,
        n_times: int,
        sfreq: float,
        n_classes: int,
        n_spatial: int,
        widths: tuple[int, ...],
        n_groups: int,
        kernels_s: tuple[float, ...],
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if any(n % n_groups for n in (n_spatial, *widths)):
            raise ValueError(
                f"Grouped convolutions need widths that n_groups divides, got {(n_spatial, *widths)} and "
                f"n_groups={n_groups}. Change one of them."
            )
        if n_times < 2 ** len(widths):
            raise ValueError(
                f"{len(widths)} halvings need windows of at least {2 ** len(widths)} samples, got n_times={n_times}. "
                "Use a longer window or fewer blocks."
            )
        self.input_shape = (n_channels, n_times)
        kernels = tuple(max(3, round(seconds * sfreq)) for seconds in kernels_s)
        self.spatial = nn.Sequential(
            nn.Conv1d(n_channels, n_spatial, 1, bias=False),
            nn.BatchNorm1d(n_spatial),
            ParallelGrouped(n_spatial, n_spatial, kernels, n_groups),
        )
        blocks: list[nn.Module] = []
        n_in = n_spatial
        for n_out in widths:
            blocks.append(ParallelGrouped(n_in, n_out, kernels, n_groups, stride=2))
            n_in = n_out
        self.temporal = nn.Sequential(*blocks)
        self.pool = GeMPool()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(n_in, n_classes)

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
        return self.head(self.dropout(self.pool(self.temporal(self.spatial(x))[:, :, None])))


def grouped_cnn1d(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    n_spatial: int = 16,
    widths: tuple[int, ...] = (32, 32, 64, 64),
    n_groups: int = 8,
    kernels_s: tuple[float, ...] = (0.03, 0.06, 0.12),
    dropout: float = 0.2,
) -> nn.Module:
    """Build the parallel grouped 1D CNN.

    For 8 channels, 256 samples at 256 Hz and 4 classes: 112,773 parameters.

    Parameters
    ----------
    n_channels, n_times, sfreq, n_classes, n_spatial, widths, n_groups, kernels_s, dropout
        See `GroupedCNN1d`.
    """
    return GroupedCNN1d(n_channels, n_times, sfreq, n_classes, n_spatial, widths, n_groups, kernels_s, dropout)
