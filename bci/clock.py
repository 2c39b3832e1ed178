"""Sample counting against time stamps: what was lost, and how the stream goes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bci.chunk import Chunk, Signal
from bci.errors import SpecError

JITTER_MEMORY_S = 10.0  # how long a late stamp widens the tolerance


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


class SampleClock:
    """Give each sample its number in the stream, from raw stamps.

    A stamp that lies further ahead than half a period and twice the stream's own recent irregularity is a gap. The
    stamps themselves are never smoothed.

    Parameters
    ----------
    signal : Signal
        What is counted.
    speed : float, default=1.0
        Factor by which a replay runs faster than it was recorded.
    spec : ClockSpec, default=ClockSpec()
        Tolerances.
    """

    def __init__(self, signal: Signal, speed: float = 1.0, spec: ClockSpec = ClockSpec()) -> None:
        self.spec = spec
        self._sfreq = signal.sfreq
        self._period_s = 1.0 / (speed * signal.sfreq)
        self._forget = float(np.exp(-1.0 / (JITTER_MEMORY_S * speed * signal.sfreq)))
        self.n_received = 0
        self._next = 0
        self._jitter_s = spec.start_jitter_s
        self._last_s: float | None = None
        self._last: np.ndarray | None = None

    def number(self, data: np.ndarray, times: np.ndarray) -> tuple[list[Chunk], list[Gap]]:
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
            The samples, with short gaps filled; a longer gap shows as a jump of ``first_sample``.
        gaps : list of Gap
        """
        chunks: list[Chunk] = []
        gaps: list[Gap] = []
        if times.size == 0:
            return chunks, gaps
        before = times[0] - self._period_s if self._last_s is None else self._last_s
        late = np.diff(times, prepend=before) - self._period_s
        start = 0
        for i in np.flatnonzero(late > 0.5 * self._period_s):
            if late[i] <= self._tolerance_s():
                continue
            self._take(chunks, data, times, start, int(i), late)
            gaps.append(self._gap(chunks, data[:, i], float(times[i]), float(late[i])))
            late[i] = 0.0
            start = int(i)
        self._take(chunks, data, times, start, len(times), late)
        self.n_received += len(times)
        return chunks, gaps

    def _tolerance_s(self) -> float:
        return 0.5 * self._period_s + 2.0 * self._jitter_s

    def _take(
        self, chunks: list[Chunk], data: np.ndarray, times: np.ndarray, start: int, stop: int, late: np.ndarray
    ) -> None:
        if stop == start:
            return
        chunks.append(Chunk(data[:, start:stop], self._next, times[start:stop]))
        self._next += stop - start
        self._last_s, self._last = float(times[stop - 1]), data[:, stop - 1].copy()
        irregular = float(np.abs(late[start:stop]).max())
        self._jitter_s = max(irregular, self._jitter_s * self._forget ** (stop - start))

    def _gap(self, chunks: list[Chunk], after: np.ndarray, time_s: float, late_s: float) -> Gap:
        n_lost = round(late_s / self._period_s)
        last, last_s = self._last, self._last_s
        if last is None or last_s is None or n_lost > self.spec.max_fill_s * self._sfreq:
            self._next += n_lost
            return Gap(n_lost, time_s - late_s - self._period_s, time_s, filled=False)
        share = np.arange(1, n_lost + 1) / (n_lost + 1)
        filling = (last[:, None] + (after - last)[:, None] * share).astype(np.float32)
        times = last_s + (time_s - last_s) * share
        chunks.append(Chunk(filling, self._next, times, np.ones(n_lost, dtype=bool)))
        self._next += n_lost
        return Gap(n_lost, last_s, time_s, filled=True)
