"""Which channels are bad: limits on each hop's measures, with hysteresis over hops."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from bci.chunk import Signal, samples
from bci.errors import SpecError
from bci.stages.quality_measures import measure

MIN_HOP_S = 0.25  # a shorter one cannot tell the mains from what is beside it
RESTART = "restart"


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """When a channel is bad.

    A channel turns bad after `bad_after` hops in a row that each break a limit, and good after `good_after` hops in a
    row that break none. A decision holds from the sample after its hop.

    Parameters
    ----------
    hop_s : float, default=1.0
        Length of the stretches that are judged, in seconds: a whole number of samples, counted since the last reset.
    bad_after, good_after : int, default=3 and 5
        Hops until a channel changes.
    min_valid_channels : int, default=0
        With fewer good channels all samples are marked invalid.
    max_nan_share : float, default=0.1
        Share of samples that were no numbers.
    min_amplitude, max_amplitude : float, default=0.1 and 500.0
        Robust standard deviation within a hop, in the signal's unit: below, the channel is flat.
    max_relative_amplitude : float, default=15.0
        That over the median of all channels.
    max_rail_share : float, default=0.1
        Share of samples that equal the highest or the lowest of the hop: the channel is clipped.
    max_line_share : float, default=0.8
        Share of the power that lies within 2 Hz of 50 or 60 Hz.
    max_high_ratio : float, default=0.5
        Power per Hz above 40 Hz over that from 2 to 30 Hz: 1 for white noise, as of a loose electrode.

    References
    ----------
    Bigdely-Shamlo et al. (2015), The PREP pipeline, doi:10.3389/fninf.2015.00016: criteria of amplitude and of high
    frequencies; see `bci.stages.quality_measures.measure` for where this differs.
    """

    hop_s: float = 1.0
    bad_after: int = 3
    good_after: int = 5
    min_valid_channels: int = 0
    max_nan_share: float = 0.1
    min_amplitude: float = 0.1
    max_amplitude: float = 500.0
    max_relative_amplitude: float = 15.0
    max_rail_share: float = 0.1
    max_line_share: float = 0.8
    max_high_ratio: float = 0.5

    def check(self, signal: Signal) -> None:
        """Refuse limits that cannot be, or do not fit `signal`.

        Raises
        ------
        SpecError
            If a number is not finite or negative, a count of hops is below 1, the hop is shorter than 0.25 s or no
            whole number of samples, `min_valid_channels` is not 0 to the number of channels, or the signal is features.
        """
        numbers = [(f.name, getattr(self, f.name)) for f in fields(QualityLimits)]
        wrong = [f"{name}={value:g}" for name, value in numbers if not 0 <= value < np.inf]
        if wrong or self.hop_s < MIN_HOP_S or self.bad_after < 1 or self.good_after < 1:
            raise SpecError(
                f"Channel quality needs finite limits of at least 0, hop_s of at least {MIN_HOP_S:g} s, and bad_after "
                f"and good_after of at least 1, got {', '.join(wrong) or f'hop_s={self.hop_s:g}'}, "
                f"bad_after={self.bad_after}, good_after={self.good_after}."
            )
        if signal.n_features is not None:
            raise SpecError(
                f"Channel quality needs a plain signal, got frames of {signal.n_features} features. Put it first."
            )
        if self.min_valid_channels > signal.n_channels:
            raise SpecError(
                f"Channel quality needs min_valid_channels of at most {signal.n_channels}, the channels of the signal, "
                f"got {self.min_valid_channels}."
            )
        samples(self.hop_s, signal.sfreq, "The hop of channel quality")


@dataclass(frozen=True, slots=True)
class Change:
    """A channel that turned bad, or good again.

    Parameters
    ----------
    sample : int
        First sample to which it applies, counted from the last reset.
    channel : str
        Name.
    bad : bool
        What it is from there on.
    reasons : tuple of str
        Limits that the last hop broke: ``nan`` alone, ``flat``, ``railing``, ``amplitude``, ``line``,
        ``high_frequency``; empty for a channel that is good again; ``restart`` if it is good because judging began
        anew.
    values : dict of str to float
        The measures of that hop; empty after a restart.
    """

    sample: int
    channel: str
    bad: bool
    reasons: tuple[str, ...]
    values: dict[str, float]


class QualityDetector:
    """Judges one hop after the other.

    Parameters
    ----------
    limits : QualityLimits
        Checked.
    signal : Signal
        What is judged.

    Attributes
    ----------
    bad : ndarray of bool, shape (n_channels,)
        Channels that are bad from the next sample on.
    """

    def __init__(self, limits: QualityLimits, signal: Signal) -> None:
        self._limits, self._signal = limits, signal
        self.bad = np.zeros(signal.n_channels, dtype=bool)
        self._n_against = np.zeros(signal.n_channels, dtype=np.int64)  # hops in a row against what a channel is

    @property
    def doubtful(self) -> np.ndarray:
        """Good channels that broke a limit in the last hop, bool (n_channels,)."""
        return ~self.bad & (self._n_against > 0)

    def judge(self, hop: np.ndarray, held: np.ndarray | None, next_sample: int) -> list[Change]:
        """Take one hop and return the channels that it changes.

        Parameters
        ----------
        hop : ndarray of float64, shape (n_channels, n_hop)
            Finite samples.
        held : ndarray of bool, shape (n_channels, n_hop), or None
            True where a value is made up.
        next_sample : int
            Number of the first sample after the hop.

        Returns
        -------
        changes : list of Change
        """
        measures = measure(hop, held, self._signal.sfreq)
        broken = self._broken(measures)
        is_broken = np.logical_or.reduce(list(broken.values()))
        self._n_against = np.where(is_broken != self.bad, self._n_against + 1, 0)
        turned = self._n_against >= np.where(self.bad, self._limits.good_after, self._limits.bad_after)
        self.bad = self.bad ^ turned
        self._n_against[turned] = 0
        return [
            Change(
                next_sample,
                self._signal.names[i],
                bool(self.bad[i]),
                tuple(reason for reason, which in broken.items() if which[i]),
                {name: float(values[i]) for name, values in measures.items()},
            )
            for i in np.flatnonzero(turned)
        ]

    def _broken(self, measures: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return for each reason which channels it holds for; held values say nothing but that they are held."""
        limits = self._limits
        nan = measures["nan_share"] > limits.max_nan_share
        flat = measures["amplitude"] < limits.min_amplitude
        amplitude = (measures["amplitude"] > limits.max_amplitude) | (
            measures["relative_amplitude"] > limits.max_relative_amplitude
        )
        alive = ~nan & ~flat
        return {
            "nan": nan,
            "flat": flat & ~nan,
            "railing": (measures["rail_share"] > limits.max_rail_share) & alive,
            "amplitude": amplitude & alive,
            "line": (measures["line_share"] > limits.max_line_share) & alive,
            "high_frequency": (measures["high_ratio"] > limits.max_high_ratio) & alive,
        }

    def restart(self, sample: int) -> list[Change]:
        """Take all channels for good again and return those that were not."""
        changes = [Change(sample, self._signal.names[i], False, (RESTART,), {}) for i in np.flatnonzero(self.bad)]
        self.bad = np.zeros_like(self.bad)
        self._n_against = np.zeros_like(self._n_against)
        return changes

    @property
    def state(self) -> dict[str, Any]:
        """Copy of everything remembered."""
        return {"bad": self.bad.copy(), "n_against": self._n_against.copy()}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.bad, self._n_against = state["bad"].copy(), state["n_against"].copy()
