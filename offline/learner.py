"""A network with all that changes while it is trained: optimiser, gradient scaler, moving average."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bci.chunk import Signal
from bci.errors import SpecError
from models.layers import constrain_
from offline.augment.base import Batch, Draws
from offline.augment.registry import build_all
from offline.ema import WeightAverage
from offline.processes import n_processes, rank, summed
from offline.sampler import epoch_order, second_stage
from offline.targets import EverySample, Targets, taught
from offline.training_settings import LoopSettings
from offline.windows import WindowSet

WARM_UP = 0.1
"""Share of the schedule in which the learning rate rises; after it, it falls as a half cosine."""
_AUGMENT = 1
"""Keeps the random numbers of augmentations apart from those of the order."""


class Learner:
    """Takes the steps of a training.

    Under ``torchrun`` every process computes its part of each batch; the gradients are those of the whole batch.

    Parameters
    ----------
    network : nn.Module
        What is trained, on its device.
    train : WindowSet
        What is learnt from.
    settings : LoopSettings
        Settings.
    signal : Signal or None
        Output of the pipeline; augmentations need it.

    Raises
    ------
    SpecError
        If the settings do not fit the windows.
    """

    def __init__(self, network: nn.Module, train: WindowSet, settings: LoopSettings, signal: Signal | None) -> None:
        self.network = network
        self._train = train
        self._settings = settings
        self._device = torch.device(settings.device)
        self._loss = settings.loss_spec
        self._parts = settings.accumulate * n_processes()
        # two windows in each part at least: batch statistics and mix-up need a partner
        self._multiple = 1 if self._parts == 1 else 2 * self._parts
        if settings.batch_size % self._multiple:
            raise SpecError(
                f"A batch in {self._parts} parts (processes times accumulate) needs a multiple of {self._multiple} "
                f"windows, got batch_size {settings.batch_size}. Change it."
            )
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.scaler = torch.amp.GradScaler(settings.device, enabled=settings.precision == "float16")
        self.average = WeightAverage(network, settings.ema_decay) if settings.ema_decay else None
        judge = EverySample(network) if settings.targets == "samples" else network
        self._model = judge if n_processes() == 1 else DistributedDataParallel(judge)
        self.n_classes = _n_logits(network, train)
        self._taught = taught(train, self.n_classes, settings)
        self._stages = (np.arange(len(train)),) * 2
        if settings.second_stage_votes:
            self._stages = (self._stages[0], second_stage(train.votes, settings.second_stage_votes))
        if settings.augment and signal is None:
            raise SpecError("Augmentations need the signal that the windows are cut from, got none. Pass signal.")
        self._change = build_all(settings.augment, signal) if signal is not None else None

    @property
    def evaluated(self) -> nn.Module:
        """The network that is judged and kept: the moving average, where there is one."""
        return self.network if self.average is None else self.average.network

    def epoch(self, index: int) -> float:
        """Go through the stretches once, and return the mean loss.

        All random numbers come from the seed and the index, so that nothing depends on what was before.

        Raises
        ------
        SpecError
            If there are fewer stretches than processes and parts need, or the loss is no number.
        """
        settings = self._settings
        rng = np.random.default_rng([settings.seed, index])
        stage = self._stages[index >= round(settings.second_stage_share * settings.epochs)]
        order = epoch_order(self._train.labels, stage, settings.balance, rng)
        starts = self._train.random_starts(order, rng)
        size = min(settings.batch_size, len(order))
        size -= size % self._multiple
        if not size:
            raise SpecError(
                f"A batch in {self._parts} parts needs at least {self._multiple} stretches, got {len(order)}. "
                "Use fewer processes or a smaller accumulate."
            )
        n_steps = len(order) // size
        losses = []
        self.network.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**63)) - rank())  # dropout
            for step in range(n_steps):
                done = (index + step / n_steps) / settings.epochs
                for group in self.optimizer.param_groups:
                    group["lr"] = settings.learning_rate * schedule(done)
                batch = slice(step * size, (step + 1) * size)
                losses.append(self._step(order[batch], starts[batch], [settings.seed, index, step, _AUGMENT]))
        self.network.eval()
        loss = float(summed(torch.stack(losses)).double().mean())
        if not math.isfinite(loss):
            raise SpecError(f"Training needs a finite loss, got {loss} in epoch {index}. Lower the learning rate.")
        return loss

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all that changes: tensors by name, and JSON values."""
        tensors = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{i}/{name}": value for name, value in state.items()}
        if self.average is not None:
            tensors |= {f"average/{name}": value for name, value in self.average.state.items()}
        n_steps = 0 if self.average is None else self.average.n_steps
        return tensors, {"scaler": self.scaler.state_dict(), "average_steps": n_steps}

    def load(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.network.load_state_dict(part(tensors, "network/"))
        states: dict[int, dict[str, Any]] = {}
        for name, value in part(tensors, "optimizer/").items():
            i, key = name.split("/", 1)
            states.setdefault(int(i), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": states})
        if self.average is not None:
            self.average.load(part(tensors, "average/"), int(record["average_steps"]))
        if record["scaler"]:
            self.scaler.load_state_dict(record["scaler"])

    def _step(self, stretches: np.ndarray, starts: np.ndarray, seed: list[int]) -> Tensor:
        """Take one step and return this process's share of the loss."""
        settings = self._settings
        wanted = self._taught(stretches, starts)
        whole = float(wanted.weights.sum()) or 1.0
        size = len(stretches) // self._parts
        own = [slice(i * size, (i + 1) * size) for i in range(rank(), self._parts, n_processes())]
        loss = torch.zeros((), device=self._device)
        self.optimizer.zero_grad()
        for i, piece in enumerate(own):
            own_wanted = Targets(wanted.distributions[piece], wanted.weights[piece])
            batch = self._batch(stretches[piece], starts[piece], own_wanted)
            if self._change is not None:
                # the same numbers for every part: each takes its own out of them
                batch = self._change(batch, Draws(np.random.default_rng(seed), len(stretches), piece, self._device))
            with self._unsynchronised(last=i == len(own) - 1):
                with self._autocast():
                    logits = self._model(batch.windows)
                share = (self._loss(logits, batch.targets) * batch.weights).sum() / whole
                # processes average their gradients; what is wanted is the sum
                self.scaler.scale(share * n_processes()).backward()
            loss += share.detach()
        if settings.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        constrain_(self.network)
        if self.average is not None:
            self.average.update(self.network)
        return loss

    def _batch(self, stretches: np.ndarray, starts: np.ndarray, wanted: Targets) -> Batch:
        def tensor(values: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(self._device)

        return Batch(tensor(self._train.cut(stretches, starts)), tensor(wanted.distributions), tensor(wanted.weights))

    def _autocast(self) -> AbstractContextManager[Any]:
        if self._settings.precision == "float32":
            return nullcontext()
        return torch.autocast(self._settings.device, dtype=getattr(torch, self._settings.precision))

    def _unsynchronised(self, last: bool) -> AbstractContextManager[Any]:
        """Let processes exchange gradients after the last part only."""
        if last or not isinstance(self._model, DistributedDataParallel):
            return nullcontext()
        context: AbstractContextManager[Any] = self._model.no_sync()
        return context


def schedule(done: float) -> float:
    """Return the share of the peak learning rate when the share `done` of the schedule is over."""
    if done < WARM_UP:
        return 0.05 + 0.95 * done / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP)))


def device_of(network: nn.Module) -> torch.device:
    """Return where a network's numbers are."""
    for tensor in (*network.parameters(), *network.buffers()):
        return tensor.device
    return torch.device("cpu")


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors below a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


@torch.no_grad()
def _n_logits(network: nn.Module, windows: WindowSet) -> int:
    training = network.training
    one = torch.from_numpy(windows.cut(np.zeros(1, dtype=np.int64), windows.first[:1]))
    n = network.eval()(one.to(device_of(network))).shape[1]
    network.train(training)
    return n
