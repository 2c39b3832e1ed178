"""Fitted stages: their numbers come from the training split and from nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bci.pipeline import PipelineSpec
from bci.stages.scale import RobustScale
from offline.datasets.base import Session

MOST_VALUES = 1 << 26
"""Values that a stage is fitted to: half a GiB in float64, of which the fit takes a few times as much."""


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
        It can be built. Of a training split that is too large for the memory, sessions are taken evenly.
    """
    stages = list(spec.stages)
    for i, stage in enumerate(stages):
        if isinstance(stage, RobustScale) and not stage.fitted:
            before = replace(spec, stages=tuple(stages[:i]))
            stages[i] = stage.fit(np.concatenate([_settled(before, session) for session in thinned(sessions)], axis=-1))
    return replace(spec, stages=tuple(stages))


def thinned(sessions: Sequence[Session], most_values: int = MOST_VALUES) -> tuple[Session, ...]:
    """Return every n-th session, so that all together have at most so many values; at least one.

    Parameters
    ----------
    sessions : sequence of Session
        In any order; always the same of them are taken.
    most_values : int, default=2**26
        Samples times channels.
    """
    n_values = sum(session.n_samples * session.signal.n_channels for session in sessions)
    return tuple(sessions[:: max(1, -(-n_values // most_values))])


def _settled(spec: PipelineSpec, session: Session) -> np.ndarray:
    """Return the output of a pipeline over a session, without the columns in which filters settle."""
    pipeline = spec.build()
    data = pipeline.process(session.read()).data
    warmup = round(pipeline.warmup_s * pipeline.signal_out.sfreq)
    return data[..., min(warmup, data.shape[-1] // 2) :]
