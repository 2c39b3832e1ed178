"""Cross-validation by person, fold by fold, each fold kept on disk as soon as it is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bci.errors import SchemaError
from bci.pipeline import PipelineSpec
from models.registry import ModelSpec, build, parameters
from offline.checkpoint import write_atomic
from offline.config import TrainConfig
from offline.datasets.base import Dataset
from offline.fit import fit_stages
from offline.recipes import Recipe
from offline.splits import Split
from offline.training_loop import Epoch, LoopSettings, logits_of, train_network
from offline.windows import cut_sessions

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What a model did on people it had not met.

    Parameters
    ----------
    split : Split
        Who was on which side.
    best_epoch : int
        Epoch whose weights were kept; 0 for a closed fit.
    history : tuple of Epoch
        Learning curve; empty for a closed fit.
    labels, predicted : tuple of int
        True and predicted class of each test stretch.
    """

    split: Split
    best_epoch: int
    history: tuple[Epoch, ...]
    labels: tuple[int, ...]
    predicted: tuple[int, ...]

    @property
    def accuracy(self) -> float:
        """Share of test stretches whose class was found."""
        return float(np.mean(np.equal(self.labels, self.predicted)))


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model.

    Parameters
    ----------
    pipeline : PipelineSpec
        With its fitted stages.
    model : ModelSpec
        Name and arguments of the network.
    network : nn.Module
        With its weights, in evaluation mode.
    history : tuple of Epoch
        Learning curve; empty for a closed fit.
    best_epoch : int
        Epoch whose weights it has.
    """

    pipeline: PipelineSpec
    model: ModelSpec
    network: nn.Module
    history: tuple[Epoch, ...]
    best_epoch: int


def fit_model(
    dataset: Dataset,
    split: Split,
    recipe: Recipe,
    config: TrainConfig,
    *,
    checkpoint: Path | None = None,
    stop_after: int | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Fitted:
    """Fit the pipeline and the model to the training side of a split.

    Parameters
    ----------
    dataset : Dataset
        All sessions; those of ``split.test`` are not touched.
    split : Split
        A closed fit learns from training and validation subjects together: it stops at nothing.
    recipe : Recipe
        How.
    config : TrainConfig
        Settings; None among them takes the recipe's.
    checkpoint : Path or None, default=None
        Where the state of the training is kept.
    stop_after : int or None, default=None
        Epochs to train when nobody is left for validation.
    on_epoch : callable or None, default=None
        Called after each epoch.

    Returns
    -------
    fitted : Fitted
    """
    closed = recipe.fit == "baseline"
    learners = dataset.of(split.train + split.validation if closed else split.train)
    pipeline = fit_stages(recipe.pipeline(dataset.sessions[0].signal, config.window_s, config.hop_s), learners)
    train = cut_sessions(pipeline, learners)
    spec = model_spec(recipe, pipeline, len(dataset.classes), config.dropout)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = build(spec)
    if closed:
        from offline.baseline import fit_baseline  # scikit-learn and pyriemann: 2 s that networks do not need

        fit_baseline(network, train)
        return Fitted(pipeline, spec, network, (), 0)
    validation = cut_sessions(pipeline, dataset.of(split.validation)) if split.validation else None
    settings = loop_settings(recipe, config, stop_after)
    trained = train_network(network, train, validation, settings, checkpoint, on_epoch)
    return Fitted(pipeline, spec, network, trained.history, trained.best)


def loop_settings(recipe: Recipe, config: TrainConfig, stop_after: int | None = None) -> LoopSettings:
    """Return the settings of a training: the configuration's where given, else the recipe's."""
    return LoopSettings(
        epochs=config.epochs or recipe.epochs,
        patience=config.patience or recipe.patience,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate or recipe.learning_rate,
        weight_decay=config.weight_decay,
        seed=config.seed,
        stop_after=stop_after,
    )


def model_spec(recipe: Recipe, pipeline: PipelineSpec, n_classes: int, dropout: float | None) -> ModelSpec:
    """Return the model for the output of a pipeline."""
    built = pipeline.build()
    signal = built.signal_out
    arguments: dict[str, Any] = {
        "n_channels": signal.n_channels,
        "n_times": built.window_frames,
        "sfreq": signal.sfreq,
        "n_classes": n_classes,
        **recipe.arguments,
    }
    takes = parameters(recipe.architecture)
    if "n_features" in takes:
        arguments["n_features"] = signal.n_features
    if "dropout" in takes:
        arguments["dropout"] = recipe.dropout if dropout is None else dropout
    return ModelSpec(recipe.architecture, arguments)


def evaluate_split(dataset: Dataset, split: Split, fitted: Fitted) -> FoldResult:
    """Score a model on the earliest window of every stretch of the test subjects."""
    test = cut_sessions(fitted.pipeline, dataset.of(split.test))
    predicted = logits_of(fitted.network, test.earliest()).argmax(axis=1)
    return FoldResult(
        split, fitted.best_epoch, fitted.history, tuple(test.labels.tolist()), tuple(int(p) for p in predicted)
    )


def cross_validate(
    dataset: Dataset,
    splits: Sequence[Split],
    recipe: Recipe,
    config: TrainConfig,
    folder: Path,
    on_epoch: Callable[[Split, Epoch], None] | None = None,
) -> tuple[FoldResult, ...]:
    """Fit and score a model on every split.

    Parameters
    ----------
    dataset : Dataset
        All sessions.
    splits : sequence of Split
        One fold each.
    recipe, config
        How.
    folder : Path
        Folds that are done are read from here, so that an interrupted run goes on where it was.
    on_epoch : callable or None, default=None
        Called after each epoch.

    Returns
    -------
    results : tuple of FoldResult
        In the order of the splits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    for split in splits:
        done = folder / f"{split.name}.json"
        if not done.is_file():
            state = folder / f"{split.name}.safetensors"
            report = None if on_epoch is None else _bound(on_epoch, split)
            fitted = fit_model(dataset, split, recipe, config, checkpoint=state, on_epoch=report)
            write_atomic(done, json.dumps(asdict(evaluate_split(dataset, split, fitted))))
            state.unlink(missing_ok=True)
        results.append(read_fold(done))
    return tuple(results)


def read_fold(path: Path) -> FoldResult:
    """Return a fold that `cross_validate` wrote.

    Raises
    ------
    SchemaError
        If the file is damaged.
    """
    try:
        record = json.loads(path.read_text())
        split = Split(*(tuple(record["split"][side]) for side in ("train", "validation", "test")))
        history = tuple(Epoch(**epoch) for epoch in record["history"])
        return FoldResult(
            split, int(record["best_epoch"]), history, tuple(record["labels"]), tuple(record["predicted"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise SchemaError(f"A fold needs complete JSON, {path} is damaged ({error}). Delete it.") from error


def _bound(on_epoch: Callable[[Split, Epoch], None], split: Split) -> Callable[[Epoch], None]:
    return lambda epoch: on_epoch(split, epoch)
