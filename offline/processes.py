"""Processes that train together under ``torchrun``: who they are, what they agree on, and who writes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

from bci.errors import UsageError

_PATIENCE = timedelta(hours=12)
"""The first process may make features for hours while the others wait."""


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Join the processes of ``torchrun``, if it started this one; leave them at the end.

    Parameters
    ----------
    device : {"cpu", "cuda"}
        Decides how they talk: gloo or NCCL. With ``cuda`` each process takes the device of its local rank.

    Raises
    ------
    UsageError
        If there are fewer devices than processes on this machine.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ or distributed.is_initialized():
        yield
        return
    if device == "cuda":
        local, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= there:
            raise UsageError(
                f"Every process needs a CUDA device of its own, got {there} for process {local + 1}. "
                "Lower --nproc-per-node."
            )
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if device == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def n_processes() -> int:
    """Return how many processes train together; 1 without ``torchrun``."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Return the number of this process among them, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def writes() -> bool:
    """Return whether this process writes files: the first one does."""
    return rank() == 0


def wait_for_all() -> None:
    """Wait until all processes are here."""
    if distributed.is_initialized():
        distributed.barrier()


@contextmanager
def first_alone() -> Iterator[None]:
    """Let the first process do something before the others do it, so that they find its files."""
    if not writes():
        wait_for_all()
    yield
    if writes():
        wait_for_all()


def agreed(value: Any) -> Any:
    """Return the JSON value that the first process gives, in all of them."""
    if not distributed.is_initialized():
        return value
    device = torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")
    text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8).to(device)
    length = torch.tensor([text.numel()], device=device)
    distributed.broadcast(length, 0)
    if not writes():
        text = torch.zeros(int(length), dtype=torch.uint8, device=device)
    distributed.broadcast(text, 0)
    return json.loads(bytes(text.cpu().numpy()))


def summed(value: Tensor) -> Tensor:
    """Return the sum over all processes."""
    if not distributed.is_initialized():
        return value
    total = value.clone()
    distributed.all_reduce(total)
    return total
