"""The sender and the control process of the latency benchmark."""

from __future__ import annotations

import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np

from apps.bench.children import reply, stop_event
from apps.bench.workload import CHUNK_SAMPLES, SIGNAL, recording
from bci.chunk import Signal

LOOP_S = 30  # length of the noise that is sent again and again
SPIN_S = 0.0005  # time.sleep wakes up to this late; the rest is spent looking at the clock
CONSUMER_WAIT_S = 90.0
CONTROL_EVERY_S = CHUNK_SAMPLES / SIGNAL.sfreq


@dataclass(frozen=True, slots=True)
class Sent:
    """What the sender did in real time.

    Parameters
    ----------
    stamps : ndarray of float64, shape (n_chunks,)
        LSL stamp of the newest sample of each chunk: when it was due.
    pushed_s : ndarray of float64, shape (n_chunks,)
        LSL clock right before the chunk was pushed.
    """

    stamps: np.ndarray
    pushed_s: np.ndarray


def send(
    pipe: Connection,
    name: str,
    history_s: float,
    duration_s: float,
    seed: int,
    signal: Signal = SIGNAL,
    n_chunk: int = CHUNK_SAMPLES,
) -> None:
    """Send `history_s` of the past at once, then `duration_s` at the pace of the clock.

    Chunks are due on an absolute schedule and stamped with the time when they were due, so a late chunk delays no
    other. The outlet stays until the parent says stop.
    """
    import pylsl

    noise = np.ascontiguousarray(
        recording(round(LOOP_S * signal.sfreq) // n_chunk * n_chunk, seed, signal.n_channels).T
    )
    info = pylsl.StreamInfo(name, "EEG", signal.n_channels, signal.sfreq, "float32", name)
    channels = info.desc().append_child("channels")
    for label in signal.names:
        channel = channels.append_child("channel")
        for key, value in (("label", label), ("type", "EEG"), ("unit", "uV")):
            channel.append_child_value(key, value)
    stopped = stop_event(pipe)
    outlet = pylsl.StreamOutlet(info)
    waited_until = time.monotonic() + CONSUMER_WAIT_S
    while not outlet.wait_for_consumers(0.2):
        if stopped.is_set() or time.monotonic() > waited_until:
            return
    chunk_s = n_chunk / signal.sfreq
    n_past, n_now = round(history_s / chunk_s), round(duration_s / chunk_s)
    ages = (np.arange(n_chunk) - (n_chunk - 1)) / signal.sfreq
    first_s = pylsl.local_clock() + chunk_s
    due = first_s + chunk_s * np.arange(-n_past, n_now)
    pushed = np.zeros(n_now)
    for k, due_s in enumerate(due):
        start = k * n_chunk % len(noise)
        rows, stamps = noise[start : start + n_chunk], (due_s + ages).tolist()
        if k >= n_past:
            time.sleep(max(0.0, due_s - pylsl.local_clock() - SPIN_S))
            while pylsl.local_clock() < due_s:
                pass
            if stopped.is_set():
                return
            pushed[k - n_past] = pylsl.local_clock()
        outlet.push_chunk(rows, stamps)
    reply(pipe, Sent(due[n_past:], pushed))
    stopped.wait()


def control(pipe: Connection) -> None:
    """Sleep until absolute times and note how late it wakes up, until the parent says stop.

    What this process misses, no program on the machine could have met.
    """
    stopped = stop_event(pipe)
    late: list[float] = []
    due = time.monotonic()
    while not (late and stopped.is_set()):  # at least once
        due += CONTROL_EVERY_S
        time.sleep(max(0.0, due - time.monotonic()))
        late.append(time.monotonic() - due)
    reply(pipe, np.array(late))
