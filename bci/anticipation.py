"""Being ready when the chunk arrives that completes a window.

What does not depend on that chunk is computed before it comes. The rest would meet cold caches: after 30 ms of
waiting, code and data have left them, and a prediction takes twice as long as in a loop. Senders are regular, so it is
known when the next chunk is due: shortly before, the session runs through the prediction with what is already there.
A network too slow for that is only tried now and then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bci.sources.base import Received, Source

LEAD_S = 0.005  # what `bci run` uses
RELAX = 1.02  # the expected interval is the shortest seen, longer by this factor with every chunk
SAME_CHUNK_S = 1e-3  # samples closer than this arrived together
LONGEST_INTERVAL_S = 0.25
SHORTEST_INTERVALS = 4  # of lead: a faster stream leaves no time to cool down
SAFETY = 1.3  # a rehearsal may take so much longer than expected
FORGET = 0.97  # what is expected of a rehearsal shrinks by this with every one that there was no time for


class Predictor(Protocol):
    """What makes predictions; a `bci.decoder.Decoder` is one."""

    @property
    def n_missing(self) -> int:
        """How many samples the next prediction still needs."""

    def prepare(self) -> None:
        """Compute what the next prediction needs and can be known already."""

    def rehearse(self) -> None:
        """Run through the next prediction and change nothing that it depends on."""


class Anticipation:
    """Read a source so that the chunk that completes a window finds everything warm.

    Parameters
    ----------
    source : Source
        Open source.
    predictor : Predictor
        Who will be given what is read.
    lead_s : float
        How long before a chunk is due to begin; 0 reads without anticipation.
    clock : callable
        The LSL clock, in seconds.
    """

    def __init__(self, source: Source, predictor: Predictor, lead_s: float, clock: Callable[[], float]) -> None:
        self._source, self._predictor = source, predictor
        self._lead_s, self._now = lead_s, clock
        self._interval_s: float | None = None
        self._arrived_s: float | None = None
        self._chunk_size = 0
        self._spent_s = 0.0  # on a rehearsal, as expected of the next

    def read(self, timeout_s: float) -> Received:
        """Return what the source has as soon as there is something, at the latest after about `timeout_s`."""
        self._predictor.prepare()
        received = self._source.read(timeout_s) if self._rests() else self._watch(timeout_s)
        if received.times.size:
            self._learn(received)
        return received

    def _rests(self) -> bool:
        """Whether the next chunk is not expected to complete a window, or nobody can say when it comes."""
        return (
            self._interval_s is None
            or not SHORTEST_INTERVALS * self._lead_s <= self._interval_s <= LONGEST_INTERVAL_S
            or self._lead_s == 0
            or self._predictor.n_missing > self._chunk_size
        )

    def _watch(self, timeout_s: float) -> Received:
        due_s = (self._arrived_s or 0.0) + (self._interval_s or 0.0)
        wait_s = due_s - self._lead_s - self._now()
        if 0 < wait_s < timeout_s:
            received = self._source.read(wait_s)
            if _told(received):
                return received
        began_s = self._now()
        if began_s + SAFETY * self._spent_s >= due_s:
            self._spent_s *= FORGET
        while began_s + SAFETY * self._spent_s < due_s:  # the last one ends before the chunk comes
            self._predictor.rehearse()
            now = self._now()
            began_s, self._spent_s = now, now - began_s
        return self._source.read(timeout_s)  # asleep: who spins here keeps the thread that receives from a core

    def _learn(self, received: Received) -> None:
        if self._arrived_s is not None:
            passed_s = received.received_s - self._arrived_s
            if passed_s < SAME_CHUNK_S:
                self._chunk_size += received.times.size
                return
            self._interval_s = passed_s if self._interval_s is None else min(RELAX * self._interval_s, passed_s)
        self._arrived_s = received.received_s
        self._chunk_size = received.times.size


def _told(received: Received) -> bool:
    return bool(received.times.size or received.markers or received.ended)
