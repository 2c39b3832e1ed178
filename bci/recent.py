"""What came last: recognises samples that come twice, and samples that come after their place has passed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

SAME_STAMP_S = 1e-6  # a sample that is sent again has its old stamp, but for rounding
INSIDE = 0.25  # of a period: how far within a gap a stamp must lie to belong there


@dataclass(frozen=True, slots=True)
class Repeat:
    """Samples that were not taken, since their place in the stream has passed.

    Parameters
    ----------
    n_samples : int
        How many.
    start_s, stop_s : float
        Stamps of the first and the last.
    late : bool
        Whether they had been counted as lost; else they had come before, with the same values.
    """

    n_samples: int
    start_s: float
    stop_s: float
    late: bool


class Recent:
    """The last samples, and the gaps between them; how the stream was cut into blocks does not matter.

    Parameters
    ----------
    n_samples : int
        How far back to look.
    """

    def __init__(self, n_samples: int) -> None:
        self._n_most = n_samples
        self.forget()

    def forget(self) -> None:
        """Forget everything: stamps before and after have nothing to do with each other."""
        self._blocks: deque[tuple[np.ndarray, np.ndarray]] = deque()
        self._gaps: deque[tuple[int, float, float]] = deque()
        self._n_taken = self._n_kept = 0

    def add(self, data: np.ndarray, times: np.ndarray) -> None:
        """Remember samples; the arrays must not change afterwards."""
        self._blocks.append((data, times))
        self._n_taken += len(times)
        self._n_kept += len(times)
        while self._n_kept - len(self._blocks[0][1]) >= self._n_most:
            self._n_kept -= len(self._blocks.popleft()[1])
        while self._gaps and self._n_taken - self._gaps[0][0] > self._n_most:
            self._gaps.popleft()

    def add_gap(self, start_s: float, stop_s: float, n_lost: int) -> None:
        """Remember where samples are missing, if that is short."""
        if n_lost <= self._n_most:
            self._gaps.append((self._n_taken, start_s, stop_s))

    def n_repeated(self, data: np.ndarray, times: np.ndarray, at: int) -> int:
        """Return how many samples from `at` on are known, those before `at` included: same stamp and same values.

        A stamp after that of the last sample that was taken is new.
        """
        blocks = [*self._blocks, (data[:, :at], times[:at])]
        stamps = np.concatenate([block[1] for block in blocks])
        stamps[: max(0, stamps.size - self._n_most)] = -np.inf
        values: np.ndarray | None = None
        stop = at
        while stop < len(times) and stamps.size and times[stop] <= stamps[-1] + SAME_STAMP_S:
            nearest = int(np.abs(stamps - times[stop]).argmin())
            if abs(stamps[nearest] - times[stop]) > SAME_STAMP_S:
                break
            if values is None:
                values = np.concatenate([block[0] for block in blocks], axis=1)
            if not np.array_equal(values[:, nearest], data[:, stop], equal_nan=True):
                break
            stop += 1
        return stop - at

    def n_late(self, times: np.ndarray, at: int, period_s: float, before_s: float) -> int:
        """Return how many samples from `at` on belong into a gap, and have stamps before `before_s`."""
        oldest = self._n_taken + at - self._n_most
        gaps = [(a + INSIDE * period_s, b - INSIDE * period_s) for n, a, b in self._gaps if n >= oldest]
        stop = at
        while stop < len(times) and times[stop] < before_s and any(a < times[stop] < b for a, b in gaps):
            stop += 1
        return stop - at
