"""The network as PyTorch runs it: the reference that every other engine is compared with."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from bci.errors import EngineError


class EagerEngine:
    """Eager PyTorch on the CPU, in float32.

    Parameters
    ----------
    network : Module
        Network; it is put into evaluation mode.
    """

    name = "eager"
    precision = "fp32"

    def __init__(self, network: nn.Module) -> None:
        self._network = network.eval()

    @torch.inference_mode()
    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return the logits of a batch of windows, as float32 (n_windows, n_classes)."""
        return self._network(torch.from_numpy(batch)).numpy()


def compile_eager(network: nn.Module, example: np.ndarray, precision: str) -> EagerEngine:
    """Return the eager engine, warmed up on `example`.

    Raises
    ------
    EngineError
        If the precision is not ``fp32``.
    """
    if precision != "fp32":
        raise EngineError(f"The eager engine computes in fp32, got precision {precision!r}.")
    engine = EagerEngine(network)
    engine(example)
    return engine
