"""Reading what an LSL stream says of itself into `Described`, bounded and printable."""

from __future__ import annotations

import math

import numpy as np
import pylsl

from apps.monitor.described import Described
from bci.errors import ChannelMismatch
from bci.sources.lsl_discovery import channel_texts
from bci.sources.units import conversion
from bci.texts import printable

MAX_CHANNELS = 32_768
MAX_FIELDS = 64
MAX_FIELD = 4096


def describe(info: pylsl.StreamInfo) -> tuple[Described, np.ndarray | None]:
    """Return what a stream says of itself, and what its values are multiplied with.

    Parameters
    ----------
    info : pylsl.StreamInfo
        With the extended description.

    Returns
    -------
    described : Described
        Units as they are inside the toolkit, where they are known.
    factors : ndarray of float32, shape (n_channels,), or None
        To these units; None if all are 1.

    Raises
    ------
    ChannelMismatch
        If it has more channels than can be shown.
    """
    n = info.channel_count()
    if n > MAX_CHANNELS:
        raise ChannelMismatch(f"The monitor needs at most {MAX_CHANNELS} channels, got {n}. Choose another stream.")
    labels, units, types = (_filled(channel_texts(info, key), n) for key in ("label", "unit", "type"))
    inside = [_unit(unit) for unit in units]
    factors = np.array([factor for _, factor in inside], np.float32)
    sfreq = info.nominal_srate()
    bands = [_float(text) for text in channel_texts(info, "centre_hz")]
    described = Described(
        name=printable(info.name()),
        kind=printable(info.type()),
        labels=tuple(label or f"ch {i + 1}" for i, label in enumerate(labels)),
        units=tuple(unit for unit, _ in inside),
        types=types,
        sfreq=sfreq if math.isfinite(sfreq) and sfreq > 0 else 0.0,
        positions=_positions(info, n),
        fields=_fields(info.desc().child("decoder"), "") | _fields(info.desc().child("replay"), "replay/"),
        bands_hz=() if not bands or np.isnan(bands).any() else tuple(bands),
    )
    return described, None if (factors == 1).all() else factors


def _filled(found: tuple[str, ...], n: int) -> tuple[str, ...]:
    return tuple(printable(text) for text in (*found[:n], *("",) * (n - len(found))))


def _unit(unit: str) -> tuple[str, float]:
    try:
        return conversion(unit)
    except ChannelMismatch:  # shown as it is
        return unit, 1.0


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _positions(info: pylsl.StreamInfo, n: int) -> np.ndarray | None:
    """Return ``location/{X,Y,Z}`` of the channels; None if no channel has all three."""
    places = np.full((n, 3), math.nan)
    channel = info.desc().child("channels").child("channel")
    for i in range(n):
        if channel.empty():
            break
        location = channel.child("location")
        places[i] = [_float(location.child_value(axis)) for axis in ("X", "Y", "Z")]
        channel = channel.next_sibling("channel")
    return places if np.isfinite(places).all(axis=1).any() else None


def _fields(element: pylsl.XMLElement, prefix: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    child = element.first_child()
    while not child.empty() and len(fields) < MAX_FIELDS:
        fields[prefix + child.name()[:MAX_FIELD]] = child.child_value()[:MAX_FIELD]
        child = child.next_sibling()
    return fields
