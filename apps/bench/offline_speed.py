"""Whole-recording scoring, and the streaming decoder fed as fast as it goes: how many times faster than real time."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from apps.bench import machine
from apps.bench.workload import (
    CHUNK_SAMPLES,
    DECISION,
    LOG_MEL,
    N_FRAMES,
    NETWORK_KEY,
    PIPELINE,
    SIGNAL,
    WINDOW_SAMPLES,
    network,
    recording,
)
from bci.errors import UsageError

SHORTEST_S = 2 * WINDOW_SAMPLES / SIGNAL.sfreq


@dataclass(frozen=True, slots=True)
class SpeedRow:
    """Time to decode one recording.

    Parameters
    ----------
    path, engine : str
        ``whole recording`` or ``streaming``, and what computed.
    n_predictions : int
    spent_s : float
        In seconds, reading the file included.
    times_real_time : float
        Length of the recording over `spent_s`.
    """

    path: str
    engine: str
    n_predictions: int
    spent_s: float
    times_real_time: float


def run(length_s: float, engine: str, seed: int = 0) -> list[SpeedRow]:
    """Write a recording of `length_s` seconds to a temporary FIF file and decode it in both ways."""
    import mne
    import torch

    from bci.clock import SampleClock
    from bci.decoder import Decoder
    from bci.engines.selection import build_engine
    from bci.sources.file_source import FileSource
    from bci.sources.recording import open_recording
    from offline.score import score_recording

    if not length_s >= SHORTEST_S:
        raise UsageError(f"--length must be at least {SHORTEST_S:g} s, got {length_s:g}.")
    torch.set_num_threads(1)
    example = np.zeros((1, SIGNAL.n_channels, LOG_MEL.n_mels, N_FRAMES), np.float32)
    built, report = build_engine(engine, network(), example, NETWORK_KEY)
    rows = []
    with tempfile.TemporaryDirectory(prefix="bci-bench-") as folder:
        path = Path(folder) / "noise_raw.fif"
        volts = recording(round(length_s * SIGNAL.sfreq), seed) * 1e-6
        info = mne.create_info(list(SIGNAL.names), SIGNAL.sfreq, "eeg")
        mne.io.RawArray(volts, info, verbose="error").save(path, verbose="error")
        file = open_recording(path)
        started = time.perf_counter()
        n = len(score_recording(file, PIPELINE, built, DECISION))
        rows.append(_row("whole recording", report.name, n, time.perf_counter() - started, length_s))
        source = FileSource(file, CHUNK_SAMPLES)
        counter = SampleClock(source.open().signal)
        decoder = Decoder(PIPELINE.build(), built, DECISION)
        started = time.perf_counter()
        ended = False
        while not ended:
            received = source.read(0.0)
            ended = received.ended
            for chunk in counter.number(received.data, received.times)[0]:
                decoder.push(chunk)
        rows.append(_row("streaming", report.name, decoder.n_predictions, time.perf_counter() - started, length_s))
        source.close()
        file.close()
    return rows


def to_dict(rows: list[SpeedRow], length_s: float) -> dict[str, Any]:
    """Return JSON values."""
    return {
        "bench": "decode",
        "length_s": length_s,
        "rows": [asdict(row) for row in rows],
        "machine": machine.describe(),
    }


def _row(path: str, engine: str, n: int, spent_s: float, length_s: float) -> SpeedRow:
    return SpeedRow(path, engine, n, spent_s, length_s / spent_s)
