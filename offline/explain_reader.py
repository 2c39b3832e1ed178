"""Networks opened for explanations: the spectrograms that they read, and where these lie in time and frequency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bci.pipeline import Pipeline
from bci.stages.logmel import LogMel
from bci.stages.stft import Stft
from models.cwt import MorletFrontEnd
from models.double_mel import DoubleMelNetwork
from models.filterbank import stft_bins
from models.logmel import LogMelFrontEnd
from models.spectrogram_network import Levelled, Picture, SpectrogramNetwork
from models.stft import LogStftFrontEnd

Transform = LogMelFrontEnd | LogStftFrontEnd | MorletFrontEnd

BATCH = 16


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Axes of a signal or spectrogram that an explanation is drawn over.

    Parameters
    ----------
    name : str
        Which of a network's spectrograms; empty where there is one only.
    freqs_hz : ndarray or None, shape (n_features,)
        Frequency of each row, in Hz; None where rows are channels or features of another kind.
    times_s : ndarray, shape (n_times,)
        Middle of each column, in seconds; 0 is the end of the window.
    """

    name: str
    freqs_hz: np.ndarray | None
    times_s: np.ndarray


class Reader(Protocol):
    """A network, seen from the spectrograms that it reads: its parts."""

    inner: nn.Module
    """What reads images of the parts, and has the maps and the attention."""

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return what is explained, each (batch, n_channels[, n_features], n_times)."""
        ...

    def image(self, *parts: Tensor) -> Tensor:
        """Return what `inner` reads: ``inner(image(*parts(x)))`` is what the network gives for ``x``."""
        ...

    def over(self, maps: Tensor, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Bring maps over the image, (batch[, n_planes], height, width), over the parts.

        Each becomes (batch[, n_channels], n_features, n_times).
        """
        ...

    def views(self, given: View) -> tuple[View, ...]:
        """Return the axes of each part, from those of the network's windows."""
        ...


def open_network(network: nn.Module) -> Reader:
    """Return a network seen from the spectrograms that it reads: its own, or its windows."""
    if isinstance(network, SpectrogramNetwork):
        return _OnImages(network)
    if isinstance(network, DoubleMelNetwork):
        return _OnDoubleMel(network)
    return _OnWindows(network)


def spectra(reader: Reader, windows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the parts of windows, each float32 (n_windows, n_channels[, n_features], n_times)."""
    with torch.no_grad():
        cuts = [
            reader.parts(torch.from_numpy(np.ascontiguousarray(windows[start : start + BATCH])))
            for start in range(0, len(windows), BATCH)
        ]
    return tuple(torch.cat(parts).numpy() for parts in zip(*cuts, strict=True))


def pipeline_view(pipeline: Pipeline) -> View:
    """Return the axes of what a pipeline gives the network.

    Where the pipeline ends with the frames of a spectrum, a column stands at the middle of its frame.
    """
    freqs_hz, delay_s = None, 0.0
    for spec, stage in zip(pipeline.spec.stages, pipeline.stages, strict=True):
        signal = stage.signal_in
        if isinstance(spec, LogMel):
            freqs_hz = spec.centres_hz
        elif isinstance(spec, Stft):
            bins = stft_bins(signal.sfreq, spec.n_fft, spec.low_hz, spec.high_hz)
            freqs_hz = np.arange(bins.start, bins.stop) * signal.sfreq / spec.n_fft
        if isinstance(spec, LogMel | Stft):
            delay_s = stage.delay_s(pipeline.spec.reference_hz)
    n_times = pipeline.window_frames
    return View("", freqs_hz, -np.arange(n_times - 1, -1, -1) / pipeline.signal_out.sfreq - delay_s)


class _OnWindows:
    def __init__(self, network: nn.Module) -> None:
        self.inner = network

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x,)

    def image(self, *parts: Tensor) -> Tensor:
        return parts[0]

    def over(self, maps: Tensor, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (maps,)

    def views(self, given: View) -> tuple[View, ...]:
        return (given,)


class _OnImages:
    """Spectrograms of one window, each as planes of an image."""

    def __init__(self, network: SpectrogramNetwork) -> None:
        self.inner = network.network
        self._network = network

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(front(x) for front in self._network.front_ends)

    def image(self, *parts: Tensor) -> Tensor:
        return torch.cat([image(part) for image, part in zip(self._network.images, parts, strict=True)], dim=1)

    def over(self, maps: Tensor, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        found, first = [], 0
        for image, part in zip(self._network.images, parts, strict=True):
            tiles = image.tiled if isinstance(image, Picture) else None
            n_planes = 1 if tiles is not None else part.shape[1]
            mine = maps[:, first : first + n_planes] if maps.dim() == 4 else maps
            first += n_planes
            if tiles is not None:
                mine = tiles.cut(resized(mine.reshape(len(mine), *mine.shape[-2:]), (tiles.height, tiles.width)))
            found.append(resized(mine, (part.shape[-2], part.shape[-1])))
        return tuple(found)

    def views(self, given: View) -> tuple[View, ...]:
        fronts = list(self._network.front_ends)
        return tuple(_view(front, given, "" if len(fronts) == 1 else _name(front)) for front in fronts)


class _OnDoubleMel:
    """A wide spectrogram, and a sharper one of its middle."""

    def __init__(self, network: DoubleMelNetwork) -> None:
        self.inner = network.network
        self._front = network.front_end

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        return self._front.parts(x)

    def image(self, *parts: Tensor) -> Tensor:
        return self._front.join(*parts)

    def over(self, maps: Tensor, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        wide, sharp = (part.shape[-1] for part in parts)
        before, after = self._front.cut(wide)
        unread = maps.new_zeros(*maps.shape[:-1], after - before)  # frames of the context that give way
        context = torch.cat((maps[..., :before], unread, maps[..., before + sharp :]), dim=-1)
        return context, maps[..., before : before + sharp]

    def views(self, given: View) -> tuple[View, ...]:
        start = self._front.start(len(given.times_s))
        middle = View("", None, given.times_s[start : start + self._front.centre_times])
        return _view(self._front.context, given, "context"), _view(self._front.centre, middle, "centre")


def resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (batch[, n], height, width) at another size, by linear interpolation along both axes."""
    if tuple(maps.shape[-2:]) == size:
        return maps
    planes = maps if maps.dim() == 4 else maps[:, None]
    found = functional.interpolate(planes, size=size, mode="bilinear", align_corners=False)
    return found.reshape(*maps.shape[:-2], *size)


def _transform(front: nn.Module) -> Transform:
    return cast(Transform, front.front_end if isinstance(front, Levelled) else front)


def _name(front: nn.Module) -> str:
    names = {LogMelFrontEnd: "mel", LogStftFrontEnd: "STFT", MorletFrontEnd: "wavelets"}
    return names[type(_transform(front))]


def _view(front: nn.Module, given: View, name: str) -> View:
    """Return the axes of the spectrogram of a signal."""
    found = _transform(front)
    n_times = len(given.times_s)
    first = 0 if isinstance(found, MorletFrontEnd) else found.win_length // 2  # a wavelet's frames are centred
    middles = first + found.hop_length * np.arange(found.n_frames(n_times))
    return View(name, np.array(found.freqs_hz), given.times_s[middles])
