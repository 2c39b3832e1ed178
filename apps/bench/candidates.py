"""Compilers for the CPU that are measured beside the engines; one becomes an engine if it is 20 % faster."""

from __future__ import annotations

import importlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from apps.bench.report import Value
from bci.engines.eager_engine import EagerEngine
from bci.engines.parity import compare
from bci.errors import EngineError

if TYPE_CHECKING:
    from torch import nn

Call = Callable[[np.ndarray], np.ndarray]

OPENVINO = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
HALVES = ("bf16", "f16")


def openvino(net: nn.Module, example: np.ndarray) -> Call:
    """Return OpenVINO's latency mode, one thread, told to compute in fp32.

    Raises
    ------
    EngineError
        If it is missing, or computes in another precision: unasked it takes bf16 where the processor has it.
    """
    import torch

    try:
        ov = importlib.import_module("openvino")
    except ImportError as error:
        raise EngineError("openvino needs the package: pip install openvino.") from error
    model = ov.convert_model(net, example_input=torch.from_numpy(example), input=[(-1, *example.shape[1:])])
    compiled = ov.Core().compile_model(model, "CPU", OPENVINO)
    _require_fp32(compiled)
    request = compiled.create_infer_request()
    return lambda batch: request.infer([batch])[0]


def _require_fp32(compiled: Any) -> None:
    """Read the precision of every layer back from what OpenVINO compiled."""
    layers = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    found = [str(layer["runtimePrecision"].astype(str)) for layer in layers if "runtimePrecision" in layer]
    halves = [name for name in found if name in HALVES]
    if halves or "f32" not in found:
        what = f"{len(halves)} of {len(found)} in {', '.join(sorted(set(halves)))}" if halves else "none in f32"
        raise EngineError(f"openvino must compute all layers in f32, it computes {what}. Its time would say nothing.")


def inductor(net: nn.Module, example: np.ndarray) -> Call:
    """Return ``torch.compile``."""
    import torch

    compiled = torch.compile(net, dynamic=False)

    def call(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return compiled(torch.from_numpy(batch)).numpy()

    return call


def aot_inductor(net: nn.Module, example: np.ndarray) -> Call:
    """Return a package of AOTInductor for each batch size."""
    import torch

    packages: dict[int, Any] = {}

    def call(batch: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(batch)
        if len(batch) not in packages:
            path = Path(tempfile.mkdtemp(dir=os.environ["XDG_CACHE_HOME"])) / "net.pt2"
            with torch.no_grad():
                program = torch.export.export(net, (x,))
                kept = torch._inductor.aoti_compile_and_package(program, package_path=str(path))
            packages[len(batch)] = torch._inductor.aoti_load_package(kept)
        with torch.inference_mode():
            return packages[len(batch)](x).numpy()

    return call


CANDIDATES: dict[str, Callable[[nn.Module, np.ndarray], Call]] = {
    "openvino fp32": openvino,
    "inductor fp32": inductor,
    "aot-inductor fp32": aot_inductor,
}
"""By the name of their rows."""


def build(
    compile_: Callable[[nn.Module, np.ndarray], Call], net: nn.Module, example: np.ndarray, batches: Sequence[int]
) -> tuple[Call, dict[str, Value]]:
    """Compile for all batch sizes, and compare with eager float32.

    Raises
    ------
    EngineError
        If the compiler is missing or fails.
    """
    started = time.perf_counter()
    try:
        call = compile_(net, example)
        for n in batches:
            call(np.ascontiguousarray(example[:n]))
    except (RuntimeError, ValueError, OSError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EngineError(f"It cannot compile the network: {first}.") from error
    built_s = time.perf_counter() - started
    n = max(batches)
    parity = compare(call(np.ascontiguousarray(example[:n])), EagerEngine(net)(example[:n]), "fp32")
    return call, {"build": built_s, "parity": parity.error}
