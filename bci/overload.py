"""What a session does when inference cannot keep up: the newest window wins, and what is skipped is counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Literal

from bci.chunk import Chunk
from bci.events import Event
from bci.timeline import part_of

Policy = Literal["newest", "all"]

MEMORY = 4  # predictions: a single slow one is no overload


class Overload:
    """Says which windows are too late to be worth computing.

    A window is overtaken when a later one is complete. The overtaken windows of a read are computed as long as that
    takes no longer than one hop, and skipped from then on, or at once if it is known that there is no time; the newest
    one is always computed. So a prediction is late by about one computation and one hop at most, however slow the
    network is.

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
        self._costs_s.extend([busy_s / n_predictions] * min(n_predictions, MEMORY))

    @property
    def lasting(self) -> bool:
        """Whether every prediction takes longer than a hop, so that more than one read is waiting."""
        return self._skips and len(self._costs_s) > 0 and min(self._costs_s) > self._hop_s

    def can_skip(self, n_samples: int) -> bool:
        """Whether a read of `n_samples` may have windows to skip."""
        return self._skips and n_samples >= self._hop_samples

    def skips(self, n_samples: int, spent_s: float = 0.0) -> bool:
        """Whether the overtaken windows of a read of `n_samples` are skipped.

        Parameters
        ----------
        n_samples : int
            Of the read, or of what is left of it.
        spent_s : float, default=0.0
            What the read has taken so far, in seconds.

        Returns
        -------
        skips : bool
        """
        if not self.can_skip(n_samples):
            return False
        expected_s = n_samples // self._hop_samples * min(self._costs_s) if self._costs_s else 0.0
        return max(spent_s, expected_s) > self._hop_s

    def split(self, items: Iterable[Chunk | Event]) -> Iterator[Chunk | Event]:
        """Cut chunks so that none completes two windows: between them it can be seen how long they take."""
        for item in items:
            if isinstance(item, Event):
                yield item
            else:
                for start in range(0, item.n_samples, self._hop_samples):
                    yield part_of(item, start, min(start + self._hop_samples, item.n_samples))

    def since(self, end: int) -> int:
        """Return the sample before which a window must not end, if sample `end` is the next that will come."""
        return end - self._hop_samples
