"""Spectrograms as images: other sizes, one above the other, or tiled, for networks that were made for pictures."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from models.limits import check_table


class Resized(nn.Module):
    """Spectrograms of another size, by linear interpolation along both axes.

    Parameters
    ----------
    n_features, n_times : int
        Size that comes in.
    height, width : int
        Size that goes out.

    Notes
    -----
    Two matrix products: exact, exportable, and with a backward pass that is deterministic on every device. Pixel
    centres are aligned as in ``torch.nn.functional.interpolate(..., align_corners=False)``, which also reads
    single pixels where the size shrinks.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, n_features: int, n_times: int, height: int, width: int) -> None:
        super().__init__()
        check_table(height * n_features + width * n_times, "Resizing a spectrogram")
        self.register_buffer("rows", torch.from_numpy(_linear(n_features, height)), persistent=False)
        self.register_buffer("columns", torch.from_numpy(_linear(n_times, width).T.copy()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Resize (..., n_features, n_times) to (..., height, width)."""
        return self.rows.to(x.dtype) @ x @ self.columns.to(x.dtype)


class Stacked(nn.Module):
    """Channels below each other in three planes: as they are, less the others, less the neighbours.

    Parameters
    ----------
    others : Tensor, shape (2, n_channels, n_channels)
        Weights of the means that the second and third plane are less; rows sum to 1 or 0.
    """

    others: Tensor

    def __init__(self, others: Tensor) -> None:
        super().__init__()
        self.register_buffer("others", others, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Stack (batch, n_channels, n_features, n_times) to (batch, 3, n_channels * n_features, n_times)."""
        means = torch.einsum("pij,bjft->bpift", self.others.to(x.dtype), x)
        return torch.cat((x[:, None], x[:, None] - means), dim=1).flatten(2, 3)


def stacked_image(n_channels: int, neighbours: tuple[tuple[int, ...], ...] = ()) -> Stacked:
    """Return the tall three-plane image of the third-placed solution for harmful brain activity.

    Parameters
    ----------
    n_channels : int
        Channels.
    neighbours : tuple of tuple of int, default=()
        For each channel the channels beside it, by index; empty takes those before and after in order.

    Returns
    -------
    image : Stacked

    Raises
    ------
    ValueError
        If `neighbours` has not one entry a channel, or an index that is none.
    """
    check_table(2 * n_channels**2, "A stacked image")
    near = neighbours or chains(n_channels, n_channels)
    if len(near) != n_channels or any(not 0 <= k < n_channels for row in near for k in row):
        raise ValueError(
            f"A stacked image needs neighbours for each of {n_channels} channels, by index, got {len(near)} entries "
            f"{near}. Give one tuple a channel, or none at all."
        )
    others = np.zeros((2, n_channels, n_channels), dtype=np.float32)
    if n_channels > 1:
        others[0] = (1.0 - np.eye(n_channels)) / (n_channels - 1)
    for i, row in enumerate(near):
        others[1, i, list(row)] = 1.0 / max(1, len(row))
    return Stacked(torch.from_numpy(others))


def chains(n_channels: int, length: int) -> tuple[tuple[int, ...], ...]:
    """Return the neighbours of channels that stand in chains of electrodes, as in a double banana.

    Parameters
    ----------
    n_channels : int
        Channels, one chain after the other.
    length : int
        Channels of a chain.

    Returns
    -------
    neighbours : tuple of tuple of int
        For each channel those before and after it in its chain.
    """
    return tuple(
        tuple(k for k in (i - 1, i + 1) if 0 <= k < n_channels and k // length == i // length)
        for i in range(n_channels)
    )


class Tiled(nn.Module):
    """Channels as tiles of one picture, row by row, with a border between them.

    Parameters
    ----------
    n_channels, n_features, n_times : int
        What comes in.
    border : int, default=16
        Zeros around every tile, in features and frames.

    Attributes
    ----------
    height, width : int
        Size of the picture.
    """

    def __init__(self, n_channels: int, n_features: int, n_times: int, border: int = 16) -> None:
        super().__init__()
        self._columns = math.ceil(math.sqrt(n_channels))
        self._rows = math.ceil(n_channels / self._columns)
        self._spare = self._rows * self._columns - n_channels
        self._border = border
        self.height = self._rows * (n_features + 2 * border)
        self.width = self._columns * (n_times + 2 * border)

    def forward(self, x: Tensor) -> Tensor:
        """Tile (batch, n_channels, n_features, n_times) to (batch, height, width)."""
        tiles = nn.functional.pad(x, (self._border,) * 4 + (0, self._spare))
        return tiles.unflatten(1, (self._rows, self._columns)).transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def cut(self, picture: Tensor) -> Tensor:
        """Return the tiles of a picture without their borders: the inverse of `forward`."""
        tiles = picture.unflatten(2, (self._columns, -1)).unflatten(1, (self._rows, -1)).transpose(2, 3).flatten(1, 2)
        inside = slice(self._border, -self._border or None)
        return tiles[:, : tiles.shape[1] - self._spare, inside, inside]


def _linear(n_in: int, n_out: int) -> np.ndarray:
    """Return interpolation weights, float32 (n_out, n_in), pixel centres aligned."""
    at = np.clip((np.arange(n_out) + 0.5) * n_in / n_out - 0.5, 0.0, n_in - 1)
    below = np.minimum(np.floor(at).astype(np.int64), max(0, n_in - 2))
    weights = np.zeros((n_out, n_in))
    share = at - below
    weights[np.arange(n_out), below] = 1.0 - share
    if n_in > 1:
        weights[np.arange(n_out), below + 1] = share
    return weights.astype(np.float32)
