"""How many streams one process decodes inside a budget: threads that share an engine, and one loop."""

from __future__ import annotations

import argparse
import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from apps.bench.options import positive
from apps.bench.report import TIMES, Chart, Column, Report, Row, Table, Value, times
from apps.bench.timing import Latencies
from apps.bench.workload import (
    CHUNK_SAMPLES,
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
from bci.decoder import Decoder
from bci.engines.base import Engine
from bci.engines.batching import BatchedEngine
from bci.errors import UsageError
from bci.ring import Ring

CHUNK_S = CHUNK_SAMPLES / SIGNAL.sfreq
CHUNKS_PER_HOP = HOP_SAMPLES // CHUNK_SAMPLES
BISECTIONS = 2
THREADS, LOOP = "threads", "one loop"
COLUMNS = (
    Column("way"),
    Column("streams"),
    *TIMES,
    Column("late", "%"),
    Column("core", "%"),
    Column("windows", "1/s"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--budget-ms", type=positive, default=10.0, metavar="MS", help="of a prediction (default 10)")
    parser.add_argument(
        "--share",
        type=positive,
        default=99.0,
        metavar="PERCENT",
        help="of the predictions that must be inside the budget (default 99; 100: each)",
    )
    parser.add_argument("--first", type=int, default=1, metavar="N", help="number tried first (default 1)")
    parser.add_argument("--most", type=int, default=1024, metavar="N", help="largest number tried (default 1024)")
    parser.add_argument("--duration", type=positive, default=5.0, metavar="S", help="of each try (default 5)")
    parser.add_argument("--engine", default="auto", help="auto (default) or an engine of bci engines")
    parser.add_argument("--ways", choices=(THREADS, LOOP, "both"), default="both", help="default both")


def bench(args: argparse.Namespace, progress: Callable[[str], None]) -> Report:
    """Double the number of streams until predictions come late, then look between."""
    from bci.engines.selection import build_engine

    if not 1 <= args.first <= args.most or args.duration < 1:
        raise UsageError(
            "--first must be from 1 to --most and --duration at least 1 s, "
            f"got {args.first}, {args.most} and {args.duration:g}."
        )
    if args.share > 100:
        raise UsageError(f"--share must be at most 100 %, got {args.share:g}.")
    example = np.random.default_rng(0).normal(30.0, 10.0, (2, SIGNAL.n_channels, LOG_MEL.n_mels, N_FRAMES))
    engine, report = build_engine(args.engine, network(), example.astype(np.float32), NETWORK_KEY)
    rows, best = [], []
    for way, play in ((THREADS, _threads), (LOOP, _loop)):
        if args.ways not in (way, "both"):
            continue
        tried, most = _search(play, way, engine, args, progress)
        rows += tried
        best.append(Row(f"most, {way}", {"way": way, "streams": 0} if most is None else most.values))
    gpu_needs = "On a GPU: bci bench streams --engine cuda-graph --budget-ms 20 --share 100 --first 64."
    return Report(
        bench="streams",
        table=Table(
            f"Streams of the reference workload, {report.name} {report.precision}, budget {args.budget_ms:g} ms",
            COLUMNS,
            tuple(rows + best),
        ),
        chart=Chart(("p50", "p99"), "streams", "way"),
        settings={
            "budget_ms": args.budget_ms,
            "share_percent": args.share,
            "first": args.first,
            "most": args.most,
            "duration_s": args.duration,
            "engine": report.name,
        },
        notes=(
            "From when a chunk is due to its prediction; no LSL. "
            f"most: the largest number tried with {args.share:g} % of the predictions inside the budget; "
            "a claim that names no row means these.",
            f"{THREADS}: one for each stream, as in bci run with several. {LOOP}: one batch for each chunk's time.",
            gpu_needs,
        ),
    )


Play = Callable[[int, Engine, float], tuple[np.ndarray, float]]


def _search(
    play: Play, way: str, engine: Engine, args: argparse.Namespace, progress: Callable[[str], None]
) -> tuple[list[Row], Row | None]:
    """Return a row for each number that was tried, ascending, and that of the largest which fits."""
    tried: dict[int, Row] = {}
    fitting: list[int] = []

    def fits(n: int) -> bool:
        progress(f"{way}: {n} streams")
        late_s, cpu_s = play(n, engine, args.duration)
        inside = 100.0 * float((1e3 * late_s <= args.budget_ms).mean())
        tried[n] = Row(f"{n}, {way}", _values(way, n, late_s, cpu_s, inside, args.duration), ours=False)
        if inside >= args.share:
            fitting.append(n)
        return inside >= args.share

    good, bad = _doubled(fits, args.first, args.most)
    for _ in range(BISECTIONS if bad <= args.most else 0):
        if bad - good < 2:
            break
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return [tried[n] for n in sorted(tried)], tried[max(fitting)] if fitting else None


def _doubled(fits: Callable[[int], bool], first: int, most: int) -> tuple[int, int]:
    """Return a number that fits, or 0, and a larger one that does not or that is more than `most`."""
    good, n = 0, first
    while n <= most and fits(n):
        good, n = n, 2 * n
    bad = n
    while good == 0 and bad > 1:  # the first was too many
        n = bad // 2
        good, bad = (n, bad) if fits(n) else (0, n)
    return good, bad


def _values(way: str, n: int, late_s: np.ndarray, cpu_s: float, inside: float, duration_s: float) -> dict[str, Value]:
    return {
        "way": way,
        "streams": n,
        **times(Latencies.of(late_s)),
        "late": 100.0 - inside,
        "core": 100 * cpu_s / duration_s,
        "windows": len(late_s) / duration_s,
    }


@dataclass(slots=True)
class _Feed:
    """A repeating stream of noise in chunks."""

    n_pushed: int = 0
    noise: np.ndarray = field(default_factory=lambda: recording(WINDOW_SAMPLES, seed=0))

    def next(self, n: int) -> Chunk:
        """Return the next `n` samples."""
        start = self.n_pushed % WINDOW_SAMPLES
        chunk = Chunk(
            self.noise[:, start : start + n],
            self.n_pushed,
            (self.n_pushed + np.arange(n, dtype=float)) / SIGNAL.sfreq,
        )
        self.n_pushed += n
        return chunk


def _threads(n: int, engine: Engine, duration_s: float) -> tuple[np.ndarray, float]:
    """Decode each stream in a thread at its own moment of the chunk's time; return lateness and processor time."""
    shared = BatchedEngine(engine)
    late: list[list[float]] = [[] for _ in range(n)]
    noise = _Feed().noise
    ready = [_ready(shared, k % CHUNKS_PER_HOP, noise) for k in range(n)]
    begin_s = time.perf_counter() + 0.1

    def decode(k: int) -> None:
        decoder, feed = ready[k]
        due = begin_s + k / n * CHUNK_S
        while due < begin_s + duration_s:
            time.sleep(max(0.0, due - time.perf_counter()))
            if decoder.push(feed.next(CHUNK_SAMPLES)):
                late[k].append(time.perf_counter() - due)
            due += CHUNK_S

    threads = [threading.Thread(target=decode, args=(k,)) for k in range(n)]
    gc.freeze()
    cpu_s = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return np.concatenate([np.array(own) for own in late]), time.process_time() - cpu_s


def _loop(n: int, engine: Engine, duration_s: float) -> tuple[np.ndarray, float]:
    """Filter all streams in one thread, then run the windows that are complete as one batch."""
    feed = _Feed()
    pipelines = [PIPELINE.build() for _ in range(n)]
    rings = [Ring(pipelines[0].signal_out.shape, N_FRAMES) for _ in range(n)]
    past = feed.next(WINDOW_SAMPLES).data
    for k in range(n):
        rings[k].push(pipelines[k].process(past).data)
    chunk = past[:, :CHUNK_SAMPLES]
    batch = np.zeros((n, *pipelines[0].signal_out.shape, N_FRAMES), np.float32)
    late: list[float] = []
    due, tick = time.perf_counter() + 0.1, 0
    until, cpu_s = due + duration_s, time.process_time()
    while due < until:
        time.sleep(max(0.0, due - time.perf_counter()))
        complete = 0
        for k in range(n):
            rings[k].push(pipelines[k].process(chunk).data)
            if (k + tick) % CHUNKS_PER_HOP == 0:
                batch[complete] = rings[k].newest(N_FRAMES)
                complete += 1
        if complete:
            engine(batch[:complete])
            late += [time.perf_counter() - due] * complete
        due, tick = due + CHUNK_S, tick + 1
    return np.array(late), time.process_time() - cpu_s


def _ready(engine: Engine, phase: int, noise: np.ndarray) -> tuple[Decoder, _Feed]:
    """Return a decoder that has seen a window, `phase` chunks after its last prediction."""
    decoder = Decoder(PIPELINE.build(), engine, DECISION)
    feed = _Feed(noise=noise)
    for _ in range(WINDOW_SAMPLES // HOP_SAMPLES):
        decoder.push(feed.next(HOP_SAMPLES))
    for _ in range(phase):
        decoder.push(feed.next(CHUNK_SAMPLES))
    return decoder, feed
