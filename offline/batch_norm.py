"""Batch normalisation over the whole batch when processes compute parts of it, on any device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm

from offline.processes import n_processes


@contextmanager
def over_processes(network: nn.Module) -> Iterator[None]:
    """Let every batch normalisation of a network take its statistics over all processes, until the end.

    With one process nothing changes. ``torch.nn.SyncBatchNorm`` does the same on CUDA alone.
    """
    if n_processes() == 1:
        yield
        return
    places = [
        (parent, name, child)
        for parent in network.modules()
        for name, child in parent.named_children()
        if isinstance(child, _BatchNorm)
    ]
    for parent, name, child in places:
        setattr(parent, name, GlobalBatchNorm(child))
    try:
        yield
    finally:
        for parent, name, child in places:
            setattr(parent, name, child)


class GlobalBatchNorm(nn.Module):
    """Batch normalisation with the weights and counts of another one, and statistics over all processes.

    Parameters
    ----------
    local : nn.BatchNorm1d, nn.BatchNorm2d or nn.BatchNorm3d
        Its tensors are used and updated, under the same names.
    """

    def __init__(self, local: nn.Module) -> None:
        super().__init__()
        # not registered as a part: its tensors are, below the names that they had
        self._local = [cast("_BatchNorm", local)]
        for name, parameter in local.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name, buffer in local.named_buffers(recurse=False):
            self.register_buffer(name, buffer)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (batch, channels, …)."""
        local = self._local[0]
        if not self.training:
            local.eval()
            return local(x)
        axes = [0, *range(2, x.ndim)]
        count = torch.tensor([x.numel() / x.shape[1]], dtype=torch.float32, device=x.device)
        exact = x.float()
        sums = torch.cat([exact.sum(dim=axes), exact.square().sum(dim=axes), count])
        sums = all_reduce(sums, op=distributed.ReduceOp.SUM)
        n = sums[-1]
        mean, square = (sums[:-1] / n).chunk(2)
        variance = (square - mean.square()).clamp(min=0.0)
        self._remember(local, mean.detach(), variance.detach(), float(n))
        shape = [1, -1, *[1] * (x.ndim - 2)]
        y = (exact - mean.view(shape)) * torch.rsqrt(variance + local.eps).view(shape)
        if local.affine:
            y = y * local.weight.view(shape) + local.bias.view(shape)
        return y.to(x.dtype)

    @torch.no_grad()
    def _remember(self, local: _BatchNorm, mean: Tensor, variance: Tensor, n: float) -> None:
        if local.running_mean is None or local.running_var is None:
            return
        local.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        share = 1 / float(local.num_batches_tracked) if local.momentum is None else local.momentum  # type: ignore[arg-type]
        local.running_mean.lerp_(mean, share)
        local.running_var.lerp_(variance * n / max(n - 1, 1.0), share)
