"""Engines by name, built, checked against eager PyTorch and reported."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bci.engines.base import EndToEndEngine, Engine
from bci.engines.catalog import CATALOG, ENGINES, PRECISIONS, EngineKind, kind_of
from bci.engines.choice import (
    Choice,
    Trial,
    choice_file,
    is_busy,
    live_call,
    load_per_core,
    medians_ms,
    recall,
    remember,
)
from bci.engines.ends import NO_SPECTRUM, Ends
from bci.engines.host import cuda_gap
from bci.engines.parity import check
from bci.errors import EngineError, ParityError, UsageError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ENGINES", "EngineReport", "build_engine", "cache_folder"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineReport:
    """How an engine came about.

    Parameters
    ----------
    name, precision : str
        What was built; the precision is read back from it.
    build_s : float
        Time it took, in seconds.
    parity_error : float
        Largest difference to eager float32, relative to the largest logit or 1.
    passed_over : tuple of str
        Engines that ``auto`` could not build or that differ from eager float32, with the reason.
    tried : tuple of Trial
        Engines that ``auto`` measured, with milliseconds and parity error.
    remembered : bool
        Whether they were measured at an earlier start.
    load : float or None
        Of the machine when they were, for each core; None if that is not known.
    """

    name: str
    precision: str
    build_s: float
    parity_error: float
    passed_over: tuple[str, ...] = ()
    tried: tuple[Trial, ...] = ()
    remembered: bool = False
    load: float | None = None

    def __str__(self) -> str:
        """Return one line for people."""
        line = (
            f"Engine {self.name} ({self.precision}), built in {self.build_s:.2f} s, "
            f"differs from eager fp32 by {self.parity_error:.1e} of the largest logit."
        )
        return " ".join((line, *self.notes()))

    def notes(self) -> list[str]:
        """Return what ``auto`` has to say, as sentences."""
        lines = []
        if self.tried:
            when = "Measured earlier" if self.remembered else "Measured"
            busy = f" at a load of {self.load:.1f} for each core" if is_busy(self.load) else ""
            again = " Measured again when the machine is calm." if busy else ""
            lines.append(f"{when}{busy}: {', '.join(map(str, self.tried))}.{again}")
        if self.passed_over:
            lines.append(f"Passed over: {' '.join(self.passed_over)}")
        return lines


def build_engine(
    name: str,
    network: nn.Module,
    example: np.ndarray,
    key: str,
    precision: str = "fp32",
    n_late: int = 0,
    remeasure: bool = False,
    ends: Ends = NO_SPECTRUM,
) -> tuple[Engine, EngineReport]:
    """Build the named engine and check it.

    Parameters
    ----------
    name : str
        One of `ENGINES`, or ``auto``: the fastest of those that can be built and pass the comparison, measured on
        this machine once and then remembered.
    network : Module
        Network with its weights, in float32.
    example : ndarray of float32, shape (n_windows, *column_shape, n_columns)
        Windows for warm-up, parity and measurement.
    key : str
        Hash of the network's structure and weights, for the cache of compiled forms and choices.
    precision : str, default="fp32"
        Number format of the computation: ``fp32``, ``fp16`` or ``bf16``.
    n_late : int, default=0
        Columns of a window that come last: an engine that can, offers to begin without them.
    remeasure : bool, default=False
        With ``auto``, measure again whatever is remembered.
    ends : Ends, default=Ends()
        What stands before and behind the network. Engines on a GPU compute it too, and then take windows of the signal
        (`bci.engines.base.EndToEndEngine.takes_signal`); the others leave it to the pipeline and the decision.

    Returns
    -------
    engine : Engine
    report : EngineReport

    Raises
    ------
    UsageError
        If the name or the precision is unknown, or `remeasure` comes with a name.
    EngineError
        If the engine, or with ``auto`` every one, cannot be built in this precision.
    ParityError
        If it, or with ``auto`` the last, is too far from eager float32: see `bci.engines.parity.LIMITS`.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"There is no precision {precision!r}. Known: {', '.join(PRECISIONS)}.")
    if name != "auto":
        kind = kind_of(name)
        if remeasure:
            raise UsageError(f"Only auto measures engines, got {name!r} to measure again. Leave out one of the two.")
        return _build(kind, network, example, key, precision, n_late, ends)
    path = choice_file(cache_folder(), key, precision, n_late, (*example.shape[1:], *_signal_shape(ends)))
    known = None if remeasure else recall(path)
    if known is not None:
        try:
            engine, report = _build(kind_of(known.name), network, example, key, precision, n_late, ends)
            earlier = replace(report, passed_over=known.passed_over, tried=known.tried, load=known.load)
            return engine, replace(earlier, remembered=True)
        except (EngineError, ParityError) as error:
            log.warning("engine %s was chosen earlier and is no longer usable: %s", known.name, error)
    return _fastest(network, example, key, precision, n_late, path, ends)


