"""Networks as ONNX files, each of which carries the number formats of its weights."""

from __future__ import annotations

import inspect
import logging
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bci.errors import EngineError

FORMATS_KEY = "weight_formats"
"""Metadata key: the floating-point formats of the exported weights, joined by commas."""

log = logging.getLogger(__name__)


def require_exportable(network: nn.Module) -> None:
    """Refuse a network that says that it cannot be exported.

    Raises
    ------
    EngineError
        With its reason.
    """
    if reason := getattr(network, "eager_only", ""):
        raise EngineError(f"The network cannot be exported to ONNX: {reason}. Use --engine eager.")


def export_onnx(network: nn.Module, inputs: tuple[np.ndarray, ...], path: Path) -> None:
    """Write a network as an ONNX model that takes any number of windows.

    Parameters
    ----------
    network : Module
        In evaluation mode.
    inputs : tuple of ndarray of float32
        What it takes; the first axis of each counts windows.
    path : Path
        File to write or replace, as a whole or not at all.

    Raises
    ------
    EngineError
        If the exporter cannot follow the network, or the file cannot be written.
    """
    n = max(2, len(inputs[0]))  # a single window would be fixed
    batch = tuple(torch.from_numpy(np.resize(x, (n, *x.shape[1:]))) for x in inputs)
    n_windows = {0: torch.export.Dim.DYNAMIC}
    n_named = sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in inspect.signature(network.forward).parameters.values())
    shapes = (n_windows,) * n_named + (((n_windows,) * (len(inputs) - n_named),) if len(inputs) > n_named else ())
    quieted = logging.getLogger("torch.onnx")
    level = quieted.level
    quieted.setLevel(logging.ERROR)  # it reports that torchvision is not there
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside the exporter
            program = torch.onnx.export(network, batch, dynamo=True, dynamic_shapes=shapes, verbose=False)
    except (torch.onnx.errors.OnnxExporterError, torch._dynamo.exc.TorchDynamoException) as error:
        first = str(error).strip().splitlines()[0]
        raise EngineError(f"The network cannot be exported to ONNX: {first}. Use --engine eager.") from error
    finally:
        quieted.setLevel(level)
    if program is None:
        raise EngineError("The network cannot be exported to ONNX: the exporter gave nothing. Use --engine eager.")
    weights = program.model.graph.initializers.values()
    formats = {w.dtype.name for w in weights if w.dtype is not None and w.dtype.is_floating_point()}
    program.model.metadata_props[FORMATS_KEY] = ",".join(sorted(formats))
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
