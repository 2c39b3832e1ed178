"""Cost of keeping history: the mirrored ring beside a rolled buffer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from apps.bench import machine
from apps.bench.workload import CHUNK_SAMPLES, SIGNAL, WINDOW_SAMPLES
from bci.ring import Ring

HISTORIES_S = (10.0, 600.0)
CHANNELS = (19, 64)
MIN_REPEATS = 30


@dataclass(frozen=True, slots=True)
class RingRow:
    """Median cost of one call, in microseconds.

    Parameters
    ----------
    n_channels : int
    history_s : float
    push_us : float
        `Ring.push` of 8 samples.
    window_us : float
        `Ring.newest` of 10 s: a contiguous view.
    roll_push_us : float
        ``numpy.roll`` of the whole history, then writing 8 samples.
    roll_window_us : float
        The newest 10 s of that buffer: a view, too.
    """

    n_channels: int
    history_s: float
    push_us: float
    window_us: float
    roll_push_us: float
    roll_window_us: float


def run(seconds: float, seed: int = 0) -> list[RingRow]:
    """Measure all combinations, about `seconds` each."""
    rng = np.random.default_rng(seed)
    return [_row(n, history_s, seconds, rng) for n in CHANNELS for history_s in HISTORIES_S]


def to_dict(rows: list[RingRow]) -> dict[str, Any]:
    """Return JSON values."""
    return {"bench": "ring", "rows": [asdict(row) for row in rows], "machine": machine.describe()}


def _row(n_channels: int, history_s: float, seconds: float, rng: np.random.Generator) -> RingRow:
    capacity = round(history_s * SIGNAL.sfreq)
    chunk = rng.standard_normal((n_channels, CHUNK_SAMPLES)).astype(np.float32)
    ring = Ring((n_channels,), capacity)
    ring.push(rng.standard_normal((n_channels, capacity)).astype(np.float32))
    rolled = rng.standard_normal((capacity, n_channels)).astype(np.float32)
    rows = np.ascontiguousarray(chunk.T)

    def roll() -> None:
        nonlocal rolled
        rolled = np.roll(rolled, -CHUNK_SAMPLES, axis=0)
        rolled[-CHUNK_SAMPLES:] = rows

    share = seconds / 4
    return RingRow(
        n_channels,
        history_s,
        median_us(lambda: ring.push(chunk), share),
        median_us(lambda: ring.newest(WINDOW_SAMPLES), share),
        median_us(roll, share),
        median_us(lambda: rolled[-WINDOW_SAMPLES:], share),
    )


def median_us(call: Callable[[], object], seconds: float) -> float:
    """Return the median time of a call, in microseconds, from as many as fit into `seconds` (at least 30)."""
    spent: list[float] = []
    until = time.perf_counter() + seconds
    while len(spent) < MIN_REPEATS or time.perf_counter() < until:
        start = time.perf_counter()
        call()
        spent.append(time.perf_counter() - start)
    return 1e6 * float(np.median(spent))
