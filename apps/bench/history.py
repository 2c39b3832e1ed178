"""Cost of keeping history: the mirrored ring beside a rolled buffer, from 10 s to 600 s."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from apps.bench.options import numbers, positive, seed
from apps.bench.report import Chart, Column, Report, Row, Table, whole
from apps.bench.timing import in_turn
from apps.bench.workload import CHUNK_SAMPLES, SIGNAL, WINDOW_SAMPLES
from bci.ring import Ring

CHANNELS = (19.0, 64.0)
HISTORIES_S = (10.0, 60.0, 300.0, 600.0)
COLUMNS = (
    Column("channels"),
    Column("history", "s"),
    Column("push", "µs"),
    Column("push_p99", "µs"),
    Column("window", "µs"),
    Column("rolled_push", "µs"),
    Column("rolled_window", "µs"),
    Column("ratio", "×"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--seconds", type=positive, default=0.5, metavar="S", help="spent per call and row (default 0.5)"
    )
    parser.add_argument("--channels", type=numbers, default=CHANNELS, metavar="N,…", help="default 19,64")
    parser.add_argument("--histories", type=numbers, default=HISTORIES_S, metavar="S,…", help="default 10,60,300,600")
    parser.add_argument("--seed", type=seed, default=0, help="of the noise that is pushed (default 0)")


def bench(args: argparse.Namespace, progress: Callable[[str], None]) -> Report:
    """Measure all combinations."""
    rng = np.random.default_rng(args.seed)
    rows = []
    for n_channels in whole(args.channels):
        for history_s in args.histories:
            progress(f"{n_channels} channels, {history_s:g} s")
            rows.append(_row(n_channels, max(history_s, WINDOW_SAMPLES / SIGNAL.sfreq), args.seconds, rng))
    title = f"Median cost of a push of {CHUNK_SAMPLES} samples at 256 Hz, and of a window of 10 s"
    return Report(
        bench="history",
        table=Table(title, COLUMNS, tuple(rows)),
        chart=Chart(("push", "rolled_push"), "history", "channels"),
        settings={"seconds": args.seconds, "seed": args.seed},
        notes=(
            "rolled: numpy.roll of the whole history for each push, as mne-lsl does. ratio: rolled push over push.",
        ),
    )


def _row(n_channels: int, history_s: float, seconds: float, rng: np.random.Generator) -> Row:
    capacity = round(history_s * SIGNAL.sfreq)
    chunk = rng.standard_normal((n_channels, CHUNK_SAMPLES)).astype(np.float32)
    ring = Ring((n_channels,), capacity)
    ring.push(rng.standard_normal((n_channels, capacity)).astype(np.float32))
    rolled = rng.standard_normal((capacity, n_channels)).astype(np.float32)
    newest = np.ascontiguousarray(chunk.T)

    def roll() -> None:
        nonlocal rolled
        rolled = np.roll(rolled, -CHUNK_SAMPLES, axis=0)
        rolled[-CHUNK_SAMPLES:] = newest

    found = in_turn(
        {
            "push": lambda: ring.push(chunk),
            "window": lambda: ring.newest(WINDOW_SAMPLES),
            "rolled_push": roll,
            "rolled_window": lambda: rolled[-WINDOW_SAMPLES:],
        },
        seconds,
    )
    values = {name: 1e3 * latencies.p50 for name, latencies in found.items()}
    more = {"push_p99": 1e3 * found["push"].p99, "ratio": found["rolled_push"].p50 / found["push"].p50}
    return Row(
        f"{n_channels} channels, {history_s:g} s",
        {"channels": n_channels, "history": history_s, **values, **more},
    )
