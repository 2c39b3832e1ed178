"""What flows: the description of a signal, and a stretch of its samples."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from bci.errors import SignalError, SpecError


@dataclass(frozen=True, slots=True)
class Signal:
    """Description of a multichannel signal.

    Parameters
    ----------
    sfreq : float
        Sampling rate, in Hz (frames per second for features).
    names : tuple of str
        Channel names, in order, without repetition.
    unit : str, default="uV"
        Unit of the values: ``uV`` for EEG, ``fT`` for MEG, ``dB`` for log power.
    n_features : int or None, default=None
        Features per channel and frame; None for a plain signal.
    """

    sfreq: float
    names: tuple[str, ...]
    unit: str = "uV"
    n_features: int | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.sfreq) and self.sfreq > 0):
            raise SpecError(f"A signal needs a sampling rate above 0 Hz, got {self.sfreq!r}.")
        if not self.names:
            raise SpecError("A signal needs at least one channel name, got none.")
        repeated = sorted(name for name, n in Counter(self.names).items() if n > 1)
        if repeated:
            raise SpecError(
                f"Channel names must differ, got repeated: {', '.join(repeated)}. Rename them at the source."
            )

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self.names)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one column: ``(n_channels,)`` or ``(n_channels, n_features)``."""
        return (self.n_channels,) if self.n_features is None else (self.n_channels, self.n_features)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Samples that follow each other without a gap.

    Parameters
    ----------
    data : ndarray of float32, shape (n_channels, n_samples)
        Samples in the unit of their signal. ``n_samples`` may be 0.
    first_sample : int
        Index of the first column in the stream, counting lost samples too.
    times : ndarray of float64, shape (n_samples,)
        Time of each sample in the local LSL clock, in seconds.
    filled : ndarray of bool, shape (n_samples,), or None
        True for samples that were interpolated over a gap; None if none were.
    """

    data: np.ndarray
    first_sample: int
    times: np.ndarray
    filled: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.data.ndim != 2 or self.times.shape != (self.data.shape[1],):
            raise SignalError(
                "A chunk needs data of shape (n_channels, n_samples) and one time per sample, "
                f"got data {self.data.shape} and times {self.times.shape}."
            )
        if self.filled is not None and self.filled.shape != self.times.shape:
            raise SignalError(
                f"A chunk of {self.data.shape[1]} samples needs one flag per sample in filled, got {self.filled.shape}."
            )

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return self.data.shape[1]


def samples(seconds: float, sfreq: float, name: str) -> int:
    """Return a duration as a whole number of samples.

    Parameters
    ----------
    seconds : float
        Duration, in seconds.
    sfreq : float
        Sampling rate, in Hz.
    name : str
        What the duration is, for the message.

    Returns
    -------
    n : int
        ``seconds * sfreq``, which must be whole within 1e-6 of a sample.

    Raises
    ------
    SpecError
        If the duration is not a finite, whole number of samples.
    """
    exact = seconds * sfreq
    if not math.isfinite(exact):
        raise SpecError(f"{name} must be a finite duration, got {seconds:g} s at {sfreq:g} Hz.")
    n = round(exact)
    if abs(exact - n) > 1e-6:
        raise SpecError(
            f"{name} must be a whole number of samples at {sfreq:g} Hz, got {seconds:g} s = {exact:.6g} samples. "
            f"Use {n / sfreq:.9g} s."
        )
    return n
