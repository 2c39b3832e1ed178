"""Fixed scaling: numbers that are chosen or fitted before, never taken from the data at hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bci.chunk import Signal
from bci.errors import SpecError
from bci.stages.base import Stage


@dataclass(frozen=True, slots=True)
class Scale:
    """Multiply by a number.

    Parameters
    ----------
    factor : float
        Multiplier.
    unit : str or None, default=None
        Unit of the result; None keeps the unit.
    """

    kind: ClassVar[str] = "scale"
    factor: float
    unit: str | None = None

    def build(self, signal: Signal) -> AffineStage:
        """Return the running stage for `signal`."""
        if not np.isfinite(self.factor):
            raise SpecError(f"Scale needs a finite factor, got {self.factor:g}.")
        out = signal if self.unit is None else replace(signal, unit=self.unit)
        return AffineStage(signal, out, np.zeros(signal.n_channels), np.full(signal.n_channels, self.factor))


@dataclass(frozen=True, slots=True)
class Clip:
    """Limit values to ``[-limit, limit]``.

    Parameters
    ----------
    limit : float
        Largest magnitude, in the signal's unit.
    """

    kind: ClassVar[str] = "clip"
    limit: float

    def build(self, signal: Signal) -> ClipStage:
        """Return the running stage for `signal`."""
        if not 0 < self.limit < np.inf:
            raise SpecError(f"Clip needs limit > 0 {signal.unit}, got {self.limit:g}.")
        return ClipStage(signal, self.limit)


@dataclass(frozen=True, slots=True)
class RobustScale:
    """Subtract a fitted centre and divide by a fitted spread, channel by channel.

    Parameters
    ----------
    center, spread : tuple of float or None, default=None
        One number per channel, in the signal's unit: median and interquartile range over the training split.
        None until `fit`.
    """

    kind: ClassVar[str] = "robust_scale"
    center: tuple[float, ...] | None = None
    spread: tuple[float, ...] | None = None

    @property
    def fitted(self) -> bool:
        """Whether the numbers are there."""
        return self.center is not None and self.spread is not None

    def fit(self, data: np.ndarray) -> RobustScale:
        """Return the spec with the median and interquartile range of `data`.

        Parameters
        ----------
        data : ndarray, shape (n_channels, ..., n_samples)
            This stage's input over the training split.

        Returns
        -------
        spec : RobustScale

        Raises
        ------
        SpecError
            If a channel is constant.
        """
        low, middle, high = np.percentile(data.reshape(len(data), -1), (25, 50, 75), axis=1)
        flat = np.flatnonzero(high - low <= 0)
        if flat.size:
            raise SpecError(
                f"RobustScale needs channels that vary, got an interquartile range of 0 in channel {flat[0]}. "
                "Drop the channel or the recording."
            )
        return RobustScale(tuple(middle.tolist()), tuple((high - low).tolist()))

    def build(self, signal: Signal) -> AffineStage:
        """Return the running stage for `signal`."""
        if self.center is None or self.spread is None:
            raise SpecError("RobustScale must be fitted before it runs. Call fit with the training split.")
        if not len(self.center) == len(self.spread) == signal.n_channels:
            raise SpecError(
                f"RobustScale was fitted to {len(self.center)} channels, the signal has "
                f"{signal.n_channels}. Fit it again."
            )
        if not (np.isfinite([self.center, self.spread]).all() and min(self.spread) > 0):
            raise SpecError(
                f"RobustScale needs finite numbers and spreads above 0, got center={self.center}, "
                f"spread={self.spread}. Fit it again."
            )
        return AffineStage(signal, replace(signal, unit="iqr"), np.array(self.center), 1.0 / np.array(self.spread))


class AffineStage(Stage):
    """``(x - offset) * factor`` per channel."""

    def __init__(self, signal_in: Signal, signal_out: Signal, offset: np.ndarray, factor: np.ndarray) -> None:
        super().__init__(signal_in, signal_out)
        shape = (signal_in.n_channels, *[1] * len(signal_in.shape))
        self._offset = offset.reshape(shape)
        self._factor = factor.reshape(shape)

    def _process(self, x: np.ndarray) -> np.ndarray:
        return (x - self._offset) * self._factor


class ClipStage(Stage):
    """Values limited to ``[-limit, limit]``."""

    def __init__(self, signal: Signal, limit: float) -> None:
        super().__init__(signal, signal)
        self._limit = limit

    def _process(self, x: np.ndarray) -> np.ndarray:
        return np.clip(x, -self._limit, self._limit)
