"""Gradient descent with early stopping, repeatable bit by bit and resumable after any epoch."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.layers import constrain_
from offline.checkpoint import load_checkpoint, save_checkpoint
from offline.windows import WindowSet

if TYPE_CHECKING:
    from models.mel_tcn import MelTCN

N_VALIDATION_WINDOWS = 4
"""Windows of each validation stretch: one alone makes the curve too coarse to stop by."""
WARM_UP = 0.1
"""Share of the schedule in which the learning rate rises; after it, it falls as a half cosine."""


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """Settings of one training.

    Parameters
    ----------
    epochs : int
        Length of the learning-rate schedule.
    patience : int
        Epochs without a better validation score after which training stops.
    batch_size : int
        Windows per step; a last incomplete batch is left out.
    learning_rate : float
        Peak of the schedule.
    weight_decay : float
        Decoupled decay.
    seed : int
        Seed of the order, the crops and the dropout.
    label_smoothing : float, default=0.05
        Share of the target that goes to all classes.
    stop_after : int or None, default=None
        Stop after so many epochs of the schedule: for a final model without validation.
    """

    epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int
    label_smoothing: float = 0.05
    stop_after: int | None = None


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch gave.

    Parameters
    ----------
    index : int
        Number of the epoch, from 0.
    train_loss : float
        Mean loss over the steps, in training mode.
    validation_loss, validation_accuracy : float or None
        Of several windows per validation stretch; None without validation.
    """

    index: int
    train_loss: float
    validation_loss: float | None
    validation_accuracy: float | None

    @property
    def figures(self) -> str:
        """Loss and validation accuracy, in words."""
        said = f"loss {self.train_loss:.3f}"
        accuracy = self.validation_accuracy
        return said if accuracy is None else f"{said}, validation accuracy {accuracy:.3f}"


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


def train_network(
    network: nn.Module,
    train: WindowSet,
    validation: WindowSet | None,
    settings: LoopSettings,
    checkpoint: Path | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
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
        What stops the training: people who are not in `train`. The best epoch has the highest accuracy and, among
        equals, the lowest loss.
    settings : LoopSettings
        Settings.
    checkpoint : Path or None, default=None
        File with the state after the last complete epoch. If it is there, training goes on from it.
    on_epoch : callable or None, default=None
        Called after each epoch.

    Returns
    -------
    trained : Trained
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    history: list[Epoch] = []
    best = copy.deepcopy(network.state_dict())
    best_epoch = 0
    if checkpoint is not None and checkpoint.is_file():
        history, best_epoch, best = _resume(checkpoint, network, optimizer)
    checks = None if validation is None else _validation_windows(validation)
    stop = settings.epochs if settings.stop_after is None else min(settings.stop_after, settings.epochs)
    while len(history) < stop and not (checks and history and len(history) - 1 - best_epoch >= settings.patience):
        epoch = _epoch(network, optimizer, train, settings, len(history), checks)
        history.append(epoch)
        if checks is None or _better(epoch, history[best_epoch]) or len(history) == 1:
            best_epoch = epoch.index
            best = copy.deepcopy(network.state_dict())
        if checkpoint is not None:
            _save(checkpoint, network, optimizer, history, best_epoch, best)
        if on_epoch is not None:
            on_epoch(epoch)
    network.load_state_dict(best)
    network.eval()
    return Trained(tuple(history), best_epoch)


@torch.no_grad()
def logits_of(network: nn.Module, windows: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Return the logits of windows, float64 (n_windows, n_classes); the network must be in evaluation mode."""
    batches = [torch.from_numpy(windows[i : i + batch_size]) for i in range(0, len(windows), batch_size)]
    return torch.cat([network(batch) for batch in batches]).double().numpy()


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


def _epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: WindowSet,
    settings: LoopSettings,
    index: int,
    checks: tuple[np.ndarray, Tensor] | None,
) -> Epoch:
    rng = np.random.default_rng([settings.seed, index])
    order = rng.permutation(len(train))
    starts = train.random_starts(order, rng)
    size = min(settings.batch_size, len(train))
    n_steps = len(train) // size
    losses = []
    network.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))  # dropout
        for step in range(n_steps):
            rate = settings.learning_rate * _schedule((index + step / n_steps) / settings.epochs)
            for group in optimizer.param_groups:
                group["lr"] = rate
            batch = slice(step * size, (step + 1) * size)
            windows = torch.from_numpy(train.cut(order[batch], starts[batch]))
            target = torch.from_numpy(train.labels[order[batch]])
            loss = functional.cross_entropy(network(windows), target, label_smoothing=settings.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            constrain_(network)
            losses.append(loss.item())
    network.eval()
    train_loss = float(np.mean(losses))
    if checks is None:
        return Epoch(index, train_loss, None, None)
    logits = torch.from_numpy(logits_of(network, checks[0]))
    accuracy = float((logits.argmax(dim=1) == checks[1]).double().mean())
    return Epoch(index, train_loss, float(functional.cross_entropy(logits, checks[1])), accuracy)


def _schedule(done: float) -> float:
    """Return the share of the peak learning rate when the share `done` of the schedule is over."""
    if done < WARM_UP:
        return 0.05 + 0.95 * done / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP)))


def _validation_windows(validation: WindowSet) -> tuple[np.ndarray, Tensor]:
    every = np.arange(len(validation))
    reach = validation.last - validation.first
    starts = [validation.first + reach * k // (N_VALIDATION_WINDOWS - 1) for k in range(N_VALIDATION_WINDOWS)]
    windows = np.concatenate([validation.cut(every, start) for start in starts])
    return windows, torch.from_numpy(np.tile(validation.labels, N_VALIDATION_WINDOWS))


def _better(epoch: Epoch, best: Epoch) -> bool:
    if epoch.validation_accuracy is None or best.validation_accuracy is None:
        return True
    new = (epoch.validation_accuracy, -(epoch.validation_loss or 0.0))
    return new > (best.validation_accuracy, -(best.validation_loss or 0.0))


def _save(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: list[Epoch],
    best_epoch: int,
    best: dict[str, Tensor],
) -> None:
    tensors = {f"network/{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"best/{name}": value for name, value in best.items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{i}/{name}": value for name, value in state.items()}
    save_checkpoint(path, tensors, {"history": [asdict(epoch) for epoch in history], "best": best_epoch})


def _resume(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[list[Epoch], int, dict[str, Tensor]]:
    tensors, record = load_checkpoint(path)
    network.load_state_dict(_part(tensors, "network/"))
    states: dict[int, dict[str, Any]] = {}
    for name, value in _part(tensors, "optimizer/").items():
        i, key = name.split("/", 1)
        states.setdefault(int(i), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
    return [Epoch(**epoch) for epoch in record["history"]], int(record["best"]), _part(tensors, "best/")


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
