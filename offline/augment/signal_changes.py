"""Changes that a brain, a cap or an amplifier could make: mirror image, shift in time, band, amplitude."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from bci.chunk import Signal
from bci.errors import SpecError
from offline.augment.base import (
    Batch,
    Change,
    Draws,
    along,
    replaced,
    require_number,
    require_probability,
    require_share,
)

_ELECTRODE = re.compile(
    r"(?<![A-Za-z0-9])(A?Fp|AFF?|FFT|FFC|FTT|FT|FCC|FC|F|TPP|TTP|TP|T|CCP|CPP|CP|C|PPO|POO|PO|P|OI|O|I|A|M)(\d+)(h?)(?!\w)",
    re.IGNORECASE,
)
"""Names of the 10–20, 10–10 and 10–5 systems with their number: odd is left, even is right."""


@dataclass(frozen=True, slots=True)
class LeftRightFlip:
    """Left and right electrodes change places, found by their names; bipolar pairs and bands of names too.

    Parameters
    ----------
    p : float, default=0.5
        Probability that a window is changed.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        require_probability("flip", self.p)

    def build(self, signal: Signal) -> Change:
        """Return the change.

        Raises
        ------
        SpecError
            If an electrode has no mirror image among the channels, or none is to either side.
        """
        return partial(_flip, self, torch.from_numpy(_mirror(signal.names)))


@dataclass(frozen=True, slots=True)
class TimeShift:
    """The window is shifted, with the classes of its columns; what comes in at its edge is its own mirror image.

    Parameters
    ----------
    p : float, default=0.5
        Probability that a window is changed.
    longest_share : float, default=0.1
        Longest shift to either side, as a share of the window.
    """

    p: float = 0.5
    longest_share: float = 0.1

    def __post_init__(self) -> None:
        require_probability("time_shift", self.p)
        require_share("time_shift", "longest_share", self.longest_share)

    def build(self, signal: Signal) -> Change:
        """Return the change."""
        return partial(_shift, self)


@dataclass(frozen=True, slots=True)
class RandomBandpass:
    """Some channels lose their lowest and highest frequencies.

    The gain of a plain signal is that of a Butterworth filter, without its phase; frequencies are shares of half the
    sampling rate. In features, shares of their axis, what lies outside the band is lowered by `depth_db`, to 0 dB at
    the lowest.

    Parameters
    ----------
    p : float, default=0.2
        Probability that a window is changed.
    most_channels : int, default=8
        Channels that are changed at most; the number is drawn evenly from 1 on.
    low_share, high_share : float, default=0.05, 0.25
        The lower corner is drawn between 0 and `low_share`, the upper one between `high_share` and 1.
    order : int, default=2
        Order of the Butterworth gain.
    depth_db : float, default=20.0
        How far features outside the band are lowered, in dB.
    """

    p: float = 0.2
    most_channels: int = 8
    low_share: float = 0.05
    high_share: float = 0.25
    order: int = 2
    depth_db: float = 20.0

    def __post_init__(self) -> None:
        require_probability("random_bandpass", self.p)
        if not (0 < self.low_share < self.high_share <= 1 and self.order >= 1 and self.most_channels >= 1):
            raise SpecError(
                "The augmentation random_bandpass needs 0 < low_share < high_share <= 1 and at least one channel and "
                f"order, got {self.low_share:g}, {self.high_share:g}, {self.most_channels} and {self.order}."
            )
        require_number("random_bandpass", "depth_db", self.depth_db)

    def build(self, signal: Signal) -> Change:
        """Return the change."""
        return partial(_bandpass, self, signal)


@dataclass(frozen=True, slots=True)
class AmplitudeJitter:
    """Every channel gets its own gain; in dB it is added.

    Parameters
    ----------
    p : float, default=0.5
        Probability that a window is changed.
    spread_db : float, default=2.0
        Standard deviation of the gain, in dB: half of it common to all channels, half of each one's own, by power.
    """

    p: float = 0.5
    spread_db: float = 2.0

    def __post_init__(self) -> None:
        require_probability("amplitude_jitter", self.p)
        require_number("amplitude_jitter", "spread_db", self.spread_db)

    def build(self, signal: Signal) -> Change:
        """Return the change."""
        return partial(_jitter, self, signal)


