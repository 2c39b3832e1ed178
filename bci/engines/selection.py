"""Engines by name, built, checked against eager PyTorch and reported."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bci.engines.base import Engine
from bci.errors import EngineError, ParityError, UsageError

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)

ENGINES = ("onnx", "eager")
"""Known engines; ``auto`` takes the first that can be built."""

PARITY_LIMIT = 1e-4
"""Largest difference to eager float32, relative to the largest logit or 1."""


@dataclass(frozen=True, slots=True)
class EngineReport:
    """How an engine came about.

    Parameters
    ----------
    name, precision : str
        What was built.
    build_s : float
        Time it took, in seconds.
    parity_error : float
        Largest difference to eager float32, relative to the largest logit or 1.
    passed_over : tuple of str
        Engines that ``auto`` could not build or that differ from eager float32, with the reason.
    """

    name: str
    precision: str
    build_s: float
    parity_error: float
    passed_over: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return one line for people."""
        line = (
            f"Engine {self.name} ({self.precision}), built in {self.build_s:.2f} s, "
            f"differs from eager fp32 by {self.parity_error:.1e} of the largest logit."
        )
        return f"{line} Passed over: {' '.join(self.passed_over)}" if self.passed_over else line


def build_engine(
    name: str, network: nn.Module, example: np.ndarray, key: str, precision: str = "fp32", n_late: int = 0
) -> tuple[Engine, EngineReport]:
    """Build the named engine and check it.

    Parameters
    ----------
    name : str
        One of `ENGINES`, or ``auto``.
    network : Module
        Network with its weights.
    example : ndarray of float32, shape (n_windows, *column_shape, n_columns)
        Windows for warm-up and parity.
    key : str
        Hash of the network's structure and weights, for the cache of compiled forms.
    precision : str, default="fp32"
        Number format of the computation.
    n_late : int, default=0
        Columns of a window that come last: an engine that can, offers to begin without them.

    Returns
    -------
    engine : Engine
    report : EngineReport

    Raises
    ------
    UsageError
        If the name is unknown.
    EngineError
        If the engine, or with ``auto`` every one, cannot be built.
    ParityError
        If it, or with ``auto`` the last, differs from eager float32 by more than `PARITY_LIMIT`.
    """
    if name != "auto" and name not in ENGINES:
        raise UsageError(f"There is no engine {name!r}. Known: auto, {', '.join(ENGINES)}.")
    if name != "auto":
        return _build(name, network, example, key, precision, n_late, ())
    passed_over: list[str] = []
    for candidate in ENGINES:
        try:
            return _build(candidate, network, example, key, precision, n_late, tuple(passed_over))
        except (EngineError, ParityError) as error:
            if isinstance(error, ParityError) and candidate == ENGINES[-1]:
                raise
            passed_over.append(f"{candidate}: {' '.join(str(error).split())}")
            log.info("engine %s passed over: %s", candidate, error)
    raise EngineError(f"No engine could be built. {' '.join(passed_over)}")


def _build(
    name: str,
    network: nn.Module,
    example: np.ndarray,
    key: str,
    precision: str,
    n_late: int,
    passed_over: tuple[str, ...],
) -> tuple[Engine, EngineReport]:
    started = time.perf_counter()
    engine = _compile(name, network, example, key, precision, n_late)
    built_s = time.perf_counter() - started
    error_size = parity_error(engine, network, example)
    if not error_size <= PARITY_LIMIT:
        raise ParityError(
            f"Engine {name} differs from eager fp32 by {error_size:.2e} of the largest logit, "
            f"the limit is {PARITY_LIMIT:.0e}. Use --engine eager."
        )
    return engine, EngineReport(name, precision, built_s, error_size, passed_over)


def parity_error(engine: Engine, network: nn.Module, example: np.ndarray) -> float:
    """Return the largest difference to eager float32, relative to the largest logit or 1."""
    from bci.engines.eager_engine import EagerEngine

    reference = EagerEngine(network)(example)
    return float(np.abs(engine(example) - reference).max() / max(1.0, np.abs(reference).max()))


def _compile(name: str, network: nn.Module, example: np.ndarray, key: str, precision: str, n_late: int) -> Engine:
    if name == "eager":
        from bci.engines.eager_engine import compile_eager

        return compile_eager(network, example, precision)
    try:
        import onnxruntime
        import torch

        from bci.engines.onnx_engine import compile_onnx

        versions = f"{torch.__version__.split('+')[0]}-{onnxruntime.__version__}"
        return compile_onnx(network, example, precision, cache_folder() / f"{key[:32]}-{versions}.onnx", n_late)
    except ImportError as error:  # the exporter imports onnxscript only when it is called
        raise EngineError(
            f"The onnx engine needs {error.name}. Install it: pip install onnxruntime onnxscript."
        ) from error


def cache_folder() -> Path:
    """Return the user's folder for compiled engines (``$XDG_CACHE_HOME/streaming-bci/engines``)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "streaming-bci" / "engines"
