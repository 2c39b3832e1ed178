"""A mirrored ring: the newest columns of a stream, always contiguous, at a cost of O(columns pushed)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from bci.errors import Overflow, SignalError, SpecError

OverflowPolicy = Literal["overwrite", "raise"]
"""``overwrite`` forgets the oldest unread columns and counts them; ``raise`` refuses to."""


class Ring:
    """History of a stream, written twice so that any recent stretch is one view.

    Parameters
    ----------
    shape : tuple of int
        Shape of one column.
    capacity : int
        Columns kept.
    dtype : dtype, default=float32
        Type of the values.
    overflow : {"overwrite", "raise"}, default="overwrite"
        What happens when columns that were not released yet would be lost.

    Attributes
    ----------
    n_pushed : int
        Columns pushed since the last `clear`.
    n_lost : int
        Unreleased columns that were overwritten.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        capacity: int,
        dtype: type = np.float32,
        overflow: OverflowPolicy = "overwrite",
    ) -> None:
        if capacity < 1:
            raise SpecError(f"A ring needs a capacity of at least 1 column, got {capacity}.")
        if overflow not in ("overwrite", "raise"):
            raise SpecError(f"A ring's overflow policy is 'overwrite' or 'raise', got {overflow!r}.")
        self.capacity = capacity
        self.overflow = overflow
        self.n_lost = 0
        self._store: np.ndarray = np.zeros((*shape, 2 * capacity), dtype=dtype)
        self.clear()

    def clear(self) -> None:
        """Forget all columns; the count of lost ones stays."""
        self.n_pushed = 0
        self._released = 0

    def push(self, columns: np.ndarray) -> None:
        """Append columns, shape (*shape, n).

        Raises
        ------
        SignalError
            If the shape does not fit.
        Overflow
            If the policy is ``raise`` and unreleased columns would be lost; nothing is written then.
        """
        if columns.shape[:-1] != self._store.shape[:-1] or columns.ndim != self._store.ndim:
            raise SignalError(
                f"The ring needs columns of shape {self._store.shape[:-1]} (time last), "
                f"got an array of shape {columns.shape}."
            )
        n = columns.shape[-1]
        lost = max(0, self.n_pushed + n - self.capacity - self._released)
        if lost and self.overflow == "raise":
            raise Overflow(
                f"The ring holds {self.capacity} columns and {lost} more came than were released. "
                "Read faster or make it larger."
            )
        self.n_lost += lost
        self._released += lost
        kept = columns[..., max(0, n - self.capacity) :]
        place = (self.n_pushed + n - kept.shape[-1]) % self.capacity
        self._write(kept, place)
        self.n_pushed += n

    def _write(self, columns: np.ndarray, place: int) -> None:
        n, capacity = columns.shape[-1], self.capacity
        head = min(n, capacity - place)  # up to the seam
        self._store[..., place : place + head] = columns[..., :head]
        self._store[..., place + capacity : place + capacity + head] = columns[..., :head]
        if head < n:
            self._store[..., : n - head] = columns[..., head:]
            self._store[..., capacity : capacity + n - head] = columns[..., head:]

    def newest(self, n: int) -> np.ndarray:
        """Return the newest `n` columns as a view that later pushes change.

        Raises
        ------
        SpecError
            If fewer are held.
        """
        if not 0 <= n <= min(self.capacity, self.n_pushed):
            raise SpecError(
                f"The ring holds {min(self.capacity, self.n_pushed)} columns, {n} were asked for. "
                "Wait for more, or make it larger."
            )
        end = self.n_pushed % self.capacity + self.capacity
        return self._store[..., end - n : end]

    def release(self, n_total: int) -> None:
        """Allow all columns before number `n_total` (counted since `clear`) to be overwritten uncounted."""
        self._released = max(self._released, min(n_total, self.n_pushed))
