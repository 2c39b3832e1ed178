"""A signal that the traces can show: what it is, what came of it, and how its units stand to each other."""

from __future__ import annotations

import numpy as np

from apps.monitor.described import Described
from apps.monitor.history import History
from apps.monitor.montage import Montage, montages

ELECTRIC = "uV"
SCALES = {ELECTRIC: 100.0, "fT": 3000.0, "fT/cm": 300.0}
"""Usual height of a lane, by unit."""


class ShownSignal:
    """A stream that can be shown.

    Parameters
    ----------
    described : Described
        With at least one channel.
    """

    def __init__(self, described: Described) -> None:
        self.described = described
        self.history = History(len(described.labels), described.sfreq)
        units = [unit for unit in dict.fromkeys(described.units) if unit] or [""]
        self.unit = units[0]
        """Of the first channel that has one."""
        self.ratios = {unit: _usual(unit) / self.usual_scale for unit in units}
        """What one of the first unit stands for in each unit, so that all channels fill their lanes."""
        self.montages = montages(described.labels, set(units) <= {ELECTRIC, ""})

    @property
    def usual_scale(self) -> float:
        """Usual height of a lane, in the first unit."""
        return _usual(self.unit)

    def trace_ratios(self, montage: Montage) -> np.ndarray:
        """Return the ratio of each trace's unit, float32 (n_traces,)."""
        units = self.described.units or ("",) * len(self.described.labels)
        return np.array([self.ratios.get(units[i], 1.0) for i in montage.plus], np.float32)

    def is_like(self, described: Described) -> bool:
        """Return whether a stream continues this one: what is kept of it can stay."""
        mine = self.described
        return (described.labels, described.units, described.sfreq) == (mine.labels, mine.units, mine.sfreq)


def _usual(unit: str) -> float:
    return SCALES.get(unit, SCALES[ELECTRIC])
