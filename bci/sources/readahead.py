"""Reads a feed a few blocks ahead in a thread, so that a slow disk delays no sample."""

from __future__ import annotations

import queue
import threading
from typing import Protocol

import numpy as np

from bci.chunk import Signal
from bci.errors import RecordingError

_BLOCKS_AHEAD = 3
_POLL_S = 0.1


class _Readable(Protocol):
    signal: Signal

    def read(self, start: int, stop: int) -> np.ndarray: ...


class ReadAhead:
    """The samples of a feed in order, as rows ready to be sent.

    Parameters
    ----------
    feed : object with `signal` and `read`
        Where to read.
    first, stop : int
        First sample, and the one after the last.
    loop_start : int or None
        Sample to go back to after the last one; None ends there.
    speed : float
        Seconds of recording that are needed per second; sets the block length.
    """

    def __init__(self, feed: _Readable, first: int, stop: int, loop_start: int | None, speed: float):
        self._feed, self._first, self._stop, self._loop_start = feed, first, stop, loop_start
        self._block = max(1, round(feed.signal.sfreq * max(1.0, speed)))
        self._queue: queue.Queue[np.ndarray | RecordingError] = queue.Queue(_BLOCKS_AHEAD)
        self._closed = threading.Event()
        self._rows = np.empty((0, feed.signal.n_channels), np.float32)
        self._thread = threading.Thread(target=self._read, name="read-ahead", daemon=True)
        self._thread.start()

    def wait_ready(self) -> None:
        """Block until the first samples have been read."""
        if not len(self._rows):
            self._rows = self._next()

    def take(self, n: int) -> np.ndarray:
        """Return the next samples, float32, shape (n, n_channels), C-contiguous.

        Raises
        ------
        RecordingError
            If the feed could not be read, or has no more samples.
        """
        parts = []
        while n > len(self._rows):
            parts.append(self._rows)
            n -= len(self._rows)
            self._rows = self._next()
        head, self._rows = self._rows[:n], self._rows[n:]
        return np.concatenate([*parts, head]) if parts else head

    def skip(self, n: int) -> None:
        """Drop the next samples."""
        while n > len(self._rows):
            n -= len(self._rows)
            self._rows = self._next()
        self._rows = self._rows[n:]

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()

    def _next(self) -> np.ndarray:
        while True:
            try:
                item = self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                if not self._thread.is_alive() and self._queue.empty():
                    raise RecordingError(
                        f"A feed must have the samples asked for, got none after {self._stop - 1}. "
                        "Play it in a loop or ask for fewer."
                    ) from None
                continue
            if isinstance(item, RecordingError):
                raise item
            return item

    def _read(self) -> None:
        at = self._first
        while not self._closed.is_set():
            if at >= self._stop:
                if self._loop_start is None:
                    return
                at = self._loop_start
            end = min(at + self._block, self._stop)
            item: np.ndarray | RecordingError
            try:
                item = np.ascontiguousarray(self._feed.read(at, end).T)
            except RecordingError as error:
                item = error
            at = end
            while not self._closed.is_set():
                try:
                    self._queue.put(item, timeout=_POLL_S)
                except queue.Full:
                    continue
                break
            if isinstance(item, RecordingError):
                return
