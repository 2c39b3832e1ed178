"""The network that a training starts with: fresh from its seed, or with what a file of weights has for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from bci.errors import UsageError
from bci.texts import printable
from models.registry import ModelSpec, build

KEY = "start_weights"
"""Where `start_record` stands among the settings of a training."""
_BACKBONE = "backbone."
_SHOWN = 3


def fresh_network(spec: ModelSpec, seed: int, start: str | None = None) -> nn.Module:
    """Return a network as a training starts with it.

    Parameters
    ----------
    spec : ModelSpec
        Name and arguments.
    seed : int
        Seed of the fresh weights.
    start : str or None, default=None
        Safetensors file. Its tensors go where they have the same name, either in the network or in its ``backbone``.
        What it does not have stays fresh, and so does the classifier, whose size follows the number of classes.

    Returns
    -------
    network : nn.Module
        In training mode.

    Raises
    ------
    UsageError
        If the file cannot be read, has nothing for the network, or has a tensor of another size or with a value that is
        not finite.
    """
    network = _built(spec, seed)
    if start is not None:
        path = Path(start)
        plan = _planned(spec, network, path)
        network.load_state_dict(_tensors(path, plan.taken), strict=False)
    return network


def start_record(spec: ModelSpec, start: str) -> dict[str, Any]:
    """Return what a file gives a network, as JSON values: what a run is recognised by, without the file's place.

    Parameters
    ----------
    spec, start
        As of `fresh_network`.

    Returns
    -------
    record : dict
        ``sha256`` of the file, the number ``taken`` of tensors, the names of those that stay ``fresh``, and of those of
        the file that are ``unused``.

    Raises
    ------
    UsageError
        As `fresh_network`, but for values that are not finite.
    """
    path = Path(start)
    plan = _planned(spec, _built(spec, 0), path)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": sha256, "taken": len(plan.taken), "fresh": list(plan.fresh), "unused": list(plan.unused)}


def start_training(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of the start in what settings come to, by its name; nothing if all was fresh."""
    return {name: value for name, value in resolved["training"].items() if name == KEY}


def start_lines(resolved: Mapping[str, Any]) -> list[str]:
    """Return what a training started from, in words; nothing if all was fresh."""
    return [
        f"started from {record['taken']} tensors of a file (SHA-256 {record['sha256'][:12]}…); "
        f"fresh: {', '.join(record['fresh']) or 'none'}; only in the file: {_few(record['unused']) or 'none'}"
        for record in start_training(resolved).values()
    ]


@dataclass(frozen=True, slots=True)
class _Plan:
    """Which tensor of the network comes from which of the file, and what is left over on both sides."""

    taken: Mapping[str, str]
    fresh: tuple[str, ...]
    unused: tuple[str, ...]


def _built(spec: ModelSpec, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(spec)


def _planned(spec: ModelSpec, network: nn.Module, path: Path) -> _Plan:
    found = _shapes(path)
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    prefix = max(("", _BACKBONE), key=lambda before: sum(before + name in wanted for name in found))
    named = {prefix + name: name for name in found}
    classifier = _classifier(spec, wanted)
    taken = {name: named[name] for name in wanted if name in named and name not in classifier}
    if not taken:
        raise UsageError(
            f"--start-weights needs weights of {spec.name} or of its backbone, {path} has none by their names, but "
            f"{_few(list(found)) or 'nothing'}. Use a file of the same model."
        )
    wrong = [name for name, source in taken.items() if found[source] != wanted[name]]
    if wrong:
        raise UsageError(
            f"--start-weights needs tensors of this network's sizes, {path} has {len(wrong)} of another one; first "
            f"{wrong[0]}: {found[taken[wrong[0]]]} instead of {wanted[wrong[0]]}. Use weights of the same model and "
            "--arguments."
        )
    unused = [printable(name) for place, name in named.items() if place not in wanted]
    return _Plan(taken, tuple(name for name in wanted if name not in taken), tuple(unused))


def _classifier(spec: ModelSpec, wanted: Mapping[str, tuple[int, ...]]) -> set[str]:
    """Return the tensors whose size follows the number of classes."""
    arguments = {**spec.arguments, "n_classes": spec.arguments["n_classes"] + 1}
    other = _built(replace(spec, arguments=arguments), 0).state_dict()
    return {name for name, shape in wanted.items() if tuple(other[name].shape) != shape}


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise UsageError(f"--start-weights needs a safetensors file, got {path} ({printable(str(error))}).") from error


def _tensors(path: Path, taken: Mapping[str, str]) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(source) for name, source in taken.items()}
    wrong = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if wrong:
        raise UsageError(f"--start-weights needs finite values, {path} has others in {_few(wrong)}. Use another file.")
    return tensors


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(printable(name) for name in names[:_SHOWN]) + more
