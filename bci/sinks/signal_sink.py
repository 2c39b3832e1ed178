"""The decoder's own filtered signal and features as LSL outlets, so that nobody has to filter again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pylsl

from bci.chunk import Chunk, Signal
from bci.decoder import n_plain_stages
from bci.errors import UsageError
from bci.frames import Frames, FrameStage
from bci.pipeline import Pipeline
from bci.sinks.base import SessionInfo
from bci.sinks.lsl_sink import MAX_BACKLOG_S, let_leave
from bci.stages.logmel import LogMel

ITEMS = ("signal", "features")


def parse_items(text: str) -> tuple[str, ...]:
    """Return what a list joined by commas asks to publish, without repetition.

    Raises
    ------
    UsageError
        If an item is unknown.
    """
    asked = {word.strip() for word in text.split(",")}
    unknown = sorted(asked - set(ITEMS))
    if unknown:
        raise UsageError(
            f"--publish needs items out of {', '.join(ITEMS)}, joined by commas, got {', '.join(map(repr, unknown))}."
        )
    return tuple(item for item in ITEMS if item in asked)


class SignalSink:
    """``NAME-signal`` (type ``EEG``) and ``NAME-features`` (type ``Features``), as asked for.

    Parameters
    ----------
    pipeline : Pipeline
        The decoder's; from now on it keeps what its last call put out.
    items : tuple of str
        ``signal``, ``features`` or both.

    Raises
    ------
    UsageError
        If there are no features to publish.
    """

    def __init__(self, pipeline: Pipeline, items: tuple[str, ...]) -> None:
        n_plain = n_plain_stages(pipeline)
        if "features" in items and n_plain == len(pipeline.stages):
            raise UsageError(
                "--publish features needs a model that computes features, got one that takes the filtered signal. "
                "Use --publish signal."
            )
        self._items = items
        last = pipeline.stages[-1] if pipeline.stages else None
        self._frames = last if isinstance(last, FrameStage) else None  # the engine computes their features: so must we
        self._features = pipeline.signal_out if self._frames is None else self._frames.features_out
        self._delay_s = {
            "signal": sum(stage.delay_s(pipeline.spec.reference_hz) for stage in pipeline.stages[:n_plain]),
            "features": pipeline.delay_s(),
        }
        bands = (stage.centres_hz for stage in pipeline.spec.stages if isinstance(stage, LogMel | Frames))
        self._centres_hz = {"features": next(bands, np.empty(0))}
        self._tap = pipeline.tap_after(n_plain)
        self._outlets: dict[str, Any] = {}

    def open(self, info: SessionInfo) -> None:
        """Publish the outlets."""
        signals = {"signal": self._tap.signal, "features": self._features}
        kinds = {"signal": "EEG", "features": "Features"}
        for item in self._items:
            centres_hz = self._centres_hz.get(item, np.empty(0))
            self._outlets[item] = _outlet(item, kinds[item], signals[item], self._delay_s[item], info, centres_hz)

    def publish(self, chunk: Chunk) -> None:
        """Publish what the pipeline made of `chunk`, its last input; stamps are the times of the last sample used."""
        tap = self._tap
        made = {"signal": (tap.data, tap.last_input), "features": (tap.block.data, tap.block.last_input)}
        for item, outlet in self._outlets.items():
            columns, last_input = made[item]
            if last_input.size:
                if item == "features" and self._frames is not None:
                    columns = self._frames.features(columns)
                rows = np.ascontiguousarray(columns.reshape(-1, last_input.size).T, dtype=np.float32)
                outlet.push_chunk(rows, chunk.times[last_input - tap.first_input].tolist())

    def close(self) -> None:
        """Withdraw the outlets once their last samples have left; may be called without `open`, and twice."""
        let_leave(list(self._outlets.values()))
        self._outlets.clear()


def labels(signal: Signal) -> list[str]:
    """Return the name of each channel; of features ``CHANNEL@mel00``, ``CHANNEL@mel01``, …, channel by channel."""
    if signal.n_features is None:
        return list(signal.names)
    width = max(2, len(str(signal.n_features - 1)))
    return [f"{name}@mel{i:0{width}d}" for name in signal.names for i in range(signal.n_features)]


def _outlet(item: str, kind: str, signal: Signal, delay_s: float, info: SessionInfo, centres_hz: np.ndarray) -> Any:
    names = labels(signal)
    centres = list(centres_hz) * signal.n_channels if len(centres_hz) == signal.n_features else []
    name = f"{info.name}-{item}"
    described = pylsl.StreamInfo(
        name, kind, len(names), signal.sfreq, pylsl.cf_float32, f"{name}-{info.bundle_sha256[:16]}"
    )
    channels = described.desc().append_child("channels")
    for i, label in enumerate(names):
        channel = channels.append_child("channel")
        channel.append_child_value("label", label)
        channel.append_child_value("unit", signal.unit)
        if centres:
            channel.append_child_value("centre_hz", f"{centres[i]:.3f}")
    decoder = described.desc().append_child("decoder")
    for key, value in (
        ("name", info.name),
        ("stream", info.stream),
        ("bundle", info.bundle),
        ("bundle_sha256", info.bundle_sha256),
        ("delay_s", f"{delay_s:.17g}"),
        ("reference_hz", f"{info.reference_hz:.17g}"),
        ("speed", f"{info.speed:.17g}"),
    ):
        decoder.append_child_value(key, value)
    return pylsl.StreamOutlet(described, max_buffered=MAX_BACKLOG_S)
