"""Log-mel frames as samples arrive: only new frames are computed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bci.chunk import Signal
from bci.errors import SpecError
from bci.stages.spectrum import MAX_FFT, SpectrumStage, check_frames
from models.filterbank import MelScale, empty_filters, mel_centres, mel_filterbank

log = logging.getLogger(__name__)

MAX_BANK = 1 << 25
"""Largest ``n_mels * n_fft``: a bank of 128 MiB."""


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

    @property
    def centres_hz(self) -> np.ndarray:
        """Frequency at which each band has its peak, shape (n_mels,), in Hz."""
        return mel_centres(self.n_mels, self.low_hz, self.high_hz, self.scale)

    def build(self, signal: Signal) -> SpectrumStage:
        """Return the running stage for `signal`."""
        check_frames(self, signal)
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
        used = np.flatnonzero(bank.any(axis=0))
        bins = slice(int(used[0]), int(used[-1]) + 1)
        return SpectrumStage(signal, self, bins, np.ascontiguousarray(bank[:, bins]))
