"""Cost of every stage of the registry over channels, rate and chunk size, beside what mne-lsl does for a filter."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from scipy.signal import butter

from apps.bench.mne_lsl_filter import BUFFER_S, mne_lsl_filter
from apps.bench.options import numbers, positive, seed
from apps.bench.report import Chart, Column, Report, Row, Table, Value, joined, whole
from apps.bench.timing import Calls, in_turn
from bci.chunk import Signal
from bci.errors import UsageError
from bci.pipeline import PipelineSpec, Window
from bci.stages.base import StageSpec
from bci.stages.channels import AverageReference, Bipolar, Select
from bci.stages.electrodes import electrode_positions
from bci.stages.filters import Bandpass, FilterBank, Highpass, Lowpass, Notch
from bci.stages.gather import GatherFeatures
from bci.stages.logmel import LogMel
from bci.stages.quality import InterpolateBad, MaskBad, ReportQuality
from bci.stages.registry import STAGES
from bci.stages.resample import Resample
from bci.stages.running_norm import RunningNorm
from bci.stages.scale import Clip, RobustScale, Scale
from bci.stages.stft import Stft

CHANNELS, RATES, CHUNKS = (19.0, 64.0), (256.0, 1000.0), (1.0, 8.0, 32.0)
FEED_S = 10.0
NAMES = tuple(name for name in electrode_positions() if name not in ("m1", "m2"))
PIPELINE, PEER = "filter pipeline", "mne-lsl's filter"
COLUMNS = (
    Column("channels"),
    Column("rate", "Hz"),
    Column("chunk"),
    Column("p50", "µs"),
    Column("p99", "µs"),
    Column("cpu", "µs"),
    Column("core", "%"),
    Column("sample", "ns"),
)


def specs(signal: Signal) -> dict[str, StageSpec]:
    """Return a usual setting of every stage of the registry for a signal, by kind."""
    n = signal.n_channels
    found: tuple[StageSpec, ...] = (
        Select(signal.names[::-1]),
        Bipolar(pairs=tuple(zip(signal.names[:-1], signal.names[1:], strict=True))),
        AverageReference(),
        Bandpass(0.5, 40.0),
        Highpass(0.5),
        Lowpass(40.0),
        Notch(50.0),
        FilterBank(((6.0, 14.0), (14.0, 22.0), (22.0, 30.0))),
        Resample(signal.sfreq / 2),
        Scale(1e-3, "mV"),
        Clip(200.0),
        RobustScale((0.0,) * n, (20.0,) * n),
        RunningNorm(10.0),
        GatherFeatures(),
        LogMel(512, 512, 16, 64, 0.5, 45.0),
        Stft(512, 512, 16, 0.5, 45.0),
        ReportQuality(),
        InterpolateBad(),
        MaskBad(),
    )
    return {spec.kind: spec for spec in found}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--kinds", default="all", metavar="KIND,…", help=f"all (default) or of: {', '.join(STAGES)}")
    parser.add_argument("--channels", type=numbers, default=CHANNELS, metavar="N,…", help="default 19,64")
    parser.add_argument("--rates", type=numbers, default=RATES, metavar="HZ,…", help="default 256,1000")
    parser.add_argument(
        "--chunks", type=numbers, default=CHUNKS, metavar="N,…", help="samples of a push, default 1,8,32"
    )
    parser.add_argument("--seconds", type=positive, default=0.3, metavar="S", help="spent per row (default 0.3)")
    parser.add_argument("--seed", type=seed, default=0, help="of the noise that is processed (default 0)")


def bench(args: argparse.Namespace, progress: Callable[[str], None]) -> Report:
    """Measure all combinations."""
    kinds = tuple(STAGES) if args.kinds == "all" else tuple(args.kinds.split(","))
    if unknown := [kind for kind in kinds if kind not in STAGES]:
        raise UsageError(f"--kinds takes stages ({', '.join(STAGES)}), got {', '.join(unknown)}.")
    if max(args.channels) > len(NAMES) or min(args.channels) < 2 or min(args.rates) < 100:
        raise UsageError(
            f"--channels must be from 2 to {len(NAMES)} and --rates at least 100 Hz, got "
            f"{max(args.channels):g}, {min(args.channels):g} and {min(args.rates):g}."
        )
    cases: dict[str, list[Row]] = {}
    for n_channels in whole(args.channels):
        for rate in args.rates:
            for chunk in whole(args.chunks):
                progress(f"{n_channels} channels, {rate:g} Hz, {chunk} samples")
                case = f"{n_channels}×{rate:g}×{chunk}"
                cases[case] = _rows(Signal(rate, NAMES[:n_channels]), chunk, kinds, args.seconds, args.seed)
    rows = [row for measured in cases.values() for row in measured]
    return Report(
        bench="stages",
        table=Table("Cost of a push", COLUMNS, tuple(rows)),
        chart=Chart(("p50",)),
        settings={"seconds": args.seconds, "seed": args.seed},
        notes=(
            "cpu: processor time, median. core: mean share of one at this rate. sample: mean processor time for one "
            "sample of a channel. A push that completes a frame or a hop costs more than others: see p99, and core.",
            f"{PIPELINE}: gate, notch and band-pass. {PEER}: sosfilt for notch and band-pass with kept states, then "
            f"numpy.roll of {BUFFER_S:g} s of samples and stamps, as StreamLSL does with what it has pulled.",
        ),
        more=_beside(cases, (*kinds, PIPELINE, PEER)) if len(cases) > 1 else (),
    )


def _beside(cases: dict[str, list[Row]], names: tuple[str, ...]) -> tuple[Table, ...]:
    """Return a line for each stage, with the cases beside each other: once the time, once the share of a core."""
    return tuple(
        Table(
            f"{title} by channels×Hz×samples",
            tuple(Column(case) for case in cases),
            tuple(
                Row(name, {case: measured[i].values[key] for case, measured in cases.items()})
                for i, name in enumerate(names)
            ),
        )
        for title, key in (("Median of a push, µs,", "p50"), ("Share of a core, %,", "core"))
    )


def _rows(signal: Signal, chunk: int, kinds: tuple[str, ...], seconds: float, seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    n = max(chunk, round(FEED_S * signal.sfreq) // chunk * chunk)
    noise = (20.0 * rng.standard_normal((signal.n_channels, n))).astype(np.float32)
    known = specs(signal)
    pipeline = PipelineSpec(signal, (Notch(50.0), Bandpass(1.0, 40.0)), Window(1.0, 1.0)).build()
    calls = {kind: _fed(known[kind].build(signal).process, noise, chunk) for kind in kinds}
    calls[PIPELINE] = _fed(pipeline.process, noise, chunk)
    calls[PEER] = _fed(mne_lsl_filter(signal, _peer_designs(signal.sfreq)), noise, chunk)
    found = in_turn(calls, seconds)
    labels = {name: joined([name, f"{signal.n_channels} ch", f"{signal.sfreq:g} Hz", f"{chunk}"]) for name in calls}
    return [Row(labels[name], _values(found[name], signal, chunk), ours=name != PEER) for name in calls]


def _values(latencies: Calls, signal: Signal, chunk: int) -> dict[str, Value]:
    return {
        "channels": signal.n_channels,
        "rate": signal.sfreq,
        "chunk": chunk,
        "p50": 1e3 * latencies.p50,
        "p99": 1e3 * latencies.p99,
        "cpu": 1e3 * latencies.cpu,
        "core": 100 * latencies.cpu_mean / (1e3 * chunk / signal.sfreq),
        "sample": 1e6 * latencies.cpu_mean / (chunk * signal.n_channels),
    }


def _fed(process: Callable[[np.ndarray], object], noise: np.ndarray, chunk: int) -> Callable[[], object]:
    """Return a call that gives the next chunk of a stream that repeats."""
    starts = 0

    def call() -> object:
        nonlocal starts
        x = noise[:, starts : starts + chunk]
        starts = (starts + chunk) % noise.shape[1]
        return process(x)

    return call


def _peer_designs(sfreq: float) -> list[np.ndarray]:
    """Return notch and band-pass as mne-lsl designs them."""
    return [
        butter(2, (48.5, 51.5), "bandstop", fs=sfreq, output="sos"),
        butter(4, (1.0, 40.0), "bandpass", fs=sfreq, output="sos"),
    ]
