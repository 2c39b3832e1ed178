"""Filtered samples to a callback over real LSL, 64 channels at 1 kHz: ours and mne-lsl's, each with its own sender."""

from __future__ import annotations

import gc
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np

from apps.bench import sender
from apps.bench.children import Child, children, reply, stop_event
from apps.bench.stages import NAMES
from apps.bench.timing import Latencies
from bci.chunk import Signal, samples
from bci.errors import StreamError
from bci.ring import Ring

SIGNAL = Signal(1000.0, NAMES[:64])
CHUNK = 10
LOW_HZ, HIGH_HZ, NOTCH_HZ = 1.0, 40.0, 50.0
SETTLE_S, SLACK_S, OPEN_S = 2.0, 60.0, 60.0
ACQUISITION_DELAY_S = 0.001
READ_S = 0.05


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What one side did.

    Parameters
    ----------
    stamps, called_s : ndarray of float64, shape (n_calls,)
        Stamp of the newest sample of each call, and when it was made, in the LSL clock.
    busy : float
        Share of one core.
    """

    stamps: np.ndarray
    called_s: np.ndarray
    busy: float


def ours(pipe: Connection, stream: str, history_s: float) -> None:
    """Read, number, filter and keep what comes; note when each filtered chunk is at hand."""
    import pylsl

    from bci.clock import SampleClock
    from bci.pipeline import PipelineSpec, Window
    from bci.sources.lsl_source import LslSource
    from bci.stages.filters import Bandpass, Notch

    pipeline = PipelineSpec(SIGNAL, (Notch(NOTCH_HZ), Bandpass(LOW_HZ, HIGH_HZ)), Window(1.0, 1.0)).build()
    history = Ring(SIGNAL.shape, samples(history_s, SIGNAL.sfreq, "The history"))
    stopped = stop_event(pipe)
    reply(pipe, "ready")
    source = LslSource(stream, resolve_timeout_s=OPEN_S)
    counter = SampleClock(source.open().signal)
    calls: list[tuple[float, float]] = []
    gc.freeze()
    cpu_s, begun = time.process_time(), time.perf_counter()
    while not stopped.is_set():
        received = source.read(READ_S)
        for chunk in counter.number(received.data, received.times)[0]:
            history.push(pipeline.process(chunk.data, chunk.filled).data)
            calls.append((float(chunk.times[-1]), pylsl.local_clock()))
    busy = (time.process_time() - cpu_s) / (time.perf_counter() - begun)
    source.close()
    reply(pipe, _told(calls, busy))


def mne_lsl(pipe: Connection, stream: str, history_s: float) -> None:
    """Do the same with `StreamLSL` and its acquisition thread."""
    from mne_lsl import set_log_level
    from mne_lsl.lsl import local_clock
    from mne_lsl.stream import StreamLSL

    set_log_level(logging.ERROR)
    stopped = stop_event(pipe)
    reply(pipe, "ready")
    calls: list[tuple[float, float]] = []

    def called(data: np.ndarray, stamps: np.ndarray, info: object) -> tuple[np.ndarray, np.ndarray]:
        calls.append((float(stamps[-1]), local_clock()))
        return data, stamps

    source = StreamLSL(bufsize=history_s, name=stream)
    source.connect(acquisition_delay=ACQUISITION_DELAY_S, timeout=OPEN_S)
    source.notch_filter(NOTCH_HZ)
    source.filter(LOW_HZ, HIGH_HZ)
    source.add_callback(called)
    gc.freeze()
    cpu_s, begun = time.process_time(), time.perf_counter()
    stopped.wait()
    busy = (time.process_time() - cpu_s) / (time.perf_counter() - begun)
    source.disconnect()
    reply(pipe, _told(calls, busy))


SIDES: dict[str, Callable[..., None]] = {"ours": ours, "mne-lsl": mne_lsl}


def run_turn(side: str, history_s: float, duration_s: float, seed: int) -> tuple[np.ndarray, float]:
    """Return the seconds from the stamp of the newest sample to the callback, and the share of a core.

    Raises
    ------
    StreamError
        If a process fails or no samples come.
    """
    stream = f"bci-callback-{uuid.uuid4().hex[:10]}"
    with children() as started:
        reading = Child(side, SIDES[side], (stream, history_s))
        started.append(reading)
        reading.answer(SLACK_S)
        sending = Child("sending", sender.send, (stream, 0.0, duration_s + SETTLE_S, seed, SIGNAL, CHUNK))
        started.append(sending)
        sent = sending.answer(duration_s + SETTLE_S + SLACK_S)
        reading.stop()
        told: Callbacks = reading.answer(SLACK_S)
        sending.stop()
    late = (told.called_s - told.stamps)[told.stamps >= sent.stamps[0] + SETTLE_S]
    if not late.size:
        raise StreamError(
            f"Samples must reach {side} after the first {SETTLE_S:g} s, got none. "
            "Is LSL blocked on the loopback interface?"
        )
    return late, told.busy


def run(
    n_rounds: int, duration_s: float, histories_s: tuple[float, ...], sides: tuple[str, ...], seed: int
) -> dict[tuple[str, float], tuple[Latencies, float]]:
    """Return latencies and the share of a core for each side and history, measured in turn."""
    cases = [(side, history_s) for history_s in histories_s for side in sides]
    found: dict[tuple[str, float], list[tuple[np.ndarray, float]]] = {case: [] for case in cases}
    for k in range(n_rounds):
        for side, history_s in cases if k % 2 == 0 else cases[::-1]:
            found[side, history_s].append(run_turn(side, history_s, duration_s / n_rounds, seed + k))
    return {
        case: (Latencies.of(np.concatenate([late for late, _ in turns])), float(np.mean([busy for _, busy in turns])))
        for case, turns in found.items()
    }


def _told(calls: list[tuple[float, float]], busy: float) -> Callbacks:
    stamps, called_s = np.array(calls).reshape(-1, 2).T
    return Callbacks(stamps, called_s, busy)
