"""What in a window speaks for a class: saliency, integrated gradients, Grad-CAM and attention roll-out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from bci.errors import UsageError
from offline.explain_maps import last_maps, n_merges, spread
from offline.explain_reader import BATCH, Reader, open_network, spectra
from offline.explain_rollout import roll_out

STEPS = 32  # of the path of integrated gradients
METHODS = ("integrated-gradients", "saliency", "grad-cam", "roll-out")
OF_MAPS = ("grad-cam", "roll-out")  # the others attribute to every value


def explain(network: nn.Module, windows: np.ndarray, classes: np.ndarray, method: str) -> tuple[np.ndarray, ...]:
    """Attribute the logit of a class of each window to what the network reads of it.

    A network that makes spectrograms of signals itself is explained over these, any other over its windows.

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
    attributions : tuple of ndarray of float32
        One for each of the parts that `offline.explain_reader.spectra` gives. For ``saliency`` (size of the gradient)
        and ``integrated-gradients`` (signed, from the mean over the windows; sums, over all parts, to the difference
        of the logits) the shape of the part. For ``grad-cam`` and ``roll-out`` (n_windows, n_features, n_times), not
        below 0; (n_windows, n_channels, n_features, n_times) where the network has the channels side by side.

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
    reader = open_network(network)
    whole = tuple(torch.from_numpy(part) for part in spectra(reader, windows))
    bases = tuple(part.mean(dim=0, keepdim=True) for part in whole)
    batches = []
    for start in range(0, len(windows), BATCH):
        parts = tuple(part[start : start + BATCH] for part in whole)
        target = torch.from_numpy(classes[start : start + BATCH])
        if method == "saliency":
            batches.append(tuple(slope.abs() for slope in _gradients(reader, parts, target)))
        elif method == "integrated-gradients":
            batches.append(_integrated(reader, parts, target, bases))
        else:
            maps = _coarse_map(reader, parts, target, method)
            merges = n_merges(reader.inner) if method == "grad-cam" else 0
            batches.append(reader.over(spread(reader.inner, maps, merges), parts))
    return tuple(torch.cat(found).detach().numpy() for found in zip(*batches, strict=True))


def map_cells(network: nn.Module, windows: np.ndarray, method: str) -> tuple[int, int] | None:
    """Return how coarse the maps of a method are, before they are spread over what the network reads.

    Parameters
    ----------
    network, windows, method
        See `explain`.

    Returns
    -------
    cells : tuple of int or None
        Rows and columns of a map over the whole image that the network reads, with all channels that lie below or
        beside each other in it; None for methods that attribute to every value.
    """
    if method not in OF_MAPS:
        return None
    reader = open_network(network)
    parts = tuple(torch.from_numpy(part) for part in spectra(reader, windows[:1]))
    height, width = _coarse_map(reader, parts, torch.zeros(1, dtype=torch.int64), method).shape[-2:]
    return int(height), int(width)


def channel_shares(
    network: nn.Module, windows: np.ndarray, classes: np.ndarray, attributions: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, ...]:
    """Return the share of each channel in an explanation, window by window.

    Where the attribution has channels, each one's share is that of its size. A map has none: there it is that of the
    size of the gradient of the class's logit, summed over time and frequency with the map as weight. It says on which
    channels' decibels the logit depends inside the map.

    Parameters
    ----------
    network, windows, classes
        See `explain`.
    attributions : tuple of ndarray
        What `explain` gave for them.

    Returns
    -------
    shares : tuple of ndarray of float64, each of shape (n_windows, n_channels)
        For each part; those of a window add up to 1 over channels and parts, or are all 0 where nothing is shared out,
        as where a map is empty.

    Notes
    -----
    Not the gradient times the input's distance from its mean, which follows the input: on recordings of 14 electrodes
    its shares in ``swin`` and ``mixnet`` correlated by 0.46 to 0.71 with those of networks with random weights, the
    gradient's by -0.20 to 0.11, once by 0.55.
    """
    reader = open_network(network)
    whole = tuple(torch.from_numpy(part) for part in spectra(reader, windows))
    batches = []
    for start in range(0, len(windows), BATCH):
        now = slice(start, start + BATCH)
        parts, found = tuple(part[now] for part in whole), tuple(over[now] for over in attributions)
        if any(over.ndim < part.ndim for over, part in zip(found, parts, strict=True)):
            slopes = _gradients(reader, parts, torch.from_numpy(classes[now]))
            found = tuple(over[:, None] * slope.numpy() for over, slope in zip(found, slopes, strict=True))
        batches.append(tuple(np.abs(x.astype(np.float64)).reshape(*x.shape[:2], -1).sum(axis=2) for x in found))
    sizes = tuple(np.concatenate(part) for part in zip(*batches, strict=True))
    sums = np.sum([size.sum(axis=1, keepdims=True) for size in sizes], axis=0)
    return tuple(size / np.where(sums > 0, sums, 1.0) for size in sizes)


