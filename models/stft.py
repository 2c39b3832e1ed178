"""Short-time Fourier power as a batched torch front end, equal to the streaming stage."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.filterbank import hann, stft_bins
from models.limits import check_table


class LogStftFrontEnd(nn.Module):
    """Short-time power spectrum, each bin a feature, in dB.

    Frames are those of `models.logmel.LogMelFrontEnd`.

    Parameters
    ----------
    sfreq : float
        Sampling rate, in Hz.
    n_fft, win_length, hop_length : int
        Transform, window and step, in samples; ``win_length <= n_fft``.
    low_hz, high_hz : float
        Range of the bins, in Hz, both ends included.
    floor : float, default=1.0
        Smallest power, in the signal's unit squared.
    dtype : torch.dtype, default=torch.float32
        Precision inside and of the features, whatever the input and autocast say.

    Attributes
    ----------
    n_features : int
        Bins.
    freqs_hz : tuple of float
        Frequency of each.

    Raises
    ------
    ValueError
        If the sizes or the range do not fit.
    """

    window: Tensor

    def __init__(
        self,
        sfreq: float,
        n_fft: int,
        win_length: int,
        hop_length: int,
        low_hz: float,
        high_hz: float,
        floor: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if not 0 < win_length <= n_fft or hop_length < 1 or floor <= 0:
            raise ValueError(
                "LogStftFrontEnd needs 0 < win_length <= n_fft, hop_length >= 1 and floor > 0, "
                f"got win_length={win_length}, n_fft={n_fft}, hop_length={hop_length}, floor={floor:g}."
            )
        check_table(n_fft, "A transform")
        self.n_fft = n_fft
        self.win_length = win_length
        self.hop_length = hop_length
        self.floor = floor
        self.dtype = dtype
        self.bins = stft_bins(sfreq, n_fft, low_hz, high_hz)
        self.n_features = self.bins.stop - self.bins.start
        self.freqs_hz = tuple(k * sfreq / n_fft for k in range(self.bins.start, self.bins.stop))
        window = torch.from_numpy(hann(win_length))
        self.register_buffer("window", window.to(dtype), persistent=False)

    def n_frames(self, n_times: int) -> int:
        """Return the number of frames of `n_times` samples."""
        return 1 + (n_times - self.win_length) // self.hop_length

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of windows.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_times)
            Signals, ``n_times >= win_length``.

        Returns
        -------
        features : Tensor, shape (batch, n_channels, n_features, n_frames)
            In dB re 1 unit squared.

        Raises
        ------
        ValueError
            If the signals are shorter than one frame, or the module was cast to another precision.
        """
        if x.shape[-1] < self.win_length:
            raise ValueError(
                f"LogStftFrontEnd needs at least win_length = {self.win_length} samples, got {x.shape[-1]}. "
                "Use a longer window or a shorter win_length."
            )
        if self.window.dtype != self.dtype:
            raise ValueError(
                f"LogStftFrontEnd computes in {self.dtype}, but was cast to {self.window.dtype}. "
                "Cast the network behind it instead."
            )
        with torch.autocast(x.device.type, enabled=False):
            power = frame_power(x.to(self.dtype), self.window, self.n_fft, self.hop_length)[..., self.bins, :]
            return 10.0 * torch.log10(power.clamp(min=self.floor))


def frame_power(x: Tensor, window: Tensor, n_fft: int, hop_length: int) -> Tensor:
    """Return ``|rfft|**2`` of frames, never centred and padded at the end.

    Parameters
    ----------
    x : Tensor, shape (..., n_times)
        Signals.
    window : Tensor, shape (win_length,)
        Weights.
    n_fft, hop_length : int
        Transform and step, in samples.

    Returns
    -------
    power : Tensor, shape (..., n_fft // 2 + 1, n_frames)
    """
    frames = x.unfold(-1, window.shape[0], hop_length) * window
    spectrum = torch.fft.rfft(frames, n=n_fft)
    return (spectrum.real.square() + spectrum.imag.square()).transpose(-1, -2)
