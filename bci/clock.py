"""Sample counting against time stamps: what was lost, and how the stream goes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bci.chunk import Chunk, Signal
from bci.errors import SpecError

JITTER_MEMORY_S = 10.0  # how long a late stamp widens the tolerance
START_MEMORY_S = 1.0  # how long the assumption about a new stream does
MAX_JITTER_S = 0.1  # a jump of the sender's clock is no jitter: it must not hide the gaps that follow
MIN_JUMP_S = 0.02  # backwards; less is a refreshed clock offset or a sender that catches up
REGULAR = 0.1  # of a period: stamps less irregular than this count samples exactly
EXACT = 0.02  # of a period: rounding of stamps
REGULAR_SAMPLES = 200  # jitter shows between a sender's chunks: seen for several of them


@dataclass(frozen=True, slots=True)
class ClockSpec:
    """When a jump of the stamps is a gap, and what happens then.

    Parameters
    ----------
    max_fill_s : float, default=0.1
        Gaps up to this length are filled linearly and marked; longer ones start the pipeline anew.
    start_jitter_s : float, default=0.005
        Irregularity of the stamps that is assumed before any was seen, in seconds.
    """

    max_fill_s: float = 0.1
    start_jitter_s: float = 0.005

    def __post_init__(self) -> None:
        if self.max_fill_s < 0 or self.start_jitter_s < 0:
            raise SpecError(
                "A clock check needs max_fill_s and start_jitter_s of at least 0 s, "
                f"got {self.max_fill_s:g} and {self.start_jitter_s:g}."
            )


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples that never came.

    Parameters
    ----------
    n_lost : int
        How many.
    start_s, stop_s : float
        Times of the last sample before and the first after.
    filled : bool
        Whether they were interpolated.
    """

    n_lost: int
    start_s: float
    stop_s: float
    filled: bool


@dataclass(frozen=True, slots=True)
class Jump:
    """The sender's clock went back; the samples follow each other, their stamps do not.

    Parameters
    ----------
    sample : int
        Number of the first sample after.
    jump_s : float
        How far the stamp lies from where it was due, below 0.
    start_s, stop_s : float
        Stamps of the last sample before and the first after.
    """

    sample: int
    jump_s: float
    start_s: float
    stop_s: float


