"""Time of calls, measured in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

BLOCK_S = 0.005  # calls in a row, so that each contender also meets its own warm caches
MAX_BLOCK = 200
MIN_BLOCKS = 3


@dataclass(frozen=True, slots=True)
class Latencies:
    """Summary of latencies, in milliseconds; percentiles of the sorted values, not interpolated."""

    n: int
    p50: float
    p99: float
    p999: float
    max: float

    @classmethod
    def of(cls, seconds: np.ndarray) -> Latencies:
        """Summarise latencies in seconds; at least one."""
        p50, p99, p999, largest = 1e3 * np.percentile(seconds, [50, 99, 99.9, 100], method="higher")
        return cls(len(seconds), float(p50), float(p99), float(p999), float(largest))


@dataclass(frozen=True, slots=True)
class Calls(Latencies):
    """Latencies of calls, with the median and the mean of the processor time of all threads, in milliseconds.

    On a busy machine a call waits for a core, and the processor time says what it would take on a free one.
    """

    cpu: float
    cpu_mean: float


def in_turn(calls: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, Calls]:
    """Measure each call again and again, in turn, so that a busy moment of the machine meets all of them.

    Parameters
    ----------
    calls : mapping of str to callable
        By name.
    seconds : float
        Spent on each, about; at least three blocks of calls are made.

    Returns
    -------
    latencies : dict of str to Calls
    """
    blocks = {}
    for name, call in calls.items():
        call()
        once = min(wall for wall, _ in _spent(call, 3))
        blocks[name] = int(np.clip(BLOCK_S / max(once, 1e-9), 1, MAX_BLOCK))
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    until = time.perf_counter() + seconds * len(calls)
    n_done = 0
    while n_done < MIN_BLOCKS or time.perf_counter() < until:
        for name, call in calls.items():
            spent[name] += _spent(call, blocks[name])
        n_done += 1
    return {name: _summary(np.array(times)) for name, times in spent.items()}


def _summary(times_s: np.ndarray) -> Calls:
    wall = Latencies.of(times_s[:, 0])
    cpu_s = times_s[:, 1]
    return Calls(
        wall.n, wall.p50, wall.p99, wall.p999, wall.max, 1e3 * float(np.median(cpu_s)), 1e3 * float(cpu_s.mean())
    )


def _spent(call: Callable[[], object], n: int) -> list[tuple[float, float]]:
    """Return the time by the clock and of the processor for each call, in seconds."""
    times = []
    for _ in range(n):
        cpu_s, start = time.process_time(), time.perf_counter()
        call()
        end = time.perf_counter()
        times.append((end - start, time.process_time() - cpu_s))
    return times
