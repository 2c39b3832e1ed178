"""MixNet on log-mel frames: depthwise kernels of several sizes side by side, and channels that weigh each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.images import stacked_image
from models.layers import FixedScale, GeMPool


class MixedConv(nn.Module):
    """Depthwise convolution whose channels are divided among kernels of several sizes.

    Parameters
    ----------
    n : int
        Channels in and out.
    kernels : tuple of int
        Sides of the kernels; odd. Each has ``n // len(kernels)`` channels, the first the rest as well.
    stride : int, default=1
        On both axes.

    References
    ----------
    Tan & Le (2019), arXiv:1907.09595.
    """

    def __init__(self, n: int, kernels: tuple[int, ...], stride: int = 1) -> None:
        super().__init__()
        share = n // len(kernels)
        self.sizes = [n - share * (len(kernels) - 1)] + [share] * (len(kernels) - 1)
        self.parts = nn.ModuleList(
            nn.Conv2d(size, size, kernel, stride, kernel // 2, groups=size, bias=False)
            for size, kernel in zip(self.sizes, kernels, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (batch, n, height, width)."""
        return torch.cat([part(y) for part, y in zip(self.parts, x.split(self.sizes, dim=1), strict=True)], dim=1)


class SqueezeExcite(nn.Module):
    """Weigh every channel by what all channels hold on average over the map.

    Parameters
    ----------
    n, n_squeezed : int
        Channels, and those of the hidden layer.

    References
    ----------
    Hu, Shen & Sun (2018), doi:10.1109/CVPR.2018.00745.
    """

    def __init__(self, n: int, n_squeezed: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.Conv2d(n, n_squeezed, 1), nn.SiLU(), nn.Conv2d(n_squeezed, n, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Weigh (batch, n, height, width)."""
        return x * self.weigh(x.mean(dim=(2, 3), keepdim=True))


class MixBlock(nn.Module):
    """Widen, mixed depthwise convolution, squeeze and excite, narrow; added to its input where shapes allow.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    kernels : tuple of int
        See `MixedConv`.
    stride : int
        On both axes.
    expansion : int, default=3
        Width of the inner layers, in multiples of `n_in`.
    """

    def __init__(self, n_in: int, n_out: int, kernels: tuple[int, ...], stride: int, expansion: int = 3) -> None:
        super().__init__()
        n = expansion * n_in
        self.added = stride == 1 and n_in == n_out
        self.layers = nn.Sequential(
            nn.Conv2d(n_in, n, 1, bias=False),
            nn.BatchNorm2d(n),
            nn.SiLU(),
            MixedConv(n, kernels, stride),
            nn.BatchNorm2d(n),
            nn.SiLU(),
            SqueezeExcite(n, max(1, n_in // 2)),
            nn.Conv2d(n, n_out, 1, bias=False),
            nn.BatchNorm2d(n_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, n_in, height, width) to (batch, n_out, ...)."""
        y = self.layers(x)
        return x + y if self.added else y


class MixNet(nn.Module):
    """A stem of stride 2, blocks of mixed kernels, a last widening, GeM pooling and a classifier.

    Parameters
    ----------
    n_channels, n_features, n_times : int
        Shape of a window of spectral frames.
    n_classes : int
        Number of logits.
    image : nn.Module or None
        What makes planes of a window, from (batch, n_channels, n_features, n_times); None takes the channels as planes.
    n_planes : int
        Planes of the image.
    widths, strides : tuple of int
        Output channels and stride of each block.
    kernels : tuple of tuple of int
        Kernels of each block, see `MixedConv`.
    n_head : int
        Channels before the pooling.
    dropout : float, default=0.2
        Before the classifier.
    offset_db, scale_db : float, default=30.0, 20.0
        The input is read as ``(dB - offset_db) / scale_db``.

    Attributes
    ----------
    last : nn.Module
        Its output is the last map before pooling: what Grad-CAM reads.

    References
    ----------
    Tan & Le (2019), arXiv:1907.09595, narrower; pooling as in `models.layers.GeMPool`.
    """

    def __init__(
        self,
        n_channels: int,
        n_features: int,
        n_times: int,
        n_classes: int,
        image: nn.Module | None,
        n_planes: int,
        widths: tuple[int, ...],
        strides: tuple[int, ...],
        kernels: tuple[tuple[int, ...], ...],
        n_head: int,
        dropout: float = 0.2,
        offset_db: float = 30.0,
        scale_db: float = 20.0,
    ) -> None:
        super().__init__()
        self.input_shape = (n_channels, n_features, n_times)
        self.scale = FixedScale(offset_db, scale_db)
        self.image = nn.Identity() if image is None else image
        n_in = widths[0]
        self.stem = nn.Sequential(nn.Conv2d(n_planes, n_in, 3, 2, 1, bias=False), nn.BatchNorm2d(n_in), nn.SiLU())
        blocks = []
        for n_out, stride, sizes in zip(widths, strides, kernels, strict=True):
            blocks.append(MixBlock(n_in, n_out, sizes, stride))
            n_in = n_out
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Sequential(nn.Conv2d(n_in, n_head, 1, bias=False), nn.BatchNorm2d(n_head), nn.SiLU())
        self.pool = GeMPool()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(n_head, n_classes)

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
        maps = self.last(self.blocks(self.stem(self.image(self.scale(x)))))
        return self.head(self.dropout(self.pool(maps)))


WIDTHS = (16, 24, 40, 64, 64)
STRIDES = (1, 2, 2, 2, 1)
KERNELS = ((3,), (3, 5), (3, 5, 7), (3, 5, 7, 9), (3, 5, 7, 9))
N_HEAD = 128


def mixnet(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    n_features: int,
    dropout: float = 0.2,
    offset_db: float = 30.0,
    scale_db: float = 20.0,
) -> nn.Module:
    """Build the small MixNet that takes channels as planes of an image.

    For 19 channels, 64 features, 129 frames and 2 classes: 95,875 parameters.

    Parameters
    ----------
    n_channels, n_times, n_features : int
        Shape of a window: channels, frames, features.
    sfreq : float
        Frames per second. The layers count in frames, so it does not change the network.
    n_classes : int
        Number of logits.
    dropout, offset_db, scale_db
        See `MixNet`.
    """
    return MixNet(
        n_channels, n_features, n_times, n_classes, None, n_channels, WIDTHS, STRIDES, KERNELS, N_HEAD,
        dropout=dropout, offset_db=offset_db, scale_db=scale_db,
    )  # fmt: skip


def mixnet_stacked(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    n_features: int,
    neighbours: tuple[tuple[int, ...], ...] = (),
    dropout: float = 0.2,
    offset_db: float = 30.0,
    scale_db: float = 20.0,
) -> nn.Module:
    """Build the small MixNet on one tall image, the channels' spectrograms below each other.

    For 19 channels, 64 features, 129 frames and 2 classes: 93,571 parameters.

    Parameters
    ----------
    n_channels, n_times, n_features : int
        Shape of a window: channels, frames, features.
    sfreq : float
        Frames per second. The layers count in frames, so it does not change the network.
    n_classes : int
        Number of logits.
    neighbours : tuple of tuple of int, default=()
        See `models.images.stacked_image`.
    dropout, offset_db, scale_db
        See `MixNet`.
    """
    image = stacked_image(n_channels, neighbours)
    return MixNet(
        n_channels, n_features, n_times, n_classes, image, 3, WIDTHS, STRIDES, KERNELS, N_HEAD,
        dropout=dropout, offset_db=offset_db, scale_db=scale_db,
    )  # fmt: skip
