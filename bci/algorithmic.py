"""How old the evidence of a prediction is, by construction: what no faster computer can shorten."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bci.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class AlgorithmicLatency:
    """Mean age of what a prediction is made of, when its last sample comes, in seconds.

    Parameters
    ----------
    group_delay_s : float
        Of the pipeline's stages, at `reference_hz`.
    reference_hz : float
        Frequency for which it holds, in Hz.
    window_s : float
        Mean age of the columns of a window: half of the time from its first to its last column. A network that weighs
        columns differently has another; none of them is older than twice this.
    smoothing_s : float
        Mean age of the predictions in the smoothed probability of the watched class.
    """

    group_delay_s: float
    reference_hz: float
    window_s: float
    smoothing_s: float

    @property
    def total_s(self) -> float:
        """The sum: how much later the level follows the signal, computation aside."""
        return self.group_delay_s + self.window_s + self.smoothing_s

    def __str__(self) -> str:
        """Return one line for people."""
        return (
            f"{self.total_s:.3f} s = group delay {self.group_delay_s:.3f} s (at {self.reference_hz:g} Hz) "
            f"+ half the window {self.window_s:.3f} s + smoothing {self.smoothing_s:.3f} s"
        )


def algorithmic_latency(pipeline: Pipeline, smoothing_s: float = 0.0) -> AlgorithmicLatency:
    """Return what a pipeline, its window and the smoothing behind it delay.

    Parameters
    ----------
    pipeline : Pipeline
        With its window and hop.
    smoothing_s : float, default=0.0
        Time constant of the exponential mean over predictions (`bci.decision.DecisionSpec`), in seconds.

    Returns
    -------
    latency : AlgorithmicLatency
    """
    hop_s = pipeline.spec.window.hop_s
    keep = math.exp(-hop_s / smoothing_s) if smoothing_s > 0 else 0.0
    return AlgorithmicLatency(
        group_delay_s=pipeline.delay_s(),
        reference_hz=pipeline.spec.reference_hz,
        window_s=(pipeline.window_frames - 1) / (2 * pipeline.signal_out.sfreq),
        smoothing_s=hop_s * keep / (1.0 - keep),
    )
