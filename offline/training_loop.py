"""Gradient descent with early stopping, repeatable bit by bit and resumable after any epoch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from bci.chunk import Signal
from offline.batch_norm import over_processes
from offline.checkpoint import load_checkpoint, save_checkpoint
from offline.learner import Learner, device_of, part
from offline.losses import LossSpec
from offline.processes import agreed, writes
from offline.targets import window_targets
from offline.training_settings import Epoch, LoopSettings
from offline.windows import WindowSet

if TYPE_CHECKING:
    from models.mel_tcn import MelTCN

__all__ = ["Epoch", "LoopSettings", "Trained", "logits_along", "logits_of", "train_network"]

N_VALIDATION_WINDOWS = 4
"""Windows of each validation stretch that holds more than one: one alone makes the curve too coarse to stop by."""


@dataclass(frozen=True, slots=True)
class Trained:
    """The outcome of a training.

    Parameters
    ----------
    history : tuple of Epoch
        Every epoch, in order.
    best : int
        Epoch whose weights the network now has.
    """

    history: tuple[Epoch, ...]
    best: int


@dataclass(frozen=True, slots=True)
class _Checks:
    """What an epoch is judged by: the validation side, where its windows start, their classes and distributions."""

    windows: WindowSet
    starts: np.ndarray
    labels: np.ndarray
    targets: Tensor
    weights: Tensor
    loss: LossSpec


def train_network(
    network: nn.Module,
    train: WindowSet,
    validation: WindowSet | None,
    settings: LoopSettings,
    checkpoint: Path | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    signal: Signal | None = None,
) -> Trained:
    """Train a network in place.

    Each epoch draws one random window from every training stretch. All random numbers come from the seed and the
    index of the epoch, so that a run that was interrupted and resumed gives the weights of one that was not.

    Parameters
    ----------
    network : nn.Module
        Fresh weights. Ends with those of the best epoch (without validation: of the last one), in evaluation mode.
    train : WindowSet
        What is learnt from.
    validation : WindowSet or None
        What stops the training: people who are not in `train`. The best epoch has the best figure that
        ``settings.monitor`` names and, among equals, the lowest loss.
    settings : LoopSettings
        Settings.
    checkpoint : Path or None, default=None
        File with the state after the last complete epoch. If it is there, training goes on from it.
    on_epoch : callable or None, default=None
        Called after each epoch.
    signal : Signal or None, default=None
        Output of the pipeline, which augmentations need.

    Returns
    -------
    trained : Trained

    Raises
    ------
    SpecError
        If settings and windows do not fit each other, or the loss is no number.
    """
    network.to(settings.device)
    with over_processes(network):
        trained, best = _train(network, train, validation, settings, checkpoint, on_epoch, signal)
    network.load_state_dict(best)
    network.to("cpu").eval()
    return trained


@torch.no_grad()
def logits_of(network: nn.Module, batches: Iterable[np.ndarray]) -> np.ndarray:
    """Return the logits of batches of windows, float64 (n_windows, n_classes).

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    batches : iterable of ndarray of float32, shape (n, n_channels[, n_features], n_columns)
        Such as `offline.windows.WindowSet.batches`.
    """
    device = device_of(network)
    return torch.cat([network(torch.from_numpy(batch).to(device)) for batch in batches]).double().cpu().numpy()


@torch.no_grad()
def logits_along(network: nn.Module, columns: np.ndarray, block: int = 1024) -> np.ndarray:
    """Return the logits after every column of a recording, float64 (n_columns, n_classes).

    Parameters
    ----------
    network : nn.Module
        Network with state (`models.causal`), in evaluation mode.
    columns : ndarray of float32, shape (n_channels, n_features, n_columns)
        Output of the pipeline, from its first column.
    block : int, default=1024
        Columns that are computed at once; bounds the memory.
    """
    model = cast("MelTCN", network)
    state = model.initial(1)
    parts = []
    for start in range(0, columns.shape[-1], block):
        piece = torch.from_numpy(np.array(columns[..., start : start + block]))
        logits, state = model.frames(piece[None], state)
        parts.append(logits[0].T)
    return torch.cat(parts).double().numpy()


def _train(
    network: nn.Module,
    train: WindowSet,
    validation: WindowSet | None,
    settings: LoopSettings,
    checkpoint: Path | None,
    on_epoch: Callable[[Epoch], None] | None,
    signal: Signal | None,
) -> tuple[Trained, dict[str, Tensor]]:
    learner = Learner(network, train, settings, signal)
    checks = None if validation is None else _checks(validation, learner.n_classes, settings)
    history: list[Epoch] = []
    best = copy.deepcopy(learner.evaluated.state_dict())
    best_epoch = 0
    if checkpoint is not None and agreed(checkpoint.is_file()):
        history, best_epoch, best = _resume(checkpoint, learner)
    stop = settings.epochs if settings.stop_after is None else min(settings.stop_after, settings.epochs)
    while len(history) < stop and not (checks and history and len(history) - 1 - best_epoch >= settings.patience):
        epoch = _judged(learner, len(history), learner.epoch(len(history)), checks)
        history.append(epoch)
        if checks is None or len(history) == 1 or _better(epoch, history[best_epoch], settings):
            best_epoch = epoch.index
            best = copy.deepcopy(learner.evaluated.state_dict())
        if checkpoint is not None and writes():
            _save(checkpoint, learner, history, best_epoch, best)
        if on_epoch is not None:
            on_epoch(epoch)
    return Trained(tuple(history), best_epoch), best


def _judged(learner: Learner, index: int, train_loss: float, checks: _Checks | None) -> Epoch:
    if checks is None:
        return Epoch(index, train_loss, None, None)
    figures = None
    if writes():
        logits = logits_of(learner.evaluated, checks.windows.batches(checks.starts))
        losses = checks.loss(torch.from_numpy(logits), checks.targets)
        right = logits.argmax(axis=1) == checks.labels
        figures = [
            float((losses * checks.weights).sum() / checks.weights.sum()),
            float(np.mean(right)),
            float(np.mean([right[checks.labels == label].mean() for label in np.unique(checks.labels)])),
        ]
    loss, accuracy, balanced = agreed(figures)
    return Epoch(index, train_loss, loss, accuracy, balanced)


def _checks(validation: WindowSet, n_classes: int, settings: LoopSettings) -> _Checks:
    reach = validation.last - validation.first
    n = N_VALIDATION_WINDOWS if reach.any() else 1
    starts = [validation.first + reach * k // max(1, n - 1) for k in range(n)]
    wanted = window_targets(validation, n_classes, settings)
    return _Checks(
        validation,
        np.stack(starts),
        np.tile(validation.labels, n),
        torch.from_numpy(np.tile(wanted.distributions, (n, 1))),
        torch.from_numpy(np.tile(wanted.weights, n)),
        LossSpec(settings.loss, 0.0, settings.focal_gamma),
    )


def _better(epoch: Epoch, best: Epoch, settings: LoopSettings) -> bool:
    return epoch.score(settings.monitor) > best.score(settings.monitor)


def _save(path: Path, learner: Learner, history: list[Epoch], best_epoch: int, best: dict[str, Tensor]) -> None:
    tensors, record = learner.state()
    tensors |= {f"best/{name}": value for name, value in best.items()}
    on_cpu = {name: tensor.cpu() for name, tensor in tensors.items()}
    save_checkpoint(
        path, on_cpu, {"history": [asdict(epoch) for epoch in history], "best": best_epoch, "learner": record}
    )


def _resume(path: Path, learner: Learner) -> tuple[list[Epoch], int, dict[str, Tensor]]:
    tensors, record = load_checkpoint(path)
    learner.load(tensors, record["learner"])
    return [Epoch(**epoch) for epoch in record["history"]], int(record["best"]), part(tensors, "best/")
