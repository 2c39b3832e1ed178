"""Stamps of a board that numbers its packets: lost packets leave gaps of exact length, late arrivals leave none."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from bci.errors import SpecError

SLEW = 0.02  # of a period per sample: how fast stamps follow the arrivals; `bci.clock` takes this for rounding
BLOCK_S = 1.0
N_BLOCKS = 8  # the shortest delay of the last 8 s counts
RESTART_S = 0.5  # stamps that are so far off can only be wrong


@dataclass(frozen=True, slots=True)
class PacketCounter:
    """How a board numbers its packets.

    Parameters
    ----------
    modulus : int
        The number returns to 0 there.
    step : int, default=1
        By which the number grows from packet to packet.
    n_rows : int, default=1
        Samples of one packet; they have the same number.

    Raises
    ------
    SpecError
        If a number is below 1, or `step` does not divide `modulus`.
    """

    modulus: int
    step: int = 1
    n_rows: int = 1

    def __post_init__(self) -> None:
        if min(self.modulus, self.step, self.n_rows) < 1 or self.modulus % self.step:
            raise SpecError(
                "A packet counter needs modulus, step and n_rows of at least 1, and a modulus that is a multiple of "
                f"step, got {self.modulus}, {self.step} and {self.n_rows}."
            )

    @property
    def cycle(self) -> int:
        """Samples until the numbers repeat."""
        return self.modulus // self.step * self.n_rows


class PacketStamps:
    """Give each sample the stamp that follows from its packet number.

    A stamp is the number of the sample times the period, plus an offset that follows the shortest delay of the last
    seconds (arrivals are late, never early), by at most `SLEW` of a period per sample. So samples that are delivered
    late or in a heap keep their distance, and each lost one is a whole period more. A loss of whole cycles of the
    counter shows in the arrival times only: it is assumed when everything that comes afterwards is late by them.

    Parameters
    ----------
    counter : PacketCounter
        How packets are numbered.
    sfreq : float
        Rate of the board, in Hz.

    Attributes
    ----------
    n_lost : int
        Samples that never came, so far.
    """

    def __init__(self, counter: PacketCounter, sfreq: float) -> None:
        self._counter, self._period_s = counter, 1.0 / sfreq
        self._number: int | None = None  # of the last packet
        self._row = 0  # of the last sample in its packet
        self._index = 0  # of the last sample
        self._offset = _Offset(self._period_s)
        self.n_lost = 0

    def stamp(self, numbers: np.ndarray, arrivals: np.ndarray) -> np.ndarray:
        """Return the stamps of the next samples.

        Parameters
        ----------
        numbers : ndarray, shape (n_samples,)
            Packet numbers.
        arrivals : ndarray of float64, shape (n_samples,)
            When the samples arrived, in seconds of any clock.

        Returns
        -------
        times : ndarray of float64, shape (n_samples,)
            In the clock of `arrivals`.
        """
        times = np.empty(len(numbers))
        if not len(numbers):
            return times
        counts = np.rint(numbers).astype(np.int64).tolist()
        ahead = self._ahead(counts)
        due = arrivals - self._period_s * np.cumsum(ahead)  # arrival less index, up to a constant
        earliest = np.minimum.accumulate(due[::-1])[::-1]  # of this sample and those after it
        passed = 0  # sum of `ahead` so far
        for i, n in enumerate(ahead):
            passed += n
            surplus_s = earliest[i] + passed * self._period_s - self._offset.value - (self._index + n) * self._period_s
            whole = round(surplus_s / (self._counter.cycle * self._period_s)) if self._offset.known else 0
            step = n + whole * self._counter.cycle
            self._index += step
            self.n_lost += step - 1 if self._offset.known else 0
            times[i] = self._offset.follow(float(arrivals[i]), self._index) + self._index * self._period_s
        return times

    def _ahead(self, counts: list[int]) -> list[int]:
        """Return how many samples each one lies after the one before, up to whole cycles: the one nearest to 0."""
        counter, ahead = self._counter, []
        half = (counter.cycle - 1) // 2
        for count in counts:
            if self._number is None:
                n, row = 0, 0
            elif count == self._number and self._row + 1 < counter.n_rows:
                n, row = 1, self._row + 1
            else:
                packets = (count - self._number) % counter.modulus // counter.step
                n, row = (packets * counter.n_rows - self._row + half) % counter.cycle - half, 0
            ahead.append(n)
            self._number, self._row = count, row
        return ahead


class _Offset:
    """Stamp of sample 0 by the samples that came with the shortest delay."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._minima: deque[float] = deque(maxlen=N_BLOCKS)
        self._block_s = 0.0
        self.known = False
        self.value = 0.0

    def follow(self, arrival_s: float, index: int) -> float:
        """Take the arrival of a sample, and return the offset that holds for it."""
        seen = arrival_s - index * self._period_s
        if not self.known or abs(min(*self._minima, seen) - self.value) > RESTART_S:
            self.known, self.value, self._block_s = True, seen, arrival_s
            self._minima.clear()
            self._minima.append(seen)
            return self.value
        if arrival_s - self._block_s >= BLOCK_S:
            self._block_s = arrival_s
            self._minima.append(seen)
        else:
            self._minima[-1] = min(self._minima[-1], seen)
        slew_s = SLEW * self._period_s
        self.value += min(max(min(self._minima) - self.value, -slew_s), slew_s)
        return self.value
