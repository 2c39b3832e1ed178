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
from apps.bench.hygiene import in_real_time
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


@dataclass(frozen=True, slots=True)
class Case:
    """Who reads, and how.

    Parameters
    ----------
    side : str
        Of `SIDES`.
    history_s : float
        Filtered samples kept at hand, in seconds.
    real_time : bool
        With real-time hygiene.
    """

    side: str
    history_s: float
    real_time: bool

    def __str__(self) -> str:
        """Return the label of its row."""
        return f"{self.side}, {self.history_s:g} s kept" + (", --realtime" if self.real_time else "")


def run_turn(case: Case, duration_s: float, seed: int) -> tuple[np.ndarray, float]:
    """Return the seconds from the stamp of the newest sample to the callback, and the share of a core.

    Raises
    ------
    StreamError
        If a process fails or no samples come.
    """
    stream = f"bci-callback-{uuid.uuid4().hex[:10]}"
    with children() as started:
        work, arguments = SIDES[case.side], (stream, case.history_s)
        reading = (
            Child(case.side, in_real_time, ((), work, *arguments))
            if case.real_time
            else Child(case.side, work, arguments)
        )
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
            f"Samples must reach {case.side} after the first {SETTLE_S:g} s, got none. "
            "Is LSL blocked on the loopback interface?"
        )
    return late, told.busy


def run(cases: tuple[Case, ...], n_rounds: int, duration_s: float, seed: int) -> dict[Case, tuple[Latencies, float]]:
    """Return latencies and the share of a core for each case, measured in turn."""
    found: dict[Case, list[tuple[np.ndarray, float]]] = {case: [] for case in cases}
    for k in range(n_rounds):
        for case in cases if k % 2 == 0 else cases[::-1]:
            found[case].append(run_turn(case, duration_s / n_rounds, seed + k))
    return {
        case: (Latencies.of(np.concatenate([late for late, _ in turns])), float(np.mean([busy for _, busy in turns])))
        for case, turns in found.items()
    }


def _told(calls: list[tuple[float, float]], busy: float) -> Callbacks:
    stamps, called_s = np.array(calls).reshape(-1, 2).T
    return Callbacks(stamps, called_s, busy)
