"""Networks on raw signals that make their own spectrograms: wavelets, images, pictures of several transforms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from scipy.signal import get_window
from torch import Tensor, nn

from models.cwt import MorletFrontEnd
from models.images import Resized, Tiled
from models.limits import check_table
from models.logmel import LogMelFrontEnd
from models.registry import ModelSpec, build, parameters
from models.stft import LogStftFrontEnd

SPECTROGRAMS = ("mel", "stft", "cwt")


class Levelled(nn.Module):
    """Wavelet power whose decibels are moved by a fixed number.

    Parameters
    ----------
    front_end : MorletFrontEnd
        The transform.
    level_db : float
        What is added, in dB.
    """

    def __init__(self, front_end: MorletFrontEnd, level_db: float) -> None:
        super().__init__()
        self.front_end = front_end
        self.level_db = level_db
        self.n_features = front_end.n_features

    def n_frames(self, n_times: int) -> int:
        """Return the number of frames of `n_times` samples."""
        return self.front_end.n_frames(n_times)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, in dB."""
        return self.front_end(x) + self.level_db


FrontEnd = LogMelFrontEnd | LogStftFrontEnd | Levelled
"""From (batch, n_channels, n_times) to (batch, n_channels, ``n_features``, ``n_frames(n_times)``), in dB."""


