"""Log-mel frames as samples arrive: only new frames are computed."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import get_window

from bci.chunk import Signal
from bci.errors import SpecError
from bci.stages.base import Stage
from models.filterbank import MelScale, empty_filters, mel_filterbank

log = logging.getLogger(__name__)

MAX_FFT = 1 << 20
MAX_BANK = 1 << 25
"""Largest ``n_mels * n_fft``: a bank of 128 MiB."""

BLOCK_FRAMES = 256  # a whole recording is cut into blocks of frames, so that memory does not grow with it


@dataclass(frozen=True, slots=True)
class LogMel:
    """Short-time power spectrum through a mel filterbank, in dB.

    Frame ``j`` takes the samples ``[j * hop_length, j * hop_length + win_length)`` under a periodic Hann window,
    pads them with zeros at the end to `n_fft`, takes ``|rfft|^2`` (not normalised), sums it through the bank and
    gives ``10 log10(max(power, floor))``. Frames are never centred: a centred frame needs later samples.

    Parameters
    ----------
    n_fft, win_length, hop_length : int
        Transform, window and step, in samples; ``win_length <= n_fft <= 2**20``.
    n_mels : int
        Number of bands; ``n_mels <= n_fft`` and ``n_mels * n_fft <= 2**25``.
    low_hz, high_hz : float
        Edges of the bank, in Hz.
    floor : float, default=1.0
        Smallest power, in the signal's unit squared: absolute and above float32 noise, so that no feature depends
        on a neighbour.
    scale : {"htk", "slaney"}, default="htk"
        Mel formula: ``htk`` or ``slaney``.
    norm : {"slaney"} or None, default=None
        ``slaney`` divides each band by its width.

    See Also
    --------
    models.logmel.LogMelFrontEnd : The same features of a batch of windows, in torch.
    """

    kind: ClassVar[str] = "log_mel"
    n_fft: int
    win_length: int
    hop_length: int
    n_mels: int
    low_hz: float
    high_hz: float
    floor: float = 1.0
    scale: MelScale = "htk"
    norm: Literal["slaney"] | None = None

    def build(self, signal: Signal) -> LogMelStage:
        """Return the running stage for `signal`."""
        if not 0 < self.win_length <= self.n_fft or self.hop_length < 1 or not 0 < self.floor < np.inf:
            raise SpecError(
                f"LogMel needs 0 < win_length <= n_fft, hop_length >= 1 and floor > 0 {signal.unit}^2, "
                f"got win_length={self.win_length}, n_fft={self.n_fft}, hop_length={self.hop_length}, "
                f"floor={self.floor:g}."
            )
        if signal.n_features is not None:
            raise SpecError(f"LogMel needs a plain signal, got frames of {signal.n_features} features.")
        if self.n_fft > MAX_FFT or self.n_mels > min(self.n_fft, MAX_BANK // self.n_fft):
            raise SpecError(
                f"LogMel needs n_fft <= {MAX_FFT}, n_mels <= n_fft and n_mels * n_fft <= {MAX_BANK}, "
                f"got n_fft={self.n_fft}, n_mels={self.n_mels}."
            )
        try:
            bank = mel_filterbank(
                signal.sfreq, self.n_fft, self.n_mels, self.low_hz, self.high_hz, self.scale, self.norm
            )
        except ValueError as error:
            raise SpecError(f"LogMel: {error}") from error
        if not bank.any():
            raise SpecError(
                f"LogMel needs a bin of the FFT within {self.low_hz:g} to {self.high_hz:g} Hz, got bins "
                f"{signal.sfreq / self.n_fft:g} Hz apart. Raise n_fft or widen the range."
            )
        if (empty := empty_filters(bank)).size:
            log.warning(
                "bands %s of the mel bank hold no bin of the FFT (%g Hz apart) and stay at the floor; raise n_fft",
                ", ".join(map(str, empty)), signal.sfreq / self.n_fft,
            )  # fmt: skip
        return LogMelStage(signal, self, bank)


class LogMelStage(Stage):
    """Frames of a stream; remembers the samples that the next frame still needs."""

    _remembered = ("_tail", "_skip")

    def __init__(self, signal: Signal, spec: LogMel, bank: np.ndarray) -> None:
        self._spec = spec
        self._window = get_window("hann", spec.win_length)
        used = np.flatnonzero(bank.any(axis=0))
        self._bins = slice(used[0], used[-1] + 1)
        self._bank = np.ascontiguousarray(bank[:, self._bins])
        out = replace(signal, sfreq=signal.sfreq / spec.hop_length, unit="dB", n_features=spec.n_mels)
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
            for start in range(0, n_frames, BLOCK_FRAMES):
                stop = min(start + BLOCK_FRAMES, n_frames)
                features[..., start:stop] = self._features(frames[:, start:stop])
        used = self._skip + n_frames * spec.hop_length
        self._tail = joined[:, used:].copy()
        self._skip = max(0, used - joined.shape[-1])
        return features

    def _features(self, frames: np.ndarray) -> np.ndarray:
        """Return the dB of `frames`: (n_channels, n_frames, win_length) to (n_channels, n_mels, n_frames)."""
        spectrum = np.fft.rfft(frames * self._window, self._spec.n_fft)[..., self._bins]
        power = spectrum.real**2 + spectrum.imag**2
        return 10.0 * np.log10(np.maximum(power @ self._bank.T, self._spec.floor)).swapaxes(-1, -2)

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
