"""Continuous wavelet power with Morlet wavelets, as a batched torch front end."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.limits import check_table

N_SIGMA = 5.0
"""Half length of a wavelet, in standard deviations of its envelope."""


def morlet(sfreq: float, hz: float, n_cycles: float) -> np.ndarray:
    """Return a Morlet wavelet.

    Parameters
    ----------
    sfreq : float
        Sampling rate, in Hz.
    hz : float
        Frequency of its oscillation, in Hz.
    n_cycles : float
        Cycles within ``2 pi`` standard deviations of its Gaussian envelope: more cycles tell frequencies apart
        better, and times worse.

    Returns
    -------
    wavelet : ndarray of complex128, shape (n,)
        `n` is odd and the middle is time 0. It has no mean and a norm of the square root of 2.

    References
    ----------
    Tallon-Baudry et al. (1996), doi:10.1523/JNEUROSCI.16-13-04240.1996; norm as in MNE-Python.
    """
    sigma_s = n_cycles / (2 * math.pi * hz)
    t = np.arange(0.0, N_SIGMA * sigma_s, 1.0 / sfreq)
    t = np.r_[-t[::-1], t[1:]]
    envelope = np.exp(-0.5 * (t / sigma_s) ** 2)
    # the second term takes the mean away, which few cycles leave
    wave = (np.exp(2j * math.pi * hz * t) - math.exp(-2 * (math.pi * hz * sigma_s) ** 2)) * envelope
    return wave * (math.sqrt(2.0) / np.linalg.norm(wave))


class MorletFrontEnd(nn.Module):
    """Wavelet power in dB, every `hop_length` samples.

    Frame ``j`` is centred at sample ``j * hop_length``. It needs samples on both sides: beyond the window there are
    zeros, so that frames near its edges see part of a wavelet only. For the same reason there is no streaming stage of
    it; live, the transform is part of the network and sees the whole window.

    Parameters
    ----------
    sfreq : float
        Sampling rate, in Hz.
    low_hz, high_hz : float
        First and last frequency, in Hz.
    n_features : int
        Frequencies, evenly spaced on a logarithmic scale.
    hop_length : int
        Samples from one frame to the next.
    n_cycles : float, default=5.0
        See `morlet`.
    floor : float, default=0.01
        Smallest density, in the signal's unit squared per Hz.
    dtype : torch.dtype, default=torch.float32
        Precision inside and of the features, whatever the input and autocast say.

    Attributes
    ----------
    freqs_hz : tuple of float
        Frequency of each feature.

    Raises
    ------
    ValueError
        If the range does not fit below Nyquist, or a number is not positive.

    Notes
    -----
    Power is divided by `sfreq`: white noise has its one-sided spectral density at every frequency, whatever the rate.
    The wavelets are convolved in time, not by Fourier transforms: they can be exported.
    """

    kernels: Tensor

    def __init__(
        self,
        sfreq: float,
        low_hz: float,
        high_hz: float,
        n_features: int,
        hop_length: int,
        n_cycles: float = 5.0,
        floor: float = 0.01,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if not 0 < low_hz <= high_hz < sfreq / 2 or min(n_features, hop_length) < 1 or min(n_cycles, floor) <= 0:
            raise ValueError(
                f"MorletFrontEnd needs 0 < low_hz <= high_hz < {sfreq / 2:g} Hz (Nyquist), n_features and hop_length "
                f"above 0, n_cycles and floor > 0, got low_hz={low_hz:g}, high_hz={high_hz:g}, "
                f"n_features={n_features}, hop_length={hop_length}, n_cycles={n_cycles:g}, floor={floor:g}."
            )
        longest = 2 * N_SIGMA * n_cycles / (2 * math.pi * low_hz) * sfreq + 1
        check_table(2 * n_features * longest, "A set of wavelets")
        self.freqs_hz = tuple(float(hz) for hz in np.geomspace(low_hz, high_hz, n_features))
        self.n_features = n_features
        self.hop_length = hop_length
        self.floor = floor
        self.dtype = dtype
        waves = [morlet(sfreq, hz, n_cycles) for hz in self.freqs_hz]
        self._half = max(len(wave) for wave in waves) // 2
        kernels = np.zeros((2, n_features, 2 * self._half + 1))
        for i, wave in enumerate(waves):
            middle = slice(self._half - len(wave) // 2, self._half + len(wave) // 2 + 1)
            kernels[:, i, middle] = wave.real, wave.imag
        kernels /= math.sqrt(sfreq)
        # a convolution turns the wavelet round; torch correlates
        weights = torch.from_numpy(kernels.reshape(2 * n_features, 1, -1)[..., ::-1].copy())
        self.register_buffer("kernels", weights.to(dtype), persistent=False)

    def n_frames(self, n_times: int) -> int:
        """Return the number of frames of `n_times` samples."""
        return 1 + (n_times - 1) // self.hop_length

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of windows.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_times)
            Signals.

        Returns
        -------
        features : Tensor, shape (batch, n_channels, n_features, n_frames)
            In dB re 1 unit squared per Hz.

        Raises
        ------
        ValueError
            If the module was cast to another precision.
        """
        if self.kernels.dtype != self.dtype:
            raise ValueError(
                f"MorletFrontEnd computes in {self.dtype}, but was cast to {self.kernels.dtype}. "
                "Cast the network behind it instead."
            )
        with torch.autocast(x.device.type, enabled=False):
            alone = x.to(self.dtype).flatten(0, 1)[:, None]
            waves = functional.conv1d(alone, self.kernels, stride=self.hop_length, padding=self._half)
            power = waves.unflatten(1, (2, self.n_features)).square().sum(dim=1)
            return 10.0 * torch.log10(power.clamp(min=self.floor)).unflatten(0, x.shape[:2])
