"""Filtering a chunk, as we, mne-lsl, ezmsg and BrainFlow do it: each in a process of its own, asked in turn."""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np
from scipy.signal import butter

from apps.bench.children import STOP, Child, children, reply
from apps.bench.mne_lsl_filter import mne_lsl_filter
from apps.bench.stages import NAMES
from apps.bench.timing import Latencies
from bci.chunk import Signal
from bci.errors import StreamError
from bci.pipeline import PipelineSpec, Window
from bci.stages.filters import Bandpass

SFREQ, N_CHANNELS, CHUNK = 1000.0, 64, 10
LOW_HZ, HIGH_HZ, ORDER = 1.0, 40.0, 4
WINDOW_S = 1.0
WARM_UP, BURST = 200, 200
ANSWER_S = 120.0
INSTALL = {
    "mne-lsl": "pip install mne-lsl",
    "ezmsg": "pip install ezmsg-sigproc",
    "BrainFlow": "pip install brainflow",
}

Process = Callable[[np.ndarray], object]


def ours() -> Process:
    """Return our pipeline of one band-pass, the gate included."""
    spec = PipelineSpec(Signal(SFREQ, NAMES[:N_CHANNELS]), (Bandpass(LOW_HZ, HIGH_HZ, ORDER),), Window(1.0, 1.0))
    return spec.build().process


def mne_lsl() -> Process:
    """Return what `StreamLSL` does with what it has pulled."""
    return mne_lsl_filter(
        Signal(SFREQ, NAMES[:N_CHANNELS]), [butter(ORDER, (LOW_HZ, HIGH_HZ), "bandpass", fs=SFREQ, output="sos")]
    )


def ezmsg() -> Process:
    """Return ezmsg-sigproc's Butterworth filter, fed with messages by a call, not over its graph."""
    design = importlib.import_module("ezmsg.sigproc.butterworthfilter")  # optional, and without types
    message = importlib.import_module("ezmsg.util.messages.axisarray").AxisArray
    settings = design.ButterworthFilterSettings(order=ORDER, cuton=LOW_HZ, cutoff=HIGH_HZ, coef_type="sos")
    run = design.ButterworthFilterTransformer(settings)

    def process(x: np.ndarray) -> object:
        axes = {"time": message.TimeAxis(fs=SFREQ)}
        return run(message(x.T.astype(np.float64), dims=["time", "ch"], axes=axes, key="bench"))

    return process


def brainflow() -> Process:
    """Return BrainFlow's band-pass over the newest second, channel by channel: its filters keep no state."""
    from brainflow.data_filter import DataFilter, FilterTypes

    n = round(WINDOW_S * SFREQ)
    window = np.zeros((N_CHANNELS, n))

    def filter_row(row: np.ndarray) -> None:
        DataFilter.perform_bandpass(row, int(SFREQ), LOW_HZ, HIGH_HZ, ORDER, FilterTypes.BUTTERWORTH, 0)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)  # what loads its library
        filter_row(np.zeros(n))

    def process(x: np.ndarray) -> object:
        window[:, :-CHUNK] = window[:, CHUNK:]
        window[:, -CHUNK:] = x
        filtered = window.copy()
        for row in filtered:
            filter_row(row)
        return filtered

    return process


SIDES: dict[str, Callable[[], Process]] = {"ours": ours, "mne-lsl": mne_lsl, "ezmsg": ezmsg, "BrainFlow": brainflow}


def serve(pipe: Connection, side: str, seed: int) -> None:
    """Time a burst of chunks whenever the parent asks, until it says stop; answer first when ready."""
    process = SIDES[side]()
    noise = (20.0 * np.random.default_rng(seed).standard_normal((N_CHANNELS, CHUNK * BURST))).astype(np.float32)
    chunks = [np.ascontiguousarray(noise[:, k : k + CHUNK]) for k in range(0, noise.shape[1], CHUNK)]
    for _ in range(-(-WARM_UP // BURST)):
        for chunk in chunks:
            process(chunk)
    reply(pipe, "ready")
    while pipe.recv() != STOP:
        spent = []
        for chunk in chunks:
            start = time.perf_counter()
            process(chunk)
            spent.append(time.perf_counter() - start)
        reply(pipe, np.array(spent))


def run(n_bursts: int, seed: int, sides: tuple[str, ...] = tuple(SIDES)) -> tuple[dict[str, Latencies], list[str]]:
    """Return the time of a chunk for each side, and notes on those that cannot be measured."""
    spent: dict[str, list[np.ndarray]] = {}
    notes = []
    with children() as started:
        asked: dict[str, Child] = {}
        for side in sides:
            started.append(Child(side, serve, (side, seed)))
            asked[side] = started[-1]
        for side, child in tuple(asked.items()):
            try:
                child.answer(ANSWER_S)
            except StreamError as error:
                hint = f" ({INSTALL[side]})" if side in INSTALL else ""
                notes.append(f"Filtering by {side} was not measured{hint}: {error}")
                del asked[side]
        for _ in range(n_bursts):
            for side, child in asked.items():
                child.ask()
                spent.setdefault(side, []).append(child.answer(ANSWER_S))
        for child in asked.values():
            child.stop()
    return {side: Latencies.of(np.concatenate(bursts)) for side, bursts in spent.items()}, notes