def spectrogram(
    kind: str, sfreq: float, low_hz: float, high_hz: float, n_freqs: int, window_s: float, hop_s: float
) -> FrontEnd:
    """Return a front end by name, at the level of a short-time power spectrum with the same window.

    Parameters
    ----------
    kind : {"mel", "stft", "cwt"}
        Which transform.
    sfreq : float
        Sampling rate, in Hz.
    low_hz, high_hz : float
        Range, in Hz.
    n_freqs : int
        Bands or frequencies of ``mel`` and ``cwt``; ``stft`` has the bins of its window. Where bands of
        ``mel`` lie closer than its bins, ``1 / window_s``, they hold one bin or none, and neighbouring rows are dB
        apart whatever the signal.
    window_s, hop_s : float
        Window and step, in seconds, rounded to samples; ``cwt`` has its own windows.

    Returns
    -------
    front_end : FrontEnd

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
    n, hop_length = max(2, round(window_s * sfreq)), max(1, round(hop_s * sfreq))
    check_table(n, "The window of a spectrogram")
    if kind == "mel":
        return LogMelFrontEnd(sfreq, n, n, hop_length, n_freqs, low_hz, high_hz)
    if kind == "stft":
        return LogStftFrontEnd(sfreq, n, n, hop_length, low_hz, high_hz)
    if kind == "cwt":
        # of white noise, its density times this is what a bin of the transform holds
        gain = sfreq * float((get_window("hann", n) ** 2).sum()) / 2
        return Levelled(MorletFrontEnd(sfreq, low_hz, high_hz, n_freqs, hop_length), 10 * math.log10(gain))
    raise ValueError(f"A spectrogram is one of {', '.join(SPECTROGRAMS)}, got {kind!r}.")


class Planes(nn.Module):
    """Every channel's spectrogram as one square plane: 20 channels become an image of 100 by 100 by 20.

    Parameters
    ----------
    n_channels : int
        Channels.
    n_features, n_times : int
        Size of a spectrogram.
    side : int
        Height and width of the planes.

    Attributes
    ----------
    n_planes : int
        As many as channels.
    """

    def __init__(self, n_channels: int, n_features: int, n_times: int, side: int) -> None:
        super().__init__()
        self.n_planes = n_channels
        self.resized = Resized(n_features, n_times, side, side)

    def forward(self, x: Tensor) -> Tensor:
        """Resize (batch, n_channels, n_features, n_times) to (batch, n_channels, side, side)."""
        return self.resized(x)


class Picture(nn.Module):
    """All channels' spectrograms tiled into one square plane: three transforms become an image of 224 by 224 by 3.

    Parameters
    ----------
    n_channels, n_features, n_times, side
        See `Planes`.

    Attributes
    ----------
    n_planes : int
        1.
    """

    n_planes = 1

    def __init__(self, n_channels: int, n_features: int, n_times: int, side: int) -> None:
        super().__init__()
        self.tiled = Tiled(n_channels, n_features, n_times)
        self.resized = Resized(self.tiled.height, self.tiled.width, side, side)

    def forward(self, x: Tensor) -> Tensor:
        """Tile and resize (batch, n_channels, n_features, n_times) to (batch, 1, side, side)."""
        return self.resized(self.tiled(x))[:, None]


class SpectrogramNetwork(nn.Module):
    """Spectrograms of raw signals, each as an image or as it is, one behind the other, and a network on them.

    Parameters
    ----------
    n_channels, n_times : int
        Shape of a window.
    front_ends : sequence of nn.Module
        Transforms; `spectrogram` makes them.
    images : sequence of nn.Module
        For each transform what makes planes of it.
    network : nn.Module
        What reads the planes.
    """

    def __init__(
        self,
        n_channels: int,
        n_times: int,
        front_ends: Sequence[nn.Module],
        images: Sequence[nn.Module],
        network: nn.Module,
    ) -> None:
        super().__init__()
        self.input_shape = (n_channels, n_times)
        self.front_ends = nn.ModuleList(front_ends)
        self.images = nn.ModuleList(images)
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
        planes = [image(front(x)) for front, image in zip(self.front_ends, self.images, strict=True)]
        return self.network(torch.cat(planes, dim=1))


def cwt_network(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    network: str = "mel_cnn",
    low_hz: float = 2.0,
    high_hz: float = 40.0,
    n_freqs: int = 40,
    hop_s: float = 0.0625,
    dropout: float = 0.2,
) -> nn.Module:
    """Build a network on wavelet power.

    For 8 channels, 256 samples at 256 Hz and 4 classes: 15,541 parameters.

    Parameters
    ----------
    n_channels, n_times, sfreq, n_classes : int, int, float, int
        Shape of a window, its rate in Hz, number of logits.
    network : str, default="mel_cnn"
        A model of the registry that takes ``n_features``.
    low_hz, high_hz, n_freqs, hop_s
        See `spectrogram`.
    dropout : float, default=0.2
        Of the network.
    """
    front_end = spectrogram("cwt", sfreq, low_hz, high_hz, n_freqs, 1.0, hop_s)
    n_frames, hop_length = front_end.n_frames(n_times), max(1, round(hop_s * sfreq))
    inner = _inner(network, n_channels, n_freqs, n_frames, sfreq / hop_length, n_classes, dropout)
    return SpectrogramNetwork(n_channels, n_times, [front_end], [nn.Identity()], inner)


def image_network(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    network: str = "vit",
    spectrograms: tuple[str, ...] = ("stft",),
    side: int = 100,
    low_hz: float = 1.0,
    high_hz: float = 40.0,
    n_freqs: int = 64,
    window_s: float = 1.0,
    hop_s: float = 0.0625,
    dropout: float = 0.2,
) -> nn.Module:
    """Build a network on square images, a plane for every channel and transform.

    For 8 channels, 256 samples at 256 Hz and 4 classes: 177,284 parameters.

    Parameters
    ----------
    n_channels, n_times, sfreq, n_classes : int, int, float, int
        Shape of a window, its rate in Hz, number of logits.
    network : str, default="vit"
        A model of the registry that takes ``n_features``.
    spectrograms : tuple of str, default=("stft",)
        Transforms whose planes stand one behind the other.
    side : int, default=100
        Height and width of the planes.
    low_hz, high_hz, n_freqs, window_s, hop_s
        See `spectrogram`. A window shorter than `window_s` is one frame.
    dropout : float, default=0.2
        Of the network.
    """
    fronts = _fronts(spectrograms, n_times, sfreq, low_hz, high_hz, n_freqs, window_s, hop_s)
    images = [Planes(n_channels, front.n_features, front.n_frames(n_times), side) for front in fronts]
    return _square(n_channels, n_times, fronts, images, network, side, sfreq, n_classes, dropout)


def picture_network(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    network: str = "mixnet",
    spectrograms: tuple[str, ...] = SPECTROGRAMS,
    side: int = 224,
    low_hz: float = 1.0,
    high_hz: float = 40.0,
    n_freqs: int = 64,
    window_s: float = 1.0,
    hop_s: float = 0.0625,
    dropout: float = 0.2,
) -> nn.Module:
    """Build a network on one square picture, the channels tiled in it, a plane for every transform.

    For 8 channels, 256 samples at 256 Hz and 4 classes: 93,829 parameters.

    Parameters
    ----------
    n_channels, n_times, sfreq, n_classes : int, int, float, int
        Shape of a window, its rate in Hz, number of logits.
    network : str, default="mixnet"
        A model of the registry that takes ``n_features``.
    spectrograms : tuple of str, default=("mel", "stft", "cwt")
        Transforms whose pictures stand one behind the other, as the colours of a photograph do.
    side : int, default=224
        Height and width of the picture.
    low_hz, high_hz, n_freqs, window_s, hop_s
        See `spectrogram`. A window shorter than `window_s` is one frame.
    dropout : float, default=0.2
        Of the network.
    """
    fronts = _fronts(spectrograms, n_times, sfreq, low_hz, high_hz, n_freqs, window_s, hop_s)
    images = [Picture(n_channels, front.n_features, front.n_frames(n_times), side) for front in fronts]
    return _square(n_channels, n_times, fronts, images, network, side, sfreq, n_classes, dropout)


def _fronts(
    kinds: tuple[str, ...],
    n_times: int,
    sfreq: float,
    low_hz: float,
    high_hz: float,
    n_freqs: int,
    window_s: float,
    hop_s: float,
) -> list[FrontEnd]:
    if not kinds:
        raise ValueError(f"An image needs at least one of the spectrograms {', '.join(SPECTROGRAMS)}, got none.")
    window_s = min(window_s, n_times / sfreq)
    return [spectrogram(kind, sfreq, low_hz, high_hz, n_freqs, window_s, hop_s) for kind in kinds]


def _square(
    n_channels: int,
    n_times: int,
    fronts: list[FrontEnd],
    images: Sequence[Planes | Picture],
    network: str,
    side: int,
    sfreq: float,
    n_classes: int,
    dropout: float,
) -> SpectrogramNetwork:
    n_planes = sum(image.n_planes for image in images)
    inner = _inner(network, n_planes, side, side, side * sfreq / n_times, n_classes, dropout)
    return SpectrogramNetwork(n_channels, n_times, fronts, images, inner)


def _inner(
    name: str, n_channels: int, n_features: int, n_times: int, sfreq: float, n_classes: int, dropout: float
) -> nn.Module:
    takes = parameters(name)
    if "n_features" not in takes:
        raise ValueError(f"A network on spectrograms needs to take n_features, model {name!r} takes signals.")
    arguments = {
        "n_channels": n_channels,
        "n_times": n_times,
        "sfreq": sfreq,
        "n_classes": n_classes,
        "n_features": n_features,
        "dropout": dropout,
    }
    return build(ModelSpec(name, {key: value for key, value in arguments.items() if key in takes}))
