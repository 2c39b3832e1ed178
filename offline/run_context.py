"""What every run has around it: threads, a log, and the folds that this process does."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch

from bci.errors import UsageError
from offline.config import TrainConfig
from offline.evaluate import loop_settings
from offline.processes import writes
from offline.recipes import Recipe

record = logging.getLogger(f"{__name__}.record")
"""Every epoch, for ``train.log`` only."""
record.propagate = False
Fold = TypeVar("Fold")


def n_units(plan: Recipe, config: TrainConfig) -> int:
    """Return the units of work of one training: epochs, or 1 for a closed fit."""
    return loop_settings(plan, config).epochs if plan.fit == "network" else 1


def chosen_folds(splits: Sequence[Fold], folds: tuple[int, ...] | None) -> tuple[Fold, ...]:
    """Return the folds that this process does.

    Parameters
    ----------
    splits : sequence
        All folds.
    folds : tuple of int or None
        Their numbers, from 0; None is all.

    Raises
    ------
    UsageError
        If there is no fold of a number.
    """
    if folds is None:
        return tuple(splits)
    wrong = [str(i) for i in folds if not 0 <= i < len(splits)]
    if wrong:
        raise UsageError(f"Folds are numbered 0 to {len(splits) - 1} here, got {', '.join(wrong)}. Change --folds.")
    return tuple(splits[i] for i in sorted(set(folds)))


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Run torch with `n` threads and only deterministic algorithms."""
    before, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else cuBLAS refuses to be deterministic
    torch.set_num_threads(n)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(strict)


@contextmanager
def recorded(path: Path) -> Iterator[None]:
    """Append what is recorded to a file, in the process that writes."""
    if not writes():
        yield
        return
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    record.addHandler(handler)
    record.setLevel(logging.INFO)
    try:
        yield
    finally:
        record.removeHandler(handler)
        handler.close()
