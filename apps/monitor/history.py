"""What came of a signal, kept so that another width, span, montage or time can be drawn from it."""

from __future__ import annotations

import numpy as np

KEPT_S = 1800.0
MAX_BYTES = 128 << 20
IRREGULAR_S, IRREGULAR_HZ = 60.0, 256.0  # room of a stream without a rate


class History:
    """Ring of samples and their stamps; its memory is taken at once and does not grow.

    Parameters
    ----------
    n_channels : int
        Channels.
    sfreq : float
        Nominal rate, in Hz; 0 if irregular.
    kept_s : float, default=1800.0
        What is kept, in seconds; less where that takes more than 128 MiB, or where there is no rate.
    """

    def __init__(self, n_channels: int, sfreq: float, kept_s: float = KEPT_S) -> None:
        room = MAX_BYTES // (4 * max(1, n_channels))
        wanted = kept_s * sfreq if sfreq else min(kept_s, IRREGULAR_S) * IRREGULAR_HZ
        n = max(1, min(round(wanted), room))
        self._data = np.full((n_channels, n), np.nan, np.float32)
        self._stamps = np.full(n, np.nan)
        self._n = 0  # samples that ever came

    def __len__(self) -> int:
        return min(self._n, len(self._stamps))

    def push(self, data: np.ndarray, stamps: np.ndarray) -> None:
        """Keep the next samples, shape (n_channels, n_samples), with their stamps, in seconds."""
        room = len(self._stamps)
        skipped = max(0, len(stamps) - room)
        self._n += skipped
        data, stamps = data[:, skipped:], stamps[skipped:]
        start = self._n % room
        fits = min(len(stamps), room - start)
        with np.errstate(over="ignore"):
            self._data[:, start : start + fits], self._data[:, : len(stamps) - fits] = data[:, :fits], data[:, fits:]
        self._stamps[start : start + fits], self._stamps[: len(stamps) - fits] = stamps[:fits], stamps[fits:]
        self._n += len(stamps)

    def newest(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return copies of the newest `n` samples, or of all that are kept if these are fewer, and their stamps."""
        at = self._places(min(n, len(self)))
        return self._data[:, at], self._stamps[at]

    def before(self, stamp_s: float, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return copies of the newest `n` samples up to a time, or of those that are kept, and their stamps."""
        at = self._places(len(self))
        at = at[np.flatnonzero(self._stamps[at] <= stamp_s)[-n:]]
        return self._data[:, at], self._stamps[at]

    @property
    def oldest_s(self) -> float:
        """Stamp of the oldest sample that is kept; NaN before one."""
        return float(self._stamps[self._n % len(self._stamps) if self._n > len(self._stamps) else 0])

    @property
    def newest_s(self) -> float:
        """Stamp of the newest sample; NaN before one."""
        return float(self._stamps[(self._n - 1) % len(self._stamps)])

    def _places(self, n: int) -> np.ndarray:
        return np.arange(self._n - n, self._n) % len(self._stamps)
