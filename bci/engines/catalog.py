"""The engines by name: where each runs, in which precisions, and what it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bci.engines.host import cuda_gap, installed, release
from bci.errors import UsageError

NEWEST_TORCH = "2.13"  # for a machine without any
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
        Command that brings them; empty if there are none. ``{torch}`` stands for the minor version of torch.
    summary : str
        What it is, in a few words.
    """

    name: str
    runs_on: Literal["cuda", "cpu"]
    precisions: tuple[str, ...]
    modules: tuple[str, ...]
    install: str
    summary: str

    def remedy(self) -> str:
        """Return the command that brings the modules, in the release for the torch that is here."""
        return self.install.format(torch=release("torch", NEWEST_TORCH))

    def gap(self) -> str:
        """Return what is missing here and how to get it; empty if the engine is usable."""
        absent = [module for module in self.modules if not installed(module)]
        package = f"needs {', '.join(absent)}: {self.remedy()}" if absent else ""
        device = cuda_gap() if self.runs_on == "cuda" else ""
        return "; ".join(filter(None, (device, package)))


TENSORRT = EngineKind(
    "tensorrt",
    "cuda",
    PRECISIONS,
    ("torch_tensorrt",),
    "pip install 'torch-tensorrt=={torch}.*'",
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
