"""A network of the EEG→MEG translator's shape and size: 74 channels to 306 at 1 kHz, every 20 ms. Untrained."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from apps.bench import gpu
from apps.bench.networks import WEIGHTS_SEED, key_of, mflop
from apps.bench.options import positive
from apps.bench.report import CPU, TIMES, Chart, Column, Report, Row, Table, Value, joined, times
from apps.bench.timing import in_turn
from bci.engines.catalog import CATALOG, PRECISIONS, EngineKind
from bci.errors import EngineError, ParityError
from models.causal import CausalConv1d, CausalResidual, CausalSequence, State

if TYPE_CHECKING:
    from bci.engines.base import Engine

N_IN, N_OUT, SFREQ, HOP = 74, 306, 1000.0, 20
WIDTH, INNER, TAPS, DILATIONS = 256, 1024, 3, (1, 2, 4, 8, 16, 32)
COLUMNS = (
    *TIMES,
    CPU,
    Column("core", "%"),
    Column("MFLOP"),
    Column("rate", "GFLOP/s"),
    Column("build", "s"),
    Column("parity"),
    Column("replay", "ms"),
    Column("allocated", "B"),
)


class Translator(nn.Module):
    """Causal dilated blocks with an inner layer of four times the width: 3.3 million parameters.

    About as large as the sequence-to-sequence transformers that were tried for this task (256 wide, 6 layers).
    """

    def __init__(self) -> None:
        super().__init__()
        self.net = CausalSequence(
            nn.Conv1d(N_IN, WIDTH, 1),
            *(
                CausalResidual(
                    CausalConv1d(WIDTH, WIDTH, TAPS, dilation, groups=WIDTH),
                    nn.Conv1d(WIDTH, INNER, 1),
                    nn.SiLU(),
                    nn.Conv1d(INNER, WIDTH, 1),
                )
                for dilation in DILATIONS
            ),
            nn.Conv1d(WIDTH, N_OUT, 1),
        )
        self.n_behind = (TAPS - 1) * sum(DILATIONS)

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Translate the next samples, (batch, 74, n) to (batch, 306, n), and return the states after them."""
        y, after = self.net.step(x, state)
        return (y, *after)

    def initial(self) -> State:
        """Return the state before the first sample of one stream."""
        return self.net.initial(1)


class Windowed(nn.Module):
    """The newest hop from a window that holds all that it depends on: for engines that keep no state."""

    def __init__(self, translator: Translator) -> None:
        super().__init__()
        self.translator = translator

    def forward(self, x: Tensor) -> Tensor:
        """Return the last 20 samples of all outputs in one row, (batch, 306 * 20)."""
        y = self.translator.net(x)
        return y[..., -HOP:].flatten(1)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="which engines (default cpu)")
    parser.add_argument("--precision", choices=(*PRECISIONS, "all"), default="fp32", help="default fp32")
    parser.add_argument("--seconds", type=positive, default=3.0, metavar="S", help="spent per row (default 3)")
    parser.add_argument("--threads", type=int, choices=range(1, 65), default=1, metavar="N", help="default 1")