def _mirror(names: tuple[str, ...]) -> np.ndarray:
    """Return for each channel the index of its mirror image."""
    index = {name.lower(): i for i, name in enumerate(names)}
    other = [_ELECTRODE.sub(_opposite, name) for name in names]
    missing = [f"{image} (of {name})" for name, image in zip(names, other, strict=True) if image.lower() not in index]
    if missing:
        raise SpecError(
            f"The augmentation flip needs the mirror image of every electrode, missing: {', '.join(missing[:4])}. "
            "Leave it out."
        )
    order = np.array([index[image.lower()] for image in other])
    if (order == np.arange(len(names))).all():
        raise SpecError(
            f"The augmentation flip needs electrodes named left and right, such as C3 and C4, got "
            f"{', '.join(names[:4])}. Leave it out."
        )
    return order


def _opposite(found: re.Match[str]) -> str:
    number = int(found[2])
    return f"{found[1]}{number + 1 if number % 2 else number - 1}{found[3]}"


def _flip(spec: LeftRightFlip, order: Tensor, batch: Batch, draws: Draws) -> Batch:
    return replaced(batch, draws.chosen(spec.p), windows=batch.windows[:, order.to(batch.windows.device)])


def _shift(spec: TimeShift, batch: Batch, draws: Draws) -> Batch:
    n = batch.windows.shape[-1]
    by = (draws.uniform(-1.0, 1.0) * spec.longest_share * (n - 1)).round().long()
    at = torch.arange(n, device=by.device) + by[:, None]
    at = torch.where(at < 0, -at, at)
    at = torch.where(at > n - 1, 2 * (n - 1) - at, at)

    def moved(x: Tensor) -> Tensor:
        return x.gather(-1, at.reshape(len(by), *[1] * (x.ndim - 2), n).expand_as(x))

    changed = {"windows": moved(batch.windows)}
    if batch.of_columns:
        changed |= {"targets": moved(batch.targets), "weights": moved(batch.weights)}
    return replaced(batch, draws.chosen(spec.p), **changed)


def _bandpass(spec: RandomBandpass, signal: Signal, batch: Batch, draws: Draws) -> Batch:
    x = batch.windows
    low = draws.uniform(0.0, spec.low_share, signal.n_channels)[..., None].clamp(min=1e-6)
    high = draws.uniform(spec.high_share, 1.0, signal.n_channels)[..., None]
    hit = draws.subset(signal.n_channels, 1, spec.most_channels) & draws.chosen(spec.p)[:, None]
    if signal.n_features is None:
        at = torch.linspace(0.0, 1.0, x.shape[-1] // 2 + 1, device=x.device).clamp(min=1e-9)
        gain = ((1 + (low / at) ** (2 * spec.order)) * (1 + (at / high) ** (2 * spec.order))).rsqrt()
        changed = torch.fft.irfft(torch.fft.rfft(x) * gain, n=x.shape[-1])
    else:
        at = torch.linspace(0.0, 1.0, signal.n_features, device=x.device)
        outside = ((at < low) | (at > high))[..., None]
        lowered = torch.minimum(x, (x - spec.depth_db).clamp(min=0.0))
        changed = torch.where(outside, lowered, x)
    return Batch(torch.where(along(hit, x), changed, x), batch.targets, batch.weights)


def _jitter(spec: AmplitudeJitter, signal: Signal, batch: Batch, draws: Draws) -> Batch:
    half = spec.spread_db / 2**0.5
    gain_db = along(draws.normal(half, 1) + draws.normal(half, signal.n_channels), batch.windows)
    changed = batch.windows + gain_db if signal.unit == "dB" else batch.windows * 10 ** (gain_db / 20)
    return replaced(batch, draws.chosen(spec.p), windows=changed)
