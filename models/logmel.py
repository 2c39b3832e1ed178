"""Log-mel features of a batch of windows, in torch; the same definition as the streaming stage."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from models.filterbank import MelScale, hann, mel_centres, mel_filterbank
from models.limits import check_table
from models.stft import frame_power


class LogMelFrontEnd(nn.Module):
    """Short-time power spectrum through a mel filter bank, in dB.

    Frame ``j`` takes the samples ``[j * hop_length, j * hop_length + win_length)``, never centred, times a periodic
    Hann window, padded with zeros at the end to `n_fft`; then ``|rfft|**2`` (not normalised), the filter bank, and
    ``10 log10(max(power, floor))``. A window of ``n_times`` samples has
    ``1 + (n_times - win_length) // hop_length`` frames.

    Parameters
    ----------
    sfreq : float
        Sampling rate, in Hz.
    n_fft, win_length, hop_length : int
        Transform, window and step, in samples; ``win_length <= n_fft``.
    n_mels : int
        Number of bands.
    low_hz, high_hz : float
        Edges of the bank, in Hz.
    floor : float, default=1.0
        Smallest power, in the signal's unit squared.
    scale : {"htk", "slaney"}, default="htk"
        Mel formula, see `models.filterbank.hz_to_mel`.
    norm : {None, "slaney"}, default=None
        See `models.filterbank.mel_filterbank`.
    dtype : torch.dtype, default=torch.float32
        Precision inside and of the features, whatever the input and autocast say. float64 agrees with the streaming
        stage to 1e-9.

    Attributes
    ----------
    freqs_hz : tuple of float
        Peak of each band.

    Raises
    ------
    ValueError
        If the sizes or the range do not fit.

    Notes
    -----
    On CUDA the filter bank is a matrix product: ``torch.set_float32_matmul_precision`` must stay at ``highest``, since
    TF32 costs three digits. The buffers follow from the arguments and are not part of the state dict.
    """

    window: Tensor
    bank: Tensor

    def __init__(
        self,
        sfreq: float,
        n_fft: int,
        win_length: int,
        hop_length: int,
        n_mels: int,
        low_hz: float,
        high_hz: float,
        floor: float = 1.0,
        scale: MelScale = "htk",
        norm: Literal["slaney"] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if not 0 < win_length <= n_fft or hop_length < 1 or floor <= 0:
            raise ValueError(
                "LogMelFrontEnd needs 0 < win_length <= n_fft, hop_length >= 1 and floor > 0, "
                f"got win_length={win_length}, n_fft={n_fft}, hop_length={hop_length}, floor={floor:g}."
            )
        check_table(n_fft * max(1, n_mels), "A mel filter bank")
        self.n_fft = n_fft
        self.win_length = win_length
        self.hop_length = hop_length
        self.n_features = n_mels
        self.floor = floor
        self.dtype = dtype
        bank = torch.from_numpy(mel_filterbank(sfreq, n_fft, n_mels, low_hz, high_hz, scale, norm))
        self.freqs_hz = tuple(mel_centres(n_mels, low_hz, high_hz, scale).tolist())
        window = torch.from_numpy(hann(win_length))
        self.register_buffer("window", window.to(dtype), persistent=False)
        self.register_buffer("bank", bank.to(dtype), persistent=False)

    def n_frames(self, n_times: int) -> int:
        """Return the number of frames of `n_times` samples."""
        return 1 + (n_times - self.win_length) // self.hop_length

    def power(self, x: Tensor) -> Tensor:
        """Return the power in each band, before floor and logarithm.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_times)
            Signals, ``n_times >= win_length``.

        Returns
        -------
        power : Tensor, shape (batch, n_channels, n_mels, n_frames)
            In the signal's unit squared.

        Raises
        ------
        ValueError
            If the signals are shorter than one frame, or the module was cast to another precision.
        """
        if x.shape[-1] < self.win_length:
            raise ValueError(
                f"LogMelFrontEnd needs at least win_length = {self.win_length} samples, got {x.shape[-1]}. "
                "Use a longer window or a shorter win_length."
            )
        if self.bank.dtype != self.dtype:
            raise ValueError(
                f"LogMelFrontEnd computes in {self.dtype}, but was cast to {self.bank.dtype}. "
                "Cast the network behind it instead."
            )
        with torch.autocast(x.device.type, enabled=False):
            return self.bank @ frame_power(x.to(self.dtype), self.window, self.n_fft, self.hop_length)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of windows.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_times)
            Signals, ``n_times >= win_length``.

        Returns
        -------
        features : Tensor, shape (batch, n_channels, n_mels, n_frames)
            In dB re 1 unit squared.

        Raises
        ------
        ValueError
            As `power`.
        """
        return 10.0 * torch.log10(self.power(x).clamp(min=self.floor))
