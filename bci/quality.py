"""Channel quality for a model whose pipeline does not judge it, and what a session says about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bci.chunk import Chunk
from bci.errors import SpecError
from bci.events import Event
from bci.pipeline import PipelineSpec
from bci.stages.quality import InterpolateBad, MaskBad, ReportQuality
from bci.stages.quality_detector import Change, QualityLimits

POLICIES: dict[str, type[QualityLimits] | None] = {
    "report": ReportQuality,
    "interpolate": InterpolateBad,
    "mask": MaskBad,
    "off": None,
}
"""What is done about bad channels, and the stage that does it."""

MAGNETIC: dict[str, Any] = {"min_amplitude": 1.0, "max_amplitude": 1e6}
"""Limits in fT or fT/cm, where those in µV mean nothing: far apart, since no recording has tuned them."""


def with_quality(
    pipeline: PipelineSpec, policy: str | None = None, min_valid_channels: int | None = None
) -> PipelineSpec:
    """Return `pipeline` with a stage before all others that judges the channels.

    Parameters
    ----------
    pipeline : PipelineSpec
        Of a model.
    policy : str or None, default=None
        One of `POLICIES`. None takes ``report``, which changes no prediction, or leaves a pipeline that already judges
        its channels as it is.
    min_valid_channels : int or None, default=None
        With fewer good channels, samples are invalid. None takes half of the channels for ``interpolate`` and
        ``mask``, and 0 for ``report``.

    Returns
    -------
    pipeline : PipelineSpec

    Raises
    ------
    SpecError
        If the policy is unknown, the pipeline already judges its channels and another is asked for, there is nothing
        to which a least number of channels could apply, or the stage does not fit the signal.
    """
    if policy is not None and policy not in POLICIES:
        raise SpecError(f"Channel quality needs one of {', '.join(POLICIES)}, got {policy!r}.")
    if any(isinstance(stage, QualityLimits) for stage in pipeline.stages):
        if policy is not None or min_valid_channels is not None:
            raise SpecError(
                "The model judges channel quality by itself, as it was trained, "
                f"got the policy {policy or 'report'!r} besides. Leave the option out."
            )
        return pipeline
    spec = POLICIES[policy or "report"]
    if spec is None:
        if min_valid_channels is not None:
            raise SpecError(
                f"A least number of good channels needs channels that are judged, got {min_valid_channels} with the "
                "policy 'off'. Use report, interpolate or mask."
            )
        return pipeline
    signal = pipeline.signal
    if min_valid_channels is None:
        min_valid_channels = 0 if spec is ReportQuality else -(-signal.n_channels // 2)
    limits = {} if signal.unit == "uV" else MAGNETIC
    hop_s = max(1, round(signal.sfreq)) / signal.sfreq  # a whole number of samples at any rate
    stage: Any = spec(hop_s=hop_s, min_valid_channels=min_valid_channels, **limits)
    stage.build(signal)
    return replace(pipeline, stages=(stage, *pipeline.stages))


def quality_policy(pipeline: PipelineSpec) -> tuple[str, int]:
    """Return what a pipeline does about bad channels, one of `POLICIES`, and how many good channels it needs."""
    names = {kind: name for name, kind in POLICIES.items()}
    for stage in pipeline.stages:
        if isinstance(stage, QualityLimits):
            return names[type(stage)], stage.min_valid_channels
    return "off", 0


def bad_channel_events(changes: Sequence[Change], chunk: Chunk, n_in: int) -> list[Event]:
    """Return the changes that a chunk has brought as events.

    Parameters
    ----------
    changes : sequence of Change
        From the pipeline, after it has taken the chunk.
    chunk : Chunk
        The chunk.
    n_in : int
        Samples that the pipeline has taken since its last reset, those of the chunk included.

    Returns
    -------
    events : list of Event
        ``bad_channel``, at the time of the last sample that was judged.
    """
    first = chunk.first_sample + chunk.n_samples - n_in  # the pipeline's sample 0 in the stream
    events = []
    for change in changes:
        sample = first + change.sample
        judged = min(max(sample - 1 - chunk.first_sample, 0), chunk.n_samples - 1)
        fields = {"channel": change.channel, "bad": change.bad, "reasons": list(change.reasons), "sample": sample}
        values = {name: round(value, 6) for name, value in change.values.items()}
        events.append(Event("bad_channel", float(chunk.times[judged]), fields | {"values": values}))
    return events
