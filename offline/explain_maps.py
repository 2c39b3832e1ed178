"""Maps inside networks: the last that know where they are in a window, and what part of the window they cover."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

from torch import Tensor, nn

from bci.errors import UsageError
from models.images import Stacked
from models.mel_cnn import MelCNN
from models.mixnet import MixNet
from models.swin import PatchMerge, Swin
from models.timm_backbone import TimmBackbone
from models.transformer_cnn import ConvTransformer
from models.vit import ViT
from offline.explain_reader import resized


def last_maps(network: nn.Module) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """Return the last layer that knows where it is in the window, and what makes maps of its output.

    Parameters
    ----------
    network : Module
        What reads spectral frames.

    Returns
    -------
    layer : Module
    as_maps : callable
        From its output to (batch, n_maps, rows, columns).

    Raises
    ------
    UsageError
        If the network has no such layer.
    """
    if isinstance(network, ViT):
        grid = network.grid
        # after the last block only the class token counts: its attention reads the others here
        last = network.encoder.blocks[-1]
        return last.get_submodule("norm_1"), lambda y: y[:, 1:].transpose(1, 2).unflatten(2, grid)
    if isinstance(network, Swin):
        return network.norm, lambda y: y.permute(0, 3, 1, 2)
    if isinstance(network, MelCNN):
        return network.blocks, lambda y: y
    if isinstance(network, MixNet):
        return network.last, lambda y: y
    if isinstance(network, TimmBackbone):
        return network.backbone, lambda y: y
    if isinstance(network, ConvTransformer):
        return network.stem, lambda y: y
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    wide = [module for module in convolutions if module.kernel_size != (1, 1)] or convolutions
    if len(getattr(network, "input_shape", ())) != 3 or not wide:
        raise UsageError(
            "Grad-CAM needs a network with two-dimensional convolutions or tokens on spectral frames, "
            f"got {type(network).__name__}. Use --method integrated-gradients."
        )
    return wide[-1], lambda y: y


def patch_grid(network: ViT | Swin) -> tuple[int, int]:
    """Return the patches of a network along frequency and along time."""
    _, n_features, n_times = network.input_shape
    height, width = network.patches.kernel_size
    return math.ceil(n_features / height), math.ceil(n_times / width)


def spread(network: nn.Module, maps: Tensor, n_merges: int = 0) -> Tensor:
    """Spread maps of a network over its input.

    Parameters
    ----------
    network : Module
        What reads spectral frames; ``input_shape`` is (n_planes, n_features, n_times).
    maps : Tensor, shape (batch, rows, columns)
        Over all of its input, and over the zeros with which a network of patches continues it.
    n_merges : int, default=0
        How often patches were joined two by two before the maps.

    Returns
    -------
    over : Tensor, shape (batch[, n_planes], n_features, n_times)
        With planes where the network stacks them below each other, so that maps tell them apart.
    """
    n_planes, n_features, n_times = cast(tuple[int, int, int], network.input_shape)
    if isinstance(network, ViT | Swin):
        height, width = (side * 2**n_merges for side in network.patches.kernel_size)
        before = patch_grid(network)[1] * network.patches.kernel_size[1] - n_times
        covered = resized(maps, (maps.shape[1] * height, maps.shape[2] * width))
        return covered[:, :n_features, before : before + n_times]
    if isinstance(getattr(network, "image", None), Stacked):
        return resized(maps, (n_planes * n_features, n_times)).unflatten(1, (n_planes, n_features))
    return resized(maps, (n_features, n_times))


def n_merges(network: nn.Module) -> int:
    """Return how often a network joins patches two by two before its last maps."""
    return sum(isinstance(module, PatchMerge) for module in network.modules())
