"""Minimum and maximum of every channel within each pixel column: a spike of one sample is never lost."""

from __future__ import annotations

import itertools
import math

import numpy as np

from bci.errors import SpecError

MIN_BREAK_S = 0.025
BREAK_SAMPLES = 4.0
IRREGULAR_BREAK_S = 2.0
BACKWARD_S = 1.0


class MinMaxRaster:
    """Columns of equal length in time, in a ring as wide as the screen.

    Column ``k`` holds the samples with stamps from ``origin_s + k·column_s`` up to the next column's begin, where
    ``origin_s`` is the stamp of the first sample. A column without a sample is interpolated linearly between its
    neighbours, unless these are further apart than a break: then it is NaN. A column is there once a sample behind it
    has come.

    Parameters
    ----------
    n_channels : int
        Channels.
    width_px : int
        Columns on the screen.
    span_s : float
        Time that they show, in seconds.
    sfreq : float
        Nominal rate, in Hz; 0 if irregular.

    Raises
    ------
    SpecError
        If there is nothing to draw.

    Notes
    -----
    Stamps that go back by less than 1 s count as their predecessor's; more than that begins anew, as does a jump ahead
    by more than the span: `generation` grows then, and columns are counted from 0 again.
    """

    def __init__(self, n_channels: int, width_px: int, span_s: float, sfreq: float) -> None:
        if n_channels < 1 or width_px < 1 or not 0 < span_s < math.inf:
            raise SpecError(
                "A raster needs at least one channel and one column and a span above 0 s, "
                f"got {n_channels}, {width_px} and {span_s:g} s."
            )
        self.n_channels, self.width_px, self.span_s, self.sfreq = n_channels, width_px, span_s, sfreq
        self.column_s = span_s / width_px
        self.break_s = max(MIN_BREAK_S, BREAK_SAMPLES / sfreq) if sfreq > 0 else IRREGULAR_BREAK_S
        self.generation = 0
        self._room = width_px + 1  # the column that has just left is what the oldest one's line comes from
        self._mins = np.full((n_channels, self._room), np.nan, np.float32)
        self._maxs = np.full((n_channels, self._room), np.nan, np.float32)
        self._begin()

    def _begin(self) -> None:
        self.origin_s = math.nan
        self.n_columns = 0
        """Columns that are complete; the newest is ``n_columns - 1``."""
        self._open = np.full((2, self.n_channels), np.nan, np.float32)  # minimum and maximum of the column being filled
        self._last = np.full(self.n_channels, np.nan, np.float32)
        self._last_s = math.nan
        self._mins.fill(np.nan)
        self._maxs.fill(np.nan)

    @property
    def first(self) -> int:
        """Oldest column that is kept, one more than the screen is wide."""
        return max(0, self.n_columns - self._room)

    def push(self, data: np.ndarray, stamps: np.ndarray) -> None:
        """Take the next samples.

        Parameters
        ----------
        data : ndarray, shape (n_channels, n_samples)
            NaN values are left out of minimum and maximum.
        stamps : ndarray, shape (n_samples,)
            In seconds; samples without a finite one are left out.

        Raises
        ------
        SpecError
            If shapes do not fit.
        """
        if data.shape != (self.n_channels, len(stamps)):
            raise SpecError(
                f"The raster needs samples of shape ({self.n_channels}, {len(stamps)}), got {data.shape}. "
                "Make a new one when the channels change."
            )
        finite = np.isfinite(stamps)
        if not finite.all():
            data, stamps = data[:, finite], stamps[finite]
        with np.errstate(over="ignore"):  # what is beyond float32 is infinite, and drawn to the edge
            data = np.asarray(data, np.float32)
        for part in _pieces(stamps, self._last_s, self.span_s):
            self._take(data[:, part], stamps[part])

    def columns(self, since: int) -> tuple[int, np.ndarray, np.ndarray]:
        """Return the complete columns from `since` on, as far as they are kept.

        Parameters
        ----------
        since : int
            Number of a column.

        Returns
        -------
        first : int
            Number of the first column that is returned.
        mins, maxs : ndarray of float32, shape (n_channels, n_columns)
            NaN where nothing was received.
        """
        first = min(max(since, self.first), self.n_columns)
        at = np.arange(first, self.n_columns) % self._room
        return first, self._mins[:, at], self._maxs[:, at]

    def column_of(self, stamp_s: float) -> float:
        """Return the column of a time, with its fraction; NaN before the first sample."""
        return (stamp_s - self.origin_s) / self.column_s

    def time_of(self, column: float) -> float:
        """Return the time at which a column begins; NaN before the first sample."""
        return self.origin_s + column * self.column_s

    def _take(self, data: np.ndarray, stamps: np.ndarray) -> None:
        if not len(stamps):
            return
        fresh = math.isnan(self._last_s)
        if not fresh and not -BACKWARD_S <= stamps[0] - self._last_s <= self.span_s:
            self.generation += 1
            self._begin()
            fresh = True
        if fresh:
            self.origin_s = self._last_s = float(stamps[0])
            self._last = data[:, 0]
        stamps = np.maximum.accumulate(np.maximum(stamps, self._last_s))
        numbers = np.floor((stamps - self.origin_s) / self.column_s).astype(np.int64)
        numbers = np.maximum(numbers, self.n_columns)  # rounding must not reach behind a complete column
        starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
        lows, highs = np.fmin.reduceat(data, starts, axis=1), np.fmax.reduceat(data, starts, axis=1)
        filled = numbers[starts]
        if filled[0] == self.n_columns:  # goes on with the open column
            lows[:, 0], highs[:, 0] = np.fmin(lows[:, 0], self._open[0]), np.fmax(highs[:, 0], self._open[1])
        else:
            filled = np.concatenate([[self.n_columns], filled])
            lows, highs = np.column_stack([self._open[0], lows]), np.column_stack([self._open[1], highs])
        begun = self.n_columns
        self.n_columns = int(filled[-1])
        self._write(filled[:-1], lows[:, :-1], highs[:, :-1])
        self._bridge(data, stamps, np.concatenate([[begun], numbers]))
        self._open = np.stack([lows[:, -1], highs[:, -1]])
        self._last, self._last_s = data[:, -1].copy(), float(stamps[-1])

    def _write(self, numbers: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> None:
        """Write those of the complete columns that are still kept."""
        kept = numbers >= self.first
        at = numbers[kept] % self._room
        self._mins[:, at], self._maxs[:, at] = lows[:, kept], highs[:, kept]

    def _bridge(self, data: np.ndarray, stamps: np.ndarray, numbers: np.ndarray) -> None:
        """Fill the columns between samples that are more than a column apart: lines, or NaN at breaks.

        `numbers` has the columns of the samples, and before them that of the last sample before.
        """
        for i in np.flatnonzero(np.diff(numbers) > 1):
            between = np.arange(numbers[i] + 1, numbers[i + 1])
            left, left_s = (self._last, self._last_s) if i == 0 else (data[:, i - 1], float(stamps[i - 1]))
            line = np.full((self.n_channels, len(between)), np.nan, np.float32)
            if stamps[i] - left_s <= self.break_s:
                middles = self.origin_s + (between + 0.5) * self.column_s
                share = np.clip((middles - left_s) / (stamps[i] - left_s), 0, 1).astype(np.float32)
                with np.errstate(invalid="ignore", over="ignore"):  # infinite values make no line
                    line = left[:, None] + share * (data[:, i] - left)[:, None]
            self._write(between, line, line)


def _pieces(stamps: np.ndarray, last_s: float, span_s: float) -> list[slice]:
    """Cut where the stamps jump so far that the raster begins anew."""
    if not len(stamps):
        return []
    steps = np.diff(stamps, prepend=stamps[0] if math.isnan(last_s) else last_s)
    jumps = np.flatnonzero((steps < -BACKWARD_S) | (steps > span_s))
    cuts = sorted({0, len(stamps), *jumps.tolist()})
    return [slice(start, stop) for start, stop in itertools.pairwise(cuts)]
