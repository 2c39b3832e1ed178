"""What each step of real-time hygiene does to the latency: with all, with all but one, with none."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from apps.bench import e2e, ours
from apps.bench.children import private_lsl
from apps.bench.hygiene import missing_hygiene
from apps.bench.options import positive
from apps.bench.report import TIMES, Chart, Column, Report, Row, Table, times
from bci.errors import UsageError
from bci.realtime import step_back

STEPS = ("awake", "priority", "memory", "switch", "threads", "collector")
"""Without ``affinity``: it does nothing unless processors are named."""
NONE, ALL = "ordinary", "all steps"
DRAW_S, FRAME_S = 0.01, 0.04
"""How long a view computes in Python for each frame, and how often: 25 frames a second."""
COLUMNS = (Column("n"), *TIMES, Column("missed"), Column("control_missed"), Column("core", "%"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--engine", default="auto", help="auto (default) or an engine of bci engines")
    parser.add_argument(
        "--duration", type=positive, default=20.0, metavar="S", help="measured time per row (default 20)"
    )
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="turns in which the rows alternate (2)")


def decode_beside_view(pipe: Connection, stream: str, out: str, engine: str, history_s: float, n_threads: int) -> None:
    """Serve the reference workload in a process in which another thread draws, as the live view of `bci run` does."""
    threading.Thread(target=_draw, daemon=True).start()
    ours.decode(pipe, stream, out, engine, history_s, n_threads)


def _draw() -> None:
    step_back()
    while True:
        until = time.perf_counter() + DRAW_S
        while time.perf_counter() < until:
            sum(range(100))
        time.sleep(FRAME_S - DRAW_S)


def contenders(engine: str, history_s: float) -> list[e2e.Contender]:
    """Return the rows: none of the steps, all, all but each, and beside a view that draws with and without `switch`."""
    work = ours.decode
    return [
        e2e.Contender(NONE, work, engine, history_s),
        e2e.Contender(ALL, work, engine, history_s, real_time=True),
        *(
            e2e.Contender(f"without {step}", work, engine, history_s, real_time=True, left_out=(step,))
            for step in STEPS
        ),
        *(
            e2e.Contender(f"beside a view, {label}", decode_beside_view, engine, history_s, True, left_out)
            for label, left_out in ((ALL, ()), ("without switch", ("switch",)))
        ),
    ]


def bench(args: argparse.Namespace, progress: Callable[[str], None]) -> Report:
    """Measure push → prediction in all rows in turn."""
    if args.rounds < 1:
        raise UsageError(f"--rounds must be at least 1, got {args.rounds}.")
    if missing := missing_hygiene():
        raise UsageError(f"Every step must be possible here to be compared, got {' '.join(missing)}")
    settings = e2e.Settings(args.duration, args.engine, with_peer=False, n_rounds=args.rounds)
    with private_lsl():
        found = e2e.measure_all(contenders(args.engine, settings.history_s), settings, progress)
    rows = tuple(
        Row(
            row.label,
            {
                "n": row.push_to_prediction.n,
                **times(row.push_to_prediction),
                "missed": row.over_budget,
                "control_missed": row.control_over_budget,
                "core": 100 * row.busy,
            },
        )
        for row in found
    )
    return Report(
        bench="hygiene",
        table=Table("Push → prediction with real-time hygiene", COLUMNS, rows),
        chart=Chart(("p50", "p99")),
        settings={"duration_s": args.duration, "rounds": args.rounds},
        notes=(
            "threads and collector can show little here: the benchmark's processes start with one thread each, and "
            "leave what exists at the start to itself, as bci run does without --realtime, too.",
        ),
    )
