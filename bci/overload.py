"""What a session does when inference cannot keep up: the newest window wins, and what is skipped is counted."""

from __future__ import annotations

from collections import deque
from typing import Literal

Policy = Literal["newest", "all"]

MEMORY = 4  # predictions: a single slow one is no overload


class Overload:
    """Says which windows are too late to be worth computing.

    A window is overtaken when a later one is complete. The overtaken windows of a read are computed if that takes no
    longer than one hop, and skipped otherwise; the newest one is always computed. So a prediction is late by one
    computation and one hop at most, however slow the network is.

    Parameters
    ----------
    hop_s : float
        Time between windows, in seconds.
    hop_samples : int
        The same in samples.
    policy : ``newest`` or ``all``, default="newest"
        ``all`` skips nothing: predictions are late without bound if the network is too slow.
    """

    def __init__(self, hop_s: float, hop_samples: int, policy: Policy = "newest") -> None:
        self._hop_s, self._hop_samples = hop_s, hop_samples
        self._costs_s: deque[float] = deque(maxlen=MEMORY)
        self._skips = policy == "newest"

    def note(self, busy_s: float, n_predictions: int) -> None:
        """Take how long a read's predictions took, in seconds."""
        self._costs_s.append(busy_s / n_predictions)

    @property
    def lasting(self) -> bool:
        """Whether every prediction takes longer than a hop, so that more than one read is waiting."""
        return self._skips and len(self._costs_s) > 0 and min(self._costs_s) > self._hop_s

    def skips(self, n_samples: int) -> bool:
        """Whether the overtaken windows of a read of `n_samples` are skipped."""
        n_overtaken = n_samples // self._hop_samples
        if n_overtaken == 0 or not self._skips or not self._costs_s:
            return False
        return n_overtaken * min(self._costs_s) > self._hop_s

    def since(self, end: int) -> int:
        """Return the sample before which a window must not end, if sample `end` is the next that will come."""
        return end - self._hop_samples
