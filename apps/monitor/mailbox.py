"""What threads hand to the window: in order, bounded; the oldest data go first, notices never."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apps.monitor.model import MonitorModel

MAX_BYTES = 64 << 20

Letter = Callable[["MonitorModel"], None]
"""Tells a model one thing."""


class Mailbox:
    """A queue that never makes the sender wait.

    Parameters
    ----------
    max_bytes : int, default=64 MiB
        What waits at most.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()  # guards all below
        self._letters: deque[tuple[Letter, int, float]] = deque()  # bytes, and when it was put
        self._n_bytes = self._n_dropped = 0

    @property
    def n_dropped(self) -> int:
        """Letters that were dropped for want of room."""
        return self._n_dropped

    def behind_s(self) -> float:
        """Return how long the oldest letter has waited, in seconds; 0 if none waits."""
        with self._lock:
            return time.monotonic() - self._letters[0][2] if self._letters else 0.0

    def put(self, letter: Letter, n_bytes: int = 0) -> None:
        """Append a letter; one without bytes is a notice, which is never dropped."""
        with self._lock:
            self._letters.append((letter, n_bytes, time.monotonic()))
            self._n_bytes += n_bytes
            notices = []
            while self._n_bytes > self._max_bytes:
                oldest = self._letters.popleft()
                if oldest[1]:
                    self._n_bytes -= oldest[1]
                    self._n_dropped += 1
                else:
                    notices.append(oldest)
            self._letters.extendleft(reversed(notices))

    def take(self) -> Letter | None:
        """Return the oldest letter; None if there is none."""
        with self._lock:
            if not self._letters:
                return None
            letter, n_bytes, _ = self._letters.popleft()
            self._n_bytes -= n_bytes
            return letter
