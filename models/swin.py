"""Swin transformer on spectrograms: attention within windows that shift, and a hierarchy that merges patches."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.attention import EncoderBlock
from models.layers import FixedScale
from models.limits import check_table

FORBIDDEN = -1e4
"""Added to the score of a pair that may not attend: its weight is 0 in float32 and bfloat16, and never NaN."""


class WindowPlan:
    """How a grid of tokens is cut into windows, and who may attend to whom.

    Parameters
    ----------
    grid : tuple of int
        Tokens along frequency and along time.
    window : int
        Side of a window, in tokens; an axis that is shorter is one window.
    shifted : bool
        Whether the windows are moved by half a side, on every axis that has more than one.

    Attributes
    ----------
    size : tuple of int
        Tokens of a window along both axes.
    padded : tuple of int
        Grid after padding to whole windows.
    shift : tuple of int
        Tokens by which the windows are moved.
    mask : ndarray of float32, shape (n_windows, n, n)
        0 where two of the ``n`` tokens of a window may attend, `FORBIDDEN` where the shift has brought tokens
        together that are no neighbours, or where one is padding.
    pairs : ndarray of int64, shape (n * n,)
        Row of the position table for every pair: one for each distance along both axes.

    Notes
    -----
    Everything is decided by numpy, when the network is built: nothing here depends on a window's content.
    """

    def __init__(self, grid: tuple[int, int], window: int, shifted: bool) -> None:
        self.grid = grid
        height, width = min(window, grid[0]), min(window, grid[1])
        self.size = (height, width)
        self.padded = (math.ceil(grid[0] / height) * height, math.ceil(grid[1] / width) * width)
        check_table(math.prod(self.padded) * math.prod(self.size), "The mask of attention windows")
        moved = [side // 2 if shifted and n > side else 0 for n, side in zip(self.padded, self.size, strict=True)]
        self.shift = (moved[0], moved[1])
        rows = self._regions(0)
        columns = self._regions(1)
        region = np.where((rows[:, None] < 0) | (columns < 0), -1, rows[:, None] * (columns.max() + 2) + columns)
        cut = region.reshape(self.padded[0] // height, height, self.padded[1] // width, width)
        flat = cut.transpose(0, 2, 1, 3).reshape(-1, height * width)
        self.mask = np.where(flat[:, :, None] == flat[:, None, :], 0.0, FORBIDDEN).astype(np.float32)
        at = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij")).reshape(2, -1)
        apart = at[:, :, None] - at[:, None, :]
        self.pairs = ((apart[0] + height - 1) * (2 * width - 1) + apart[1] + width - 1).reshape(-1)

    def _regions(self, axis: int) -> np.ndarray:
        """Return which stretch each token of the moved axis belongs to; padding is -1."""
        n, shift = self.padded[axis], self.shift[axis]
        region = np.zeros(n, dtype=np.int64)
        region[self.grid[axis] :] = -1
        if shift:
            region[:shift] += 1  # they come to the end, beside tokens from the other edge
        return np.roll(region, -shift)


class SwinBlock(nn.Module):
    """An encoder block whose attention stays within the windows of a plan.

    Parameters
    ----------
    plan : WindowPlan
        How tokens are grouped.
    width, n_heads, expansion, dropout
        See `models.attention.EncoderBlock`.
    """

    mask: Tensor
    pairs: Tensor

    def __init__(self, plan: WindowPlan, width: int, n_heads: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.plan = plan
        self.block = EncoderBlock(width, n_heads, expansion, dropout)
        n_distances = (2 * plan.size[0] - 1) * (2 * plan.size[1] - 1)
        self.distance = nn.Parameter(0.02 * torch.randn(n_distances, n_heads))
        self.register_buffer("pairs", torch.from_numpy(plan.pairs), persistent=False)
        self.register_buffer("mask", torch.from_numpy(plan.mask), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Encode a grid of tokens, (batch, height, width, channels) to the same shape."""
        tokens = self.cut(x)
        return self.join(self.block(tokens, self.bias(tokens.shape[0] // self.mask.shape[0])))

    def cut(self, x: Tensor) -> Tensor:
        """Return the windows of a grid, (batch, height, width, channels) to (batch * n_windows, n, channels)."""
        plan = self.plan
        (height, width), (rows, columns) = plan.grid, plan.size
        n_rows, n_columns = plan.padded[0] // rows, plan.padded[1] // columns
        x = functional.pad(x, (0, 0, 0, plan.padded[1] - width, 0, plan.padded[0] - height))
        x = _rolled(x, plan.shift, -1)
        x = x.unflatten(2, (n_columns, columns)).unflatten(1, (n_rows, rows)).transpose(2, 3)
        return x.reshape(-1, rows * columns, x.shape[-1])

    def join(self, y: Tensor) -> Tensor:
        """Return the grid of windows: the inverse of `cut`."""
        plan = self.plan
        (height, width), (rows, columns) = plan.grid, plan.size
        n_rows, n_columns = plan.padded[0] // rows, plan.padded[1] // columns
        y = y.reshape(-1, n_rows, n_columns, rows, columns, y.shape[-1]).transpose(2, 3).flatten(3, 4).flatten(1, 2)
        return _rolled(y, plan.shift, 1)[:, :height, :width]

    def bias(self, n_batch: int) -> Tensor:
        """Return what is added to the scores, (n_batch * n_windows, n_heads, n, n)."""
        n = self.mask.shape[-1]
        by_distance = self.distance[self.pairs].reshape(n, n, -1).permute(2, 0, 1)
        bias = by_distance[None] + self.mask[:, None]
        return bias.repeat(n_batch, 1, 1, 1)


class PatchMerge(nn.Module):
    """Join two by two neighbours into one token of twice the width.

    Parameters
    ----------
    width : int
        Channels of a token.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduce = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Merge (batch, height, width, channels); an odd axis is continued with zeros."""
        x = functional.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        corners = (x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2])
        return self.reduce(self.norm(torch.cat(corners, dim=-1)))


class Swin(nn.Module):
    """Patches as tokens; stages of window attention, plain and shifted in turn; merging between the stages.

    Parameters
    ----------
    n_channels, n_features, n_times : int
        Shape of a window of spectral frames.
    n_classes : int
        Number of logits.
    patch : int
        Side of a patch, in features and frames. A window that is no whole number of patches is continued with zeros
        at its highest features and before its first frame.
    width : int
        Channels of a token in the first stage; each later stage has twice as many.
    depths : tuple of int
        Blocks of each stage.
    n_heads : tuple of int
        Heads of each stage.
    window : int
        Side of an attention window, in tokens.
    expansion : int, default=2
        See `models.attention.EncoderBlock`.
    dropout : float, default=0.1
        In the blocks and before the classifier.
    offset_db, scale_db : float, default=30.0, 20.0
        The input is read as ``(dB - offset_db) / scale_db``.

    Attributes
    ----------
    norm : nn.Module
        Its output is the last map of tokens, (batch, height, width, channels): what Grad-CAM reads.

    Raises
    ------
    ValueError
        If `depths` and `n_heads` differ in length.

    References
    ----------
    Liu et al. (2021), doi:10.1109/ICCV48922.2021.00986. Where they pad, padding is attended to; here it is not.
    """

    def __init__(
        self,
        n_channels: int,
        n_features: int,
        n_times: int,
        n_classes: int,
        patch: int,
        width: int,
        depths: tuple[int, ...],
        n_heads: tuple[int, ...],
        window: int,
        expansion: int = 2,
        dropout: float = 0.1,
        offset_db: float = 30.0,
        scale_db: float = 20.0,
    ) -> None:
        super().__init__()
        if len(depths) != len(n_heads) or not depths:
            raise ValueError(
                f"Swin needs as many n_heads as depths, at least one, got depths={depths}, n_heads={n_heads}. "
                "Give one of each for every stage."
            )
        self.input_shape = (n_channels, n_features, n_times)
        grid = (math.ceil(n_features / patch), math.ceil(n_times / patch))
        self._padding = (grid[1] * patch - n_times, 0, 0, grid[0] * patch - n_features)
        self.scale = FixedScale(offset_db, scale_db)
        self.patches = nn.Conv2d(n_channels, width, patch, stride=patch)
        self.first_norm = nn.LayerNorm(width)
        stages: list[nn.Module] = []
        for i, (depth, heads) in enumerate(zip(depths, n_heads, strict=True)):
            if i:
                stages.append(PatchMerge(width))
                grid, width = (math.ceil(grid[0] / 2), math.ceil(grid[1] / 2)), 2 * width
            plans = (WindowPlan(grid, window, shifted=bool(k % 2)) for k in range(depth))
            stages += [SwinBlock(plan, width, heads, expansion, dropout) for plan in plans]
        self.stages = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(width)
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
        tokens = self.patches(functional.pad(self.scale(x), self._padding)).permute(0, 2, 3, 1)
        tokens = self.norm(self.stages(self.first_norm(tokens)))
        return self.head(self.dropout(tokens.mean(dim=(1, 2))))


def swin(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    n_features: int,
    patch: int = 4,
    width: int = 24,
    depths: tuple[int, ...] = (2, 2, 2),
    n_heads: tuple[int, ...] = (2, 4, 8),
    window: int = 4,
    dropout: float = 0.1,
    offset_db: float = 30.0,
    scale_db: float = 20.0,
) -> nn.Module:
    """Build the small Swin transformer.

    For 19 channels, 64 features, 129 frames and 2 classes: 228,966 parameters.

    Parameters
    ----------
    n_channels, n_times, n_features : int
        Shape of a window: channels, frames, features.
    sfreq : float
        Frames per second. The layers count in frames, so it does not change the network.
    n_classes : int
        Number of logits.
    patch, width, depths, n_heads, window, dropout, offset_db, scale_db
        See `Swin`.
    """
    return Swin(
        n_channels, n_features, n_times, n_classes, patch, width, depths, n_heads, window,
        dropout=dropout, offset_db=offset_db, scale_db=scale_db,
    )  # fmt: skip


def _rolled(x: Tensor, shift: tuple[int, int], sign: int) -> Tensor:
    return torch.roll(x, (sign * shift[0], sign * shift[1]), dims=(1, 2)) if any(shift) else x
