"""A wide spectrogram with a sharper one pasted over its middle, where the label belongs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.images import chains, stacked_image
from models.logmel import LogMelFrontEnd
from models.mixnet import KERNELS, N_HEAD, STRIDES, WIDTHS, MixNet

CENTRE_SHARE = 0.24
"""Share of the window that the sharper spectrogram reads: 12 of 50 s."""


class DoubleMelFrontEnd(nn.Module):
    """Log-mel frames of a whole window, the middle ones replaced by those of a second transform.

    Parameters
    ----------
    context, centre : LogMelFrontEnd
        Transform of the whole window, and of its middle; with as many bands.
    centre_times : int
        Samples in the middle that the second transform reads.
    replaced : float, default=0.2
        Share of the context's frames that give way.

    Attributes
    ----------
    n_features : int
        Bands.

    Raises
    ------
    ValueError
        If the bands differ in number.

    Notes
    -----
    With the original's numbers, 50 s at 200 Hz become 844 columns. The original has 852: its frames are centred and
    padded by reflection, these are neither. Its decibels end 100 below the largest of the batch; here the floor is
    fixed.

    References
    ----------
    Third place of "HMS - Harmful Brain Activity Classification", Kaggle, 2024; configuration ``cfg_5a``.
    """

    def __init__(
        self, context: LogMelFrontEnd, centre: LogMelFrontEnd, centre_times: int, replaced: float = 0.2
    ) -> None:
        super().__init__()
        if context.n_features != centre.n_features:
            raise ValueError(
                f"Two spectrograms in a row need as many bands, got {context.n_features} and {centre.n_features}. "
                "Use one n_mels."
            )
        self.context = context
        self.centre = centre
        self.centre_times = centre_times
        self.replaced = replaced
        self.n_features = context.n_features

    def n_frames(self, n_times: int) -> int:
        """Return the number of columns of `n_times` samples."""
        n_context = self.context.n_frames(n_times)
        before, after = self.cut(n_context)
        return before + self.centre.n_frames(self.centre_times) + n_context - after

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of windows.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_times)
            Signals.

        Returns
        -------
        features : Tensor, shape (batch, n_channels, n_features, n_frames)
            In dB re 1 unit squared.
        """
        return self.join(*self.parts(x))

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return all frames of the context and those of the centre."""
        start = self.start(x.shape[-1])
        return self.context(x), self.centre(x[..., start : start + self.centre_times])

    def join(self, wide: Tensor, sharp: Tensor) -> Tensor:
        """Paste the frames of the centre over those of the context."""
        before, after = self.cut(wide.shape[-1])
        return torch.cat((wide[..., :before], sharp, wide[..., after:]), dim=-1)

    def start(self, n_times: int) -> int:
        """Return the first of `n_times` samples that the centre reads."""
        return (n_times - self.centre_times) // 2

    def cut(self, n_frames: int) -> tuple[int, int]:
        """Return the first of `n_frames` frames of the context that gives way, and the first after those."""
        n_replaced = round(self.replaced * n_frames)
        before = (n_frames - n_replaced) // 2
        return before, before + n_replaced


class DoubleMelNetwork(nn.Module):
    """A network behind a double mel spectrogram of raw signals.

    Parameters
    ----------
    n_channels, n_times : int
        Shape of a window.
    front_end : DoubleMelFrontEnd
        What makes the spectrogram.
    network : nn.Module
        What reads it.
    """

    def __init__(self, n_channels: int, n_times: int, front_end: DoubleMelFrontEnd, network: nn.Module) -> None:
        super().__init__()
        self.input_shape = (n_channels, n_times)
        self.front_end = front_end
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Classify windows.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_times)
            Filtered signals, in µV.

        Returns
        -------
        logits : Tensor, shape (batch, n_classes)
        """
        return self.network(self.front_end(x))


def double_mel_mixnet(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    n_bands: int = 64,
    low_hz: float = 0.53,
    high_hz: float = 30.0,
    chain: int = 4,
    dropout: float = 0.2,
    offset_db: float = 30.0,
    scale_db: float = 20.0,
) -> nn.Module:
    """Build the small MixNet behind a double mel spectrogram of bipolar signals.

    For 8 channels, 256 samples at 256 Hz and 4 classes: 93,829 parameters. At 200 Hz the transforms are those of the
    original. The class is that of the middle of the window: live, it comes half a window late.

    Parameters
    ----------
    n_channels, n_times, sfreq, n_classes : int, int, float, int
        Shape of a window, its rate in Hz, number of logits.
    n_bands : int, default=64
        Mels.
    low_hz, high_hz : float
        Edges of the bank, in Hz.
    chain : int, default=4
        Channels of a chain of electrodes; neighbours are sought within it.
    dropout, offset_db, scale_db
        See `models.mixnet.MixNet`.
    """
    context = _log_mel(sfreq, 2.56, 0.64, 0.16, n_bands, low_hz, high_hz)
    centre = _log_mel(sfreq, 10.24, 0.08, 0.02, n_bands, low_hz, high_hz)
    front_end = DoubleMelFrontEnd(context, centre, round(CENTRE_SHARE * n_times))
    image = stacked_image(n_channels, chains(n_channels, chain))
    network = MixNet(
        n_channels, n_bands, front_end.n_frames(n_times), n_classes, image, 3, WIDTHS, STRIDES, KERNELS, N_HEAD,
        dropout=dropout, offset_db=offset_db, scale_db=scale_db,
    )  # fmt: skip
    return DoubleMelNetwork(n_channels, n_times, front_end, network)


def _log_mel(
    sfreq: float, fft_s: float, window_s: float, hop_s: float, n_bands: int, low_hz: float, high_hz: float
) -> LogMelFrontEnd:
    n_fft, win_length, hop_length = (max(1, round(seconds * sfreq)) for seconds in (fft_s, window_s, hop_s))
    return LogMelFrontEnd(sfreq, n_fft, win_length, hop_length, n_bands, low_hz, high_hz)
