"""Traces painted into an image with numpy: only the columns that are new, each as one vertical line per channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apps.monitor.raster import MinMaxRaster
from bci.errors import SpecError

LANES = 1.5
"""How far a trace may leave the middle of its lane, in heights of a lane; beyond, it is cut."""


@dataclass(frozen=True, slots=True)
class TraceColours:
    """Colours of traces, each ``0xAARRGGBB`` with alpha 255.

    Parameters
    ----------
    background, good, doubtful, bad : int
        Of the image, and of channels by their quality.
    """

    background: int = 0xFF10141A
    good: int = 0xFFC8D2DC
    doubtful: int = 0xFFD9A05B
    bad: int = 0xFF5A626C


@dataclass(frozen=True, slots=True)
class Lanes:
    """Where values of each channel are in an image.

    Parameters
    ----------
    height_px : int
        Height of the image.
    scale : float or ndarray of float32, shape (n_channels,)
        Value that is one lane high, in units of the signal.
    offsets : ndarray of float32, shape (n_channels,)
        Value in the middle of each lane.
    """

    height_px: int
    scale: float | np.ndarray
    offsets: np.ndarray

    @property
    def lane_px(self) -> float:
        """Height of a lane, in pixels."""
        return self.height_px / len(self.offsets)

    @property
    def middles_px(self) -> np.ndarray:
        """Middle of each lane, shape (n_channels,), in pixels from the top."""
        return (np.arange(len(self.offsets)) + 0.5) * self.lane_px

    def rows(self, values: np.ndarray) -> np.ndarray:
        """Return the image row of each value, shape (n_channels, n_columns); positive is up."""
        reach = LANES * self.lane_px
        with np.errstate(invalid="ignore", over="ignore"):
            away = (values - self.offsets[:, None]) * np.float32(-self.lane_px / np.reshape(self.scale, (-1, 1)))
            rows = self.middles_px[:, None] + np.clip(away, -reach, reach)
        return np.clip(rows, 0, self.height_px - 1)


class TraceImage:
    """Image of a raster, a ring of columns as the raster itself: column ``k`` is at ``x = k mod width_px``.

    Neither scrolling nor sweeping moves a pixel: who shows it scrolling draws the part from `head` on first, then the
    part before.

    Parameters
    ----------
    width_px, height_px : int
        Size.

    Raises
    ------
    SpecError
        If there is no pixel.
    """

    def __init__(self, width_px: int, height_px: int) -> None:
        if width_px < 1 or height_px < 1:
            raise SpecError(f"An image needs at least one pixel, got {width_px} by {height_px}.")
        self.pixels = np.zeros((height_px, width_px), np.uint32)
        """Shape (height_px, width_px), ``0xAARRGGBB``."""
        self.n_painted = 0

    @property
    def head(self) -> int:
        """Where the next column goes; the oldest is there now."""
        return self.n_painted % self.pixels.shape[1]

    def clear(self, background: int) -> None:
        """Begin anew: nothing is painted."""
        self.pixels.fill(background)
        self.n_painted = 0

    def paint(self, raster: MinMaxRaster, lanes: Lanes, colours: np.ndarray, background: int) -> int:
        """Paint the columns that are new since the last call.

        Parameters
        ----------
        raster : MinMaxRaster
            As wide as the image.
        lanes : Lanes
            As high as the image.
        colours : ndarray of uint32, shape (n_channels,)
            Of each trace; later channels are painted over earlier ones.
        background : int
            Of what is empty.

        Returns
        -------
        n_new : int
            Columns that were painted.
        """
        start = max(self.n_painted, raster.n_columns - self.pixels.shape[1])
        first, mins, maxs = raster.columns(max(0, start - 1))  # one more, so that lines join those that are there
        joined = first < start
        n_new = raster.n_columns - first - joined
        if n_new <= 0:
            return 0
        block = _segments(mins, maxs, lanes, colours, background)[:, joined:]
        at = np.arange(first + joined, raster.n_columns) % self.pixels.shape[1]
        self.pixels[:, at] = block
        self.n_painted = raster.n_columns
        return n_new


def _segments(mins: np.ndarray, maxs: np.ndarray, lanes: Lanes, colours: np.ndarray, background: int) -> np.ndarray:
    """Return the pixels of columns, shape (height_px, n_columns); each line begins where the one before has ended."""
    top, bottom = lanes.rows(maxs), lanes.rows(mins)
    # to the nearest row of the neighbour on the left, if that is away
    before_top, before_bottom = top[:, :-1], bottom[:, :-1]
    top, bottom = top.copy(), bottom.copy()
    top[:, 1:] = np.fmin(top[:, 1:], np.where(np.isnan(top[:, 1:]), np.nan, before_bottom))
    bottom[:, 1:] = np.fmax(bottom[:, 1:], np.where(np.isnan(bottom[:, 1:]), np.nan, before_top))
    block = np.full((lanes.height_px, mins.shape[1]), background, np.uint32)
    channel, column = np.nonzero(np.isfinite(top) & np.isfinite(bottom))
    if not len(channel):
        return block
    start = np.rint(top[channel, column]).astype(np.int64)
    length = np.rint(bottom[channel, column]).astype(np.int64) - start + 1
    ends = np.cumsum(length)
    down = np.arange(ends[-1]) - np.repeat(ends - length, length)  # 0, 1, … within each line
    # numpy assigns in order: of two lines on one pixel the later channel is seen
    block[np.repeat(start, length) + down, np.repeat(column, length)] = np.repeat(colours[channel], length)
    return block
