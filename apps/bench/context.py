"""Cost of a prediction by context: a network with state beside a window of the whole context."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from apps.bench.networks import FRAME_HZ, N_CHANNELS, N_MELS, key_of, mflop, network, windows
from apps.bench.options import numbers, positive
from apps.bench.report import CPU, TIMES, Chart, Column, Report, Row, Table, Value, times
from apps.bench.timing import in_turn

CONTEXTS_S = (10.0, 50.0, 600.0)
HOP_FRAMES = 4
STATE, WINDOWED = "mel_tcn with state", "mel_cnn by windows"
COLUMNS = (Column("context", "s"), Column("network"), *TIMES, CPU, Column("MFLOP"), Column("input", "MB"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--contexts", type=numbers, default=CONTEXTS_S, metavar="S,…", help="default 10,50,600")
    parser.add_argument("--engine", choices=("onnx", "eager"), default="onnx", help="default onnx")
    parser.add_argument("--seconds", type=positive, default=2.0, metavar="S", help="spent per row (default 2)")


def bench(args: argparse.Namespace, progress: Callable[[str], None]) -> Report:
    """Measure both networks with each context."""
    import torch

    torch.set_num_threads(1)
    facts: dict[str, dict[str, Value]] = {}
    calls = {}
    for context_s in args.contexts:
        n_frames = max(64, round(context_s * FRAME_HZ))
        for name, make in ((STATE, _stateful), (WINDOWED, _windowed)):
            label = f"{name}, {context_s:g} s"
            progress(f"building {label}")
            calls[label], work, n_bytes = make(n_frames, args.engine)
            facts[label] = {"context": context_s, "network": name, "MFLOP": work, "input": n_bytes / 1e6}
    progress("measuring")
    found = in_turn(calls, args.seconds)
    rows = tuple(Row(label, {**facts[label], **times(found[label])}) for label in calls)
    return Report(
        bench="context",
        table=Table(f"Cost of a prediction every {HOP_FRAMES / FRAME_HZ:g} s, network only", COLUMNS, rows),
        chart=Chart(("p50",), "context", "network"),
        settings={"engine": args.engine, "seconds": args.seconds},
        notes=(f"with state: {HOP_FRAMES} steps of one frame. by windows: all frames of the context. Both untrained.",),
    )


def _stateful(n_frames: int, engine_name: str) -> tuple[Callable[[], object], float, int]:
    import torch

    from bci.engines.stepping import build_stateful

    net = network("mel_tcn", n_times=n_frames)
    stream = windows((N_CHANNELS, N_MELS, 64), 1)[0]
    engine, _ = build_stateful(engine_name, net, stream, key_of(net, {"context": n_frames}))
    columns = [np.ascontiguousarray(stream[None, ..., i : i + 1]) for i in range(HOP_FRAMES)]
    state = engine.initial()

    def predict() -> None:
        nonlocal state
        for column in columns:
            _, state = engine.step(column, state)

    with torch.inference_mode():
        work = mflop(lambda: net(torch.from_numpy(stream[None])))
    return predict, work * HOP_FRAMES / stream.shape[-1], sum(column.nbytes for column in columns)


def _windowed(n_frames: int, engine_name: str) -> tuple[Callable[[], object], float, int]:
    import torch

    from bci.engines.selection import build_engine

    net = network("mel_cnn", n_times=n_frames)
    window = windows((N_CHANNELS, N_MELS, n_frames), 1)
    engine, _ = build_engine(engine_name, net, window, key_of(net, {"context": n_frames}))
    with torch.inference_mode():
        work = mflop(lambda: net(torch.from_numpy(window)))
    return lambda: engine(window), work, window.nbytes
