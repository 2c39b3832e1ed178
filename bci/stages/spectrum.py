"""Frames of a spectrum as samples arrive: only new frames are computed."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import get_window

from bci.chunk import Signal
from bci.errors import SpecError
from bci.stages.base import Stage

MAX_FFT = 1 << 20

BLOCK_VALUES = 1 << 19
"""Samples of frames that are transformed at once: 4 MiB. Shorter blocks fit a nearer cache, but numpy gives the
interpreter back and takes it again in each step, and another thread that computes makes that dear."""


class FrameSpec(Protocol):
    """How frames are cut and how far down their power is told apart."""

    @property
    def n_fft(self) -> int:
        """Length of the transform, in samples."""
        ...

    @property
    def win_length(self) -> int:
        """Length of a frame, in samples."""
        ...

    @property
    def hop_length(self) -> int:
        """Samples from one frame to the next."""
        ...

    @property
    def floor(self) -> float:
        """Smallest power, in the signal's unit squared."""
        ...


def check_frames(spec: FrameSpec, signal: Signal) -> None:
    """Check that frames can be cut from a signal.

    Raises
    ------
    SpecError
        If the sizes do not fit each other, or the signal consists of frames already.
    """
    name = type(spec).__name__
    if not 0 < spec.win_length <= spec.n_fft or spec.hop_length < 1 or not 0 < spec.floor < np.inf:
        raise SpecError(
            f"{name} needs 0 < win_length <= n_fft, hop_length >= 1 and floor > 0 {signal.unit}^2, "
            f"got win_length={spec.win_length}, n_fft={spec.n_fft}, hop_length={spec.hop_length}, "
            f"floor={spec.floor:g}."
        )
    if signal.n_features is not None:
        raise SpecError(f"{name} needs a plain signal, got frames of {signal.n_features} features.")


class SpectrumStage(Stage):
    """Power of frames in dB; remembers the samples that the next frame still needs.

    Parameters
    ----------
    signal : Signal
        What comes in.
    spec : FrameSpec
        How frames are cut.
    bins : slice
        Bins of the transform that are used.
    bank : ndarray of float64, shape (n_features, n_bins), or None, default=None
        Weights of these bins in each feature; None takes each bin as a feature.
    """

    _remembered = ("_tail", "_skip")

    def __init__(self, signal: Signal, spec: FrameSpec, bins: slice, bank: np.ndarray | None = None) -> None:
        self._spec = spec
        self._window = get_window("hann", spec.win_length)
        self._bins = bins
        self._bank = bank
        n_features = bins.stop - bins.start if bank is None else len(bank)
        out = replace(signal, sfreq=signal.sfreq / spec.hop_length, unit="dB", n_features=n_features)
        super().__init__(signal, out)

    def reset(self) -> None:
        """Forget the past; the next sample starts a new stream and a new frame grid."""
        self._tail = np.empty((self.signal_in.n_channels, 0))
        self._skip = 0  # samples before the next frame's first; above 0 only where frames do not overlap

    def _process(self, x: np.ndarray) -> np.ndarray:
        spec = self._spec
        joined = np.concatenate([self._tail, x], axis=-1)
        n_frames = max(0, (joined.shape[-1] - self._skip - spec.win_length) // spec.hop_length + 1)
        features = np.empty((*self.signal_out.shape, n_frames))
        if n_frames == 1:  # as in a live stream; a view of all windows costs more than one transform
            features[:] = self._features(joined[:, None, self._skip : self._skip + spec.win_length])
        elif n_frames:
            frames = sliding_window_view(joined[:, self._skip :], spec.win_length, axis=-1)[:, :: spec.hop_length]
            n_block = max(1, BLOCK_VALUES // (len(x) * spec.win_length))
            for start in range(0, n_frames, n_block):
                piece = slice(start, start + n_block)
                features[..., piece] = self._features(frames[:, piece])
        used = self._skip + n_frames * spec.hop_length
        self._tail = joined[:, used:].copy()
        self._skip = max(0, used - joined.shape[-1])
        return features

    def _features(self, frames: np.ndarray) -> np.ndarray:
        """Return the dB of `frames`: (n_channels, n_frames, win_length) to (n_channels, n_features, n_frames)."""
        spectrum = np.fft.rfft(frames * self._window, self._spec.n_fft)[..., self._bins]
        power = spectrum.real**2
        power += spectrum.imag**2
        if self._bank is not None:
            power = power @ self._bank.T
        np.maximum(power, self._spec.floor, out=power)
        np.log10(power, out=power)
        power *= 10.0
        return power.swapaxes(-1, -2)

    def last_input(self, n_out: np.ndarray) -> np.ndarray:
        """Return the index of the last sample of each frame."""
        return n_out * self._spec.hop_length + self._spec.win_length - 1

    def delay_s(self, hz: float) -> float:
        """Return the age of the window's centre when its frame is complete, in seconds."""
        # a periodic window has its peak at win_length / 2; the frame's last sample is win_length - 1
        return (self._spec.win_length / 2 - 1) / self.signal_in.sfreq

    @property
    def warmup_s(self) -> float:
        """Seconds over which one sample acts: the window."""
        return (self._spec.win_length - 1) / self.signal_in.sfreq
