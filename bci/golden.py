"""The golden run: a bundle carries its own acceptance test, replayed before the first prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bci.chunk import Chunk
from bci.decision import DecisionSpec
from bci.decoder import Decoder, Prediction
from bci.engines.base import Engine, StatefulEngine
from bci.errors import ParityError, SchemaError
from bci.pipeline import PipelineSpec

FEATURE_LIMIT = 1e-6
LOGIT_LIMITS = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 1e-2}
KEYS = ("input", "chunk_sizes", "features", "logits", "probabilities", "last_sample")


@dataclass(frozen=True, slots=True)
class GoldenReport:
    """How far a run is from the golden one.

    Parameters
    ----------
    n_predictions : int
        Predictions compared.
    feature_error : float
        Largest difference of the pipeline's output, relative to its largest value.
    logit_error : float
        Largest difference of a logit, relative to the largest logit or 1.
    probability_error : float
        Largest difference of a probability.
    same_class : bool
        Whether every prediction with a clear margin has the same class.
    feature_limit, logit_limit : float
        What is allowed.
    """

    n_predictions: int
    feature_error: float
    logit_error: float
    probability_error: float
    same_class: bool
    feature_limit: float
    logit_limit: float

    @property
    def passed(self) -> bool:
        """Whether all is within the limits."""
        return self.feature_error <= self.feature_limit and self.logit_error <= self.logit_limit and self.same_class


def record(
    pipeline: PipelineSpec,
    decision: DecisionSpec,
    engine: Engine | StatefulEngine,
    data: np.ndarray,
    chunk_sizes: np.ndarray,
) -> dict[str, np.ndarray]:
    """Run `data` through and keep what came out at each step.

    Parameters
    ----------
    pipeline, decision
        Settings.
    engine : Engine or StatefulEngine
        The eager engine: the reference.
    data : ndarray of float32, shape (n_channels, n_samples)
        Raw samples, long enough for at least one prediction.
    chunk_sizes : ndarray of int64
        How they are cut; the sum is ``n_samples``.

    Returns
    -------
    golden : dict of str to ndarray
        ``input``, ``chunk_sizes``, ``features`` (float32), ``logits``, ``probabilities``, ``last_sample``.

    Raises
    ------
    SchemaError
        If the data give no prediction.
    """
    predictions = _run(pipeline, decision, engine, data, chunk_sizes)
    if not predictions:
        raise SchemaError(
            f"A golden run needs at least one prediction, {data.shape[1]} samples gave none. Use a longer stretch."
        )
    return {
        "input": np.ascontiguousarray(data, dtype=np.float32),
        "chunk_sizes": np.asarray(chunk_sizes, dtype=np.int64),
        "features": pipeline.build().process(data).data.astype(np.float32),
        "logits": np.stack([p.logits for p in predictions]).astype(np.float32),
        "probabilities": np.stack([p.probabilities for p in predictions]),
        "last_sample": np.array([p.last_sample for p in predictions], dtype=np.int64),
    }


def compare(
    golden: Mapping[str, np.ndarray], pipeline: PipelineSpec, decision: DecisionSpec, engine: Engine | StatefulEngine
) -> GoldenReport:
    """Run the golden input again and measure the differences.

    Raises
    ------
    SchemaError
        If the golden arrays are incomplete or do not fit the pipeline.
    ParityError
        If the predictions come at other samples.
    """
    missing = [key for key in KEYS if key not in golden]
    if missing:
        raise SchemaError(f"golden.safetensors lacks {', '.join(missing)}. Train the bundle again.")
    data, sizes = golden["input"], golden["chunk_sizes"]
    whole = sizes.dtype == np.int64 and sizes.ndim == 1 and sizes.min(initial=0) >= 0
    if data.ndim != 2 or len(data) != pipeline.signal.n_channels or not whole or sizes.sum() != data.shape[1]:
        raise SchemaError(
            f"golden.safetensors needs input of shape ({pipeline.signal.n_channels}, sum of chunk_sizes), "
            f"got {data.shape} and chunk sizes that sum to {sizes.sum()}. Train the bundle again."
        )
    features = pipeline.build().process(data).data
    predictions = _run(pipeline, decision, engine, data, sizes)
    found = np.array([p.last_sample for p in predictions])
    outputs = (len(golden["last_sample"]), len(decision.classes)) if golden["last_sample"].ndim == 1 else None
    shapes = {"features": features.shape, "logits": outputs, "probabilities": outputs}
    wrong = [f"{key} {golden[key].shape}" for key, shape in shapes.items() if golden[key].shape != shape]
    if wrong or not found.size:
        raise SchemaError(
            f"golden.safetensors needs features of shape {features.shape} and one row of "
            f"{len(decision.classes)} outputs per prediction, got {', '.join(wrong) or 'no prediction'}. "
            "Train the bundle again."
        )
    if not np.array_equal(found, golden["last_sample"]):
        raise ParityError(
            f"The golden run predicts at samples {golden['last_sample'][:3]}…, this one at {found[:3]}…. "
            "The toolkit cuts windows differently from the version that wrote the bundle."
        )
    logits = np.stack([p.logits for p in predictions])
    probabilities = np.stack([p.probabilities for p in predictions])
    limit = LOGIT_LIMITS[engine.precision]
    scale = max(1.0, float(np.abs(golden["logits"]).max()))
    ordered = np.sort(golden["logits"], axis=-1)
    clear = ordered[:, -1] - ordered[:, -2] > 2 * limit * scale
    return GoldenReport(
        n_predictions=len(predictions),
        feature_error=float(np.abs(features - golden["features"]).max() / (np.abs(golden["features"]).max() or 1.0)),
        logit_error=float(np.abs(logits - golden["logits"]).max() / scale),
        probability_error=float(np.abs(probabilities - golden["probabilities"]).max()),
        same_class=bool((logits.argmax(-1) == golden["logits"].argmax(-1))[clear].all()),
        feature_limit=FEATURE_LIMIT,
        logit_limit=limit,
    )


def require(report: GoldenReport, name: str) -> None:
    """Refuse a run that is not within the limits.

    Raises
    ------
    ParityError
        With the numbers.
    """
    if not report.passed:
        raise ParityError(
            f"{name} does not reproduce its golden run: features differ by {report.feature_error:.2e} "
            f"(limit {report.feature_limit:.0e}), logits by {report.logit_error:.2e} (limit {report.logit_limit:.0e}), "
            f"same classes: {'yes' if report.same_class else 'no'}. Use another engine, or train the bundle again."
        )


def _run(
    pipeline: PipelineSpec,
    decision: DecisionSpec,
    engine: Engine | StatefulEngine,
    data: np.ndarray,
    chunk_sizes: np.ndarray,
) -> list[Prediction]:
    decoder = Decoder(pipeline.build(), engine, decision)
    times = np.arange(data.shape[1]) / pipeline.signal.sfreq
    stops = np.cumsum(chunk_sizes)
    predictions: list[Prediction] = []
    for start, stop in zip(stops - chunk_sizes, stops, strict=True):
        predictions += decoder.push(Chunk(data[:, start:stop], int(start), times[start:stop]))
    return predictions
