"""ONNX Runtime on the CPU."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as ort
from torch import nn

from bci.engines.onnx_export import FORMATS_KEY, export_onnx, require_exportable
from bci.errors import EngineError

UNUSABLE = (
    ort.Fail,
    ort.InvalidArgument,
    ort.InvalidGraph,
    ort.InvalidProtobuf,
    ort.NotImplemented,
    ort.RuntimeException,
)
"""What ONNX Runtime raises for a file that is no model, or not one it can run on this input."""

log = logging.getLogger(__name__)


class OnnxEngine:
    """An ONNX model, run by one thread; each call returns new arrays.

    Binding input and output to fixed memory gains nothing that can be measured: 0.55 ms either way for 19 channels of
    64 x 129 features.

    Parameters
    ----------
    path : Path
        Exported model.
    n_threads : int, default=1
        Threads inside an operator; one is fastest for small networks and leaves the other cores alone.
    """

    name = "onnx"

    def __init__(self, path: Path, n_threads: int = 1) -> None:
        self._run = OnnxGraph(path, n_threads)
        self.precision = self._run.precision

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return the logits of a batch of windows, as float32 (n_windows, n_classes)."""
        return self._run(batch)[0]


class TwoStepOnnxEngine:
    """A network in two parts, each an ONNX model; see `bci.engines.base.TwoStepEngine`.

    Parameters
    ----------
    early, late : Path
        Exported parts.
    n_late : int
        Columns that the first part does without.
    n_threads : int, default=1
        See `OnnxEngine`.
    """

    name = "onnx"

    def __init__(self, early: Path, late: Path, n_late: int, n_threads: int = 1) -> None:
        self.n_late = n_late
        self._early, self._late = OnnxGraph(early, n_threads), OnnxGraph(late, n_threads)
        parts = {self._early.precision, self._late.precision}
        self.precision = parts.pop() if len(parts) == 1 else "mixed"

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return the logits of a batch of windows, as float32 (n_windows, n_classes)."""
        return self.late(batch, self.early(batch))

    def early(self, batch: np.ndarray) -> list[np.ndarray]:
        """Begin with all but the last `n_late` columns."""
        return self._early(np.ascontiguousarray(batch[..., : -self.n_late]))

    def late(self, batch: np.ndarray, kept: list[np.ndarray]) -> np.ndarray:
        """Return the logits."""
        return self._late(np.ascontiguousarray(batch[..., -self.n_late :]), *kept)[0]


class OnnxGraph:
    """An ONNX model as a function of arrays; parameters as `OnnxEngine`.

    Attributes
    ----------
    precision : str
        ``fp32`` if the session takes and gives it and the file says that no weight is coarser, else ``mixed``.
    """

    def __init__(self, path: Path, n_threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = [i.name for i in self._session.get_inputs()]
        ends = {end.type for end in (*self._session.get_inputs(), *self._session.get_outputs())}
        weights = self._session.get_modelmeta().custom_metadata_map.get(FORMATS_KEY, "unknown")
        fine = set(filter(None, weights.split(","))) <= {"FLOAT", "DOUBLE"}
        self.precision = "fp32" if ends == {"tensor(float)"} and fine else "mixed"

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """Return the outputs."""
        return self._session.run(None, dict(zip(self._inputs, inputs, strict=True)))


def compile_onnx(
    network: nn.Module, example: np.ndarray, precision: str, cached: Path, n_late: int = 0
) -> OnnxEngine | TwoStepOnnxEngine:
    """Return the ONNX Runtime engine, warmed up on `example`.

    Parameters
    ----------
    network : Module
        Network to export.
    example : ndarray of float32, shape (n_windows, *column_shape, n_columns)
        Windows of the shape to come; their number may change later.
    precision : str
        ``fp32``.
    cached : Path
        Where the exported model is kept; an existing file is used if it can be run, else replaced. Parts of a network
        get files beside it.
    n_late : int, default=0
        Columns of a window that come last; a network that can begin without them (``network.parts``) runs in two steps.

    Raises
    ------
    EngineError
        If the precision is another, or the network cannot be exported or the export not be kept.
    """
    if precision != "fp32":
        raise EngineError(f"The onnx engine computes in fp32, got precision {precision!r}.")
    require_exportable(network)
    network = network.eval()
    parts = _parts(network, n_late)
    if parts is None:
        return _compiled(
            [cached], lambda: export_onnx(network, (example,), cached), lambda: OnnxEngine(cached), example
        )
    early, late = parts
    files = [cached.with_suffix(f".{step}-{n_late}.onnx") for step in ("early", "late")]

    def export() -> None:
        first, last = (np.ascontiguousarray(x) for x in np.split(example, [-n_late], axis=-1))
        export_onnx(early, (first,), files[0])
        with torch.inference_mode():
            kept = early(torch.from_numpy(first))
        export_onnx(late, (last, *(k.numpy() for k in kept)), files[1])

    return _compiled(files, export, lambda: TwoStepOnnxEngine(files[0], files[1], n_late), example)


def _parts(network: nn.Module, n_late: int) -> tuple[nn.Module, nn.Module] | None:
    """Return the two parts of a network that has them and can begin without the last `n_late` columns."""
    divide = getattr(network, "parts", None)
    if divide is None or n_late == 0:
        return None
    try:
        early, late = divide(n_late)
    except ValueError as error:
        log.info("the network runs in one step: %s", error)
        return None
    return early, late


def _compiled(
    files: list[Path],
    export: Callable[[], None],
    load: Callable[[], OnnxEngine | TwoStepOnnxEngine],
    example: np.ndarray,
) -> OnnxEngine | TwoStepOnnxEngine:
    """Return the engine from `files`, which are exported if they are not there or cannot be run."""
    if all(file.exists() for file in files):
        try:
            engine = load()
            engine(example)
            if engine.precision == "fp32":
                return engine
            log.warning("the cached engine %s does not say that it computes in fp32 and is made again", files[0])
        except UNUSABLE as error:
            log.warning("the cached engine %s is damaged and made again: %s", files[0], error)
    export()
    engine = load()
    engine(example)
    return engine
