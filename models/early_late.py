"""A mel CNN in two parts: what its first frames allow to compute before the last ones come, and the rest.

Windows overlap, and nearly all of a window is known long before its last frames arrive. A convolution's outputs that
see none of these can be computed early; after the last frames only the right edge of every layer is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from models.mel_cnn import MelCNN


@dataclass(frozen=True, slots=True)
class EdgePlan:
    """Where a convolution over time is cut.

    Parameters
    ----------
    n_early, n_out : int
        Output columns that see known columns and padding only, and of the whole window.
    start : int
        First input column that a late output sees.
    """

    n_early: int
    n_out: int
    start: int


def plan_edge(n_known: int, n_total: int, kernel: int, stride: int) -> EdgePlan:
    """Return the cut of a convolution with odd `kernel` and ``kernel // 2`` columns of zeros on both sides.

    Raises
    ------
    ValueError
        If so few columns are known that no output can be computed, or a late output would see the left padding.
    """
    pad = kernel // 2
    n_early = (n_known - pad - 1) // stride + 1
    start = n_early * stride - pad
    if n_early < 1 or start < 0:
        raise ValueError(
            f"A kernel of {kernel} with stride {stride} needs more than {pad} known columns to begin early, "
            f"got {n_known} of {n_total}. Leave fewer for the end."
        )
    return EdgePlan(n_early, (n_total - 1) // stride + 1, start)


def plan_edges(n_known: int, n_total: int, kernels_strides: Sequence[tuple[int, int]]) -> tuple[EdgePlan, ...]:
    """Return the cuts of convolutions in a row."""
    plans = []
    for kernel, stride in kernels_strides:
        plan = plan_edge(n_known, n_total, kernel, stride)
        plans.append(plan)
        n_known, n_total = plan.n_early, plan.n_out
    return tuple(plans)


class EarlyPart(nn.Module):
    """What the first frames of a window allow to compute.

    Parameters
    ----------
    network : MelCNN
        Network whose layers are shared.
    n_last : int
        Frames of a window that come last and are not known yet.

    Raises
    ------
    ValueError
        If the network cannot begin without them.
    """

    def __init__(self, network: MelCNN, n_last: int) -> None:
        super().__init__()
        self.network = network
        self.plans = _plans(network, n_last)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the left of every layer.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_features, n_times - n_last)
            All frames but the last.

        Returns
        -------
        kept : tuple of Tensor
            For each block the right edge of its known input, then the sum over the pooled positions.
        """
        network = self.network
        kept = []
        x = network.mix(x)
        for plan, (depthwise, rest) in zip(self.plans, _blocks(network), strict=True):
            kept.append(x[..., plan.start :])
            x = rest(_depthwise(depthwise, x, left=_padding(depthwise), right=0))
        return (*kept, network.pool.powered(network.frequency(x)).sum(dim=(-2, -1)))


class LatePart(nn.Module):
    """What is left to compute when the last frames have come; parameters as `EarlyPart`."""

    def __init__(self, network: MelCNN, n_last: int) -> None:
        super().__init__()
        self.network = network
        self.plans = _plans(network, n_last)

    def forward(self, x: Tensor, *kept: Tensor) -> Tensor:
        """Compute the right edge of every layer, and classify.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_features, n_last)
            The last frames.
        *kept : Tensor
            What `EarlyPart` returned for the frames before.

        Returns
        -------
        logits : Tensor, shape (batch, n_classes)
        """
        network = self.network
        x = network.mix(x)
        for edge, (depthwise, rest) in zip(kept[:-1], _blocks(network), strict=True):
            x = rest(_depthwise(depthwise, torch.cat((edge, x), dim=-1), left=0, right=_padding(depthwise)))
        total = kept[-1] + network.pool.powered(network.frequency(x)).sum(dim=(-2, -1))
        return network.head(network.pool.root(total / self.plans[-1].n_out))


def _plans(network: MelCNN, n_last: int) -> tuple[EdgePlan, ...]:
    n_times = network.input_shape[-1]
    cuts = [(depthwise.kernel_size[1], depthwise.stride[1]) for depthwise, _ in _blocks(network)]
    return plan_edges(n_times - n_last, n_times, cuts)


def _blocks(network: MelCNN) -> list[tuple[nn.Conv2d, nn.Sequential]]:
    """Return the depthwise convolution of each block, which looks along time, and its layers that do not."""
    layers = network.blocks
    return [(cast(nn.Conv2d, layers[i]), cast(nn.Sequential, layers[i + 1 : i + 4])) for i in range(0, len(layers), 4)]


def _padding(layer: nn.Conv2d) -> int:
    return layer.kernel_size[1] // 2


def _depthwise(layer: nn.Conv2d, x: Tensor, left: int, right: int) -> Tensor:
    height = layer.kernel_size[0] // 2
    x = functional.pad(x, (left, right, height, height))
    return functional.conv2d(x, layer.weight, layer.bias, layer.stride, groups=layer.groups)
