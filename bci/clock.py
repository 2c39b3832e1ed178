"""Sample counting against time stamps: what was lost, and how the stream goes on."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from bci.chunk import Chunk, Signal
from bci.errors import SpecError
from bci.rate import RateCheck, RateDrift
from bci.recent import SAME_STAMP_S, Recent, Repeat

JITTER_MEMORY_S = 10.0  # how long a late stamp widens the tolerance
START_MEMORY_S = 1.0  # how long the assumption about a new stream does
MAX_JITTER_S = 0.1  # a jump of the sender's clock is no jitter: it must not hide the gaps that follow
REGULAR = 0.1  # of a period: stamps less irregular than this count samples exactly
EXACT = 0.02  # of a period: rounding of stamps
REGULAR_SAMPLES = 200  # jitter shows between a sender's chunks: seen for several of them
MAX_RATE_WINDOW_S = 3600.0
DELAY_RISE = 1e-3  # seconds per second by which the shortest delay between stamp and receipt is forgotten
AHEAD = 0.5  # of a gap: stamps that come so much earlier after it have jumped, nothing was lost


@dataclass(frozen=True, slots=True)
class ClockSpec:
    """When a jump of the stamps is a gap, and what happens then.

    Parameters
    ----------
    max_fill_s : float, default=0.1
        Gaps up to this length are filled linearly and marked; longer ones start the pipeline anew.
    start_jitter_s : float, default=0.005
        Irregularity of the stamps that is assumed before any was seen, in seconds.
    min_jump_s : float, default=0.02
        Smallest step of the sender's clock that is reported, in seconds; less is a refreshed clock offset or a sender
        that catches up.
    memory_s : float, default=2.0
        How far back samples are recognised that come twice or late, in seconds.
    rate_tolerance : float, default=0.005
        Relative deviation from the nominal rate that is reported; the irregularity of the stamps is added.
    rate_window_s : float, default=10.0
        Over which the rate is measured, in whole seconds of signal.
    """

    max_fill_s: float = 0.1
    start_jitter_s: float = 0.005
    min_jump_s: float = 0.02
    memory_s: float = 2.0
    rate_tolerance: float = 0.005
    rate_window_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ("max_fill_s", "start_jitter_s", "min_jump_s", "memory_s"):
            if not 0 <= getattr(self, name) < np.inf:
                raise SpecError(f"A clock check needs {name} of at least 0 s, got {getattr(self, name):g}.")
        if not (0 < self.rate_tolerance < 1 and 1 <= self.rate_window_s <= MAX_RATE_WINDOW_S):
            raise SpecError(
                f"A clock check needs 0 < rate_tolerance < 1 and rate_window_s within 1 to {MAX_RATE_WINDOW_S:g} s, "
                f"got {self.rate_tolerance:g} and {self.rate_window_s:g} s."
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
    """The sender's clock was set; the samples follow each other, their stamps do not.

    Parameters
    ----------
    sample : int
        Number of the first sample after.
    jump_s : float
        How far the stamp lies from where it was due; below 0 if the clock went back.
    start_s, stop_s : float
        Stamps of the last sample before and the first after.
    """

    sample: int
    jump_s: float
    start_s: float
    stop_s: float


Break = Gap | Jump | Repeat | RateDrift
"""What can happen to a stream between two samples, and what becomes known of it."""


class SampleClock:
    """Give each sample its number in the stream, from raw stamps; how these are cut into reads does not matter.

    A stamp that lies further ahead than half a period and twice the stream's own recent irregularity is a gap. Before
    enough of a stream was seen, some irregularity is assumed; but once its first `REGULAR_SAMPLES` have followed each
    other regularly, a stamp that is late by a whole number of periods is a gap, too. A stamp that lies back by more
    than that, and by ``min_jump_s``, is a jump of the sender's clock, and so is one that lies ahead while no time has
    passed where the samples are received. Samples that come twice, or after their place has passed, are not taken.
    The stamps are never smoothed.

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
        self.n_received = 0
        self.next_sample = 0
        self._assumed_s = 0.0 if exact else spec.start_jitter_s
        self._n_seen = 0  # samples whose stamps were judged
        self._jitter_s = 0.0
        self._recent = Recent(max(1, round(spec.memory_s * signal.sfreq)))
        self._rate = RateCheck(signal.sfreq, spec.rate_tolerance, spec.rate_window_s)
        self._delay_s: float | None = None  # shortest between stamp and receipt
        self._n_missing = 0  # before the next sample, at a spacing that holds no more
        self._last_s: float | None = None
        self._spacing_s = 0.0  # the next sample comes so long after the last if none is lost
        self._last: np.ndarray | None = None
        self.set_speed(speed)

    def set_speed(self, speed: float, time_s: float | None = None) -> None:
        """Take another spacing of the stamps from the next sample on; that one is due at `time_s`, or as before."""
        if time_s is not None:
            self._note_missing(time_s)
        self.speed = speed
        self._period_s = 1.0 / (speed * self.sfreq)
        self._forget = float(np.exp(-self._period_s / JITTER_MEMORY_S))
        self._forget_start = float(np.exp(-self._period_s / START_MEMORY_S))
        self._fading: np.ndarray = np.empty(0)  # weights of the last read's samples, while reads are of one length
        self._rate.restart()

    def resume_at(self, time_s: float, due_s: float | None = None) -> None:
        """Expect the next sample at `time_s`: the sender was paused, or has jumped.

        Parameters
        ----------
        time_s : float
            Its stamp, in seconds.
        due_s : float or None, default=None
            Its stamp if there had been no pause: what is missing before that was lost. None: nothing was.
        """
        if due_s is not None:
            self._note_missing(due_s)
        if self._last_s is not None:
            self._last_s, self._spacing_s = time_s - self._period_s, self._period_s
        self._restart()

    def _note_missing(self, due_s: float) -> None:
        """Expect the next sample at `due_s`, and count what is missing before it while its spacing is known."""
        if self._last_s is None or due_s <= self._last_s:
            return
        late_s = due_s - self._last_s - self._spacing_s
        self._n_missing += round(late_s / self._period_s) if self._is_gap(late_s) else 0
        self._last_s, self._spacing_s = due_s - self._period_s, self._period_s

    def rejoin(self, speed: float) -> None:
        """Expect a sender that was away: what is missing is never filled, its stamps may be of another quality."""
        self._last, self._n_missing = None, 0
        self._n_seen, self._jitter_s, self._assumed_s = 0, 0.0, self.spec.start_jitter_s
        self.set_speed(speed)

    def number(
        self, data: np.ndarray, times: np.ndarray, received_s: float | None = None
    ) -> tuple[list[Chunk], list[Break]]:
        """Give the next samples their numbers.

        Parameters
        ----------
        data : ndarray of float32, shape (n_channels, n_samples)
            Samples in the order received.
        times : ndarray of float64, shape (n_samples,)
            Their stamps in the local clock.
        received_s : float or None, default=None
            When they arrived, in seconds of the local clock; None if nobody knows: a clock that was put forward then
            looks like a gap.

        Returns
        -------
        chunks : list of Chunk
            The samples, with short gaps filled; a longer gap shows as a jump of ``first_sample``, and a new chunk
            begins where the clock was set.
        breaks : list of Gap, Jump, Repeat or RateDrift
            In the order of the samples.
        """
        chunks: list[Chunk] = []
        breaks: list[Break] = []
        if times.size == 0:
            return chunks, breaks
        late = np.empty(len(times))
        np.subtract(times[1:], times[:-1], out=late[1:])
        late[1:] -= self._period_s
        late[0] = 0.0 if self._last_s is None else times[0] - self._last_s - self._spacing_s
        late[0] += self._n_missing * self._period_s
        self._n_missing = 0
        start = judged = 0
        suspects = deque((np.abs(late) > 0.5 * self._period_s).nonzero()[0].tolist())
        while suspects:
            i = suspects.popleft()
            self._learn(late[judged:i])  # what came before this sample, and nothing after it, says what is irregular
            judged, late_s = i, float(late[i])
            repeat = self._repeat(data[:, start:], times[start:], i - start, late_s) if late_s < 0 else None
            if repeat is not None:
                self._take(chunks, breaks, data, times, start, i)
                breaks.append(repeat)
                start = judged = i + repeat.n_samples
                self._expect(suspects, late, times, start)
                continue
            is_gap = self._is_gap(late_s)
            if not is_gap and late_s >= -max(self.spec.min_jump_s, self._tolerance_s):
                continue
            self._take(chunks, breaks, data, times, start, i)
            last_s = float(times[i]) + (len(times) - 1 - i) * self._period_s  # of this read, if it goes on like that
            if is_gap and not self._is_ahead(late_s, last_s, received_s):
                breaks.append(self._gap(chunks, data[:, i], float(times[i]), late_s))
            else:
                breaks.append(self._jump(float(times[i]), late_s))
            late[i] = 0.0
            start = i
        self._learn(late[judged:])
        self._take(chunks, breaks, data, times, start, len(times))
        self.n_received += len(times)
        if received_s is not None:
            self._note_delay(received_s - float(times[-1]), len(times))
        return chunks, breaks

    def _repeat(self, data: np.ndarray, times: np.ndarray, at: int, late_s: float) -> Repeat | None:
        """Return the samples from `at` on that have come before or come too late."""
        newest_s = times[at - 1] if at else self._last_s
        if newest_s is None or times[at] > newest_s + SAME_STAMP_S:
            return None
        n, is_late = self._recent.n_repeated(data, times, at), False
        if not n and late_s < -self._tolerance_s:
            before_s = float(times[at]) - late_s - self._tolerance_s
            n, is_late = self._recent.n_late(times, at, self._period_s, before_s), True
        return Repeat(n, float(times[at]), float(times[at + n - 1]), is_late) if n else None

    def _expect(self, suspects: deque[int], late: np.ndarray, times: np.ndarray, at: int) -> None:
        """Judge sample `at` by the last one that was taken: those between were not."""
        while suspects and suspects[0] <= at:
            suspects.popleft()
        if at < len(times) and self._last_s is not None:
            late[at] = times[at] - self._last_s - self._spacing_s
            if abs(late[at]) > 0.5 * self._period_s:
                suspects.appendleft(at)

    def _is_ahead(self, late_s: float, last_s: float, received_s: float | None) -> bool:
        """Whether the sender's clock was put forward: no time has passed here for samples to be lost."""
        if received_s is None or self._delay_s is None:
            return False
        return self._delay_s - (received_s - last_s) > max(self.spec.min_jump_s, AHEAD * late_s)

    def _note_delay(self, delay_s: float, n_samples: int) -> None:
        if self._delay_s is None:
            self._delay_s = delay_s
        else:
            self._delay_s = min(delay_s, self._delay_s + DELAY_RISE * n_samples * self._period_s)

    def _jump(self, time_s: float, late_s: float) -> Jump:
        self._restart()
        return Jump(self.next_sample, late_s, time_s - late_s - self._period_s, time_s)

    def _restart(self) -> None:
        """Compare nothing with what was before."""
        self._delay_s = None
        self._recent.forget()
        self._rate.restart()

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
        if len(self._fading) != n:
            self._fading = self._forget ** np.arange(n - 1, -1, -1)
        recent = float((np.minimum(np.abs(late), MAX_JITTER_S) * self._fading).max())
        self._jitter_s = max(recent, self._jitter_s * self._forget**n)
        self._assumed_s *= self._forget_start**n
        self._n_seen += n

    def _take(
        self, chunks: list[Chunk], breaks: list[Break], data: np.ndarray, times: np.ndarray, start: int, stop: int
    ) -> None:
        if stop == start:
            return
        chunk = Chunk(data[:, start:stop], self.next_sample, times[start:stop])
        chunks.append(chunk)
        breaks += self._rate.take(self.next_sample, chunk.times, self.speed, self._jitter_s)
        self._recent.add(chunk.data, chunk.times)
        self.next_sample += stop - start
        self._last_s, self._last = float(times[stop - 1]), data[:, stop - 1].copy()
        self._spacing_s = self._period_s

    def _gap(self, chunks: list[Chunk], after: np.ndarray, time_s: float, late_s: float) -> Gap:
        n_lost = round(late_s / self._period_s)
        last, last_s = self._last, self._last_s
        if last is None or last_s is None or n_lost > self.spec.max_fill_s * self.sfreq:
            self.next_sample += n_lost
            self._rate.restart()
            self._recent.add_gap(time_s - late_s - self._period_s, time_s, n_lost)
            return Gap(n_lost, time_s - late_s - self._period_s, time_s, filled=False)
        share = np.arange(1, n_lost + 1) / (n_lost + 1)
        filling = (last[:, None] + (after - last)[:, None] * share).astype(np.float32)
        times = last_s + (time_s - last_s) * share
        chunks.append(Chunk(filling, self.next_sample, times, np.ones(n_lost, dtype=bool)))
        self.next_sample += n_lost
        self._recent.add_gap(last_s, time_s, n_lost)
        return Gap(n_lost, last_s, time_s, filled=True)
