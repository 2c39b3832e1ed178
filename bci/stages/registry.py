"""The table of stages, and their strict JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bci.errors import SpecError
from bci.records import record_from_dict, record_to_dict
from bci.stages.base import StageSpec
from bci.stages.channels import AverageReference, Bipolar, Select
from bci.stages.filters import Bandpass, FilterBank, Highpass, Lowpass, Notch
from bci.stages.gather import GatherFeatures
from bci.stages.logmel import LogMel
from bci.stages.quality import InterpolateBad, MaskBad, ReportQuality
from bci.stages.resample import Resample
from bci.stages.running_norm import RunningNorm
from bci.stages.scale import Clip, RobustScale, Scale
from bci.stages.stft import Stft

STAGES: dict[str, type] = {
    spec.kind: spec
    for spec in (
        Select,
        Bipolar,
        AverageReference,
        Bandpass,
        Highpass,
        Lowpass,
        Notch,
        FilterBank,
        Resample,
        Scale,
        Clip,
        RobustScale,
        RunningNorm,
        GatherFeatures,
        LogMel,
        Stft,
        ReportQuality,
        InterpolateBad,
        MaskBad,
    )
}
"""Kind to spec class; a stage that stands here is held to every law by ``tests/bci/test_stages.py``."""


def stage_to_dict(spec: StageSpec) -> dict[str, Any]:
    """Return the JSON form of a stage's settings."""
    return {"kind": spec.kind, **record_to_dict(spec)}


def stage_from_dict(record: Mapping[str, Any]) -> StageSpec:
    """Return the settings that `record` describes.

    Raises
    ------
    SpecError
        If the kind or a field is unknown, missing or of a wrong type.
    """
    kind = record.get("kind") if isinstance(record, Mapping) else record
    if not isinstance(kind, str) or kind not in STAGES:
        raise SpecError(f"A stage needs a known kind, got {kind!r}. Known: {', '.join(STAGES)}.")
    return record_from_dict(STAGES[kind], {k: v for k, v in record.items() if k != "kind"}, f"stage {kind!r}")
