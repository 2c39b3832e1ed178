"""The distance of a sender's clock from the local one, as measured again and again."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

SLEW = 1e-3
"""Seconds per second by which a newly measured offset comes into force: a thousandth of a period from sample to sample
is no lost sample at any rate, and clocks drift a tenth as fast at most."""
STEP_S = 0.02
"""From here on a change of the offset is no better measurement: a clock was set, or the measurement is wrong. It is in
force at once when the next one agrees within so much; on an overloaded computer single ones are wrong by 50 ms."""


@dataclass(frozen=True, slots=True)
class _Segment:
    """Offsets of the stamps after `from_s`: from `start_s` they go to `end_s`."""

    from_s: float
    start_s: float
    end_s: float

    def at(self, stamps: np.ndarray) -> np.ndarray:
        reach = SLEW * np.maximum(stamps - self.from_s, 0.0)
        offsets: np.ndarray = self.start_s + np.clip(self.end_s - self.start_s, -reach, reach)
        return offsets


class ClockOffset:
    """Clock offset as a function of the stamp, so that a marker and its sample get one, whichever is read first.

    The offset of two programs on one busy computer is measured with errors of half a millisecond. Were it in force at
    once, stamps of fast streams would look as if a sample were lost.

    Parameters
    ----------
    offset_s : float
        First measurement, in seconds.

    Attributes
    ----------
    newest_s : float
        Last measurement that is believed, in seconds.
    """

    def __init__(self, offset_s: float) -> None:
        self.newest_s = self._measured_s = offset_s
        self._before = self._now = _Segment(-math.inf, offset_s, offset_s)
        self._latest_s = -math.inf  # latest stamp seen

    def local(self, stamps: np.ndarray) -> np.ndarray:
        """Return stamps in the local clock.

        Parameters
        ----------
        stamps : ndarray of float64, shape (n_stamps,)
            In the sender's clock, in seconds.

        Returns
        -------
        times : ndarray of float64, shape (n_stamps,)
        """
        if not len(stamps):
            return stamps
        self._latest_s = max(self._latest_s, float(stamps.max()))
        return stamps + np.where(stamps > self._now.from_s, self._now.at(stamps), self._before.at(stamps))

    def change(self, offset_s: float) -> None:
        """Take a measurement: go to it from the first stamp on that has not been seen yet, if it is believed."""
        if offset_s == self._measured_s:  # the same one again
            return
        before_s, self._measured_s = self._measured_s, offset_s
        seen = math.isfinite(self._latest_s)
        in_force_s = float(self._now.at(np.array([self._latest_s]))[0]) if seen else self._now.end_s
        is_step = abs(offset_s - in_force_s) >= STEP_S
        if is_step and abs(offset_s - before_s) >= STEP_S:
            return  # the next measurement decides
        start_s = in_force_s if seen and not is_step else offset_s
        self._before, self._now = self._now, _Segment(self._latest_s, start_s, offset_s)
        self.newest_s = offset_s
