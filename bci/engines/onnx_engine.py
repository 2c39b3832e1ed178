"""ONNX Runtime on the CPU."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as ort
from torch import nn

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
    """An ONNX model, run by one thread; each call returns a new array.

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
    precision = "fp32"

    def __init__(self, path: Path, n_threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return the logits of a batch of windows, as float32 (n_windows, n_classes)."""
        return self._session.run(None, {self._input: batch})[0]


def compile_onnx(network: nn.Module, example: np.ndarray, precision: str, cached: Path) -> OnnxEngine:
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
        Where the exported model is kept; an existing file is used if it can be run, else replaced.

    Raises
    ------
    EngineError
        If the precision is another, or the network cannot be exported or the export not be kept.
    """
    if precision != "fp32":
        raise EngineError(f"The onnx engine computes in fp32, got precision {precision!r}.")
    if reason := getattr(network, "eager_only", ""):
        raise EngineError(f"The network cannot be exported to ONNX: {reason}. Use --engine eager.")
    if cached.exists():
        try:
            return _warmed(cached, example)
        except UNUSABLE as error:
            log.warning("the cached engine %s is damaged and made again: %s", cached, error)
    _export(network.eval(), example, cached)
    return _warmed(cached, example)


def _warmed(path: Path, example: np.ndarray) -> OnnxEngine:
    engine = OnnxEngine(path)
    engine(example)
    return engine


def _export(network: nn.Module, example: np.ndarray, path: Path) -> None:
    batch = torch.from_numpy(example if len(example) > 1 else np.repeat(example, 2, axis=0))  # 1 would be fixed
    quieted = logging.getLogger("torch.onnx")
    level = quieted.level
    quieted.setLevel(logging.ERROR)  # it reports that torchvision is not there
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside the exporter
            program = torch.onnx.export(
                network, (batch,), dynamo=True, dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), verbose=False
            )
    except (torch.onnx.errors.OnnxExporterError, torch._dynamo.exc.TorchDynamoException) as error:
        first = str(error).strip().splitlines()[0]
        raise EngineError(f"The network cannot be exported to ONNX: {first}. Use --engine eager.") from error
    finally:
        quieted.setLevel(level)
    if program is None:
        raise EngineError("The network cannot be exported to ONNX: the exporter gave nothing. Use --engine eager.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            program.save(Path(scratch) / path.name)
            os.replace(Path(scratch) / path.name, path)
    except OSError as error:
        raise EngineError(
            f"The onnx engine needs a cache folder that can be written, got {path.parent}: {error.strerror}. "
            "Set XDG_CACHE_HOME, or use --engine eager."
        ) from error
    log.info("exported the network to %s", path)
