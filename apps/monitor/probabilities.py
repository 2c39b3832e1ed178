"""Probabilities over time: as published, and smoothed as the decoder smooths what it watches."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from apps.monitor.snapshot import Curves
from bci.decision import State

KEPT_S = 1800.0
MAX_KEPT = 36_000
MAX_POINTS = 2400
BREAK_HOPS = 2.5
MAX_ALARMS = 500


class Probabilities:
    """Keeps the predictions of the last 30 minutes.

    Parameters
    ----------
    classes : tuple of str, default=()
        In logit order.
    hop_s, smoothing_s : float, default=0.0
        Time between predictions, and time constant of the smoothing, in seconds of the stamps; 0 does not smooth.
    """

    def __init__(self, classes: tuple[str, ...] = (), hop_s: float = 0.0, smoothing_s: float = 0.0) -> None:
        self.classes, self._hop_s = classes, hop_s
        self._keep = math.exp(-hop_s / smoothing_s) if smoothing_s > 0 else 0.0
        n = len(classes)
        self._rows = np.full((2 * n + 1, MAX_KEPT), np.nan, np.float32)  # raw, smoothed, quality
        self._times = np.full(MAX_KEPT, np.nan)
        self._n = 0
        self._level: np.ndarray | None = None
        self._reset_s = -math.inf  # what was smoothed before is forgotten
        self._alarms: deque[list[float]] = deque(maxlen=MAX_ALARMS)  # begin, end; NaN while it runs
        self._version = 0
        self._made: tuple[tuple[float, ...], Curves] | None = None

    @property
    def newest_s(self) -> float:
        """Stamp of the newest prediction; NaN before one."""
        return float(self._times[(self._n - 1) % MAX_KEPT]) if self._n else math.nan

    @property
    def alarm_since_s(self) -> float:
        """Stamp of the running alarm's onset; NaN without one."""
        return self._alarms[-1][0] if self._alarms and math.isnan(self._alarms[-1][1]) else math.nan

    def take(self, row: np.ndarray, stamp_s: float) -> None:
        """Take one prediction: probabilities, quality, state and compute_ms."""
        n = len(self.classes)
        probabilities, quality, state = row[:n].astype(np.float32), float(row[n]), row[n + 1]
        if self._n and self._hop_s > 0 and stamp_s - self.newest_s > BREAK_HOPS * self._hop_s:
            self._write(np.full(2 * n + 1, np.nan, np.float32), (stamp_s + self.newest_s) / 2)
        if state == State.SETTLING or self.newest_s <= self._reset_s < stamp_s:
            self._level = None
        smoothed = np.full(n, np.nan, np.float32)
        if state not in (State.SETTLING, State.FAULT) and bool(np.isfinite(probabilities).all()):
            before = probabilities if self._level is None else self._level
            self._level = smoothed = (self._keep * before + (1 - self._keep) * probabilities).astype(np.float32)
        self._write(np.concatenate([probabilities, smoothed, [np.float32(quality)]]), stamp_s)

    def restart(self, stamp_s: float) -> None:
        """Forget at `stamp_s` what was smoothed, as the decoder does after a gap, loop or seek."""
        self._reset_s = stamp_s

    def alarm(self, on: bool, stamp_s: float) -> None:
        """Begin or end an alarm; what is so already changes nothing."""
        if on == math.isnan(self.alarm_since_s):
            self._version += 1
            if on:
                self._alarms.append([stamp_s, math.nan])
            else:
                self._alarms[-1][1] = stamp_s

    def curves(self, span_s: float, most: int = MAX_POINTS) -> Curves:
        """Return what there was within `span_s` before the newest; the same object while nothing has changed.

        More than `most` points are joined in pairs of the least and the greatest value of a stretch.
        """
        key = (float(self._version), span_s, most)
        if self._made is not None and self._made[0] == key:
            return self._made[1]
        n = min(self._n, MAX_KEPT)
        at = np.arange(self._n - n, self._n) % MAX_KEPT
        times = self._times[at]
        newest = self.newest_s
        begin = newest - min(span_s, KEPT_S)
        shown = times >= begin
        times, rows = times[shown], self._rows[:, at[shown]]
        if len(times) > most:
            times, rows = _joined(times, rows, most // 2)
        n_classes = len(self.classes)
        alarms = tuple(
            (max(on, begin), newest if math.isnan(off) else off)
            for on, off in self._alarms
            if math.isnan(off) or off > begin
        )
        curves = Curves(
            self._version, self.classes, times, rows[:n_classes], rows[n_classes : 2 * n_classes], rows[-1], alarms
        )
        self._made = (key, curves)
        return curves

    def _write(self, row: np.ndarray, stamp_s: float) -> None:
        at = self._n % MAX_KEPT
        self._rows[:, at], self._times[at] = row, stamp_s
        self._n += 1
        self._version += 1


def _joined(times: np.ndarray, rows: np.ndarray, n_pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the extremes of `n_pairs` stretches, in pairs."""
    starts = np.linspace(0, len(times), n_pairs, endpoint=False).astype(int)
    pairs = np.stack([np.fmin.reduceat(rows, starts, axis=1), np.fmax.reduceat(rows, starts, axis=1)], axis=2)
    ends = np.append(starts[1:], len(times)) - 1
    return np.stack([times[starts], times[ends]], axis=1).ravel(), pairs.reshape(len(rows), -1)
