"""One CUDA graph from the host's windows to the host's logits."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bci.engines.ends import NO_SPECTRUM, Ends
from bci.engines.precision import DTYPES, cast, precision_of
from bci.engines.window_ring import WindowRing
from bci.engines.window_step import RingStep, WindowStep
from bci.errors import EngineError

SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of windows that have a graph of their own."""

WARM_UP = 11  # cuDNN tries its algorithms in the first calls
FAILURE = "Use --engine onnx or --engine eager."


class CudaGraphEngine:
    """Fixed numbers of windows, each with pinned host memory and a graph that copies in, computes and copies out.

    After construction nothing is allocated on the GPU or in pinned memory, and the host waits for an event, not for
    the device. All graphs run on one stream of their own. A `ring` has a graph too, captured when it is made.

    Parameters
    ----------
    step_of : callable
        Returns what computes a given number of windows on the GPU; see `bci.engines.window_step.WindowStep`.
    window_shape : tuple of int
        Shape of one window.
    precision : str
        What the step computes in, as read back from it.
    name : str, default="cuda-graph"
    sizes : tuple of int, default=SIZES
        Numbers of windows, rising from 1. Other numbers run in the next larger one, or in several of the largest.
    ends : Ends, default=Ends()
        What the steps hold besides the network.

    Raises
    ------
    EngineError
        If a step cannot be captured.
    """

    def __init__(
        self,
        step_of: Callable[[int], nn.Module],
        window_shape: tuple[int, ...],
        precision: str,
        name: str = "cuda-graph",
        sizes: tuple[int, ...] = SIZES,
        ends: Ends = NO_SPECTRUM,
    ) -> None:
        self.name, self.precision, self.sizes = name, precision, sizes
        self.takes_signal, self.temperature = ends.spectrum is not None, ends.temperature
        self._shape = window_shape
        self._stream = torch.cuda.Stream()
        self._pool = torch.cuda.graph_pool_handle()  # one after another on one stream: they can share it
        steps = {n: step_of(n) for n in sizes}
        self._single = steps[1]
        self._graphs = {n: self._capture(steps[n], torch.zeros((n, *window_shape), pin_memory=True)) for n in sizes}

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return the logits of a batch of windows, as float32 (n_windows, n_classes)."""
        return self.outcomes(batch)[0]

    def outcomes(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits, float32, and probabilities, float64, of a batch of windows; it is copied on the host once."""
        parts = []
        for start, size in plan_batches(len(batch), self.sizes):
            rows = batch[start : start + size]
            graph = self._graphs[size]
            graph.inputs[0][: len(rows)] = rows  # those beyond hold older windows
            parts.append(graph.replay(len(rows)))
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([logits for logits, _ in parts]), np.concatenate([p for _, p in parts])

    def ring(self, shape: tuple[int, ...]) -> WindowRing:
        """Return pinned memory for the newest window of one stream, with a graph that reads it there.

        Raises
        ------
        EngineError
            If the engine was built for windows of another shape.
        """
        if shape != self._shape:
            raise EngineError(
                f"The {self.name} engine was built for windows of shape {self._shape}, got {shape}. "
                "Use the pipeline of its bundle."
            )
        store = torch.zeros(shape, pin_memory=True)
        oldest = torch.zeros(1, dtype=torch.int64, pin_memory=True)
        graph = self._capture(RingStep(self._single, shape[-1], "cuda"), store, oldest)
        return WindowRing(store.numpy(), oldest.numpy(), graph.replay)

    def keep_warm(self) -> None:
        """Replay the smallest graph on what stands in its input; see `bci.engines.base.WarmEngine`."""
        self.replay(1)

    def replay(self, n_windows: int) -> None:
        """Run the graphs that so many windows take, on what stands in their inputs, and wait for their end."""
        for _, size in plan_batches(n_windows, self.sizes):
            self._graphs[size].replay()

    def _capture(self, step: nn.Module, *given: Tensor) -> _Graph:
        try:
            return _Graph(step, given, self._stream, self._pool)
        except (RuntimeError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise EngineError(f"The {self.name} engine cannot capture the network: {first}. {FAILURE}") from error


class _Graph:
    """A captured step with its buffers: `given`, in pinned memory, is copied in, the outcome is copied out."""

    def __init__(self, step: nn.Module, given: tuple[Tensor, ...], stream: torch.cuda.Stream, pool: Any) -> None:
        self._stream = stream
        self._event = torch.cuda.Event()
        # fp32 is fp32: cuDNN would round to TF32 unasked. The flags decide which kernels the graph holds.
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)
        with torch.no_grad(), torch.cuda.stream(stream), exact:
            inputs = [torch.empty(x.shape, dtype=x.dtype, device="cuda") for x in given]

            def run() -> tuple[Tensor, Tensor]:
                for x, host in zip(inputs, given, strict=True):
                    x.copy_(host, non_blocking=True)
                logits, probabilities = step(*inputs)
                return logits, probabilities

            for _ in range(WARM_UP):
                outputs = run()
            taken = [torch.empty(y.shape, dtype=y.dtype, pin_memory=True) for y in outputs]
            stream.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, pool=pool, stream=stream):
                for host, y in zip(taken, run(), strict=True):
                    host.copy_(y, non_blocking=True)
        self._kept = (step, given, inputs, taken)  # the graph holds their addresses
        self.inputs = [host.numpy() for host in given]
        self._logits, self._probabilities = (host.numpy() for host in taken)
        self.replay()

    def replay(self, n_windows: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Run the graph, wait for its end, and return what it gives for the first windows."""
        with torch.cuda.stream(self._stream):
            self._graph.replay()
            self._event.record(self._stream)
        self._event.synchronize()
        return self._logits[:n_windows].copy(), self._probabilities[:n_windows].copy()


def plan_batches(n_windows: int, sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return (first window, graph size) of each run: the smallest that takes all the rest, else the largest."""
    runs, start = [], 0
    while start < n_windows:
        size = next((n for n in sizes if n >= n_windows - start), sizes[-1])
        runs.append((start, size))
        start += size
    return runs


def compile_cuda_graph(
    network: nn.Module,
    example: np.ndarray,
    precision: str,
    ends: Ends = NO_SPECTRUM,
    sizes: tuple[int, ...] = SIZES,
) -> CudaGraphEngine:
    """Return PyTorch's own kernels in CUDA graphs.

    Parameters
    ----------
    network : Module
        Stays as it is; a copy goes to the GPU.
    example : ndarray of float32, shape (n_windows, *column_shape, n_columns)
        Windows of the shape that the network takes.
    precision : str
        ``fp32``, ``fp16`` or ``bf16``.
    ends : Ends, default=Ends()
        What the graphs hold besides the network.
    sizes : tuple of int, default=SIZES
        See `CudaGraphEngine`.

    Raises
    ------
    EngineError
        If there is no CUDA GPU, or the network cannot be captured.
    """
    require_cuda("cuda-graph")
    network = on_gpu(network, precision)
    step = WindowStep(network, DTYPES[precision], spectrum_on_gpu(ends), ends.temperature)
    shape = ends.windows(example).shape[1:]
    return CudaGraphEngine(lambda _: step, shape, precision_of(network), sizes=sizes, ends=ends)


def spectrum_on_gpu(ends: Ends) -> nn.Module | None:
    """Return a copy of the spectrum on the GPU, in float32; None if there is none."""
    return None if ends.spectrum is None else on_gpu(ends.spectrum, "fp32")


def on_gpu(network: nn.Module, precision: str) -> nn.Module:
    """Return a copy in evaluation mode on the GPU, in the precision."""
    return cast(copy.deepcopy(network), precision).to("cuda")


def require_cuda(name: str) -> None:
    """Refuse to go on without a GPU that torch can use.

    Raises
    ------
    EngineError
        With what is missing.
    """
    if not torch.cuda.is_available():
        raise EngineError(f"The {name} engine needs a CUDA GPU, torch {torch.__version__} finds none. {FAILURE}")
