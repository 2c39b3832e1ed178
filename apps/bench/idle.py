"""The first prediction after seconds of silence: caches are cold, and a GPU has lowered its clocks."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from apps.bench.options import positive
from apps.bench.report import TIMES, Chart, Column, Report, Row, Table, times
from apps.bench.timing import Latencies
from apps.bench.workload import (
    DECISION,
    HOP_SAMPLES,
    LOG_MEL,
    N_FRAMES,
    NETWORK_KEY,
    PIPELINE,
    SIGNAL,
    WINDOW_SAMPLES,
    network,
    recording,
)
from bci.chunk import Chunk
from bci.decoder import Decoder, Prediction
from bci.engines.base import WarmEngine
from bci.errors import UsageError

WARM_S = 0.1  # between the calls that keep a device fast, in silence: about as often as the session, see `WarmEngine`
COLUMNS = (Column("n"), *TIMES, Column("engine", "ms"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--idle-s", type=positive, default=10.0, metavar="S", help="silence (default 10)")
    parser.add_argument("--repeats", type=int, default=6, metavar="N", help="of each silence (default 6)")
    parser.add_argument("--engine", default="auto", help="auto (default) or an engine of bci engines")


def bench(args: argparse.Namespace, progress: Callable[[str], None]) -> Report:
    """Measure in a loop, after silence, and after silence with what the session does in it."""
    from bci.engines.selection import build_engine

    if args.repeats < 1:
        raise UsageError(f"--repeats must be at least 1, got {args.repeats}.")
    example = np.zeros((1, SIGNAL.n_channels, LOG_MEL.n_mels, N_FRAMES), np.float32)
    n_late = PIPELINE.build().hop_frames
    engine, report = build_engine(args.engine, network(), example, NETWORK_KEY, n_late=n_late)
    stream = _Stream(Decoder(PIPELINE.build(), engine, DECISION, time.perf_counter))
    warm = engine.keep_warm if isinstance(engine, WarmEngine) else None

    def rehearsed() -> None:
        until = time.perf_counter() + args.idle_s
        while time.perf_counter() < until:
            time.sleep(min(WARM_S, args.idle_s))
            if warm is not None:
                warm()
        stream.decoder.rehearse()

    ways: dict[str, tuple[Callable[[], None], int]] = {
        "in a loop": (lambda: None, max(200, args.repeats)),
        f"after {args.idle_s:g} s": (lambda: time.sleep(args.idle_s), args.repeats),
        f"after {args.idle_s:g} s, as in a session": (rehearsed, args.repeats),
    }
    rows = []
    for label, (wait, n) in ways.items():
        progress(label)
        spent, inside = zip(*(stream.predict(wait) for _ in range(n)), strict=True)
        values = times(Latencies.of(np.array(spent)))
        rows.append(Row(label, {"n": n, **values, "engine": 1e3 * float(np.median(inside))}, ours="session" in label))
    return Report(
        bench="idle",
        table=Table(f"A push that completes a window, {report.name} {report.precision}", COLUMNS, tuple(rows)),
        chart=Chart(("p50", "max")),
        settings={"idle_s": args.idle_s, "repeats": args.repeats, "engine": report.name},
        notes=(
            "as in a session: a GPU is kept warm in the silence, and the decoder rehearses before the samples are due. "
            "A window that was cut by a silence of the stream itself starts anew: here the samples go on.",
        ),
    )


class _Stream:
    """A decoder at the last push before a prediction."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self._n = 0
        self._noise = recording(WINDOW_SAMPLES + HOP_SAMPLES, seed=0)
        while not self._push(HOP_SAMPLES):  # the first window
            pass

    def predict(self, wait: Callable[[], None]) -> tuple[float, float]:
        """Come to the last samples of a window, wait, and return the time of their push and of the engine in it."""
        missing = self.decoder.n_missing
        last = min(missing, 8)
        if missing > last:
            self._push(missing - last)
        wait()
        start = time.perf_counter()
        (prediction,) = self._push(last)
        return time.perf_counter() - start, prediction.ledger.engine_s

    def _push(self, n: int) -> list[Prediction]:
        start = self._n % WINDOW_SAMPLES
        stop = min(start + n, self._noise.shape[1])
        times_s = (self._n + np.arange(stop - start)) / SIGNAL.sfreq
        found = self.decoder.push(Chunk(self._noise[:, start:stop], self._n, times_s))
        self._n += stop - start
        return found
