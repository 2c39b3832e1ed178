"""The last seconds of a signal as received, kept so that another width, span or montage can be drawn from them."""

from __future__ import annotations

import numpy as np

KEPT_S = 60.0
MAX_BYTES = 128 << 20
IRREGULAR_HZ = 256.0


class History:
    """Ring of samples and their stamps; its memory is taken at once and does not grow.

    Parameters
    ----------
    n_channels : int
        Channels.
    sfreq : float
        Nominal rate, in Hz; 0 if irregular.
    kept_s : float, default=60.0
        What is kept, in seconds; less where that takes more than 128 MiB.
    """

    def __init__(self, n_channels: int, sfreq: float, kept_s: float = KEPT_S) -> None:
        room = MAX_BYTES // (4 * max(1, n_channels))
        n = max(1, min(round(kept_s * (sfreq or IRREGULAR_HZ)), room))
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
        n = min(n, len(self))
        at = np.arange(self._n - n, self._n) % len(self._stamps)
        return self._data[:, at], self._stamps[at]
