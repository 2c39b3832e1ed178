"""Latency and build time of each engine, host array in to host array out, on the CPU or the GPU."""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np

from apps.bench import candidates, gpu
from apps.bench.networks import (
    N_CHANNELS,
    N_FRAMES,
    N_MELS,
    N_SAMPLES,
    REFERENCE,
    key_of,
    mflop,
    network,
    windows,
    with_spectrum,
)
from apps.bench.options import numbers, positive
from apps.bench.report import CPU, TIMES, Chart, Column, Report, Row, Table, Value, joined, times, whole
from apps.bench.timing import in_turn
from bci.engines.catalog import CATALOG, PRECISIONS, EngineKind, kind_of
from bci.engines.ends import NO_SPECTRUM, Ends
from bci.errors import EngineError, ParityError, UsageError
from models import registry

if TYPE_CHECKING:
    from torch import nn

    from bci.engines.base import Engine

BATCHES = (1.0, 8.0, 64.0)
N_NEW = 64  # samples from one prediction to the next in the reference workload
COLUMNS = (
    Column("batch"),
    *TIMES,
    CPU,
    Column("window", "µs"),
    Column("build", "s"),
    Column("load", "s"),
    Column("parity"),
    Column("MFLOP"),
    Column("rate", "GFLOP/s"),
    Column("replay", "ms"),
    Column("allocated", "B"),
)
NOTES = (
    "window: for one window, processor time (GPU: the clock). build: with an empty cache; load: with what is kept. "
    "rate: arithmetic of the network over it.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="which engines (default cpu)")
    parser.add_argument("--models", default=REFERENCE, metavar="NAME,…", help=f"default {REFERENCE}; all: the registry")
    parser.add_argument("--batches", type=numbers, default=BATCHES, metavar="N,…", help="default 1,8,64")
    parser.add_argument("--precision", choices=(*PRECISIONS, "all"), default="fp32", help="default fp32")
    parser.add_argument("--seconds", type=positive, default=2.0, metavar="S", help="spent per row (default 2)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of torch (default 1)")
    parser.add_argument("--all", action="store_true", help="compilers that are not engines here, too (CPU)")


def bench(args: argparse.Namespace, progress: Callable[[str], None]) -> Report:
    """Measure all that can be built; what cannot is named."""
    import torch

    if args.threads < 1:
        raise UsageError(f"--threads must be at least 1, got {args.threads}.")
    torch.set_num_threads(args.threads)
    names = registry.names() if args.models == "all" else tuple(args.models.split(","))
    precisions = PRECISIONS if args.precision == "all" else (args.precision,)
    rows: list[Row] = []
    notes = list(NOTES)
    with _empty_cache():
        for name in names:
            try:
                net = network(name)
            except UsageError as error:
                if args.models != "all":
                    raise
                notes.append(str(error))
                continue
            rows += _rows(name, net, precisions, args, notes, progress)
    if args.device == "cuda":
        notes += gpu.notes()
    return Report(
        bench="engines",
        table=Table("Host array in → host array out", COLUMNS, tuple(rows)),
        chart=Chart(("p50", "p99")),
        settings={"device": args.device, "seconds": args.seconds, "threads": args.threads, "models": list(names)},
        notes=tuple(dict.fromkeys(notes)),
    )


def _rows(
    name: str,
    net: nn.Module,
    precisions: tuple[str, ...],
    args: argparse.Namespace,
    notes: list[str],
    progress: Callable[[str], None],
) -> list[Row]:
    """Build every engine for one network, then measure them in turn for each batch."""
    import torch

    batches = whole(args.batches)
    shape = cast("tuple[int, ...]", net.input_shape)
    example = windows(shape, max(*batches, 2))
    key = key_of(net, {"model": name, "shape": list(example.shape[1:])})
    built: dict[str, tuple[Callable[[np.ndarray], object], dict[str, Value]]] = {}
    for precision in precisions:
        for kind in CATALOG:
            if kind.runs_on != args.device or precision not in kind.precisions:
                continue
            label = f"{kind.name} {precision}"
            progress(f"{name}: building {label}")
            try:
                built[label] = _build(kind, net, example, key, precision)
            except (EngineError, ParityError) as error:
                notes.append(f"Skipped: {name}, {label}: {error}")
    signals: dict[str, np.ndarray] = {}  # what an engine takes that makes the columns itself
    if args.device == "cuda" and shape == (N_CHANNELS, N_MELS, N_FRAMES):
        ends, columns = with_spectrum(len(example))
        for label in list(built):
            kind, precision = kind_of(label.split()[0]), label.split()[1]
            inside, ring = f"{label}, mel inside", f"{label}, mel inside, from a ring"
            progress(f"{name}: building {inside}")
            try:
                engine, facts = _build(kind, net, columns, key, precision, ends)
                built[inside] = engine, facts
                built[ring] = gpu.LiveRing(engine, (N_CHANNELS, N_SAMPLES), N_NEW), {}
                signals |= {inside: ends.windows(columns), ring: ends.windows(columns)}
            except (EngineError, ParityError) as error:
                notes.append(f"Skipped: {name}, {inside}: {error}")
    if args.all and args.device == "cpu":
        for label, compile_ in candidates.CANDIDATES.items():
            progress(f"{name}: building {label}")
            try:
                built[label] = candidates.build(compile_, net, example, batches)
            except EngineError as error:
                notes.append(f"Skipped: {name}, {label}: {error}")
    if not built:
        return []
    with torch.inference_mode():
        work = mflop(lambda: net(torch.from_numpy(example[:1])))
    rows = []
    for n in batches:
        progress(f"{name}: batch {n}")
        calls = {label: call for label, (call, _) in built.items() if n == 1 or not isinstance(call, gpu.LiveRing)}
        before = {label: gpu.allocations(call) for label, call in calls.items()}
        given = {label: np.ascontiguousarray(signals.get(label, example)[:n]) for label in calls}
        found = in_turn({label: partial(call, given[label]) for label, call in calls.items()}, args.seconds)
        for label, latencies in found.items():
            call, facts = built[label]
            window_us = 1e3 * (latencies.cpu if args.device == "cpu" else latencies.p50) / n
            values: dict[str, Value] = {
                "batch": n,
                **times(latencies),
                "window": window_us,
                "MFLOP": work * n,
                "rate": 1e3 * work / window_us,
                **facts,
                **gpu.figures(call, n, before[label], args.seconds),
            }
            rows.append(Row(joined([name, label, f"batch {n}"]), values, ours=label not in candidates.CANDIDATES))
    return rows


def _build(
    kind: EngineKind, net: nn.Module, example: np.ndarray, key: str, precision: str, ends: Ends = NO_SPECTRUM
) -> tuple[Engine, dict[str, Value]]:
    """Build twice: with nothing kept from before, and with what that left."""
    from bci.engines.selection import build_engine

    _, first = build_engine(kind.name, net, example, key, precision, ends=ends)
    started = time.perf_counter()
    engine, report = build_engine(kind.name, net, example, key, precision, ends=ends)
    load_s = time.perf_counter() - started
    return engine, {"build": first.build_s, "load": load_s, "parity": report.parity_error}


@contextlib.contextmanager
def _empty_cache() -> Iterator[None]:
    """Let engines be kept in a folder that begins empty and goes away."""
    before = os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory(prefix="bci-bench-") as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["XDG_CACHE_HOME"]
            else:
                os.environ["XDG_CACHE_HOME"] = before
