"""The engines by name: where each runs, in which precisions, and what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bci.engines.host import cuda_gap, installed
from bci.errors import UsageError

PRECISIONS = ("fp32", "fp16", "bf16")


@dataclass(frozen=True, slots=True)
class EngineKind:
    """What is known of an engine before it is built.

    Parameters
    ----------
    name : str
        What ``--engine`` takes.
    runs_on : {"cuda", "cpu"}
        Device.
    precisions : tuple of str
        What ``--precision`` may be.
    modules : tuple of str
        Modules besides torch that it imports.
    install : str
        Command that brings them; empty if there are none.
    summary : str
        What it is, in a few words.
    """

    name: str
    runs_on: Literal["cuda", "cpu"]
    precisions: tuple[str, ...]
    modules: tuple[str, ...]
    install: str
    summary: str

    def gap(self) -> str:
        """Return what is missing here and how to get it; empty if the engine is usable."""
        if self.runs_on == "cuda" and (missing := cuda_gap()):
            return missing
        absent = [module for module in self.modules if not installed(module)]
        return f"needs {', '.join(absent)}: {self.install}" if absent else ""


TENSORRT = EngineKind(
    "tensorrt",
    "cuda",
    PRECISIONS,
    ("torch_tensorrt",),
    "pip install 'torch-tensorrt==2.13.*'",
    "TensorRT through torch-tensorrt, in one CUDA graph",
)
CUDA_GRAPH = EngineKind("cuda-graph", "cuda", PRECISIONS, (), "", "PyTorch's kernels, in one CUDA graph")
ONNX = EngineKind(
    "onnx",
    "cpu",
    ("fp32",),
    ("onnxruntime", "onnxscript"),
    "pip install onnxruntime onnxscript",
    "ONNX Runtime, one thread; begins a window before its last columns come",
)
EAGER = EngineKind("eager", "cpu", PRECISIONS, (), "", "PyTorch as it is: the reference, and what always runs")

CATALOG = (TENSORRT, CUDA_GRAPH, ONNX, EAGER)
"""All engines; of equally fast ones, ``auto`` takes the first."""

ENGINES = tuple(kind.name for kind in CATALOG)


def kind_of(name: str) -> EngineKind:
    """Return the engine of that name.

    Raises
    ------
    UsageError
        If there is none.
    """
    for kind in CATALOG:
        if kind.name == name:
            return kind
    raise UsageError(f"There is no engine {name!r}. Known: auto, {', '.join(ENGINES)}.")
