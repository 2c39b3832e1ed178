"""How full the GPU is, asked without loading anything that the session has not loaded."""

from __future__ import annotations

import sys

MIB = 1 << 20


def gpu_memory() -> dict[str, float] | None:
    """Return what is used and there on the GPU that computes, in MiB; None if none does.

    Returns
    -------
    memory : dict of str to float, or None
        ``used_mb`` (by all programs) and ``total_mb``.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    free, total = torch.cuda.mem_get_info()
    return {"used_mb": round((total - free) / MIB, 1), "total_mb": round(total / MIB, 1)}
