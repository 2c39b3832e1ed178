"""Cross-validation by person, fold by fold, each fold kept on disk as soon as it is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bci.errors import SpecError, UsageError
from bci.pipeline import PipelineSpec
from bci.stages.scale import RobustScale
from models.registry import ModelSpec, parameters
from offline.augment.registry import NOTHING, build_all
from offline.calibrate import fit_temperature
from offline.checkpoint import write_atomic
from offline.config import LOOP, TrainConfig
from offline.datasets.base import Dataset
from offline.datasets.registry import TASKS, row_of
from offline.feature_cache import FeatureCache
from offline.fit import fit_stages
from offline.fold import FoldResult, Scored, read_fold
from offline.losses import LossSpec, distributions
from offline.processes import agreed, wait_for_all, writes
from offline.recipes import Recipe
from offline.splits import Split, sides
from offline.start_weights import KEY, fresh_network, start_record
from offline.targets import EverySample
from offline.temporal import TemporalSplit
from offline.training_loop import Epoch, LoopSettings, logits_of, train_network
from offline.windows import WindowSet, cut_sessions, require_windows

if TYPE_CHECKING:
    from torch import nn

PLAIN = LossSpec(label_smoothing=0.0)
"""The loss that a fold records unless another one was minimised."""


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
    temperature : float, default=1.0
        What divides the logits, from the people who stopped the training, or from inner folds.
    """

    pipeline: PipelineSpec
    model: ModelSpec
    network: nn.Module
    history: tuple[Epoch, ...]
    best_epoch: int
    temperature: float = 1.0


