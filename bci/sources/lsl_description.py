"""What an LSL stream says of itself: whether it can be decoded, by which channels, in which units."""

from __future__ import annotations

import logging
import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pylsl

from bci.chunk import Signal
from bci.errors import ChannelMismatch
from bci.sources.base import StreamInfo
from bci.sources.lsl_discovery import channel_texts
from bci.sources.units import common_unit, conversion
from bci.texts import printable

log = logging.getLogger(__name__)

_MAX_NAMED = 8  # channel names in a message


@dataclass(frozen=True, slots=True)
class Description:
    """A stream, and how its samples become the signal.

    Parameters
    ----------
    info : StreamInfo
        Describes the usable channels.
    n_sent : int
        Channels that the stream has.
    columns : ndarray of int64, shape (n_channels,), or None
        Which of them are usable; None if all are.
    factors : ndarray of float64, shape (n_channels,), or None
        To µV or fT; None if all are 1.
    """

    info: StreamInfo
    n_sent: int
    columns: np.ndarray | None
    factors: np.ndarray | None

    def samples(self, rows: np.ndarray) -> np.ndarray:
        """Return received rows, shape (n_samples, n_sent), as float32 of shape (n_channels, n_samples)."""
        if self.columns is not None:
            rows = rows[:, self.columns]
        if self.factors is None:
            return np.array(rows.T, np.float32, order="C")
        return np.ascontiguousarray((rows * self.factors).T, np.float32)


def stream_name(info: pylsl.StreamInfo) -> str:
    """Return the quoted, printable name of a stream."""
    return repr(printable(info.name()))


def describe(full: pylsl.StreamInfo, unit: str | None) -> Description:
    """Return the description of a stream.

    A channel without a voltage or field unit (an accelerometer, a trigger) is left out with a warning, and so are
    magnetic channels beside electric ones.

    Parameters
    ----------
    full : pylsl.StreamInfo
        With the extended description.
    unit : str or None
        Unit of the channels that state none, or none that is known. Its kind goes first where both are there.

    Returns
    -------
    description : Description

    Raises
    ------
    ChannelMismatch
        If the rate is irregular, channels have no names, or none has a unit.
    """
    name, n, sfreq = stream_name(full), full.channel_count(), full.nominal_srate()
    if full.channel_format() == pylsl.cf_string or not (math.isfinite(sfreq) and sfreq > 0):
        raise ChannelMismatch(
            f"Stream {name} must carry numbers at a regular rate, got {pylsl.lib.fmt2string[full.channel_format()]} "
            f"at {sfreq:g} Hz. Choose a signal stream; `bci streams` lists them."
        )
    labels = channel_texts(full, "label")
    if len(labels) != n or not all(labels):
        raise ChannelMismatch(
            f"Stream {name} must name its {n} channels in desc/channels/channel/label, got "
            f"{sum(map(bool, labels))} names. Set the labels in the sender."
        )
    repeated = sorted(label for label, count in Counter(labels).items() if count > 1)
    if repeated:
        raise ChannelMismatch(
            f"Stream {name} must have different channel names, got repeated: {_listed(repeated)}. "
            "Rename them in the sender."
        )
    pairs = _conversions(name, labels, channel_texts(full, "unit"), unit)
    kept = np.array(sorted(pairs))
    units = tuple(pairs[i][0] for i in kept)
    factors = np.array([pairs[i][1] for i in kept])
    types = channel_texts(full, "type")
    replay = full.desc().child("replay")
    info = StreamInfo(
        name=full.name(),
        signal=Signal(sfreq, tuple(labels[i] for i in kept), common_unit(units)),
        source_id=full.source_id(),
        speed=_number(replay.child_value("speed"), 1.0),
        types=tuple(types[i] for i in kept),
        units=units,
        host=full.hostname(),
        n_samples=int(_number(replay.child_value("n_samples"), 0.0)) or None,
    )
    return Description(info, n, None if len(kept) == n else kept, None if (factors == 1).all() else factors)


def _conversions(
    name: str, labels: tuple[str, ...], stated: tuple[str, ...], unit: str | None
) -> dict[int, tuple[str, float]]:
    """Return the unit and the factor of each channel that is used."""
    pairs = {}
    for i, text in enumerate(stated):
        try:
            pairs[i] = conversion(text)
        except ChannelMismatch:
            if unit is not None:
                pairs[i] = conversion(unit)
    if not pairs:
        got = _listed([f"{label} ({text or 'none'})" for label, text in zip(labels, stated, strict=True)])
        raise ChannelMismatch(
            f"Stream {name} must state the unit of its channels in desc/channels/channel/unit, a voltage or a magnetic "
            f"field, got {got}. Pass it, for example --unit uV."
        )
    electric = unit is None or conversion(unit)[0] == "uV"
    if not any((inside == "uV") == electric for inside, _ in pairs.values()):
        electric = not electric
    pairs = {i: pair for i, pair in pairs.items() if (pair[0] == "uV") == electric}
    left_out = [f"{labels[i]} ({text or 'none'})" for i, text in enumerate(stated) if i not in pairs]
    if left_out:
        log.warning(
            "%s: channels that are not in %s are left out: %s; --unit states another unit",
            name,
            "volts" if electric else "tesla",
            _listed(left_out),
        )
    return pairs


def _listed(texts: list[str]) -> str:
    more = len(texts) - _MAX_NAMED
    return ", ".join(printable(text) for text in texts[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _number(text: str, default: float) -> float:
    """Return a positive number from an untrusted text."""
    try:
        value = float(text)
    except ValueError:
        return default
    return value if math.isfinite(value) and value > 0 else default