def bench(args: argparse.Namespace, progress: Callable[[str], None]) -> Report:
    """Measure the network with state and by windows, and the filters before it."""
    torch.set_num_threads(args.threads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(WEIGHTS_SEED)
        net = Translator().eval()
    noise = np.random.default_rng(0).standard_normal((1, N_IN, net.n_behind + 10 * HOP)).astype(np.float32)
    notes = [f"hop: {HOP} ms. core: share of it. Untrained weights: they say nothing of a translation."]
    calls: dict[str, Callable[[], object]] = {}
    facts: dict[str, dict[str, Value]] = {}
    if args.device == "cpu":
        _with_state(net, noise, calls, facts, progress, args.threads)
        _filters(noise, calls, facts, notes)
    engines = _by_windows(net, noise, args, facts, notes, progress)
    window = np.ascontiguousarray(noise[..., : net.n_behind + HOP])
    before = {label: gpu.allocations(engine) for label, engine in engines.items()}
    calls |= {label: partial(engine, window) for label, engine in engines.items()}
    progress("measuring")
    found = in_turn(calls, args.seconds)
    rows = []
    for label, latencies in found.items():
        values = {**facts[label], **times(latencies), "core": 100 * latencies.cpu / HOP}
        if isinstance(work := facts[label].get("MFLOP"), float):
            values["rate"] = work / (latencies.cpu if args.device == "cpu" else latencies.p50)
        if label in engines:
            values |= gpu.figures(engines[label], 1, before[label], args.seconds)
        rows.append(Row(label, values))
    if args.device == "cuda":
        notes += gpu.notes()
    n_parameters = sum(p.numel() for p in net.parameters())
    return Report(
        bench="translator",
        table=Table(f"{N_IN} → {N_OUT} channels, {SFREQ:g} Hz, {n_parameters:,} parameters", COLUMNS, tuple(rows)),
        chart=Chart(("p50", "p99")),
        settings={"device": args.device, "seconds": args.seconds, "threads": args.threads},
        notes=tuple(notes),
    )


def _with_state(
    net: Translator,
    noise: np.ndarray,
    calls: dict[str, Callable[[], object]],
    facts: dict[str, dict[str, Value]],
    progress: Callable[[str], None],
    n_threads: int,
) -> None:
    """Add the step of 20 samples, eager and on ONNX Runtime, each checked against the whole."""
    whole = torch.from_numpy(noise)
    hops = [np.ascontiguousarray(noise[..., i : i + HOP]) for i in range(0, noise.shape[-1] - HOP + 1, HOP)]
    with torch.inference_mode():
        reference = net.net(whole[..., : HOP * len(hops)]).numpy()
        work = mflop(lambda: net(torch.from_numpy(hops[0]), *net.initial()))
    runs = {"with state, eager fp32": _eager_step(net)}
    started = time.perf_counter()
    progress("exporting")
    step = _onnx_step(net, hops[0], n_threads)
    built_s = time.perf_counter() - started
    if step is not None:
        runs["with state, onnx fp32"] = step
    for label, run in runs.items():
        state = [part.numpy() for part in net.initial()]
        outputs = []
        for hop in hops:
            y, *state = run(hop, *state)
            outputs.append(y)
        error = float(np.abs(np.concatenate(outputs, axis=-1) - reference).max() / np.abs(reference).max())
        facts[label] = {"MFLOP": work, "parity": error, "build": built_s if "onnx" in label else None}
        calls[label] = partial(run, hops[0], *state)


def _eager_step(net: Translator) -> Callable[..., list[np.ndarray]]:
    @torch.inference_mode()
    def step(*inputs: np.ndarray) -> list[np.ndarray]:
        return [out.numpy() for out in net(*(torch.from_numpy(x) for x in inputs))]

    return step


def _onnx_step(net: Translator, hop: np.ndarray, n_threads: int) -> Callable[..., list[np.ndarray]] | None:
    try:
        from bci.engines.onnx_engine import OnnxGraph
        from bci.engines.onnx_export import export_onnx
    except ImportError:
        return None
    with tempfile.TemporaryDirectory(prefix="bci-bench-") as folder:
        path = Path(folder) / "step.onnx"
        export_onnx(net, (hop, *(part.numpy() for part in net.initial())), path)
        return OnnxGraph(path, n_threads)


def _filters(
    noise: np.ndarray,
    calls: dict[str, Callable[[], object]],
    facts: dict[str, dict[str, Value]],
    notes: list[str],
) -> None:
    """Add what comes before the network: gate, notch and band-pass of all channels."""
    try:
        from bci.chunk import Signal
        from bci.pipeline import PipelineSpec, Window
        from bci.stages.filters import Bandpass, Notch
    except ImportError as error:
        notes.append(f"Skipped: filters: they need {error.name}.")
        return
    signal = Signal(SFREQ, tuple(f"EEG{i + 1:03d}" for i in range(N_IN)))
    pipeline = PipelineSpec(signal, (Notch(50.0), Bandpass(1.0, 40.0)), Window(1.0, 1.0)).build()
    hop = np.ascontiguousarray(noise[0, :, :HOP])
    calls["notch and band-pass"] = lambda: pipeline.process(hop)
    facts["notch and band-pass"] = {}


def _by_windows(
    net: Translator,
    noise: np.ndarray,
    args: argparse.Namespace,
    facts: dict[str, dict[str, Value]],
    notes: list[str],
    progress: Callable[[str], None],
) -> dict[str, Engine]:
    from bci.engines.selection import build_engine

    network = Windowed(net).eval()
    n_window = net.n_behind + HOP
    example = np.concatenate([noise[..., :n_window], noise[..., HOP : n_window + HOP]])
    with torch.inference_mode():
        work = mflop(lambda: network(torch.from_numpy(example[:1])))
    built: dict[str, Engine] = {}
    for kind, precision in _kinds(args.device, args.precision):
        label = joined(["by windows", f"{kind.name} {precision}"])
        progress(f"building {label}")
        try:
            key = key_of(network, {"translator": n_window})
            engine, report = build_engine(kind.name, network, example, key, precision)
        except (EngineError, ParityError) as error:
            notes.append(f"Skipped: {label}: {error}")
            continue
        built[label] = engine
        facts[label] = {"MFLOP": work, "build": report.build_s, "parity": report.parity_error}
    return built


def _kinds(device: str, precision: str) -> list[tuple[EngineKind, str]]:
    wanted = PRECISIONS if precision == "all" else (precision,)
    return [(kind, p) for kind in CATALOG for p in wanted if kind.runs_on == device and p in kind.precisions]
