"""What every receiver of predictions and events offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bci.chunk import Chunk
from bci.decoder import Prediction
from bci.events import Event
from bci.sources.base import Received, StreamInfo


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What is constant while a session runs; ``desc/decoder`` of the prediction stream holds it.

    Parameters
    ----------
    name : str
        Name of the prediction stream.
    stream : str
        Name of the stream that is decoded.
    bundle : str
        Name of the bundle.
    bundle_sha256 : str
        Hash of its manifest.
    classes : tuple of str
        Names in logit order.
    alarm_class : str
        Class that raises alarms; empty if none does.
    on_threshold, off_threshold : float
        Of the smoothed probability; 0 without an alarm.
    hop_s, window_s : float
        Time between predictions and length of what they see, in seconds.
    delay_s : float
        Declared delay of the pipeline at `reference_hz`, in seconds.
    reference_hz : float
        Frequency of that declaration, in Hz.
    smoothing_s : float
        Time constant of the smoothing, in seconds.
    engine, precision : str
        What computes.
    first_sample_time : float
        Stamp of the first sample, in seconds of the local LSL clock.
    sfreq : float
        Rate of the decoded stream, in Hz.
    speed : float
        Speed of a replay; 1 for anything else.
    k, n : int, default=1, 1
        Of the last `n` smoothed probabilities, `k` must reach `on_threshold`.
    min_duration_s, refractory_s : float, default=0.0, 0.0
        Shortest alarm, and the time after one in which none is raised, in seconds.
    latch : bool, default=False
        Whether an alarm waits to be acknowledged.
    quality : str, default="off"
        What is done about bad channels: ``report``, ``interpolate``, ``mask`` or ``off``.
    min_channels : int, default=0
        With fewer good channels, samples are invalid.
    """

    name: str
    stream: str
    bundle: str
    bundle_sha256: str
    classes: tuple[str, ...]
    alarm_class: str
    on_threshold: float
    off_threshold: float
    hop_s: float
    window_s: float
    delay_s: float
    reference_hz: float
    smoothing_s: float
    engine: str
    precision: str
    first_sample_time: float
    sfreq: float
    speed: float
    k: int = 1
    n: int = 1
    min_duration_s: float = 0.0
    refractory_s: float = 0.0
    latch: bool = False
    quality: str = "off"
    min_channels: int = 0


@dataclass(frozen=True, slots=True)
class Output:
    """A prediction with the times that the session saw.

    Parameters
    ----------
    prediction : Prediction
        From the decoder.
    received_s : float
        When the chunk that completed the window arrived, in seconds of the local LSL clock.
    computed_s : float
        When the prediction was ready.
    published_s : float or None
        When it was published; None while it is being published.
    """

    prediction: Prediction
    received_s: float
    computed_s: float
    published_s: float | None

    def stages_s(self) -> dict[str, float]:
        """Return the seconds of each stage; ``publish`` and ``total`` only once it was published."""
        ledger = self.prediction.ledger
        stages = {
            "receive": self.received_s - self.prediction.time,
            "filter": ledger.filter_s,
            "features": ledger.features_s,
            "engine": ledger.engine_s,
            "decision": ledger.decision_s,
        }
        if self.published_s is not None:
            stages["publish"] = self.published_s - self.computed_s
            stages["total"] = self.published_s - self.prediction.time
        return stages


class Sink(Protocol):
    """A receiver of predictions and events."""

    def open(self, info: SessionInfo) -> None:
        """Begin; called once, when the first sample has arrived."""

    def prediction(self, output: Output) -> None:
        """Take one prediction; must not wait."""

    def event(self, event: Event) -> None:
        """Take one event; must not wait."""

    def close(self) -> None:
        """Finish; may be called without `open`, and twice."""


class SignalPublisher(Protocol):
    """A receiver of what the pipeline makes of each chunk."""

    def open(self, info: SessionInfo) -> None:
        """Begin; called once, when the first sample has arrived."""

    def publish(self, chunk: Chunk) -> None:
        """Take what the pipeline made of `chunk`, its last input; must not wait."""

    def close(self) -> None:
        """Finish; may be called without `open`, and twice."""


class RawRecorder(Protocol):
    """A receiver of what a source delivers, before it is decoded."""

    def open(self, stream: StreamInfo) -> None:
        """Begin, when the first sample has arrived; called again when the stream has come back after it was lost."""

    def samples(self, received: Received) -> None:
        """Take what one read brought: samples, markers or both, in the order of `stream`'s channels; must not wait."""

    def close(self) -> None:
        """Finish; may be called without `open`, and twice."""
