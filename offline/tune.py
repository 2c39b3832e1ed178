"""Choice of settings by trials on inner folds that never contain who is scored."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bci.errors import SpecError, UsageError
from models.registry import parameters
from offline.calibrate import pooled_temperature
from offline.checkpoint import write_atomic
from offline.config import TrainConfig
from offline.datasets.base import Dataset
from offline.datasets.registry import row_of
from offline.evaluate import Fitted, cross_validate, loop_settings, resolve
from offline.fold import FoldResult
from offline.identity import claim, run_record, sessions_sha256
from offline.leaks import require_apart
from offline.limits import data_record, unchecked
from offline.metrics import summary, trivial_baselines
from offline.prepare import main_labels, outer_splits, prepared
from offline.processes import n_processes
from offline.progress import Progress, Step
from offline.recipes import Recipe, configured
from offline.report import report_html
from offline.run_context import chosen_folds, n_units, torch_threads
from offline.search import ARGUMENT, Choice, Range, drawn, space
from offline.splits import Split, inner_splits, require_classes
from offline.statistics import balanced_accuracy, confusion_matrix
from offline.temporal import TemporalSplit
from offline.training_loop import Epoch

if TYPE_CHECKING:
    from optuna import Trial

log = logging.getLogger(__name__)
OnFitted = Callable[[Path, Split | TemporalSplit, Fitted], None]


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where the trials of a run are kept, and which part of them this process does.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    storage : str or None, default=None
        URL of a database; None keeps trials in a journal file of the folder.
    folds : tuple of int or None, default=None
        Outer folds that this process does, from 0; None does all.
    helps : bool, default=False
        Whether this process runs trials only, and leaves scoring to another one.
    """

    folder: Path
    storage: str | None = None
    folds: tuple[int, ...] | None = None
    helps: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the trials of a fold come to.

    Parameters
    ----------
    settings : TrainConfig
        With the values of the best trial.
    record : dict
        Name of the fold, values, inner score and trials, as JSON values; empty for a helping process.
    inner : tuple of Split
        The inner folds.
    folder : Path
        Where the best trial's inner folds are kept.
    temperature : float or None
        From what several inner folds of the best trial gave for the people whom they scored; None of a single one.
    """

    settings: TrainConfig
    record: dict[str, Any]
    inner: tuple[Split, ...]
    folder: Path
    temperature: float | None = None


def tune(config: TrainConfig, place: Workplace, on_step: Callable[[Step], None] | None = None) -> dict[str, Any]:
    """Choose settings for each fold from the others alone, and score the choices.

    Parameters
    ----------
    config : TrainConfig
        Settings; ``tune`` trials in each fold.
    place : Workplace
        Where, and which part.
    on_step : callable or None, default=None
        Called after each epoch and at the end of each fold.

    Returns
    -------
    tuned : dict
        ``scores`` of the nested cross-validation, ``trivial`` baselines, ``data`` with what was left out, what was
        ``unchecked``, and ``choices`` per fold with every trial. The same goes into ``tune.json`` and ``report.html``.
        Empty where other processes have folds to do.

    Raises
    ------
    UsageError
        If the settings cannot be tuned or do not fit the data, or the folder holds another run.
    """
    plan = configured(config)
    require_tunable(config, plan)
    dataset, splits = outer_splits(prepared(config), config)
    for split in splits:
        inner_folds(dataset, split, config)
    wanted = chosen_folds(splits, place.folds)
    data = sessions_sha256(dataset)
    resolved = resolve(dataset, plan, config)
    claim(place.folder, "tune", config, resolved, data)
    units = n_units(plan, config)
    progress = Progress(len(wanted) * (config.tune * config.n_inner + 1) * units, on_step)
    choices: list[dict[str, Any]] = []
    results: list[FoldResult] = []
    with torch_threads(config.threads):
        for split in wanted:
            chosen = choose(dataset, split, plan, config, place, progress)
            if place.helps:
                continue
            on_epoch, on_fold = _listeners(progress, f"{split.name}, chosen", units)
            results += cross_validate(
                dataset,
                [split],
                plan,
                chosen.settings,
                place.folder / "folds",
                on_epoch,
                on_fold,
                temperature=chosen.temperature,
            )
            choices.append(chosen.record)
    if place.helps or len(wanted) < len(splits):
        return {}
    tuned = {
        "model": config.model,
        "description": plan.line,
        "note": plan.note,
        "run": run_record(config, resolved),
        "scores": summary(dataset, results, config.seed),
        "trivial": trivial_baselines(dataset, results, config.seed),
        "strong_baselines": [],
        "data": data_record(dataset, results),
        "unchecked": unchecked(config, dataset, splits),
        "choices": choices,
    }
    write_atomic(place.folder / "report.html", report_html({**tuned, "tuning": choices}, results))
    write_atomic(place.folder / "tune.json", json.dumps(tuned, indent=1, allow_nan=False) + "\n")
    return tuned


def require_tunable(config: TrainConfig, plan: Recipe) -> None:
    """Refuse settings that trials cannot choose.

    Raises
    ------
    UsageError
        If the task has fixed cohorts, the model has a closed fit, the split is in time, there are no trials, a trial
        would set what a setting fixes, or ``torchrun`` started this process.
    """
    if row_of(config.task).trainer != "offline.train":
        raise UsageError(f"Tuning needs folds of people, {config.task} has fixed cohorts. Choose another --task.")
    if plan.fit != "network":
        raise UsageError(f"Tuning needs a network, {config.model} has a closed fit. Choose another --model.")
    if config.split == "temporal":
        raise UsageError("Tuning needs folds of people inside each fold, got a split in time. Choose another --split.")
    if config.tune < 1:
        raise UsageError("Tuning needs at least 1 trial, got 0. Pass --tune.")
    if n_processes() > 1:
        raise UsageError(
            "Trials run beside each other as workers of their own, not under torchrun. Start the command several times."
        )
    space(config, plan)


def choose(
    dataset: Dataset,
    split: Split | TemporalSplit,
    plan: Recipe,
    config: TrainConfig,
    place: Workplace,
    progress: Progress,
    on_fitted: OnFitted | None = None,
) -> Chosen:
    """Return the settings that do best on inner folds of a split, and the trials.

    Parameters
    ----------
    dataset : Dataset
        All sessions; those of the split's test side are not touched.
    split : Split
        An outer fold; the final model's has no test side.
    plan, config
        How.
    place : Workplace
        Where the trials are kept.
    progress : Progress
        Is told of each epoch.
    on_fitted : callable or None, default=None
        Called with the folder of a trial, an inner fold and its model when it was trained.

    Returns
    -------
    chosen : Chosen
        The settings of a helping process are as they were.

    Raises
    ------
    UsageError
        If there are too few people for the inner folds.
    """
    from offline.trials import RESUMES, best, opened, run_trials  # Optuna: 1 s that other runs do not need

    inner = inner_folds(dataset, split, config)
    varied = space(config, plan)
    units = n_units(plan, config)
    folder = place.folder / "inner" / split.name
    folder.mkdir(parents=True, exist_ok=True)
    run = hashlib.sha256((place.folder / "run.json").read_bytes()).hexdigest()
    name = f"{config.task}/{config.model}/{split.name}"
    study = opened(place.storage, folder, name, run, max(1, units // 3), _usual(varied, plan, config))
    mine: list[int] = []

    def objective(trial: Trial) -> float:
        mine.append(trial.number)
        settings = drawn(config, {entry.name: entry.draw(trial) for entry in varied})
        label = f"without {split.name}, trial {trial.number + 1}"
        return _score(dataset, inner, plan, settings, folder, trial, progress, label, on_fitted)

    # every fold draws other trials, always the same
    seed = int.from_bytes(hashlib.sha256(f"{config.seed} {split.name}".encode()).digest()[:3], "big")
    run_trials(study, config.tune, objective, seed, wait=not place.helps)
    progress.over(f"without {split.name}", (config.tune - len(mine)) * len(inner) * units, 0)
    if place.helps:
        return Chosen(config, {}, inner, folder)
    found = best(study)
    log.info("without %s: %s: %.3f", split.name, found.params, found.value)
    trials = [
        {"number": t.number, "values": t.params, "score": t.value, "state": t.state.name.lower()}
        for t in study.get_trials(deepcopy=False)
        if t.state.is_finished() and t.state.name != "FAIL"
    ]
    choice = {"fold": split.name, "values": found.params, "score": found.value, "tried": trials}
    settings, here = drawn(config, found.params), folder / str(found.user_attrs.get(RESUMES, found.number))
    if len(inner) == 1:
        return Chosen(settings, choice, inner, here)
    # they are there, unless the trial ran on a machine with another folder
    scored = cross_validate(dataset, inner, plan, settings, here, on_fitted=_in(here, on_fitted))
    return Chosen(settings, choice, inner, here, pooled_temperature(scored))


def _usual(varied: Sequence[Range | Choice], plan: Recipe, config: TrainConfig) -> dict[str, Any]:
    """Return the values that a run without trials has, as far as trials may have them."""
    known = {
        **asdict(loop_settings(plan, config)),
        "dropout": plan.dropout,
        **{ARGUMENT + name: parameter.default for name, parameter in parameters(plan.architecture).items()},
        **{ARGUMENT + name: value for name, value in plan.arguments.items()},
    }
    return {entry.name: known[entry.name] for entry in varied if entry.name in known and entry.holds(known[entry.name])}


def inner_folds(dataset: Dataset, split: Split | TemporalSplit, config: TrainConfig) -> tuple[Split, ...]:
    """Return the folds by which a trial is judged: of the people who are not scored.

    Raises
    ------
    UsageError
        If there are too few people, or learners of one class only.
    """
    if isinstance(split, TemporalSplit):
        raise UsageError(f"Inner folds need a split of people, got {split.name}, which is in time.")
    try:
        labels = main_labels(dataset)
        left = {name: labels[name] for name in (*split.train, *split.validation)}
        folds = inner_splits(left, config.n_inner, config.seed)
        for fold in folds:
            require_apart(dataset, fold)
            require_classes(dataset, fold)
    except SpecError as error:
        raise UsageError(str(error)) from error
    return folds


def _score(
    dataset: Dataset,
    inner: Sequence[Split],
    plan: Recipe,
    settings: TrainConfig,
    folder: Path,
    trial: Trial,
    progress: Progress,
    label: str,
    on_fitted: OnFitted | None,
) -> float:
    """Return the mean score of a trial over the inner folds, unless it is stopped for falling behind."""
    import optuna

    from offline.trials import RESUMES, sign_of_life

    loop = loop_settings(plan, settings)
    here = folder / str(trial.user_attrs.get(RESUMES, trial.number))
    scores: list[float] = []

    used = [0]

    def on_epoch(_: str, epoch: Epoch) -> None:
        progress.epoch(label, epoch)
        used[0] = epoch.index + 1
        sign_of_life(trial)
        trial.report(float(np.mean([*scores, epoch.score(loop.monitor)[0]])), len(scores) * loop.epochs + epoch.index)
        if trial.should_prune():
            raise optuna.TrialPruned

    def on_fold(fold: FoldResult) -> None:
        progress.over(label, loop.epochs, len(fold.history))
        used[0] = 0

    for fold in inner:
        try:
            (result,) = cross_validate(dataset, [fold], plan, settings, here, on_epoch, on_fold, _in(here, on_fitted))
        except (optuna.TrialPruned, SpecError):
            progress.over(label, (len(inner) - len(scores)) * loop.epochs, used[0])
            for state in here.glob("*.safetensors"):
                state.unlink(missing_ok=True)
            raise
        scores.append(fold_score(result, loop.monitor, len(dataset.classes)))
    return float(np.mean(scores))


def fold_score(fold: FoldResult, monitor: str, n_classes: int) -> float:
    """Return the figure of a fold's test side that settings are chosen by; larger is better."""
    if monitor == "loss":
        return -fold.loss
    if monitor == "balanced_accuracy":
        return balanced_accuracy(confusion_matrix(np.array(fold.labels), np.array(fold.predicted), n_classes))
    return fold.accuracy


def _in(folder: Path, on_fitted: OnFitted | None) -> Callable[[Split | TemporalSplit, Fitted], None] | None:
    return None if on_fitted is None else partial(on_fitted, folder)


def _listeners(
    progress: Progress, label: str, units: int
) -> tuple[Callable[[str, Epoch], None], Callable[[FoldResult], None]]:
    def on_fold(fold: FoldResult) -> None:
        progress.over(label, units, len(fold.history))

    return partial(_told, progress, label), on_fold


def _told(progress: Progress, label: str, _: str, epoch: Epoch) -> None:
    progress.epoch(label, epoch)