def cache_folder() -> Path:
    """Return the user's folder for compiled engines (``$XDG_CACHE_HOME/streaming-bci/engines``)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "streaming-bci" / "engines"


def _fastest(
    network: nn.Module, example: np.ndarray, key: str, precision: str, n_late: int, path: Path, ends: Ends
) -> tuple[Engine, EngineReport]:
    """Build all that can be built, measure them in turn, keep and remember the fastest."""
    built: dict[str, tuple[Engine, EngineReport]] = {}
    passed_over: list[str] = []
    failure: EngineError | ParityError | None = None
    load = load_per_core()  # before the builds, which are work themselves
    no_gpu = bool(cuda_gap())
    for kind in CATALOG:
        if kind.runs_on == "cuda" and no_gpu:
            continue  # nothing to report: nobody expects them here
        try:
            built[kind.name] = _build(kind, network, example, key, precision, n_late, ends)
        except (EngineError, ParityError) as error:
            failure = error
            passed_over.append(f"{kind.name}: {' '.join(str(error).split())}")
            log.info("engine %s passed over: %s", kind.name, error)
    if not built:
        if isinstance(failure, ParityError):
            raise failure
        raise EngineError(f"No engine could be built. {' '.join(passed_over)}")
    calls = {name: live_call(engine, _given(engine, example, ends)[:1].copy()) for name, (engine, _) in built.items()}
    ms = medians_ms(calls)
    trials = tuple(Trial(name, ms[name], report.parity_error) for name, (_, report) in built.items())
    chosen = min(ms, key=ms.__getitem__)
    remember(Choice(chosen, trials, tuple(passed_over), load), path)
    engine, report = built[chosen]
    return engine, replace(report, passed_over=tuple(passed_over), tried=trials, load=load)


def _build(
    kind: EngineKind, network: nn.Module, example: np.ndarray, key: str, precision: str, n_late: int, ends: Ends
) -> tuple[Engine, EngineReport]:
    """Build one engine, read its precision back and compare it with eager float32."""
    if precision not in kind.precisions:
        raise EngineError(
            f"The {kind.name} engine computes in {' or '.join(kind.precisions)}, got precision {precision!r}. "
            "Use --precision fp32, or another engine."
        )
    if kind.runs_on == "cuda" and (gap := kind.gap()):
        raise EngineError(f"The {kind.name} engine {gap}. Use --engine auto.")
    started = time.perf_counter()
    engine = _compile(kind, network, example, key, precision, n_late, ends)
    built_s = time.perf_counter() - started
    if engine.precision != precision:
        raise EngineError(
            f"The {kind.name} engine must compute in {precision}, it was built in {engine.precision}. "
            "Use another engine."
        )
    parity = check(engine, network, example, _given(engine, example, ends))
    parity.require(kind.name)
    return engine, EngineReport(kind.name, engine.precision, built_s, parity.error)


def _compile(
    kind: EngineKind, network: nn.Module, example: np.ndarray, key: str, precision: str, n_late: int, ends: Ends
) -> Engine:
    if kind.name == "eager":
        from bci.engines.eager_engine import compile_eager

        return compile_eager(network, example, precision)
    if kind.name == "cuda-graph":
        from bci.engines.cuda_graph_engine import compile_cuda_graph

        return compile_cuda_graph(network, example, precision, ends)
    if kind.name == "tensorrt":
        from bci.engines.tensorrt_engine import compile_tensorrt

        return compile_tensorrt(network, example, precision, cache_folder(), key, ends)
    try:
        import onnxruntime
        import torch

        from bci.engines.onnx_engine import compile_onnx

        versions = f"{torch.__version__.split('+')[0]}-{onnxruntime.__version__}"
        return compile_onnx(network, example, precision, cache_folder() / f"{key[:32]}-{versions}.onnx", n_late)
    except ImportError as error:  # the exporter imports onnxscript only when it is called
        raise EngineError(f"The onnx engine needs {error.name}. Install it: {kind.install}.") from error


def _given(engine: Engine, example: np.ndarray, ends: Ends) -> np.ndarray:
    """Return the example windows as `engine` takes them."""
    return ends.windows(example) if isinstance(engine, EndToEndEngine) and engine.takes_signal else example


def _signal_shape(ends: Ends) -> tuple[int, ...]:
    return () if ends.signals is None else ends.signals.shape[1:]
