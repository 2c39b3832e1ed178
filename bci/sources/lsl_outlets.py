"""The two LSL outlets of a replayed stream: samples, and JSON markers."""

from __future__ import annotations

import json
from typing import Any, Protocol

import numpy as np
import pylsl

from bci.chunk import Signal

_MARKER_WAIT_S = 0.5  # a consumer opens its two inlets one after the other


class Channels(Protocol):
    """What the description of a stream tells of its channels; a feed has it."""

    @property
    def signal(self) -> Signal:
        """Rate, names and unit."""

    @property
    def types(self) -> tuple[str, ...]:
        """Type of each channel."""

    @property
    def units(self) -> tuple[str, ...]:
        """Unit of each channel."""


class LslOutlets:
    """`NAME` with the samples and `NAME-annotations` with the markers.

    Parameters
    ----------
    feed : Channels
        Describes the channels.
    name : str
        Name of the data stream.
    source_id : str
        Identifier that stays the same when the same feed is played again; empty for a stream without one.
    file : str
        Name of the file, for the description.
    speed : float
        Speed of the replay, for the description.
    n_samples : int or None
        Samples of one pass, for the description; None, and it says nothing, if the stamps are not those of a replay.
    first_sample : int
        Number in the feed of the first sample that is sent, for the description. A consumer counts from there: its
        sample 0 is this one, unless it comes late, and later samples keep their distance until a loop or a seek.
    positions_mm : ndarray, shape (n_channels, 3), or None, default=None
        Where the sensors are, for the description; nothing is said of those that are NaN.
    """

    def __init__(
        self,
        feed: Channels,
        name: str,
        source_id: str,
        file: str,
        speed: float,
        n_samples: int | None,
        first_sample: int,
        positions_mm: np.ndarray | None = None,
    ):
        kind = "MEG" if all(unit != "uV" for unit in feed.units) else "EEG"
        signal = feed.signal
        info = pylsl.StreamInfo(name, kind, signal.n_channels, signal.sfreq, "float32", source_id)
        channels = info.desc().append_child("channels")
        places = np.full((signal.n_channels, 3), np.nan) if positions_mm is None else positions_mm
        for label, channel_type, unit, place in zip(signal.names, feed.types, feed.units, places, strict=True):
            channel = channels.append_child("channel")
            channel.append_child_value("label", label)
            channel.append_child_value("type", channel_type)
            channel.append_child_value("unit", unit)
            if np.isfinite(place).all():
                location = channel.append_child("location")
                for axis, mm in zip("XYZ", place, strict=True):
                    location.append_child_value(axis, f"{mm:.3f}")
        replay = info.desc().append_child("replay")
        replay.append_child_value("speed", f"{speed:.17g}")
        replay.append_child_value("file", file)
        if n_samples is not None:
            replay.append_child_value("n_samples", str(n_samples))
        replay.append_child_value("first_sample", str(first_sample))
        marker_info = pylsl.StreamInfo(
            f"{name}-annotations", "Markers", 1, pylsl.IRREGULAR_RATE, "string", f"{source_id}-annotations"
        )
        # markers first: who finds the samples finds the markers too
        self._markers: Any = pylsl.StreamOutlet(marker_info)
        self._data: Any = pylsl.StreamOutlet(info)

    def push(self, rows: np.ndarray, stamps: np.ndarray) -> None:
        """Publish samples, shape (n_samples, n_channels), with the time of each."""
        self._data.push_chunk(rows, stamps.tolist())

    def mark(self, payload: dict[str, Any], stamp: float) -> None:
        """Publish a marker."""
        self._markers.push_sample([json.dumps(payload)], stamp)

    def wait_for_consumer(self, timeout_s: float) -> bool:
        """Wait until somebody takes the samples; False if nobody does in time."""
        if not self._data.wait_for_consumers(timeout_s):
            return False
        self._markers.wait_for_consumers(_MARKER_WAIT_S)
        return True

    def has_consumers(self) -> bool:
        """Whether somebody takes the samples or the markers."""
        return self._data.have_consumers() or self._markers.have_consumers()

    def close(self) -> None:
        """Take both streams off the network."""
        self._data = None
        self._markers = None
