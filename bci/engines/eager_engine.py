"""The network as PyTorch runs it: the reference that every other engine is compared with."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from bci.engines.precision import DTYPES, cast, precision_of
from bci.errors import EngineError


class EagerEngine:
    """Eager PyTorch on the CPU.

    Parameters
    ----------
    network : Module
        Network; it is put into evaluation mode and computes in the precision of its parameters.
    """

    name = "eager"

    def __init__(self, network: nn.Module) -> None:
        self._network = network.eval()
        self.precision = precision_of(network)
        self._dtype = DTYPES[self.precision]

    @torch.inference_mode()
    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return the logits of a batch of windows, as float32 (n_windows, n_classes)."""
        return self._network(torch.from_numpy(batch).to(self._dtype)).float().numpy()


def compile_eager(network: nn.Module, example: np.ndarray, precision: str) -> EagerEngine:
    """Return the eager engine, warmed up on `example`.

    Raises
    ------
    EngineError
        If the network has layers that cannot compute in this precision.
    """
    engine = EagerEngine(cast(network, precision))
    try:
        engine(example)
    except (RuntimeError, ValueError) as error:
        if precision == "fp32":
            raise
        first = str(error).strip().splitlines()[0]
        raise EngineError(f"The network cannot compute in {precision}: {first}. Use --precision fp32.") from error
    return engine
