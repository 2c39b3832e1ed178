"""The sides of the comparison under faults, each in a process of its own: the sender, our session, and mne-lsl."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from apps.bench.children import reply, stop_event
from apps.bench.counted import COUNTER, DECISION, EEG, SFREQ, CountedFeed, PowerEngine
from bci.decision import Decision, State
from bci.events import Event
from bci.sinks.base import Output, SessionInfo
from bci.sources.base import Received, StreamInfo

LOW_HZ, HIGH_HZ = 0.5, 40.0
WINDOW_S, HOP_S = 1.0, 0.25
BUFFER_S = 20.0  # of the peer
OPEN_TIMEOUT_S = 30.0
POLL_S = 0.001
IDENTITY = ("power", "00" * 32, "power", "fp64")


@dataclass(frozen=True, slots=True)
class Window:
    """One decoded window.

    Parameters
    ----------
    last_s : float
        Stamp of its last sample.
    peak_uv : float
        Largest magnitude of the filtered signal in it.
    trusted : bool
        Whether whoever decoded it said that it can be acted upon.
    """

    last_s: float
    peak_uv: float
    trusted: bool


@dataclass
class Account:
    """What one side has seen and said.

    Parameters
    ----------
    windows : list of Window
        In order.
    counts : ndarray of int64
        The counter of every sample that came, in order.
    stamps : ndarray of float64
        Their stamps.
    n_reported : int
        Samples that it said were lost.
    n_alarms : int
        Alarms that it raised.
    said : dict of str to int
        Events by kind, the regular ones aside.
    """

    windows: list[Window] = field(default_factory=list)
    counts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    stamps: np.ndarray = field(default_factory=lambda: np.empty(0))
    n_reported: int = 0
    n_alarms: int = 0
    said: dict[str, int] = field(default_factory=dict)

    def take(self, counts: np.ndarray, stamps: np.ndarray) -> None:
        """Note samples as they come."""
        self.counts = np.concatenate([self.counts, counts.astype(np.int64)])
        self.stamps = np.concatenate([self.stamps, stamps])

    @property
    def n_missing(self) -> int:
        """Samples that did not come between the first and the last that did, by the counter."""
        return int(self.counts[-1] - self.counts[0] + 1 - np.unique(self.counts).size) if self.counts.size else 0


def send(pipe: Connection, name: str, seconds: float, faults: Sequence[str], log: str) -> None:
    """Play the counted signal with faults; answer when its streams are there."""
    from bci.sources.faults import parse_fault
    from bci.sources.faulty_outlets import FaultSettings
    from bci.sources.lsl_player import lsl_player
    from bci.sources.player import PlayerSettings

    settings = FaultSettings(tuple(map(parse_fault, faults)), log=Path(log))
    feed = CountedFeed(seconds)
    player = lsl_player(feed, name, "counted", "counted", PlayerSettings(wait=True, linger_s=1.0), settings)
    stop_event(pipe, player.stop)
    reply(pipe, "ready")
    player.run()
    reply(pipe, "played")


class _Keeper:
    """Recorder and sink of our session."""

    def __init__(self, engine: PowerEngine) -> None:
        self.account = Account()
        self._engine = engine

    def open(self, info: StreamInfo | SessionInfo) -> None:
        """Find the counter."""
        if isinstance(info, StreamInfo):
            self._row = info.signal.names.index(COUNTER)

    def samples(self, received: Received) -> None:
        """Note what came."""
        self.account.take(received.data[self._row], received.times)

    def prediction(self, output: Output) -> None:
        """Note a window; the engine has just run it."""
        prediction = output.prediction
        trusted = prediction.state in (State.OK, State.WARNING, State.ALARM)
        self.account.windows.append(Window(prediction.time, self._engine.peak_uv, trusted))

    def event(self, event: Event) -> None:
        """Count what is said."""
        if event.kind in ("status", "ended"):
            return
        self.account.said[event.kind] = self.account.said.get(event.kind, 0) + 1
        if event.kind == "gap":
            self.account.n_reported += event.fields["n_lost"]
        self.account.n_alarms += event.kind == "alarm_on"

    def close(self) -> None:
        """Nothing to finish."""


def ours(pipe: Connection, stream: str) -> None:
    """Decode `stream` with a session until it ends; answer when ready and with the account."""
    import pylsl

    from bci.decoder import Decoder
    from bci.identity import Identity
    from bci.pipeline import PipelineSpec
    from bci.pipeline import Window as WindowSpec
    from bci.session import Session, SessionSettings
    from bci.sources.lsl_source import LslSource
    from bci.stages.filters import Bandpass

    engine = PowerEngine()
    keeper = _Keeper(engine)
    pipeline = PipelineSpec(EEG, (Bandpass(LOW_HZ, HIGH_HZ),), WindowSpec(WINDOW_S, HOP_S)).build()
    session = Session(
        LslSource(stream, resolve_timeout_s=OPEN_TIMEOUT_S),
        Decoder(pipeline, engine, DECISION, pylsl.local_clock),
        Identity(*IDENTITY),
        SessionSettings("faults"),
        None,
        [keeper],
        pylsl.local_clock,
        recorder=keeper,
    )
    stop_event(pipe, session.stop)
    reply(pipe, "ready")
    session.run()
    reply(pipe, keeper.account)


def peer(pipe: Connection, stream: str) -> None:
    """Decode `stream` with mne-lsl as a user writes it today, until the parent says stop; answer likewise.

    The same windows go through the same engine and the same alarm as on our side; nothing tells this side of faults.
    """
    from mne_lsl import set_log_level
    from mne_lsl.stream import StreamLSL

    set_log_level(logging.ERROR)
    stopped = stop_event(pipe)
    account, engine, decision = Account(), PowerEngine(), Decision(DECISION, HOP_S)
    reply(pipe, "ready")
    source: Any = StreamLSL(BUFFER_S, name=stream)
    source.connect(acquisition_delay=None, timeout=OPEN_TIMEOUT_S)
    source.filter(LOW_HZ, HIGH_HZ, picks=list(EEG.names))
    hop, n_window = round(HOP_S * SFREQ), round(WINDOW_S * SFREQ)
    left_over = 0  # samples that the last windows did not reach
    while not stopped.is_set():
        source.acquire()
        if source.n_new_samples < hop:
            time.sleep(POLL_S)
            continue
        data, stamps = source.get_data(BUFFER_S)
        fresh = stamps > (account.stamps[-1] if account.stamps.size else 0.0)
        account.take(data[-1, fresh], stamps[fresh])
        waiting = left_over + int(fresh.sum())
        left_over = waiting % hop
        for ago in range(waiting - hop, -1, -hop):
            stop = len(stamps) - ago
            if account.stamps.size < n_window + ago:
                continue
            logits = engine(data[None, :-1, stop - n_window : stop])[0]
            verdict = decision.step(logits, 1.0, settled=True)
            account.windows.append(Window(float(stamps[stop - 1]), engine.peak_uv, trusted=True))
            account.n_alarms += verdict.changed == "alarm_on"
    source.disconnect()
    reply(pipe, account)