def fit_model(
    dataset: Dataset,
    split: Split | TemporalSplit,
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
    split : Split or TemporalSplit
        A closed fit learns from training and validation subjects together: it stops at nothing. Not so where an alarm
        is chosen on the latter.
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
    learning, stopping, _ = sides(dataset, split)
    # what stops nothing is learnt from, unless an alarm is chosen on it
    learners = (*learning, *stopping) if closed and config.alarm_class is None else learning
    pipeline = fit_stages(recipe.pipeline(dataset.sessions[0].signal, config.window_s, config.hop_s), learners)
    cache = feature_cache(config)
    settings = loop_settings(recipe, config, stop_after)
    train = cut_sessions(pipeline, learners, cache, every_column=settings.targets == "samples")
    spec = model_spec(recipe, pipeline, len(dataset.classes), config.dropout)
    network = fresh_network(spec, config.seed, config.start_weights)
    if closed:
        from offline.baseline import fit_baseline  # scikit-learn and pyriemann: 2 s that networks do not need

        fit_baseline(network, train, settings.balance)
        return Fitted(pipeline, spec, network, (), 0)
    validation = cut_sessions(pipeline, stopping, cache) if stopping else None
    signal = pipeline.build().signal_out
    trained = train_network(network, train, validation, settings, checkpoint, on_epoch, signal)
    temperature = 1.0 if validation is None else calibrated(network, validation)
    return Fitted(pipeline, spec, network, trained.history, trained.best, temperature)


def resolve(dataset: Dataset, recipe: Recipe, config: TrainConfig) -> dict[str, Any]:
    """Return what settings come to, after trying that a pipeline, its windows and a model can be made of them.

    Parameters
    ----------
    dataset : Dataset
        Its signal and its stretches are what the settings must fit.
    recipe, config
        How.

    Returns
    -------
    resolved : dict
        Hash of the pipeline before its fit, model with its arguments, settings of the training that have an effect,
        as JSON values.

    Raises
    ------
    UsageError
        If the settings do not fit the data or each other.
    """
    try:
        loop = loop_settings(recipe, config)
    except SpecError as error:
        raise UsageError(str(error)) from error
    if loop.targets == "samples" and not row_of(config.task).continuous:
        marked = ", ".join(name for name, row in TASKS.items() if row.continuous)
        raise UsageError(
            f"Targets of samples need a task with seizures marked in long recordings ({marked}), got {config.task}. "
            "Use --targets window."
        )
    spec = recipe.pipeline(dataset.sessions[0].signal, config.window_s, config.hop_s)
    # a stage that is not fitted yet changes neither shape nor timing
    shape = replace(spec, stages=tuple(stage for stage in spec.stages if not isinstance(stage, RobustScale)))
    try:
        require_windows(shape, dataset.sessions, config.window_s)
        model = model_spec(recipe, shape, len(dataset.classes), config.dropout)
        network = fresh_network(model, config.seed)
    except (ValueError, RuntimeError) as error:  # SpecError among them; torch on an impossible size
        text = f"These settings cannot be used for {config.model}: {error}{_remedy(error, recipe, config)}"
        raise UsageError(text) from error
    try:
        if loop.targets == "samples":
            EverySample(network)
        if recipe.fit == "network":
            build_all(loop.augment, shape.build().signal_out)
    except SpecError as error:
        raise UsageError(str(error)) from error
    if config.start_weights is not None and recipe.fit != "network":
        raise UsageError(f"--start-weights needs a network, {config.model} has a closed fit. Leave it out.")
    started = {} if config.start_weights is None else {KEY: start_record(model, config.start_weights)}
    return {
        "pipeline_sha256": hashlib.sha256(spec.to_json().encode()).hexdigest(),
        "model": {"name": model.name, "arguments": dict(model.arguments)},
        "training": {**_recorded(loop), **started} if recipe.fit == "network" else {"balance": loop.balance},
    }


def _remedy(error: Exception, recipe: Recipe, config: TrainConfig) -> str:
    """Return what to change, unless the message says what to install."""
    if isinstance(error.__cause__, ImportError):
        return ""
    if set(recipe.arguments) - set(parameters(recipe.architecture)):
        return " Check --arguments."
    return " Check --window-s." if config.arguments is None else " Check --arguments and --window-s."


def _recorded(loop: LoopSettings) -> dict[str, Any]:
    """Return the settings of a training as JSON values; runs on windows keep the record of before there were others."""
    return {name: value for name, value in asdict(loop).items() if (name, value) != ("targets", "window")}


def loop_settings(recipe: Recipe, config: TrainConfig, stop_after: int | None = None) -> LoopSettings:
    """Return the settings of a training: the configuration's where given, else the recipe's."""
    given = {name: value for name in LOOP if (value := getattr(config, name)) is not None}
    loop = {**recipe.training, **given}
    loop["augment"] = () if loop.get("augment") == (NOTHING,) else tuple(loop.get("augment", ()))
    return LoopSettings(
        epochs=config.epochs or recipe.epochs,
        patience=config.patience or recipe.patience,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate or recipe.learning_rate,
        weight_decay=config.weight_decay,
        seed=config.seed,
        stop_after=stop_after,
        **loop,
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


def feature_cache(config: TrainConfig) -> FeatureCache | None:
    """Return where a run keeps outputs of pipelines: long recordings always on disk; None keeps them in memory."""
    if config.features is not None:
        return FeatureCache(Path(config.features))
    return FeatureCache() if row_of(config.task).continuous else None


def evaluate_split(
    dataset: Dataset,
    split: Split | TemporalSplit,
    fitted: Fitted,
    loss: LossSpec = PLAIN,
    cache: FeatureCache | None = None,
) -> FoldResult:
    """Score a model on one window of every stretch of the test side, see `WindowSet.batches`."""
    sessions = sides(dataset, split)[2]
    test = cut_sessions(fitted.pipeline, sessions, cache)
    logits = logits_of(fitted.network, test.batches(test.scored))
    targets = distributions(test.labels, test.votes, logits.shape[1])
    stretches = [(session, stretch) for session in sessions for stretch in session.stretches]
    scored = tuple(
        Scored(session.subject, session.name, stretch.start, tuple(target), sum(stretch.votes or ()))
        for (session, stretch), target in zip(stretches, targets.tolist(), strict=True)
    )
    return FoldResult(
        split,
        fitted.best_epoch,
        fitted.history,
        tuple(test.labels.tolist()),
        tuple(logits.argmax(axis=1).tolist()),
        tuple(tuple(row) for row in logits.tolist()),
        fitted.temperature,
        float(loss(torch.from_numpy(logits), torch.from_numpy(targets)).mean()),
        test.n_incomplete(),
        scored,
    )


def calibrated(network: nn.Module, windows: WindowSet) -> float:
    """Return the temperature of a network on the scored windows of people that it has not learnt from."""
    logits = logits_of(network, windows.batches(windows.scored))
    return fit_temperature(logits, distributions(windows.labels, windows.votes, logits.shape[1]))


def cross_validate(
    dataset: Dataset,
    splits: Sequence[Split | TemporalSplit],
    recipe: Recipe,
    config: TrainConfig,
    folder: Path,
    on_epoch: Callable[[str, Epoch], None] | None = None,
    on_fold: Callable[[FoldResult], None] | None = None,
    on_fitted: Callable[[Split | TemporalSplit, Fitted], None] | None = None,
    temperature: float | None = None,
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
        Called with the name of the split after each epoch.
    on_fold : callable or None, default=None
        Called with each fold when it is there.
    on_fitted : callable or None, default=None
        Called with each split and its model when it was trained, before the fold counts as done; by the process that
        writes.
    temperature : float or None, default=None
        What divides the logits; None takes it from the people who stop the training.

    Returns
    -------
    results : tuple of FoldResult
        In the order of the splits.

    Raises
    ------
    UsageError
        If a fold in the folder was trained in another way.
    """
    if writes():
        folder.mkdir(parents=True, exist_ok=True)
    settings = {"seed": config.seed, **resolve(dataset, recipe, config)}
    results = []
    for split in splits:
        done = folder / f"{split.name}.json"
        if not agreed(done.is_file()):
            state = folder / f"{split.name}.safetensors"
            report = None if on_epoch is None else partial(on_epoch, split.name)
            fitted = fit_model(dataset, split, recipe, config, checkpoint=state, on_epoch=report)
            fitted = fitted if temperature is None else replace(fitted, temperature=temperature)
            loop = loop_settings(recipe, config)
            loss = LossSpec(loop.loss, 0.0, loop.focal_gamma)
            content = {
                **asdict(evaluate_split(dataset, split, fitted, loss, feature_cache(config))),
                "settings": settings,
            }
            if writes():
                if on_fitted is not None:
                    on_fitted(split, fitted)
                write_atomic(done, json.dumps(content))
                state.unlink(missing_ok=True)
            wait_for_all()
        results.append(read_fold(done, {**settings, "split": asdict(split)}))
        if on_fold is not None:
            on_fold(results[-1])
    return tuple(results)
