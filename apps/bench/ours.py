"""Our side of the latency benchmark: a real session in its own process."""

from __future__ import annotations

import gc
import time
from multiprocessing.connection import Connection

import numpy as np

from apps.bench.children import reply, stop_event
from apps.bench.trace import Trace
from apps.bench.workload import DECISION, LOG_MEL, N_FRAMES, NETWORK_KEY, PIPELINE, SIGNAL, network
from bci.chunk import samples
from bci.events import Event
from bci.ring import Ring
from bci.sinks.base import Output, SessionInfo
from bci.sources.base import Received, Source, StreamInfo

RESOLVE_TIMEOUT_S = 60.0


class HistorySource:
    """A source whose samples stay at hand for `history_s`, as for a monitor or a recorder."""

    def __init__(self, source: Source, history_s: float) -> None:
        self._source = source
        self.history = Ring(SIGNAL.shape, samples(history_s, SIGNAL.sfreq, "The history"))

    def open(self) -> StreamInfo:
        """Open the source."""
        return self._source.open()

    def read(self, timeout_s: float) -> Received:
        """Read and remember."""
        received = self._source.read(timeout_s)
        self.history.push(received.data)
        return received

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class TraceSink:
    """Keeps the times of every prediction; comes after the outlet, so that publishing is included."""

    def __init__(self) -> None:
        self.outputs: list[tuple[float, float, dict[str, float]]] = []
        self.events: dict[str, int] = {}

    def open(self, info: SessionInfo) -> None:
        """Nothing to prepare."""

    def prediction(self, output: Output) -> None:
        """Remember when it was published, and its ledger."""
        self.outputs.append((output.prediction.time, output.published_s or 0.0, output.stages_s()))

    def event(self, event: Event) -> None:
        """Count events, the regular ones aside."""
        if event.kind not in ("status", "ended"):
            self.events[event.kind] = self.events.get(event.kind, 0) + 1

    def close(self) -> None:
        """Nothing to finish."""


def decode(pipe: Connection, stream: str, out: str, engine: str, history_s: float, n_threads: int) -> None:
    """Serve the reference workload on `stream` until the parent says stop; answer when ready and at the end."""
    import pylsl
    import torch

    from bci.anticipation import LEAD_S
    from bci.decoder import Decoder
    from bci.engines.selection import build_engine
    from bci.identity import Identity
    from bci.session import Session, SessionSettings
    from bci.sinks.lsl_sink import LslSink
    from bci.sources.lsl_source import LslSource

    torch.set_num_threads(n_threads)
    example = np.random.default_rng(0).normal(30.0, 10.0, (1, SIGNAL.n_channels, LOG_MEL.n_mels, N_FRAMES))
    started = time.perf_counter()
    built, report = build_engine(
        engine, network(), example.astype(np.float32), NETWORK_KEY, n_late=PIPELINE.build().hop_frames
    )
    decoder = Decoder(PIPELINE.build(), built, DECISION, pylsl.local_clock)
    build_s = time.perf_counter() - started
    trace = TraceSink()
    session = Session(
        HistorySource(LslSource(stream, resolve_timeout_s=RESOLVE_TIMEOUT_S), history_s),
        decoder,
        Identity("bench-reference", PIPELINE.sha256(), report.name, report.precision),
        SessionSettings(out, anticipation_s=LEAD_S),
        LslSink(),
        [trace],
        pylsl.local_clock,
    )
    stop_event(pipe, session.stop)
    reply(pipe, (report.name, build_s))
    gc.freeze()  # as `bci run` does
    cpu_s = time.process_time()
    begun = time.perf_counter()
    session.run()
    busy = (time.process_time() - cpu_s) / (time.perf_counter() - begun)
    reply(pipe, Trace.of(trace.outputs, busy, trace.events))
