"""Recordings by BrainFlow, for playback: short ones that it made itself, and longer ones in the same form."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bci.chunk import Signal
from bci.pipeline import PipelineSpec, Window
from bci.sources.brainflow_boards import find_board, load_brainflow
from bci.stages.channels import AverageReference
from bci.stages.filters import Bandpass
from bci.stages.logmel import LogMel

NUMBER, FIRST, LAST, TIME = 0, 1, 17, 30  # rows of the synthetic board
SIGNAL = Signal(250.0, find_board("synthetic").channels)


def pipeline(signal: Signal = SIGNAL) -> PipelineSpec:
    """Return a small log-mel pipeline at 250 Hz: a frame every 0.1 s, 1 s windows every 0.5 s."""
    log_mel = LogMel(n_fft=128, win_length=128, hop_length=25, n_mels=16, low_hz=1.0, high_hz=40.0)
    stages = (Bandpass(1.0, 40.0), AverageReference(), log_mel)
    return PipelineSpec(signal, stages, Window(length_s=1.0, hop_s=0.5), reference_hz=10.0)


def record(path: Path, n_samples: int) -> None:
    """Let BrainFlow record its synthetic board into a file."""
    shim = load_brainflow()
    shim.BoardShim.disable_board_logger()
    board = shim.BoardShim(shim.BoardIds.SYNTHETIC_BOARD.value, shim.BrainFlowInputParams())
    board.prepare_session()
    try:
        board.start_stream(45000, f"file://{path}:w")
        while board.get_board_data_count() < n_samples:
            time.sleep(0.02)  # BrainFlow cannot be waited for
        board.stop_stream()
    finally:
        board.release_session()


def extend(path: Path, data: np.ndarray, lost: list[tuple[int, int]]) -> None:
    """Make a recording longer: its rows again and again, with other EEG, numbers and times that go on.

    Parameters
    ----------
    path : Path
        Recording of the synthetic board; replaced.
    data : ndarray, shape (16, n_samples)
        EEG, in µV.
    lost : list of (int, int)
        Stretches ``[start, stop)`` that are left out.
    """
    rows = np.loadtxt(path)
    n = data.shape[1]
    table = rows[np.arange(n) % len(rows)]
    table[:, NUMBER] = np.arange(n) % 256
    table[:, TIME] = rows[0, TIME] + np.arange(n) / SIGNAL.sfreq
    table[:, FIRST:LAST] = data.T
    kept = np.ones(n, dtype=bool)
    for start, stop in lost:
        kept[start:stop] = False
    np.savetxt(path, table[kept], fmt="%.6f", delimiter="\t")


@dataclass(frozen=True)
class Numbers:
    """What a file of `extend` holds, as a recording that offline code can read."""

    data: np.ndarray
    gaps: tuple[tuple[int, int], ...]
    signal: Signal = SIGNAL
    path: Path = Path("numbers.csv")

    @property
    def n_samples(self) -> int:
        return self.data.shape[1]

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.data[:, start:stop]


def read_back(path: Path, n_samples: int, lost: list[tuple[int, int]]) -> Numbers:
    """Return the samples of a file, at their places."""
    data = np.full((SIGNAL.n_channels, n_samples), np.nan, dtype=np.float32)
    kept = np.ones(n_samples, dtype=bool)
    for start, stop in lost:
        kept[start:stop] = False
    data[:, kept] = np.loadtxt(path)[:, FIRST:LAST].T.astype(np.float32)
    return Numbers(data, tuple(lost))
