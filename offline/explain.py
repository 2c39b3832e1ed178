"""What in a window speaks for a class: saliency, integrated gradients, Grad-CAM and attention roll-out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bci.errors import UsageError
from models.attention import SelfAttention
from models.swin import Swin
from models.vit import ViT

BATCH = 16
STEPS = 32  # of the path of integrated gradients
METHODS = ("integrated-gradients", "saliency", "grad-cam", "roll-out")


def explain(network: nn.Module, windows: np.ndarray, classes: np.ndarray, method: str) -> np.ndarray:
    """Attribute the logit of a class of each window to the window's values.

    Parameters
    ----------
    network : Module
        In evaluation mode; takes windows, gives logits.
    windows : ndarray of float32, shape (n_windows, n_channels[, n_features], n_times)
        What the network is fed.
    classes : ndarray of int64, shape (n_windows,)
        Class whose logit is explained.
    method : str
        One of `METHODS`.

    Returns
    -------
    attribution : ndarray of float32
        Shape of `windows` for ``saliency`` (size of the gradient) and ``integrated-gradients`` (signed, from the
        windows' mean; sums to the difference of the logits); (n_windows, n_features, n_times), not below 0, for
        ``grad-cam`` and ``roll-out``, which know no channels.

    Raises
    ------
    UsageError
        If there is no such method, or the network has not what it needs.

    References
    ----------
    Simonyan et al. (2014), arXiv:1312.6034; Sundararajan et al. (2017), arXiv:1703.01365; Selvaraju et al. (2017),
    doi:10.1109/ICCV.2017.74; Abnar & Zuidema (2020), doi:10.18653/v1/2020.acl-main.385.
    """
    if method not in METHODS:
        raise UsageError(f"There is no method {method!r} of explanation. Methods: {', '.join(METHODS)}.")
    base = torch.from_numpy(windows).mean(dim=0, keepdim=True)
    parts = []
    for start in range(0, len(windows), BATCH):
        x = torch.from_numpy(np.ascontiguousarray(windows[start : start + BATCH]))
        target = torch.from_numpy(classes[start : start + BATCH])
        if method == "saliency":
            parts.append(_gradient(network, x, target).abs())
        elif method == "integrated-gradients":
            parts.append(_integrated(network, x, target, base))
        elif method == "grad-cam":
            parts.append(_grad_cam(network, x, target))
        else:
            parts.append(_roll_out(network, x))
    return torch.cat(parts).detach().numpy()


def randomised(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return a network of the same structure with new random weights, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().eval()


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mean rank correlation between the sizes of two attributions, window by window.

    An explanation says something about the network only if it changes with the weights: near 1 for a randomised
    network means that it shows the input.

    Parameters
    ----------
    one, other : ndarray, shape (n_windows, ...)

    References
    ----------
    Adebayo et al. (2018), arXiv:1810.03292.
    """
    from scipy.stats import rankdata

    pairs = zip(one.reshape(len(one), -1), other.reshape(len(other), -1), strict=True)
    values = []
    for a, b in pairs:
        ranks = np.stack([rankdata(np.abs(a)), rankdata(np.abs(b))])
        spread = ranks.std(axis=1)
        values.append(float(np.corrcoef(ranks)[0, 1]) if spread.min() > 0 else 0.0)
    return float(np.mean(values))


def _gradient(network: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    x = x.clone().requires_grad_(True)
    picked = network(x).gather(1, target[:, None]).sum()
    return torch.autograd.grad(picked, x)[0]


def _integrated(network: nn.Module, x: Tensor, target: Tensor, base: Tensor) -> Tensor:
    from captum.attr import IntegratedGradients

    attribution: Tensor = IntegratedGradients(network).attribute(
        x, baselines=base.expand_as(x).clone(), target=target, n_steps=STEPS, internal_batch_size=max(BATCH, len(x))
    )
    return attribution.to(x.dtype)


def _grad_cam(network: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Weigh the maps of a layer by their mean gradient, keep what speaks for the class, and enlarge it."""
    layer, as_maps = _maps_layer(network)
    kept: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _args, output: kept.append(output))
    try:
        with torch.enable_grad():
            logits = network(x.clone().requires_grad_(True))
    finally:
        hook.remove()
    (gradient,) = torch.autograd.grad(logits.gather(1, target[:, None]).sum(), kept[-1])
    maps, slopes = as_maps(kept[-1]), as_maps(gradient)
    weighted = (slopes.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1, keepdim=True)
    return _enlarged(weighted.clamp_min(0.0), x)


def _maps_layer(network: nn.Module) -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    """Return the last layer that still knows where it is in the window, and what makes maps of its output."""
    if isinstance(network, ViT):
        grid = network.grid
        # after the last block only the class token counts: its attention reads the others here
        last = network.encoder.blocks[-1]
        return last.get_submodule("norm_1"), lambda y: y[:, 1:].transpose(1, 2).unflatten(2, grid)
    if isinstance(network, Swin):
        return network.norm, lambda y: y.permute(0, 3, 1, 2)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    wide = [module for module in convolutions if module.kernel_size != (1, 1)] or convolutions
    if len(getattr(network, "input_shape", ())) != 3 or not wide:
        raise UsageError(
            "Grad-CAM needs a network with two-dimensional convolutions or tokens on spectral frames, "
            f"got {type(network).__name__}. Use --method integrated-gradients."
        )
    return wide[-1], lambda y: y


def _roll_out(network: nn.Module, x: Tensor) -> Tensor:
    """Multiply the attention of all layers, with the way around each, and read the row of the class token."""
    if not isinstance(network, ViT):
        raise UsageError(
            f"Roll-out needs a network whose tokens all attend to each other and to a class token, "
            f"got {type(network).__name__}. Use --method grad-cam or integrated-gradients."
        )
    attention: list[Tensor] = []
    hooks = [
        module.softmax.register_forward_hook(lambda _module, _args, output: attention.append(output))
        for module in network.modules()
        if isinstance(module, SelfAttention)
    ]
    try:
        with torch.no_grad():
            network(x)
    finally:
        for hook in hooks:
            hook.remove()
    n_tokens = attention[0].shape[-1]
    rolled = torch.eye(n_tokens).expand(len(x), n_tokens, n_tokens)
    for weights in attention:
        rolled = (0.5 * weights.mean(dim=1) + 0.5 * torch.eye(n_tokens)) @ rolled
    return _enlarged(rolled[:, 0, 1:].unflatten(1, network.grid)[:, None], x)


def _enlarged(maps: Tensor, x: Tensor) -> Tensor:
    """Return (n, 1, rows, columns) at the size of the windows, (n, n_features, n_times)."""
    return functional.interpolate(maps, size=tuple(x.shape[-2:]), mode="bilinear", align_corners=False)[:, 0]
