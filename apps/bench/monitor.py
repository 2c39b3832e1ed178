"""The monitor's window: frames a second and share of a core, beside pyqtgraph drawn naively and mne-lsl's viewer."""

from __future__ import annotations

import argparse
import importlib.util
import json
import uuid
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from apps.bench.children import Child, children, private_lsl, reply, stop_event
from apps.bench.options import numbers, positive
from apps.bench.report import Chart, Column, Report, Row, Table, Value, whole
from apps.monitor import measured
from apps.monitor.measured import Screen
from bci.errors import StreamError, UsageError

COLUMNS = (
    Column("fps"), Column("core", "%"), Column("frame", "ms"), Column("memory", "MB"), Column("growth", "MB"),
    Column("slope", "MB/h"),
)  # fmt: skip
CHUNK_S = 0.01
READY_S = 30.0
END_S = 90.0
WORDS = tuple(column.key for column in COLUMNS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--channels", type=numbers, default=(64, 306), metavar="N,…", help="channels (default 64,306)")
    parser.add_argument("--rate", type=positive, default=1000.0, metavar="HZ", help="of the signal (default 1000)")
    parser.add_argument("--span", type=positive, default=10.0, metavar="S", help="on the screen (default 10)")
    parser.add_argument("--settle", type=float, default=5.0, metavar="S", help="before it is counted (default 5)")
    parser.add_argument("--duration", type=positive, default=20.0, metavar="S", help="counted per row (default 20)")
    parser.add_argument(
        "--peer", action=argparse.BooleanOptionalAction, default=True, help="count pyqtgraph and mne-lsl beside us"
    )
    parser.add_argument("--alone", action=argparse.BooleanOptionalAction, default=True, help="count the traces alone")


def bench(args: argparse.Namespace, progress: Callable[[str], None]) -> Report:
    """Count each window in a process of its own, all of them fed by the same sender over LSL."""
    if not 0 <= args.settle < float("inf"):
        raise UsageError(f"--settle must be at least 0 s, got {args.settle:g}.")
    missing = [name for name in ("PySide6", "pyqtgraph") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"bci bench monitor needs {' and '.join(missing)}: pip install 'streaming-bci[monitor]'.")
    rows, notes = [], []
    with private_lsl():
        for n_channels in whole(args.channels):
            name = f"bench-monitor-{uuid.uuid4().hex[:8]}"
            screen = Screen(name, n_channels, args.rate, args.span, args.settle, args.duration)
            with children() as running:
                running.append(Child("sender", send, (name, n_channels, args.rate)))
                running[0].answer(READY_S)
                for label, work, more, ours in _windows(args.peer, args.alone):
                    named = f"{label}, {n_channels} ch"
                    progress(named)
                    values, note = _measure(work, (screen, *more))
                    rows.append(Row(named, values, ours))
                    if note:
                        notes.append(f"{named}: {note}")
    return Report(
        bench="monitor",
        table=Table(f"{args.span:g} s on the screen at {args.rate:g} Hz, software rendering", COLUMNS, tuple(rows)),
        chart=Chart(("fps",)),
        settings={
            "channels": list(whole(args.channels)),
            "rate_hz": args.rate,
            "span_s": args.span,
            "duration_s": args.duration,
        },
        notes=(
            "fps: paint events of the traces; ours and pyqtgraph are asked for 30, mne-lsl asks itself for 50. "
            "core: processor time of the whole process, reading LSL included; frame: the same per frame. "
            "growth: of the resident memory over the duration; slope: of the line through 100 looks at it, which says "
            "something from ten minutes on. "
            "On a machine that is busy with other work all of them say little.",
            *notes,
        ),
    )


def _windows(peers: bool, alone: bool = True) -> list[tuple[str, Callable[..., None], tuple[Any, ...], bool]]:
    ours: list[tuple[str, Callable[..., None], tuple[Any, ...], bool]] = [
        ("bci monitor", measured.monitor, (True,), True),
    ]
    if alone:
        ours.append(("bci monitor, traces alone", measured.monitor, (False,), True))
    if not peers:
        return ours
    others: list[tuple[str, Callable[..., None], tuple[Any, ...], bool]] = [
        ("pyqtgraph, all curves anew", measured.naive, (), False)
    ]
    if importlib.util.find_spec("mne_lsl") is not None:
        others.append(("mne-lsl viewer", measured.mne_lsl_viewer, (), False))
    return ours + others


def _measure(work: Callable[..., None], arguments: tuple[Any, ...]) -> tuple[dict[str, Value], str]:
    """Return what one window costs, or why it did not run: a peer that fails must not hide our figures."""
    screen: Screen = arguments[0]
    with children() as running:
        running.append(Child("window", work, arguments))
        try:
            found = running[0].answer(screen.settle_s + screen.duration_s + END_S)
        except StreamError as error:
            return {}, f"did not run: {error}"
    return {key: found[key] for key in WORDS}, ""


def send(pipe: Connection, name: str, n_channels: int, sfreq: float) -> None:
    """Publish a session until the parent says stop: signal, predictions four times and a status once a second."""
    import numpy as np
    import pylsl

    stop = stop_event(pipe)
    signal = _outlet(f"{name}-signal", "EEG", [f"C{i}" for i in range(n_channels)], sfreq, "uV")
    predictions = _outlet(name, "Predictions", ["rest", "move", "quality", "state", "compute_ms"], 0.0, "")
    events = pylsl.StreamOutlet(pylsl.StreamInfo(f"{name}-events", "Markers", 1, 0.0, "string", f"{name}-events"))
    noise = np.random.default_rng(0).normal(0, 20, (round(4 * sfreq), n_channels)).astype(np.float32)
    reply(pipe, "ready")
    began, n_sent, n_predicted = pylsl.local_clock(), 0, 0
    while not stop.wait(CHUNK_S):
        now = pylsl.local_clock()
        due = int((now - began) * sfreq) - n_sent
        if due > 0:
            signal.push_chunk(noise[np.arange(n_sent, n_sent + due) % len(noise)], now)
            n_sent += due
        while (now - began) * 4 > n_predicted:
            predictions.push_sample([0.8, 0.2, 1.0, 1.0, 1.0], now)
            if n_predicted % 4 == 0:
                events.push_sample([json.dumps(_status(now, n_predicted))], now)
            n_predicted += 1


def _status(now: float, n_predicted: int) -> dict[str, Any]:
    total = {"p50_ms": 1.0, "p99_ms": 2.0, "max_ms": 3.0}
    return {"kind": "status", "t": now, "latency": {"total": total}, "predictions": n_predicted, "rate": 1000.0}


def _outlet(name: str, kind: str, labels: list[str], sfreq: float, unit: str) -> Any:
    import pylsl

    info = pylsl.StreamInfo(name, kind, len(labels), sfreq, "float32", name)
    channels = info.desc().append_child("channels")
    for label in labels:
        channel = channels.append_child("channel")
        for key, value in (("label", label), ("type", "eeg"), ("unit", unit)):
            channel.append_child_value(key, value)
    decoder = info.desc().append_child("decoder")
    said = {"classes": "rest,move", "hop_s": "0.25", "window_s": "2", "smoothing_s": "1", "speed": "1"}
    for key, value in said.items():
        decoder.append_child_value(key, value)
    return pylsl.StreamOutlet(info, max_buffered=60)