def randomised(build: Callable[[], nn.Module], windows: np.ndarray, seed: int) -> nn.Module:
    """Return a network of the same structure with new random weights, in evaluation mode.

    Batch norms take mean and variance from the windows: with those of a fresh network, activations die out on the way,
    and nothing is left to explain.

    Parameters
    ----------
    build : callable
        Makes a network.
    windows : ndarray of float32, shape (n_windows, n_channels[, n_features], n_times)
        What it is fed.
    seed : int
        Of its weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build().eval()
        for weight in network.parameters():
            if weight.dim() > 1 and not weight.any():  # a classifier that begins with zeros explains nothing
                nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean over all batches
        norm.train()
    with torch.no_grad():
        for start in range(0, len(windows) if norms else 0, BATCH):
            network(torch.from_numpy(np.ascontiguousarray(windows[start : start + BATCH])))
    return network.eval()


def similarity(one: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...]) -> float | None:
    """Return the mean rank correlation between two attributions, window by window.

    An explanation says something about the network only if it changes with the weights: near 1 for a randomised
    network means that it shows the input.

    Parameters
    ----------
    one, other : tuple of ndarray, each of shape (n_windows, ...)
        As `explain` gives them.

    Returns
    -------
    correlation : float or None
        Over the windows in which neither is constant; None if there is none. Values that are 0 in both for every
        window are left out: the structure does not read them, whatever the weights.

    References
    ----------
    Adebayo et al. (2018), arXiv:1810.03292.
    """
    from scipy.stats import rankdata

    flat = [np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1) for parts in (one, other)]
    read = flat[0].any(axis=0) | flat[1].any(axis=0)
    values = []
    for a, b in zip(flat[0][:, read], flat[1][:, read], strict=True):
        if read.any() and np.ptp(a) > 0 and np.ptp(b) > 0:
            values.append(float(np.corrcoef(rankdata(a), rankdata(b))[0, 1]))
    return float(np.mean(values)) if values else None


def _logits(reader: Reader, *parts: Tensor) -> Tensor:
    return torch.as_tensor(reader.inner(reader.image(*parts)))


def _gradients(reader: Reader, parts: tuple[Tensor, ...], target: Tensor) -> tuple[Tensor, ...]:
    leaves = tuple(part.clone().requires_grad_(True) for part in parts)
    picked = _logits(reader, *leaves).gather(1, target[:, None]).sum()
    return torch.autograd.grad(picked, leaves)


def _integrated(
    reader: Reader, parts: tuple[Tensor, ...], target: Tensor, bases: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    from captum.attr import IntegratedGradients

    attributions: tuple[Tensor, ...] = IntegratedGradients(partial(_logits, reader)).attribute(
        parts,
        baselines=tuple(base.expand_as(part).clone() for base, part in zip(bases, parts, strict=True)),
        target=target,
        n_steps=STEPS,
        internal_batch_size=max(BATCH, len(target)),
    )
    return tuple(found.to(part.dtype) for found, part in zip(attributions, parts, strict=True))


def _coarse_map(reader: Reader, parts: tuple[Tensor, ...], target: Tensor, method: str) -> Tensor:
    """Return the map of each window as the network has it, (batch, rows, columns)."""
    if method == "grad-cam":
        return _grad_cam(reader, parts, target)
    with torch.no_grad():
        image = reader.image(*parts)
    return roll_out(reader.inner, image)


def _grad_cam(reader: Reader, parts: tuple[Tensor, ...], target: Tensor) -> Tensor:
    """Weigh the maps of a layer by their mean gradient, keep what speaks for the class."""
    layer, as_maps = last_maps(reader.inner)
    kept: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _args, output: kept.append(output))
    try:
        with torch.enable_grad():
            logits = _logits(reader, *(part.clone().requires_grad_(True) for part in parts))
    finally:
        hook.remove()
    (gradient,) = torch.autograd.grad(logits.gather(1, target[:, None]).sum(), kept[-1])
    maps, slopes = as_maps(kept[-1]), as_maps(gradient)
    return (slopes.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1).clamp_min(0.0).detach()
