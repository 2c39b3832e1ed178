"""Windows a second that a training takes, mel spectra made on its device, and what of its time goes to the loader."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from apps.bench import gpu
from apps.bench.options import positive
from apps.bench.report import Chart, Column, Report, Row, Table, joined
from apps.bench.workload import AMPLITUDE_UV, LOG_MEL, N_FRAMES, SIGNAL, WINDOW_SAMPLES
from bci.engines.host import cuda_gap
from bci.errors import UsageError
from offline.choices import Device, Precision
from offline.learner import Learner
from offline.run_context import torch_threads
from offline.targets import Targets
from offline.training_settings import LoopSettings
from offline.windows import SessionWindows, WindowSet

if TYPE_CHECKING:
    from torch import nn

    from offline.augment.base import Batch

COLUMNS = (
    Column("windows", "1/s"),
    Column("fed", "1/s"),
    Column("lost", "%"),
    Column("step", "ms"),
    Column("cpu", "ms"),
)
N_CLASSES, PAIRS, SEGMENT_SAMPLES, ICU_HZ = 6, 16, 10_000, 200.0
STEPS = 2
"""Steps of the optimiser in a turn."""
MIN_TURNS = 3
NOTES = (
    "windows: cut at random places from files that are mapped, copied to the device, mel spectra, forward and backward "
    "pass, optimiser. fed: the same with one batch that is on the device already. lost: share of the time that the "
    "difference is; the loader is the training's own, which does not work ahead. cpu: processor time of a window, with "
    "the loader. Medians of turns.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--device", choices=get_args(Device), default="cpu", help="where it is trained (default cpu)")
    parser.add_argument("--models", default="mel_mixnet", metavar="NAME,…", help=f"of {', '.join(MODELS)}")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="windows of a step (default 32)")
    parser.add_argument("--precision", choices=get_args(Precision), default="float32", help="default float32")
    parser.add_argument(
        "--seconds", type=positive, default=10.0, metavar="S", help="spent per row and side (default 10)"
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of torch (default 1)")


def bench(args: argparse.Namespace, progress: Callable[[str], None]) -> Report:
    """Train each network on noise, with the loader and without one in turn."""
    names = tuple(args.models.split(","))
    if unknown := [name for name in names if name not in MODELS]:
        raise UsageError(f"--models takes {', '.join(MODELS)}, got {', '.join(unknown)}.")
    if args.batch_size < 2 or args.threads < 1:
        raise UsageError(
            f"--batch-size must be at least 2 and --threads at least 1, got {args.batch_size} and {args.threads}."
        )
    rows: list[Row] = []
    notes = list(NOTES)
    if args.device == "cuda":
        notes += gpu.notes()
    if args.device == "cpu" or not cuda_gap():
        for name in names:
            label = joined([name, args.device, args.precision, f"batch {args.batch_size}"])
            progress(label)
            rows.append(Row(label, _measured(name, args)))
    return Report(
        bench="training",
        table=Table("Training on noise, mel spectra on the fly", COLUMNS, tuple(rows)),
        chart=Chart(("windows", "fed")),
        settings={
            "device": args.device,
            "precision": args.precision,
            "batch_size": args.batch_size,
            "seconds": args.seconds,
            "threads": args.threads,
        },
        notes=tuple(notes),
    )


class _FedLearner(Learner):
    """Takes the same steps with one batch that stays where it is needed."""

    _kept: Batch | None = None

    def _batch(self, stretches: np.ndarray, starts: np.ndarray, wanted: Targets) -> Batch:
        if self._kept is None:
            self._kept = super()._batch(stretches, starts, wanted)
        return self._kept


def _measured(name: str, args: argparse.Namespace) -> dict[str, float]:
    import torch

    make, n_channels, n_samples = MODELS[name]
    n = STEPS * args.batch_size
    settings = LoopSettings(
        epochs=1000,
        patience=1000,
        batch_size=args.batch_size,
        learning_rate=1e-3,
        weight_decay=0.01,
        seed=0,
        device=args.device,
        precision=args.precision,
    )
    with tempfile.TemporaryDirectory(prefix="bci-bench-") as folder, torch_threads(args.threads):
        windows = _windows(Path(folder), n, n_channels, n_samples)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            sides = {"windows": Learner, "fed": _FedLearner}
            learners = {side: kind(make().to(args.device), windows, settings, None) for side, kind in sides.items()}
        spent = _turns(learners, args.seconds)
    (with_loader, cpu), (without, _) = (np.median(spent[side], axis=0).tolist() for side in learners)
    return {
        "windows": n / with_loader,
        "fed": n / without,
        "lost": 100 * max(0.0, 1 - without / with_loader),
        "step": 1e3 * with_loader / STEPS,
        "cpu": 1e3 * cpu / n,
    }


def _turns(learners: dict[str, Any], seconds: float) -> dict[str, list[tuple[float, float]]]:
    """Return the time by the clock and of the processor of each turn of each learner, after one that does not count."""
    spent: dict[str, list[tuple[float, float]]] = {side: [] for side in learners}
    for learner in learners.values():
        learner.epoch(0)
    turn = 0
    until = time.perf_counter() + seconds * len(learners)
    while turn < MIN_TURNS or time.perf_counter() < until:
        turn += 1
        for side, learner in learners.items():
            started, cpu_s = time.perf_counter(), time.process_time()
            learner.epoch(turn % 1000)  # it ends when its loss is known, so no work is left on the device
            spent[side].append((time.perf_counter() - started, time.process_time() - cpu_s))
    return spent


def _windows(folder: Path, n: int, n_channels: int, n_samples: int) -> WindowSet:
    """Return stretches of noise, twice as long as a window, in a file that is mapped as training maps features."""
    rng = np.random.default_rng(0)
    path = folder / "noise.npy"
    data = np.lib.format.open_memmap(path, "w+", np.float32, (n_channels, 2 * n_samples * n))
    for start in range(0, data.shape[1], n_samples):
        data[:, start : start + n_samples] = AMPLITUDE_UV * rng.standard_normal((n_channels, n_samples))
    data.flush()
    first = 2 * n_samples * np.arange(n)
    session = SessionWindows(np.load(path, mmap_mode="r"), first, first + n_samples, np.arange(n) % N_CLASSES)
    return WindowSet([session], n_samples)


def _mel_mixnet() -> nn.Module:
    from torch import nn

    from models.logmel import LogMelFrontEnd
    from models.mixnet import mixnet
    from models.spectrogram_network import SpectrogramNetwork

    mel = LogMelFrontEnd(
        SIGNAL.sfreq,
        LOG_MEL.n_fft,
        LOG_MEL.win_length,
        LOG_MEL.hop_length,
        LOG_MEL.n_mels,
        LOG_MEL.low_hz,
        LOG_MEL.high_hz,
    )
    network = mixnet(SIGNAL.n_channels, N_FRAMES, SIGNAL.sfreq / LOG_MEL.hop_length, N_CLASSES, LOG_MEL.n_mels)
    return SpectrogramNetwork(SIGNAL.n_channels, WINDOW_SAMPLES, [mel], [nn.Identity()], network)


def _double_mel_mixnet() -> nn.Module:
    from models.double_mel import double_mel_mixnet

    return double_mel_mixnet(PAIRS, SEGMENT_SAMPLES, ICU_HZ, N_CLASSES)


MODELS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "mel_mixnet": (_mel_mixnet, SIGNAL.n_channels, WINDOW_SAMPLES),
    "double_mel_mixnet": (_double_mel_mixnet, PAIRS, SEGMENT_SAMPLES),
}
"""Name → what makes the network, its channels and the samples of its window."""
