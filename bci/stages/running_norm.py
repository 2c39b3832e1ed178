"""Exponential running normalisation: each sample against the recent past."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy.signal import lfilter

from bci.chunk import Signal
from bci.errors import SpecError
from bci.stages.base import RESIDUAL_ENERGY, Stage
from bci.stages.filters import group_delay_s


@dataclass(frozen=True, slots=True)
class RunningNorm:
    """Subtract an exponential mean and divide by an exponential standard deviation.

    Parameters
    ----------
    tau_s : float
        Time constant of both averages, in seconds.
    min_std : float, default=1e-3
        Added in quadrature to the standard deviation, in the signal's unit, so that a flat channel stays finite.
    """

    kind: ClassVar[str] = "running_norm"
    tau_s: float
    min_std: float = 1e-3

    def build(self, signal: Signal) -> RunningNormStage:
        """Return the running stage for `signal`."""
        if not (1 <= self.tau_s * signal.sfreq < np.inf and 0 < self.min_std < np.inf):
            raise SpecError(
                f"RunningNorm needs tau_s of at least one sample ({1 / signal.sfreq:g} s) and min_std > 0, "
                f"got tau_s={self.tau_s:g}, min_std={self.min_std:g}."
            )
        return RunningNormStage(signal, self)


class RunningNormStage(Stage):
    """Two first-order averages, one value per sample."""

    _remembered = ("_mean", "_variance", "_weight")

    def __init__(self, signal: Signal, spec: RunningNorm) -> None:
        self._keep = float(np.exp(-1.0 / (spec.tau_s * signal.sfreq)))
        self._min_variance = spec.min_std**2
        super().__init__(signal, replace(signal, unit="z"))

    def reset(self) -> None:
        """Forget the past; the next sample starts a new stream."""
        self._mean: np.ndarray | None = None
        self._variance = np.zeros((*self.signal_in.shape, 1))
        self._weight = np.ones(1)

    def _process(self, x: np.ndarray) -> np.ndarray:
        if x.shape[-1] == 0:
            return x
        if self._mean is None:  # as if the first sample had always been there
            self._mean = self._keep * x[..., :1]
        b, a = [1.0 - self._keep], [1.0, -self._keep]
        mean, self._mean = lfilter(b, a, x, zi=self._mean)
        centred = x - mean
        variance, self._variance = lfilter(b, a, centred**2, zi=self._variance)
        # the variance starts at 0: divide by the weight that the past has gathered so far
        left = self._weight * self._keep ** np.arange(1, x.shape[-1] + 1)
        self._weight = left[-1:]
        return centred / np.sqrt(variance / (1.0 - left) + self._min_variance)

    def delay_s(self, hz: float) -> float:
        """Return the group delay, at `hz`, of subtracting the running mean, in seconds (negative: a lead)."""
        sos = np.array([[self._keep, -self._keep, 0.0, 1.0, -self._keep, 0.0]])
        return group_delay_s(sos, hz, self.signal_in.sfreq)

    @property
    def warmup_s(self) -> float:
        """Seconds until the averages have forgotten the start."""
        return float(0.5 * np.log(RESIDUAL_ENERGY) / np.log(self._keep) / self.signal_in.sfreq)
