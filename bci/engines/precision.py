"""Number formats of torch modules, set and read back."""

from __future__ import annotations

import copy

import torch
from torch import nn

from bci.errors import EngineError

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def cast(network: nn.Module, precision: str) -> nn.Module:
    """Return the network in evaluation mode and the precision: itself in fp32, else a copy."""
    network = network.eval()
    return network if precision == "fp32" else copy.deepcopy(network).to(DTYPES[precision])


def precision_of(network: nn.Module) -> str:
    """Return the coarsest format of a network's numbers; fp32 if it has none, or only finer ones.

    Raises
    ------
    EngineError
        If both half formats occur: none of them is coarser.
    """
    found = {t.dtype for t in (*network.parameters(), *network.buffers())}
    halves = [name for name in ("fp16", "bf16") if DTYPES[name] in found]
    if len(halves) == 2:
        raise EngineError("An engine needs a network in one precision, got numbers of fp16 and bf16. Convert it first.")
    return halves[0] if halves else "fp32"
