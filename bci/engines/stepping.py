"""Networks with state, run column by column: eager PyTorch and ONNX Runtime."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from bci.engines.base import StatefulEngine
from bci.engines.selection import EngineReport, cache_folder
from bci.errors import EngineError, ParityError

if TYPE_CHECKING:
    from models.causal import CausalClassifier

log = logging.getLogger(__name__)

STEPPING = ("onnx", "eager")
"""Engines that run networks with state."""

LIMIT = 1e-5
"""Largest difference of steps to the whole in eager float32, relative to the largest logit or 1."""

N_COMPARED = 64
"""Columns over which an engine is compared."""


class EagerSteps:
    """Eager PyTorch on the CPU, in float32: the reference; see `bci.engines.base.StatefulEngine`.

    Parameters
    ----------
    network : Module
        Network with state (`models.causal.CausalClassifier`); it is put into evaluation mode.
    """

    name = "eager"
    precision = "fp32"

    def __init__(self, network: nn.Module) -> None:
        self._network = cast("CausalClassifier", network.eval())

    def initial(self, n_streams: int = 1) -> Any:
        """Return the state before the first column."""
        return self._network.initial(n_streams)

    @torch.inference_mode()
    def step(self, columns: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """Return the logits after one more column, and the state."""
        logits, state = self._network.step(torch.from_numpy(columns), state)
        return logits.numpy(), state

    @torch.inference_mode()
    def along(self, columns: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Return the logits after each of many columns, all computed at once, and the state."""
        before = self._network.initial(1) if state is None else state
        logits, after = self._network.frames(torch.from_numpy(np.ascontiguousarray(columns)[None]), before)
        return logits[0].T.numpy(), after


class OnnxSteps:
    """One step as an ONNX model, with states as inputs and outputs; recordings are run by eager PyTorch.

    Parameters
    ----------
    path : Path
        Exported step.
    network : Module
        The same network.
    n_threads : int, default=1
        Threads inside an operator.
    """

    name = "onnx"

    def __init__(self, path: Path, network: nn.Module, n_threads: int = 1) -> None:
        from bci.engines.onnx_engine import OnnxGraph

        self._graph = OnnxGraph(path, n_threads)
        self.precision = self._graph.precision
        self._whole = EagerSteps(network)

    def initial(self, n_streams: int = 1) -> Any:
        """Return the state before the first column."""
        return [part.numpy() for part in self._whole.initial(n_streams)]

    def step(self, columns: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """Return the logits after one more column, and the state."""
        logits, *after = self._graph(columns, *state)
        return logits, after

    def along(self, columns: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Return the logits after each of many columns, as `EagerSteps` does."""
        return self._whole.along(columns, state)


class StepGraph(nn.Module):
    """One step of a network, as a function of tensors: what is exported."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, columns: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Return the logits, then the tensors of the state."""
        logits, after = cast("CausalClassifier", self.network).step(columns, state)
        return (logits, *after)


def build_stateful(
    name: str, network: nn.Module, columns: np.ndarray, key: str, precision: str = "fp32"
) -> tuple[StatefulEngine, EngineReport]:
    """Build an engine for a network with state, and compare its steps with the whole in eager float32.

    Parameters
    ----------
    name : str
        One of `STEPPING`, or ``auto`` for the first of them that can be built.
    network : Module
        Network with state.
    columns : ndarray of float32, shape (*column_shape, n_columns)
        Stream for warm-up and parity.
    key, precision : str
        See `bci.engines.selection.build_engine`.

    Returns
    -------
    engine : StatefulEngine
    report : EngineReport

    Raises
    ------
    EngineError
        If no engine of this name or precision runs networks with state, or it cannot be built.
    ParityError
        If it differs from eager float32 by more than `LIMIT`.
    """
    if name not in ("auto", *STEPPING) or precision not in ("auto", "fp32"):
        raise EngineError(
            f"A network with state runs on {' or '.join(STEPPING)} in fp32, got engine {name!r} and precision "
            f"{precision!r}. Use --engine auto."
        )
    network = network.eval()
    compared = np.ascontiguousarray(columns[..., :N_COMPARED], dtype=np.float32)
    passed_over: tuple[str, ...] = ()
    if name != "eager":
        try:
            return _checked(lambda: _compile_onnx(network, compared, key), network, compared, passed_over)
        except (EngineError, ParityError) as error:
            if name != "auto":
                raise
            passed_over = (f"onnx: {' '.join(str(error).split())}",)
            log.info("engine onnx passed over: %s", error)
    return _checked(lambda: EagerSteps(network), network, compared, passed_over)


def parity_error(engine: StatefulEngine, network: nn.Module, columns: np.ndarray) -> float:
    """Return the largest difference of steps to the whole in eager float32, relative to the largest logit or 1."""
    reference, _ = EagerSteps(network).along(columns)
    state, found = engine.initial(), []
    for i in range(columns.shape[-1]):
        logits, state = engine.step(np.ascontiguousarray(columns[None, ..., i : i + 1]), state)
        found.append(logits[0])
    return float(np.abs(np.stack(found) - reference).max() / max(1.0, np.abs(reference).max()))


def _checked(
    compile_: Callable[[], StatefulEngine], network: nn.Module, columns: np.ndarray, passed_over: tuple[str, ...]
) -> tuple[StatefulEngine, EngineReport]:
    started = time.perf_counter()
    engine = compile_()
    built_s = time.perf_counter() - started
    error_size = parity_error(engine, network, columns)
    if not error_size <= LIMIT:
        raise ParityError(
            f"Steps of engine {engine.name} differ from the whole in eager fp32 by {error_size:.2e} of the largest "
            f"logit, the limit is {LIMIT:.0e}. Use --engine eager."
        )
    return engine, EngineReport(engine.name, engine.precision, built_s, error_size, passed_over)


def _compile_onnx(network: nn.Module, columns: np.ndarray, key: str) -> OnnxSteps:
    try:
        import onnxruntime

        from bci.engines.onnx_engine import UNUSABLE
        from bci.engines.onnx_export import export_onnx, require_exportable

        require_exportable(network)
        versions = f"{torch.__version__.split('+')[0]}-{onnxruntime.__version__}"
        cached = cache_folder() / f"{key[:32]}-{versions}.step.onnx"
        example = np.ascontiguousarray(columns[None, ..., :1])
        if cached.exists():
            try:
                return _loaded(cached, network, example)
            except UNUSABLE as error:
                log.warning("the cached engine %s is damaged and made again: %s", cached, error)
        state = cast("CausalClassifier", network).initial(1)
        export_onnx(StepGraph(network).eval(), (example, *(part.numpy() for part in state)), cached)
        return _loaded(cached, network, example)
    except ImportError as error:  # the exporter imports onnxscript only when it is called
        raise EngineError(
            f"The onnx engine needs {error.name}. Install it: pip install onnxruntime onnxscript."
        ) from error


def _loaded(cached: Path, network: nn.Module, example: np.ndarray) -> OnnxSteps:
    engine = OnnxSteps(cached, network)
    engine.step(example, engine.initial())
    return engine
