"""Whether a stream keeps its nominal rate, by sample numbers against stamps."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

RETURN = 0.5  # of the tolerance: a rate that has drifted is right again only within this


@dataclass(frozen=True, slots=True)
class RateDrift:
    """The rate has left its tolerance, or has come back.

    Parameters
    ----------
    rate : float
        Measured, in Hz of signal.
    time_s : float
        Stamp of the last sample that was looked at.
    within : bool
        Whether it is right again.
    """

    rate: float
    time_s: float
    within: bool


class RateCheck:
    """Compare sample numbers with stamps over a sliding window; how the stream is cut into reads does not matter.

    Parameters
    ----------
    sfreq : float
        Nominal rate, in Hz.
    tolerance : float
        Relative deviation that is reported.
    window_s : float
        Length of the window, in whole seconds of signal.
    """

    def __init__(self, sfreq: float, tolerance: float, window_s: float) -> None:
        self._sfreq, self._tolerance = sfreq, tolerance
        self._step = max(1, round(sfreq))  # one look a second
        self._points: deque[tuple[int, float]] = deque(maxlen=max(2, round(window_s) + 1))
        self._next: int | None = None
        self._within = True

    def restart(self) -> None:
        """Begin a new window: stamps do not go on as before."""
        self._points.clear()
        self._next = None

    def take(self, first_sample: int, times: np.ndarray, speed: float, jitter_s: float) -> list[RateDrift]:
        """Take the next samples.

        Parameters
        ----------
        first_sample : int
            Number of the first.
        times : ndarray of float64, shape (n_samples,)
            Stamps.
        speed : float
            Seconds of signal per second of clock.
        jitter_s : float
            Irregularity of the stamps, in seconds; a rate cannot be known better than that allows.

        Returns
        -------
        drifts : list of RateDrift
            Each time that the rate leaves its tolerance or comes back.
        """
        drifts = []
        at = first_sample if self._next is None else self._next
        while at < first_sample + len(times):
            if at >= first_sample:
                self._points.append((at, float(times[at - first_sample])))
                drifts += self._judge(speed, jitter_s)
            at += self._step
        self._next = at
        return drifts

    def _judge(self, speed: float, jitter_s: float) -> list[RateDrift]:
        (first, first_s), (last, last_s) = self._points[0], self._points[-1]
        if len(self._points) < (self._points.maxlen or 0) or last_s <= first_s:
            return []
        rate = (last - first) / ((last_s - first_s) * speed)
        drift = abs(rate / self._sfreq - 1.0)
        limit = self._tolerance + 2.0 * jitter_s / (last_s - first_s)
        if self._within == (drift <= (limit if self._within else RETURN * limit)):
            return []
        self._within = not self._within
        return [RateDrift(rate, last_s, self._within)]
