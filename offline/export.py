"""From a trained model to a bundle that the runtime loads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bci.bundle import Bundle, write_bundle
from bci.chunk import samples
from bci.decision import DecisionSpec
from bci.engines.base import Engine, StatefulEngine
from bci.engines.eager_engine import EagerEngine
from bci.engines.stepping import EagerSteps
from bci.golden import record
from offline.datasets.base import Session
from offline.evaluate import Fitted

GOLDEN_PREDICTIONS = 8
CHUNK_SIZES = (8, 1, 64, 0, 19)
LONGEST_STREAM_S = 16.0
"""Golden input of a network with state at most: it predicts from its first hop on, and contexts may be minutes."""


def export_bundle(
    folder: Path,
    fitted: Fitted,
    decision: DecisionSpec,
    session: Session,
    *,
    metrics: Mapping[str, Any],
    training: Mapping[str, Any],
    card: str,
    created: str,
    seed: int,
) -> Bundle:
    """Write a bundle with its golden run.

    Parameters
    ----------
    folder : Path
        Directory of the bundle; a bundle there is replaced.
    fitted : Fitted
        Pipeline and network.
    decision : DecisionSpec
        Classes and calibration.
    session : Session
        Its level sets that of the golden input, which is noise: no recording leaves with a bundle.
    metrics, training : mapping
        Scores, and where the model comes from.
    card : str
        Model card, in Markdown.
    created : str
        Time of writing, ISO 8601.
    seed : int
        Seed of the golden input.

    Returns
    -------
    bundle : Bundle
    """
    signal = fitted.pipeline.signal
    window = fitted.pipeline.window
    built = fitted.pipeline.build()
    n_columns = built.window_frames
    engine: Engine | StatefulEngine = EagerEngine(fitted.network)
    if hasattr(fitted.network, "frames"):  # it has state, see `models.causal`
        n_columns = min(n_columns, round(LONGEST_STREAM_S * built.signal_out.sfreq))
        engine = EagerSteps(fitted.network)
    first = int(built.last_input(np.array([n_columns - 1]))[0]) + 1
    n_samples = first + GOLDEN_PREDICTIONS * samples(window.hop_s, signal.sfreq, "The hop of predictions")
    level = np.std(session.read(), axis=1, keepdims=True)
    data = (np.random.default_rng(seed).standard_normal((signal.n_channels, n_samples)) * level).astype(np.float32)
    golden = record(fitted.pipeline, decision, engine, data, _chunks(n_samples))
    return write_bundle(
        folder,
        pipeline=fitted.pipeline,
        model=fitted.model,
        network=fitted.network,
        decision=decision,
        golden=golden,
        metrics=metrics,
        card=card,
        training=training,
        created=created,
    )


def _chunks(n_samples: int) -> np.ndarray:
    """Return chunk sizes of different kinds that sum to `n_samples`."""
    sizes: list[int] = []
    while sum(sizes) < n_samples:
        sizes.append(min(CHUNK_SIZES[len(sizes) % len(CHUNK_SIZES)], n_samples - sum(sizes)))
    return np.array(sizes, dtype=np.int64)
