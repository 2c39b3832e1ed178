"""What is asked of a GPU besides time: its name, the replay of a graph, and whether memory was allocated."""

from __future__ import annotations

from typing import Any

import numpy as np

from apps.bench.report import Value
from apps.bench.timing import in_turn
from bci.engines.host import cuda_devices, cuda_gap

MIB = 2**20


def notes() -> list[str]:
    """Return which GPU was used, or why none was."""
    if gap := cuda_gap():
        return [f"Nothing was measured on a GPU: this machine {gap}."]
    import torch

    free, whole = torch.cuda.mem_get_info()
    return [
        f"GPU: {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, {free // MIB} of {whole // MIB} MiB free. "
        "replay: the graph alone, copies to and from pinned memory included. allocated: what the allocator of the GPU "
        "handed out while the engine was called."
    ]


def names() -> list[str]:
    """Return the names of the GPUs; where the driver offers none, torch is not asked."""
    if cuda_devices() == 0:
        return []
    import torch

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


class LiveRing:
    """What a live prediction waits for: the newest samples go into the stream's ring, and the graph reads it there."""

    def __init__(self, engine: Any, shape: tuple[int, ...], n_new: int) -> None:
        self._ring, self._n_new = engine.ring(shape), n_new

    def __call__(self, batch: np.ndarray) -> object:
        """Take the newest samples of a window."""
        self._ring.push(batch[0, ..., -self._n_new :])
        return self._ring.outcome()

    def replay(self, n_windows: int) -> None:
        """Run the graph on what stands in the ring; there is one window."""
        self._ring.outcome()


def allocations(engine: Any) -> int | None:
    """Return the bytes that the GPU's allocator has handed out so far; None for an engine on the CPU."""
    if not hasattr(engine, "replay"):
        return None
    import torch

    return int(torch.cuda.memory_stats()["allocated_bytes.all.allocated"])


def figures(engine: Any, n_windows: int, before: int | None, seconds: float) -> dict[str, Value]:
    """Return what the engine allocated since `before`, and the median time of its graph; nothing for the CPU."""
    now = allocations(engine)
    if before is None or now is None:
        return {}
    replay = in_turn({"replay": lambda: engine.replay(n_windows)}, seconds / 2)["replay"]
    return {"allocated": now - before, "replay": replay.p50}
