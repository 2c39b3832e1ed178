"""Short-time Fourier power as samples arrive, one feature for each bin of the transform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bci.chunk import Signal
from bci.errors import SpecError
from bci.stages.spectrum import MAX_FFT, SpectrumStage, check_frames
from models.filterbank import stft_bins


@dataclass(frozen=True, slots=True)
class Stft:
    """Short-time power spectrum of some bins, in dB.

    Frames are those of `bci.stages.logmel.LogMel`: never centred, periodic Hann window, zeros at the end up to `n_fft`;
    each bin of the transform from `low_hz` to `high_hz` is a feature of its own,
    ``10 log10(max(|rfft|^2, floor))``.

    Parameters
    ----------
    n_fft, win_length, hop_length : int
        Transform, window and step, in samples; ``win_length <= n_fft <= 2**20``.
    low_hz, high_hz : float
        Range of the bins, in Hz, both ends included. Bin ``k`` stands at ``k * sfreq / n_fft``.
    floor : float, default=1.0
        Smallest power, in the signal's unit squared.

    See Also
    --------
    models.stft.LogStftFrontEnd : The same features of a batch of windows, in torch.
    """

    kind: ClassVar[str] = "stft"
    n_fft: int
    win_length: int
    hop_length: int
    low_hz: float
    high_hz: float
    floor: float = 1.0

    def build(self, signal: Signal) -> SpectrumStage:
        """Return the running stage for `signal`."""
        check_frames(self, signal)
        if self.n_fft > MAX_FFT:
            raise SpecError(f"Stft needs n_fft <= {MAX_FFT}, got n_fft={self.n_fft}.")
        try:
            bins = stft_bins(signal.sfreq, self.n_fft, self.low_hz, self.high_hz)
        except ValueError as error:
            raise SpecError(f"Stft: {error}") from error
        return SpectrumStage(signal, self, bins)
