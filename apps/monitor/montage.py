"""Montages for the screen: which channels are shown, against what, in which order."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from bci.stages.electrodes import electrode_positions, plain_name
from bci.stages.montages import DOUBLE_BANANA, TEN_TWENTY_19

PUBLISHED, AVERAGE, BANANA = "as published", "average reference", "double banana"
MOST_WHOLE, PAGE = 64, 48
_MIDLINE_X = 0.05


@dataclass(frozen=True, slots=True)
class Montage:
    """A choice of channels and what is subtracted from them.

    Parameters
    ----------
    names : tuple of str
        Of the traces, in the order in which they are shown.
    plus : ndarray of int64, shape (n_traces,)
        Channel of each trace.
    minus : ndarray of int64, shape (n_traces,), or None
        Channel that is subtracted; None subtracts none.
    average : bool, default=False
        Subtract the mean over all channels that are not bad.
    """

    names: tuple[str, ...]
    plus: np.ndarray
    minus: np.ndarray | None = None
    average: bool = False

    def apply(self, data: np.ndarray, bad: Collection[int] = ()) -> np.ndarray:
        """Return the traces of samples, shape (n_channels, n_samples), as shape (n_traces, n_samples).

        Parameters
        ----------
        data : ndarray, shape (n_channels, n_samples)
            Samples; NaN stays NaN.
        bad : collection of int, default=()
            Channels that are left out of the average.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            if self.minus is not None:
                return data[self.plus] - data[self.minus]
            if not self.average:
                return data[self.plus]
            good = [i for i in range(len(data)) if i not in bad] or list(range(len(data)))
            known = np.isfinite(data[good])
            n_known = np.maximum(known.sum(axis=0), 1)
            return data[self.plus] - np.where(known, data[good], 0).sum(axis=0) / n_known

    def channels(self, trace: int) -> tuple[int, ...]:
        """Return the channels of a trace."""
        return (int(self.plus[trace]),) if self.minus is None else (int(self.plus[trace]), int(self.minus[trace]))


def montages(labels: tuple[str, ...], electric: bool) -> dict[str, Montage]:
    """Return the montages that channels allow, the plain one first; more than 64 channels also in pages of 48.

    Parameters
    ----------
    labels : tuple of str
        Names of the channels.
    electric : bool
        Whether they are EEG, which has references.

    Returns
    -------
    montages : dict of str to Montage
    """
    order = clinical_order(labels)
    ordered = tuple(labels[i] for i in order)
    found = {PUBLISHED: Montage(ordered, order)}
    for first in range(0, len(labels), PAGE) if len(labels) > MOST_WHOLE else ():
        page = slice(first, min(first + PAGE, len(labels)))
        found[f"channels {first + 1}–{page.stop}"] = Montage(ordered[page], order[page])
    if not electric or len(labels) < 2:
        return found
    place = {plain_name(label): i for i, label in enumerate(labels)}
    if any("-" in label and all(plain_name(part) in electrode_positions() for part in label.split("-", 1))
           for label in labels):  # pairs already  # fmt: skip
        return found
    found[AVERAGE] = Montage(ordered, order, average=True)
    pairs = [(a, c) for a, c in DOUBLE_BANANA if plain_name(a) in place and plain_name(c) in place]
    if pairs:
        names = tuple(f"{a}–{c}" for a, c in pairs)
        plus, minus = (np.array([place[plain_name(pair[side])] for pair in pairs]) for side in (0, 1))
        found[BANANA] = Montage(names, plus, minus)
    return found


def clinical_order(labels: tuple[str, ...]) -> np.ndarray:
    """Return the order in which channels are shown.

    Electrodes of the 10-20 system alone come as clinicians list them: left hemisphere, midline, right. With electrodes
    of the 10-10 system: left from front to back, midline, right. Others follow in their own order; if fewer than half
    of the channels are known, nothing is moved.

    Parameters
    ----------
    labels : tuple of str
        Names of the channels.

    Returns
    -------
    order : ndarray of int64, shape (n_channels,)
        Channel of each row.
    """
    places, standard = electrode_positions(), [plain_name(name) for name in TEN_TWENTY_19]
    names = [plain_name(label) for label in labels]
    known = [name for name in names if name in places]
    if 2 * len(known) < len(names):
        return np.arange(len(names))

    def key(i: int) -> tuple[float, ...]:
        name = names[i]
        if name not in places:
            return (3, i)
        if set(known) <= set(standard):
            return (0, standard.index(name), i)
        x, y, _ = places[name]
        side = 1 if abs(x) < _MIDLINE_X else 0 if x < 0 else 2
        return (side, -round(float(y), 3), abs(float(x)), i)

    return np.array(sorted(range(len(names)), key=key), dtype=np.int64)
