"""What a session says about itself: the model, the engine and the settings that do not change while it runs."""

from __future__ import annotations

from dataclasses import dataclass

from bci.decoder import Decoder
from bci.quality import quality_policy
from bci.sinks.base import SessionInfo
from bci.sources.base import StreamInfo


@dataclass(frozen=True, slots=True)
class Identity:
    """What the session says about its model.

    Parameters
    ----------
    bundle, bundle_sha256 : str
        Name and hash.
    engine, precision : str
        What computes.
    """

    bundle: str
    bundle_sha256: str
    engine: str
    precision: str


def session_info(
    name: str, identity: Identity, decoder: Decoder, stream: StreamInfo, first_sample_time: float
) -> SessionInfo:
    """Return the description of a session's output.

    Parameters
    ----------
    name : str
        Name of the prediction stream.
    identity : Identity
    decoder : Decoder
    stream : StreamInfo
        What is decoded.
    first_sample_time : float
        Stamp of the first sample, in seconds of the local LSL clock.

    Returns
    -------
    info : SessionInfo
    """
    pipeline, decision = decoder.pipeline, decoder.decision.spec
    alarm = decision.alarm
    quality, min_channels = quality_policy(pipeline.spec)
    return SessionInfo(
        name=name,
        stream=stream.name,
        bundle=identity.bundle,
        bundle_sha256=identity.bundle_sha256,
        classes=decision.classes,
        alarm_class=alarm.label if alarm else "",
        on_threshold=alarm.on_threshold if alarm else 0.0,
        off_threshold=alarm.off_threshold if alarm else 0.0,
        hop_s=pipeline.spec.window.hop_s,
        window_s=pipeline.spec.window.length_s,
        delay_s=pipeline.delay_s(),
        reference_hz=pipeline.spec.reference_hz,
        smoothing_s=decision.smoothing_s,
        engine=identity.engine,
        precision=identity.precision,
        first_sample_time=first_sample_time,
        sfreq=stream.signal.sfreq,
        speed=stream.speed,
        k=alarm.k if alarm else 1,
        n=alarm.n if alarm else 1,
        min_duration_s=alarm.min_duration_s if alarm else 0.0,
        refractory_s=alarm.refractory_s if alarm else 0.0,
        latch=alarm is not None and alarm.latch,
        quality=quality,
        min_channels=min_channels,
    )
