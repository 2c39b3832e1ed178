"""Values that no amplifier gives: what damage leaves that a file's own checks have not seen.

References
----------
Texas Instruments, ADS1299 data sheet (SBAS499): a full scale of ±4.5 V at gain 1, the widest of the converters that EEG
amplifiers are built of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bci.chunk import Signal
from bci.errors import RecordingError
from offline.datasets.base import Session

LIMIT_UV = 1e7
"""10 V, twice what the widest converter takes: an amplifier that clips, with its offset, stays below."""
LIMIT = 1e30
"""Of numbers without a unit nothing is known, but that squares of them must be finite: 1e30 is none of an image."""


def require_plausible(place: str, signal: Signal, data: np.ndarray, start: int = 0) -> None:
    """Check that samples are such as could have been recorded; in µV, NaN stands for what was not recorded.

    Parameters
    ----------
    place : str
        File and row, for the message.
    signal : Signal
        Unit and names of channels.
    data : ndarray, shape (n_channels, n_samples)
        Values.
    start : int, default=0
        Number of the first sample.

    Raises
    ------
    RecordingError
        If a value is infinite or above the limit of its unit, or a value without unit is NaN.
    """
    if not data.size:
        return
    if signal.unit == "uV":
        limit = LIMIT_UV
        bad = np.fmin.reduce(data, axis=None) < -limit or np.fmax.reduce(data, axis=None) > limit  # not of NaN
    else:
        limit = LIMIT
        bad = not (np.min(data) >= -limit and np.max(data) <= limit)  # so is NaN
    if not bad:
        return
    size = np.abs(data)
    sample, channel = np.argwhere((size > limit if signal.unit == "uV" else ~(size <= limit)).T)[0]
    raise RecordingError(
        f"{place}, channel {signal.names[channel]}, sample {start + sample}: a {signal.unit} must be a number up to "
        f"{limit:g} in size, got {data[channel, sample]:g}. Fetch the file again, or leave it out."
    )


@dataclass(frozen=True, slots=True)
class Guarded:
    """Reads a session and refuses values that no amplifier gives.

    Parameters
    ----------
    session : Session
        What is read.
    """

    session: Session

    def __call__(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return samples as the session's reader does."""
        data = self.session.read(start, stop)
        require_plausible(self.session.place, self.session.signal, data, start)
        return data