class SampleClock:
    """Give each sample its number in the stream, from raw stamps; how these are cut into reads does not matter.

    A stamp that lies further ahead than half a period and twice the stream's own recent irregularity is a gap. Before
    enough of a stream was seen, some irregularity is assumed; but once its first `REGULAR_SAMPLES` have followed each
    other regularly, a stamp that is late by a whole number of periods is a gap, too. A stamp that lies back by more
    than that, and by `MIN_JUMP_S`, is a jump of the sender's clock. The stamps are never smoothed.

    Parameters
    ----------
    signal : Signal
        What is counted.
    speed : float, default=1.0
        Factor by which a replay runs faster than it was recorded.
    spec : ClockSpec, default=ClockSpec()
        Tolerances.
    exact : bool, default=False
        Whether the stamps are computed, as those of a replay: no irregularity is assumed before any was seen.

    Attributes
    ----------
    n_received : int
        Samples numbered so far.
    next_sample : int
        Number of the next sample if none is lost.
    sfreq : float
        Rate of the signal, in Hz.
    speed : float
        Speed in force.
    """

    def __init__(self, signal: Signal, speed: float = 1.0, spec: ClockSpec = ClockSpec(), exact: bool = False) -> None:
        self.spec = spec
        self.sfreq = signal.sfreq
        self.set_speed(speed)
        self.n_received = 0
        self.next_sample = 0
        self._assumed_s = 0.0 if exact else spec.start_jitter_s
        self._n_seen = 0  # samples whose stamps were judged
        self._jitter_s = 0.0
        self._due_s: float | None = None  # when the next sample comes if none is lost
        self._last_s: float | None = None
        self._last: np.ndarray | None = None

    def set_speed(self, speed: float) -> None:
        """Take another spacing of the stamps from the next sample on; that one is due as before."""
        self.speed = speed
        self._period_s = 1.0 / (speed * self.sfreq)
        self._forget = float(np.exp(-self._period_s / JITTER_MEMORY_S))
        self._forget_start = float(np.exp(-self._period_s / START_MEMORY_S))

    def resume_at(self, time_s: float) -> None:
        """Expect the next sample at `time_s`: the sender was paused or has jumped, nothing was lost before."""
        if self._last_s is not None:
            self._due_s, self._last_s = time_s, time_s - self._period_s

    def number(self, data: np.ndarray, times: np.ndarray) -> tuple[list[Chunk], list[Gap | Jump]]:
        """Give the next samples their numbers.

        Parameters
        ----------
        data : ndarray of float32, shape (n_channels, n_samples)
            Samples in the order received.
        times : ndarray of float64, shape (n_samples,)
            Their stamps in the local clock.

        Returns
        -------
        chunks : list of Chunk
            The samples, with short gaps filled; a longer gap shows as a jump of ``first_sample``, and a new chunk
            begins where the clock went back.
        breaks : list of Gap or Jump
            In the order of the samples.
        """
        chunks: list[Chunk] = []
        breaks: list[Gap | Jump] = []
        if times.size == 0:
            return chunks, breaks
        late = np.diff(times, prepend=times[0]) - self._period_s
        late[0] = 0.0 if self._due_s is None else times[0] - self._due_s
        start = judged = 0
        for i in np.flatnonzero(np.abs(late) > 0.5 * self._period_s).tolist():
            self._learn(late[judged:i])  # what came before this sample, and nothing after it, says what is irregular
            judged, late_s = i, float(late[i])
            is_gap = self._is_gap(late_s)
            if not is_gap and late_s >= -max(MIN_JUMP_S, self._tolerance_s):
                continue
            self._take(chunks, data, times, start, i)
            if is_gap:
                breaks.append(self._gap(chunks, data[:, i], float(times[i]), late_s))
            else:
                time_s = float(times[i])
                breaks.append(Jump(self.next_sample, late_s, time_s - late_s - self._period_s, time_s))
            late[i] = 0.0
            start = i
        self._learn(late[judged:])
        self._take(chunks, data, times, start, len(times))
        self.n_received += len(times)
        return chunks, breaks

    @property
    def _tolerance_s(self) -> float:
        return 0.5 * self._period_s + 2.0 * max(self._jitter_s, self._assumed_s)

    def _is_gap(self, late_s: float) -> bool:
        period_s, jitter_s = self._period_s, self._jitter_s
        if late_s > self._tolerance_s:
            return True
        n_lost = round(late_s / period_s)
        is_regular = self._n_seen >= REGULAR_SAMPLES and jitter_s <= REGULAR * period_s
        return is_regular and n_lost > 0 and abs(late_s - n_lost * period_s) <= max(EXACT * period_s, 2.0 * jitter_s)

    def _learn(self, late: np.ndarray) -> None:
        """Take the next samples' irregularity, and forget older one sample by sample."""
        n = len(late)
        if n == 0:
            return
        ages = np.arange(n - 1, -1, -1)
        recent = float((np.minimum(np.abs(late), MAX_JITTER_S) * self._forget**ages).max())
        self._jitter_s = max(recent, self._jitter_s * self._forget**n)
        self._assumed_s *= self._forget_start**n
        self._n_seen += n

    def _take(self, chunks: list[Chunk], data: np.ndarray, times: np.ndarray, start: int, stop: int) -> None:
        if stop == start:
            return
        chunks.append(Chunk(data[:, start:stop], self.next_sample, times[start:stop]))
        self.next_sample += stop - start
        self._last_s, self._last = float(times[stop - 1]), data[:, stop - 1].copy()
        self._due_s = self._last_s + self._period_s

    def _gap(self, chunks: list[Chunk], after: np.ndarray, time_s: float, late_s: float) -> Gap:
        n_lost = round(late_s / self._period_s)
        last, last_s = self._last, self._last_s
        if last is None or last_s is None or n_lost > self.spec.max_fill_s * self.sfreq:
            self.next_sample += n_lost
            return Gap(n_lost, time_s - late_s - self._period_s, time_s, filled=False)
        share = np.arange(1, n_lost + 1) / (n_lost + 1)
        filling = (last[:, None] + (after - last)[:, None] * share).astype(np.float32)
        times = last_s + (time_s - last_s) * share
        chunks.append(Chunk(filling, self.next_sample, times, np.ones(n_lost, dtype=bool)))
        self.next_sample += n_lost
        return Gap(n_lost, last_s, time_s, filled=True)
