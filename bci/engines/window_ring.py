"""The newest window of one stream, where an engine reads it: each column is written once, and never moved."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class WindowRing:
    """Columns in memory that is given, such as pinned memory, written in turn.

    `bci.ring.Ring` writes columns twice, so that every stretch is one view: a window of it is one piece per channel, at
    another address each time. This one has its window in one piece at one address, as a captured copy needs it.

    Parameters
    ----------
    store : ndarray of float32, shape (*column_shape, n_columns)
        Memory of one window.
    oldest : ndarray of int64, shape (1,)
        Memory for where the oldest column stands.
    compute : callable
        Returns logits and probabilities, shape (1, n_classes), of what stands in both; the arrays are the caller's.
    """

    def __init__(
        self, store: np.ndarray, oldest: np.ndarray, compute: Callable[[], tuple[np.ndarray, np.ndarray]]
    ) -> None:
        self._store, self._oldest, self._compute = store, oldest, compute
        self.clear()

    def clear(self) -> None:
        """Forget the stream."""
        self.n_pushed = 0
        self._oldest[0] = 0

    def push(self, columns: np.ndarray) -> None:
        """Append columns, shape (*column_shape, n)."""
        capacity = self._store.shape[-1]
        kept = columns[..., -capacity:]
        place = (self.n_pushed + columns.shape[-1] - kept.shape[-1]) % capacity
        head = min(kept.shape[-1], capacity - place)  # up to the end
        self._store[..., place : place + head] = kept[..., :head]
        self._store[..., : kept.shape[-1] - head] = kept[..., head:]
        self.n_pushed += columns.shape[-1]
        self._oldest[0] = self.n_pushed % capacity

    def outcome(self) -> tuple[np.ndarray, np.ndarray]:
        """Return logits, float32, and probabilities, float64 (n_classes,), of the newest window."""
        logits, probabilities = self._compute()
        return logits[0], probabilities[0]
