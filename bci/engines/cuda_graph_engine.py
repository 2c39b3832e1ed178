"""One CUDA graph from the host's windows to the host's logits."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bci.engines.precision import DTYPES, cast, precision_of
from bci.errors import EngineError

SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of windows that have a graph of their own."""

WARM_UP = 11  # cuDNN tries its algorithms in the first calls
FAILURE = "Use --engine onnx or --engine eager."


class CudaStep(nn.Module):
    """What the graph holds between the copies: front end, network, and the way back to float32.

    Parameters
    ----------
    network : Module
        Takes the front end's output, or windows, in the precision of its parameters.
    dtype : torch.dtype
        That precision.
    front_end : Module or None, default=None
        Computed before the network in its own precision, such as `models.logmel.LogMelFrontEnd`: transforms stay out of
        the engine that a compiler makes, but inside the graph.

    Notes
    -----
    The softmax is left to the decision, which divides the logits by a temperature first.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype, front_end: nn.Module | None = None) -> None:
        super().__init__()
        self.network, self.front_end, self.dtype = network, front_end, dtype

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 logits (n_windows, n_classes) of float32 windows."""
        if self.front_end is not None:
            x = self.front_end(x)
        return self.network(x.to(self.dtype)).float()


class CudaGraphEngine:
    """Fixed numbers of windows, each with pinned host memory and a graph that copies in, computes and copies out.

    After construction nothing is allocated on the GPU or in pinned memory, and the host waits for an event, not for
    the device. All graphs run on one stream of their own.

    Parameters
    ----------
    step_of : callable
        Returns what computes a given number of windows: a module from float32 windows to float32 logits, on the GPU.
    window_shape : tuple of int
        Shape of one window.
    precision : str
        What the step computes in, as read back from it.
    name : str, default="cuda-graph"
    sizes : tuple of int, default=SIZES
        Numbers of windows, rising. Other numbers run in the next larger one, or in several of the largest.

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
    ) -> None:
        self.name, self.precision, self.sizes = name, precision, sizes
        self._stream = torch.cuda.Stream()
        pool = torch.cuda.graph_pool_handle()  # one after another on one stream: they can share it
        try:
            self._graphs = {n: _Graph(step_of(n), (n, *window_shape), self._stream, pool) for n in sizes}
        except EngineError:
            raise
        except (RuntimeError, ValueError) as error:
            first = str(error).strip().splitlines()[0]
            raise EngineError(f"The {name} engine cannot capture the network: {first}. {FAILURE}") from error

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return the logits of a batch of windows, as float32 (n_windows, n_classes)."""
        parts = [
            self._graphs[size](batch[start : start + size]) for start, size in plan_batches(len(batch), self.sizes)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def keep_warm(self) -> None:
        """Replay the smallest graph on what stands in its input; see `bci.engines.base.WarmEngine`."""
        self.replay(1)

    def replay(self, n_windows: int) -> None:
        """Run the graphs that so many windows take, on what stands in their inputs, and wait for their end."""
        for _, size in plan_batches(n_windows, self.sizes):
            self._graphs[size].replay()


class _Graph:
    """The graph for one number of windows, with its buffers."""

    def __init__(self, step: nn.Module, shape: tuple[int, ...], stream: torch.cuda.Stream, pool: Any) -> None:
        self._stream = stream
        self._event = torch.cuda.Event()
        given = torch.zeros(shape, dtype=torch.float32, pin_memory=True)
        # fp32 is fp32: cuDNN would round to TF32 unasked. The flags decide which kernels the graph holds.
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)
        with torch.no_grad(), torch.cuda.stream(stream), exact:
            x = torch.empty(shape, dtype=torch.float32, device="cuda")
            for _ in range(WARM_UP):
                x.copy_(given, non_blocking=True)
                logits = step(x)
            taken = torch.empty(logits.shape, dtype=torch.float32, pin_memory=True)
            stream.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, pool=pool, stream=stream):
                x.copy_(given, non_blocking=True)
                taken.copy_(step(x), non_blocking=True)
        self._kept = (step, given, x, taken)  # the graph holds their addresses
        self._input, self._output = given.numpy(), taken.numpy()
        self.replay()

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return the logits of at most as many windows as the graph is for; rows beyond them hold older windows."""
        self._input[: len(batch)] = batch
        self.replay()
        return self._output[: len(batch)].copy()

    def replay(self) -> None:
        """Run the graph and wait for its end."""
        with torch.cuda.stream(self._stream):
            self._graph.replay()
            self._event.record(self._stream)
        self._event.synchronize()


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
    front_end: nn.Module | None = None,
    sizes: tuple[int, ...] = SIZES,
) -> CudaGraphEngine:
    """Return PyTorch's own kernels in CUDA graphs.

    Parameters
    ----------
    network : Module
        Stays as it is; a copy goes to the GPU.
    example : ndarray of float32, shape (n_windows, *window_shape)
        Windows of the shape to come: signals if there is a front end.
    precision : str
        ``fp32``, ``fp16`` or ``bf16``.
    front_end : Module or None, default=None
        See `CudaStep`.
    sizes : tuple of int, default=SIZES
        See `CudaGraphEngine`.

    Raises
    ------
    EngineError
        If there is no CUDA GPU, or the network cannot be captured.
    """
    require_cuda("cuda-graph")
    network = on_gpu(network, precision)
    step = CudaStep(network, DTYPES[precision], None if front_end is None else on_gpu(front_end, "fp32"))
    return CudaGraphEngine(lambda _: step, example.shape[1:], precision_of(network), sizes=sizes)


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
