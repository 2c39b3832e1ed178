"""Fitted stages: their numbers come from the training split and from nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bci.pipeline import PipelineSpec
from bci.stages.scale import RobustScale
from offline.datasets.base import Session


def fit_stages(spec: PipelineSpec, sessions: Sequence[Session]) -> PipelineSpec:
    """Return the pipeline with every stage that needs it fitted to `sessions`, in order.

    Parameters
    ----------
    spec : PipelineSpec
        Stages that are already fitted stay as they are.
    sessions : sequence of Session
        The training split.

    Returns
    -------
    spec : PipelineSpec
        It can be built.
    """
    stages = list(spec.stages)
    for i, stage in enumerate(stages):
        if isinstance(stage, RobustScale) and not stage.fitted:
            before = replace(spec, stages=tuple(stages[:i]))
            stages[i] = stage.fit(np.concatenate([_settled(before, session) for session in sessions], axis=-1))
    return replace(spec, stages=tuple(stages))


def _settled(spec: PipelineSpec, session: Session) -> np.ndarray:
    """Return the output of a pipeline over a session, without the columns in which filters settle."""
    pipeline = spec.build()
    data = pipeline.process(session.read()).data
    warmup = round(pipeline.warmup_s * pipeline.signal_out.sfreq)
    return data[..., min(warmup, data.shape[-1] // 2) :]
