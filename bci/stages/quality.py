"""Bad channels found as the samples come: only reported, interpolated, or masked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bci.chunk import Signal, samples
from bci.errors import SpecError
from bci.stages.base import Stage
from bci.stages.electrodes import electrode_positions, plain_name
from bci.stages.interpolation import spline_weights
from bci.stages.quality_detector import Change, QualityDetector, QualityLimits

Weigh = Callable[[np.ndarray], np.ndarray]
"""From the mask of bad channels, shape (n_channels,), to weights of shape (n_bad, n_good)."""


@dataclass(frozen=True, slots=True)
class ReportQuality(QualityLimits):
    """Report bad channels and change no sample; the parameters are those of `QualityLimits`."""

    kind: ClassVar[str] = "report_quality"

    def build(self, signal: Signal) -> QualityStage:
        """Return the running stage for `signal`."""
        return QualityStage(signal, self, None)


@dataclass(frozen=True, slots=True)
class InterpolateBad(QualityLimits):
    """Replace bad channels by spherical splines through the good ones; the parameters are those of `QualityLimits`.

    Every channel needs a place in the 10-20 or 10-10 system.
    """

    kind: ClassVar[str] = "interpolate_bad"

    def build(self, signal: Signal) -> QualityStage:
        """Return the running stage for `signal`."""
        known = electrode_positions()
        missing = [name for name in signal.names if plain_name(name) not in known]
        if missing:
            raise SpecError(
                "Interpolation needs the places of all channels in the 10-20 or 10-10 system, got "
                f"{', '.join(missing)}. Rename them, leave them out, or mask bad channels instead."
            )
        places = np.stack([known[plain_name(name)] for name in signal.names])
        return QualityStage(signal, self, lambda bad: _interpolated(places, bad))


@dataclass(frozen=True, slots=True)
class MaskBad(QualityLimits):
    """Hold bad channels at their last level; the parameters are those of `QualityLimits`."""

    kind: ClassVar[str] = "mask_bad"

    def build(self, signal: Signal) -> QualityStage:
        """Return the running stage for `signal`."""
        return QualityStage(signal, self, _held)


class QualityStage(Stage):
    """Judges each hop, and from the next sample on replaces the channels that it found bad.

    What replaces a channel goes on at the level that its output had in the last hop, since a step of an electrode's
    offset would ring in every filter that follows; a channel that is good again comes back as it is.

    Parameters
    ----------
    signal : Signal
        What enters, and leaves.
    limits : QualityLimits
        When a channel is bad.
    weigh : callable or None
        Weights of the good channels for the bad ones; None replaces nothing.
    """

    _remembered = ("_n_seen", "_hop", "_held", "_level", "_judged")

    def __init__(self, signal: Signal, limits: QualityLimits, weigh: Weigh | None) -> None:
        limits.check(signal)
        self._limits, self._weigh = limits, weigh
        self._n_hop = samples(limits.hop_s, signal.sfreq, "The hop of channel quality")
        self._detector = QualityDetector(limits, signal)
        self._changes: list[Change] = []
        super().__init__(signal, signal)

    def reset(self) -> None:
        """Forget the past: all channels are good until they are judged again, and changes say so."""
        n_channels = self.signal_in.n_channels
        self._changes += self._detector.restart(0)
        self._n_seen = 0
        self._hop = np.zeros((n_channels, self._n_hop))
        self._held = np.zeros((n_channels, self._n_hop), dtype=bool)
        self._level = np.zeros(n_channels)
        self._weights: np.ndarray | None = None

    @property
    def bad(self) -> np.ndarray:
        """Channels that are bad from the next sample on, bool (n_channels,)."""
        return self._detector.bad

    @property
    def doubtful(self) -> np.ndarray:
        """Good channels that broke a limit in the last hop, bool (n_channels,)."""
        return self._detector.doubtful

    def changes(self) -> list[Change]:
        """Return the changes since the last call, in order."""
        changes, self._changes = self._changes, []
        return changes

    def mark(self, x: np.ndarray, finite: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Process the next samples behind a gate.

        Parameters
        ----------
        x : ndarray of float64, shape (n_channels, n_samples)
            Finite samples that directly follow the previous call's.
        finite : ndarray of bool, shape (n_channels, n_samples), or None
            False where the gate held a value; None if nowhere.

        Returns
        -------
        y : ndarray of float64, shape (n_channels, n_samples)
        valid : ndarray of bool, shape (n_samples,)
            False where too few channels are good, or where a value that was not replaced is held.
        """
        y = x.copy()
        valid = np.ones(x.shape[1], dtype=bool)
        start = 0
        while start < x.shape[1]:
            within = self._n_seen % self._n_hop
            stop = min(x.shape[1], start + self._n_hop - within)
            part, seen = slice(start, stop), slice(within, within + stop - start)
            self._hop[:, seen] = x[:, part]
            self._held[:, seen] = False if finite is None else ~finite[:, part]
            y[:, part] = self._replaced(x[:, part])
            valid[part] = self._is_valid(self._held[:, seen])
            self._n_seen += stop - start
            if self._n_seen % self._n_hop == 0:
                self._judge()
            start = stop
        return y, valid

    def _process(self, x: np.ndarray) -> np.ndarray:
        return self.mark(x, None)[0]

    def _is_valid(self, held: np.ndarray) -> np.ndarray:
        n_good = np.count_nonzero(~self.bad)
        if self._weigh is not None:
            held = held & ~self.bad[:, None]
        if n_good < self._limits.min_valid_channels or (n_good == 0 and self._weigh is not None):
            return np.zeros(held.shape[1], dtype=bool)
        return ~np.asarray(held.any(axis=0))

    def _replaced(self, x: np.ndarray) -> np.ndarray:
        """Return `x` with the bad channels replaced."""
        bad = self.bad
        if self._weigh is None or not bad.any():
            return x
        if self._weights is None:
            self._weights = self._weigh(bad)
        y = x.copy()
        y[bad] = self._level[bad, None] + _mixed(self._weights, x[~bad])
        return y

    def _judge(self) -> None:
        before = self._replaced(self._hop)
        changes = self._detector.judge(self._hop, self._held if self._held.any() else None, self._n_seen)
        if not changes:
            return
        self._changes += changes
        self._weights = None
        self._level = np.zeros_like(self._level)
        self._level = np.median(before - self._replaced(self._hop), axis=1)

    @property
    def _judged(self) -> dict[str, Any]:
        return self._detector.state

    @_judged.setter
    def _judged(self, state: dict[str, Any]) -> None:
        self._detector.state = state
        self._weights = None


def _mixed(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return ``weights @ x``, or zeros if there is nothing to mix.

    Summed channel by channel: a matrix product rounds differently for different numbers of samples.
    """
    mixed = np.zeros((len(weights), x.shape[1]))
    for column, row in zip(weights.T, x, strict=True):
        mixed += column[:, None] * row
    return mixed


def _interpolated(places: np.ndarray, bad: np.ndarray) -> np.ndarray:
    if bad.all():
        return np.zeros((len(bad), 0))
    return spline_weights(places[~bad], places[bad])


def _held(bad: np.ndarray) -> np.ndarray:
    return np.zeros((np.count_nonzero(bad), np.count_nonzero(~bad)))
