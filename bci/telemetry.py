"""Counters and latency histograms: constant memory, frozen snapshots."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

STEP = 1.02  # relative width of a bucket: percentiles are right within 1 %
SHORTEST_S = 1e-6
N_BUCKETS = 1200  # up to about 6 hours


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Summary of a latency, in milliseconds."""

    count: int
    p50: float
    p90: float
    p99: float
    p999: float
    max: float


class LatencyHistogram:
    """Counts in buckets of constant relative width.

    After Tene's HDR histogram (http://hdrhistogram.org), with a plain logarithm.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(N_BUCKETS, dtype=np.int64)
        self._max_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one latency, in seconds."""
        bucket = int(math.log(max(seconds, SHORTEST_S) / SHORTEST_S) / math.log(STEP))
        self._counts[min(bucket, N_BUCKETS - 1)] += 1
        self._max_s = max(self._max_s, seconds)

    def clear(self) -> None:
        """Forget all counts."""
        self._counts[:] = 0
        self._max_s = 0.0

    def percentiles(self) -> Percentiles:
        """Return the summary; all zero when nothing was counted."""
        total = int(self._counts.sum())
        if total == 0:
            return Percentiles(0, 0.0, 0.0, 0.0, 0.0, 0.0)
        ranks = np.ceil(np.array([0.5, 0.9, 0.99, 0.999]) * total)
        buckets = np.searchsorted(np.cumsum(self._counts), ranks)
        middle = SHORTEST_S * STEP ** (buckets + 0.5)
        p50, p90, p99, p999 = np.minimum(middle, self._max_s) * 1e3
        return Percentiles(total, float(p50), float(p90), float(p99), float(p999), self._max_s * 1e3)


class Telemetry:
    """What a session counts.

    Attributes
    ----------
    latency : dict of str to LatencyHistogram
        Per stage: ``receive`` (stamp to receipt), ``filter``, ``features``, ``engine``, ``decision``, ``publish``, and
        ``total`` (stamp of the last sample to published).
    counts : dict of str to int
        Samples, predictions and events by kind.
    """

    STAGES = ("receive", "filter", "features", "engine", "decision", "publish", "total")

    def __init__(self) -> None:
        self.latency = {stage: LatencyHistogram() for stage in self.STAGES}
        self.recent = {stage: LatencyHistogram() for stage in self.STAGES}
        self.counts = {"samples": 0, "predictions": 0}

    def time(self, stage: str, seconds: float) -> None:
        """Count a latency of one stage, in seconds."""
        self.latency[stage].add(seconds)
        self.recent[stage].add(seconds)

    def count(self, what: str, n: int = 1) -> None:
        """Add to a counter."""
        self.counts[what] = self.counts.get(what, 0) + n

    def take_recent(self) -> dict[str, Percentiles]:
        """Return the summaries since the last call, and start anew."""
        summaries = {stage: histogram.percentiles() for stage, histogram in self.recent.items()}
        for histogram in self.recent.values():
            histogram.clear()
        return summaries

    def summary(self) -> dict[str, Percentiles]:
        """Return the summaries of the whole session."""
        return {stage: histogram.percentiles() for stage, histogram in self.latency.items()}
