"""A session for hours, from a source in this process that is faster than the clock: no window lost, no memory gained.

LSL has no flow control: pushed flat out it drops silently. So the samples come from a function call.
"""

from __future__ import annotations

import gc
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from apps.bench.counted import PowerEngine
from bci.chunk import Signal
from bci.decision import AlarmSpec, DecisionSpec
from bci.decoder import Decoder
from bci.identity import Identity
from bci.session import Session, SessionSettings
from bci.sources.base import Marker, Received, StreamInfo
from tests.bundles import mel_pipeline

SFREQ, CHUNK = 256.0, 64
SIGNAL = Signal(SFREQ, tuple(f"E{i}" for i in range(19)))
NOISE_CHUNKS = 512
MAX_GROWTH = 0.05
HOP_S, WINDOW_S = 0.25, 2.0  # of `mel_pipeline`


class Flood:
    """As many chunks as are asked for, stamped by sample count, measuring memory on the way."""

    def __init__(self, seconds, measure):
        self._n_chunks = round(seconds * SFREQ / CHUNK)
        self._noise = np.random.default_rng(5).normal(0, 20, (19, NOISE_CHUNKS * CHUNK)).astype(np.float32)
        self._measure, self._k = measure, 0
        self.memory = {}

    def open(self):
        return StreamInfo("flood", SIGNAL, n_samples=self._n_chunks * CHUNK)

    def now(self):
        return self._k * CHUNK / SFREQ

    def read(self, timeout_s):
        start = self._k * CHUNK
        if self._k in (self._n_chunks // 5, self._n_chunks - 1):  # after the warm-up, and at the end
            gc.collect()
            self.memory[self._k] = self._measure()
        at = self._k % NOISE_CHUNKS * CHUNK
        self._k += 1
        times = np.arange(start, start + CHUNK) / SFREQ
        ended = self._k == self._n_chunks
        markers = (Marker("end", float(times[-1]), {"n_samples": self._k * CHUNK}),) if ended else ()
        return Received(self._noise[:, at : at + CHUNK], times, float(times[-1]), markers, ended)

    def close(self):
        pass


class Numbers:
    """A sink that checks that predictions follow each other, and keeps none."""

    def __init__(self):
        self.n, self.last = 0, None

    def open(self, info):
        pass

    def prediction(self, output):
        prediction = output.prediction
        assert prediction.index == self.n
        assert self.last is None or prediction.last_sample - self.last == HOP_S * SFREQ
        self.n, self.last = self.n + 1, prediction.last_sample

    def event(self, event):
        assert event.kind in ("status", "ended", "alarm_on", "alarm_off"), event

    def close(self):
        pass


def soak(seconds, measure):
    """Decode `seconds` of signal; return the memory after the warm-up and at the end."""
    flood, numbers = Flood(seconds, measure), Numbers()
    decision = DecisionSpec(("background", "seizure"), smoothing_s=1.0, alarm=AlarmSpec("seizure", 0.6, 0.4, k=2, n=3))
    decoder = Decoder(mel_pipeline(SIGNAL).build(), PowerEngine(), decision)
    session = Session(
        flood,
        decoder,
        Identity("power", "00" * 32, "power", "fp64"),
        SessionSettings("soak"),
        None,
        [numbers],
        flood.now,
    )
    summary = session.run()
    n_samples = round(seconds * SFREQ)
    assert summary.counts["samples"] == n_samples
    assert summary.counts.get("dropped", 0) == 0
    lead = 128 // CHUNK  # the first window waits for the first frame
    assert numbers.n in range(round((seconds - WINDOW_S) / HOP_S) - lead, round((seconds - WINDOW_S) / HOP_S) + 2)
    assert n_samples - numbers.last <= HOP_S * SFREQ
    before, after = flood.memory.values()
    return before, after


def resident():
    """Return the memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_ten_minutes_lose_no_window_and_gain_no_memory():
    tracemalloc.start()
    try:
        before, after = soak(600.0, lambda: tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert after < (1 + MAX_GROWTH) * before


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not tell resident memory")
def test_a_day_loses_no_window_and_gains_no_memory():
    before, after = soak(86400.0, resident)
    assert after < (1 + MAX_GROWTH) * before
