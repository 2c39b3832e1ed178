"""What a stream says of itself, as the monitor keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

ROLES = ("predictions", "events", "signal", "features", "raw", "annotations")
"""What a stream is to the monitor."""


@dataclass(frozen=True, slots=True)
class Described:
    """A stream; all texts are printable.

    Parameters
    ----------
    name, kind : str
        Name and LSL type.
    labels, units, types : tuple of str, default=()
        One per channel; empty texts where the stream says nothing.
    sfreq : float, default=0.0
        Nominal rate, in Hz; 0 if irregular.
    positions : ndarray of float64, shape (n_channels, 3), or None, default=None
        Where the sensors are, in any unit; x right, y front, z up. NaN where a channel has no place. None: nowhere.
    fields : mapping of str to str, default={}
        ``desc/decoder``, and ``desc/replay`` with keys ``replay/…``.
    bands_hz : tuple of float, default=()
        Of feature streams: centre of each band, if the stream says so.
    """

    name: str
    kind: str
    labels: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    sfreq: float = 0.0
    positions: np.ndarray | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    bands_hz: tuple[float, ...] = ()
