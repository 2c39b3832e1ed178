"""TensorRT through torch-tensorrt, compiled ahead of time from an exported program, inside a CUDA graph.

Precision comes from the module and its inputs: TensorRT 11 types networks strongly, and there is nothing to enable.
torch-tensorrt's own engine cache is left off: it leaves the weights out of its key and refits the engine instead. What
is kept is the compiled program, under a key that has all in it that could change what it computes or where it runs.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bci.engines.catalog import TENSORRT
from bci.engines.cuda_graph_engine import CudaGraphEngine, on_gpu, require_cuda, spectrum_on_gpu
from bci.engines.ends import NO_SPECTRUM, Ends
from bci.engines.precision import DTYPES
from bci.engines.window_step import WindowStep
from bci.errors import EngineError

OLDEST = (2, 10)  # types strongly unless told otherwise; older ones would build fp32 engines of fp16 modules
SIZES = (1, 64)
"""Numbers of windows that have an engine of their own: one for live use, one for recordings and many beds."""

OPTIMIZATION_LEVEL = 5  # builds for minutes, once

log = logging.getLogger(__name__)


def compile_tensorrt(
    network: nn.Module,
    example: np.ndarray,
    precision: str,
    folder: Path,
    key: str,
    ends: Ends = NO_SPECTRUM,
    sizes: tuple[int, ...] = SIZES,
) -> CudaGraphEngine:
    """Return TensorRT engines in CUDA graphs; compiled programs are kept in `folder`.

    Parameters
    ----------
    network : Module
        In float32; a copy in `precision` goes to the GPU.
    example : ndarray of float32, shape (n_windows, *column_shape, n_columns)
        Windows of the shape that the network takes.
    precision : str
        ``fp32``, ``fp16`` or ``bf16``.
    folder : Path
        Cache of engines.
    key : str
        Hash of the network's structure and weights.
    ends : Ends, default=Ends()
        What the graphs hold besides; spectrum and softmax stay outside TensorRT.
    sizes : tuple of int, default=SIZES
        See `bci.engines.cuda_graph_engine.CudaGraphEngine`.

    Raises
    ------
    EngineError
        If there is no GPU, torch-tensorrt is missing or too old, or it cannot compile all of the network.
    """
    require_cuda("tensorrt")
    compiler = import_compiler()
    frozen = on_gpu(network, precision)
    spectrum = spectrum_on_gpu(ends)
    shape = example.shape[1:]
    found: set[torch.dtype] = set()

    def step(n: int) -> nn.Module:
        given = torch.zeros((n, *shape), dtype=DTYPES[precision], device="cuda")
        path = folder / f"{engine_name(identity(compiler), key, precision, (n, *shape))}.ep"
        engine = _load(compiler, path) or _compile(compiler, frozen, given, precision, path)
        with torch.no_grad():
            found.add(engine(given).dtype)
        return WindowStep(engine, DTYPES[precision], spectrum, ends.temperature)

    engine = CudaGraphEngine(step, ends.windows(example).shape[1:], precision, "tensorrt", sizes, ends)
    engine.precision = built_precision(found)
    return engine


def import_compiler() -> Any:
    """Return the module ``torch_tensorrt``.

    Raises
    ------
    EngineError
        If it is missing, does not load beside this torch, or types networks weakly.
    """
    try:
        compiler = importlib.import_module("torch_tensorrt")
    except ImportError as error:
        raise EngineError(f"The tensorrt engine needs torch-tensorrt: {TENSORRT.remedy()}. Got: {error}.") from error
    except OSError as error:  # built for another torch or CUDA
        raise EngineError(
            f"The tensorrt engine needs a torch-tensorrt that loads beside torch {torch.__version__}: {error}. "
            "Install the release with the same minor version."
        ) from error
    if not strongly_typed(compiler.__version__):
        raise EngineError(
            f"The tensorrt engine needs torch-tensorrt {OLDEST[0]}.{OLDEST[1]} or newer, which types networks "
            f"strongly, got {compiler.__version__}. {TENSORRT.remedy()}."
        )
    return compiler


def strongly_typed(version: str) -> bool:
    """Return whether a release of torch-tensorrt takes precision from the module by default."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return (major, minor) >= OLDEST


def compile_arguments(precision: str, folder: Path) -> dict[str, Any]:
    """Return what is passed to ``torch_tensorrt.dynamo.compile`` besides program and inputs."""
    return {
        "min_block_size": 1,  # small networks would stay in torch
        "require_full_compilation": True,  # what is called TensorRT is TensorRT
        "optimization_level": OPTIMIZATION_LEVEL,
        "disable_tf32": precision == "fp32",
        "timing_cache_path": str(folder / "tensorrt-timing.bin"),
    }


def identity(compiler: Any) -> dict[str, str]:
    """Return what a compiled program is tied to besides the network: GPU and versions."""
    tensorrt = importlib.import_module("tensorrt")
    major, minor = torch.cuda.get_device_capability()
    return {
        "gpu": torch.cuda.get_device_name(),
        "sm": f"{major}.{minor}",
        "cuda": str(torch.version.cuda),
        "torch": torch.__version__,
        "torch_tensorrt": compiler.__version__,
        "tensorrt": tensorrt.__version__,
    }


def engine_name(on: dict[str, str], key: str, precision: str, shape: tuple[int, ...]) -> str:
    """Return the name of a compiled program: a hash of machine, versions, weights, precision, shape and settings."""
    settings = compile_arguments(precision, Path())
    content = {"on": on, "key": key, "precision": precision, "shape": list(shape), "settings": settings}
    return "tensorrt-" + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def built_precision(found: set[torch.dtype]) -> str:
    """Return the precision of engines by the formats of their outputs: under strong typing they are the network's."""
    names = {name for name, dtype in DTYPES.items() if dtype in found}
    return names.pop() if len(found) == len(names) == 1 else "mixed"


def _compile(compiler: Any, network: nn.Module, given: torch.Tensor, precision: str, path: Path) -> nn.Module:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        program = torch.export.export(network, (given,))
        engine = compiler.dynamo.compile(program, arg_inputs=[given], **compile_arguments(precision, path.parent))
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            compiler.save(engine, str(Path(scratch) / path.name), arg_inputs=[given])
            os.replace(Path(scratch) / path.name, path)
    except OSError as error:
        raise EngineError(
            f"The tensorrt engine needs a cache folder that can be written, got {path.parent}: {error.strerror}. "
            "Set XDG_CACHE_HOME."
        ) from error
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EngineError(f"TensorRT cannot compile the network: {first}. Use --engine cuda-graph.") from error
    return engine


def _load(compiler: Any, path: Path) -> nn.Module | None:
    """Return a kept program; None if there is none that can be read."""
    if not path.exists():
        return None
    try:
        return compiler.load(str(path)).module()
    except (RuntimeError, ValueError, OSError) as error:
        log.warning("the cached engine %s is damaged and made again: %s", path, error)
        return None
