"""Files that are whole or absent: written beside their place, then renamed into it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from bci.errors import SchemaError

_RECORD = "record"


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader, or a crash, never meets half of it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with partial.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def save_checkpoint(path: Path, tensors: Mapping[str, torch.Tensor], record: Mapping[str, Any]) -> None:
    """Write tensors and a JSON record as one safetensors file.

    Parameters
    ----------
    path : Path
        Where; replaced in one step.
    tensors : mapping of str to Tensor
        On the CPU.
    record : mapping
        JSON values.
    """
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    write_atomic(path, save(contiguous, {_RECORD: json.dumps(record, sort_keys=True)}))


def load_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return what `save_checkpoint` wrote.

    Raises
    ------
    SchemaError
        If the file is damaged or was written by something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            record = json.loads((file.metadata() or {})[_RECORD])
    except (SafetensorError, KeyError, ValueError) as error:
        raise SchemaError(
            f"A checkpoint needs tensors and a record, {path} is damaged ({error}). Delete it to train from the start."
        ) from error
    return tensors, record
