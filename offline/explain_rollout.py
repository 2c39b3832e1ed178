"""Attention roll-out: how much each patch of a window reaches what the classifier reads, through all attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bci.errors import UsageError
from models.attention import SelfAttention
from models.swin import PatchMerge, Swin, SwinBlock
from models.vit import ViT
from offline.explain_maps import patch_grid


def roll_out(network: nn.Module, x: Tensor) -> Tensor:
    """Follow attention back from the classifier to the patches, with the way around each layer.

    Parameters
    ----------
    network : Module
        A `models.vit.ViT`, which reads its class token, or a `models.swin.Swin`, which reads the mean of its last
        tokens.
    x : Tensor, shape (batch, n_channels, n_features, n_times)
        What it is fed.

    Returns
    -------
    maps : Tensor, shape (batch, rows, columns)
        Share of each patch; not below 0. The same for every class: attention knows none. Attention that is even gives
        every patch the same.

    Raises
    ------
    UsageError
        If the network has no such tokens.

    Notes
    -----
    A layer counts as half its attention, the mean of its heads, and half the identity. Swin's attention is followed
    window by window, through the shifts, exactly. Where merging joins two by two tokens there is no attention: each of
    them is taken for an equal share. That is our assumption; a network may well prefer one of the four. Where a grid
    has an odd side, a token at its end is merged with fewer others and has a larger share, whatever the weights: shares
    are divided by those under even attention.

    References
    ----------
    Abnar & Zuidema (2020), doi:10.18653/v1/2020.acl-main.385, for layers in which every token attends to every other.
    """
    if isinstance(network, ViT):
        return _all_to_all(network, x)
    if isinstance(network, Swin):
        attention = _attention(network, x)
        even = [block.mask.softmax(dim=-1) for block in network.stages if isinstance(block, SwinBlock)]
        found, plain = windowed(network, attention), windowed(network, even)
        return found / (plain * plain[0].numel())
    raise UsageError(
        "Roll-out needs a network whose tokens are patches that attend to each other, vit or swin, "
        f"got {type(network).__name__}. Use --method grad-cam or integrated-gradients."
    )


def _all_to_all(network: ViT, x: Tensor) -> Tensor:
    attention = _attention(network, x)
    share = torch.zeros(len(x), 1, attention[0].shape[-1])
    share[..., 0] = 1.0  # the class token
    for weights in reversed(attention):
        share = 0.5 * share @ weights + 0.5 * share
    return share[:, 0, 1:].unflatten(1, network.grid)


def windowed(network: Swin, attention: list[Tensor]) -> Tensor:
    """Return the share of each patch in the mean of the last tokens, through attention in windows and merging.

    Parameters
    ----------
    network : Swin
    attention : list of Tensor, each of shape (batch * n_windows, n, n)
        Of each block.

    Returns
    -------
    shares : Tensor, shape (batch, rows, columns)
        They add up to 1.
    """
    remaining = list(attention)
    grids = [patch_grid(network)]
    for stage in network.stages:
        height, width = grids[-1]
        grids.append((-(-height // 2), -(-width // 2)) if isinstance(stage, PatchMerge) else (height, width))
    height, width = grids.pop()
    first = next(stage for stage in network.stages if isinstance(stage, SwinBlock))
    share = torch.full((len(attention[0]) // len(first.mask), height, width, 1), 1.0 / (height * width))
    for grid, stage in zip(reversed(grids), reversed(list(network.stages)), strict=True):
        if isinstance(stage, SwinBlock):
            windows = stage.cut(share).transpose(1, 2)
            share = 0.5 * stage.join((windows @ remaining.pop()).transpose(1, 2)) + 0.5 * share
        else:
            share = _divided(share, grid)
    return share[..., 0]


def _divided(share: Tensor, grid: tuple[int, int]) -> Tensor:
    """Give the share of each merged token to those of `grid` that it was made of, equally."""
    height, width = grid
    rows, columns = torch.full((height,), 2.0), torch.full((width,), 2.0)
    rows[height - height % 2 :] = 1.0  # an odd axis was continued with zeros, which take nothing
    columns[width - width % 2 :] = 1.0
    fine = share.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)[:, :height, :width]
    return fine / (rows[:, None] * columns)[..., None]


def _attention(network: nn.Module, x: Tensor) -> list[Tensor]:
    """Return the attention of every layer, the mean of its heads, (batch or batch * n_windows, n, n)."""
    attention: list[Tensor] = []
    hooks = [
        module.softmax.register_forward_hook(lambda _module, _args, output: attention.append(output.mean(dim=1)))
        for module in network.modules()
        if isinstance(module, SelfAttention)
    ]
    try:
        with torch.no_grad():
            network(x)
    finally:
        for hook in hooks:
            hook.remove()
    return attention
