"""A whole training run: folds, scores, report, and the final model as a bundle."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from bci.bundle import Bundle
from bci.decision import DecisionSpec
from bci.errors import RecordingError, SpecError, UsageError
from offline.checkpoint import write_atomic
from offline.config import TrainConfig, overridden
from offline.datasets.base import Dataset, class_counts
from offline.datasets.registry import load_dataset
from offline.evaluate import Fitted, FoldResult, cross_validate, fit_model, loop_settings, resolve
from offline.export import export_bundle
from offline.identity import claim, sessions_sha256, settings_record, versions
from offline.metrics import compare, summary, trivial_baselines
from offline.progress import Progress, Step
from offline.recipes import STRONG_BASELINE, Recipe, recipe
from offline.report import interval_text, report_html, verdict
from offline.splits import Split, leave_one_out
from offline.training_loop import Epoch

log = logging.getLogger(__name__)
record = logging.getLogger(f"{__name__}.record")
"""Every epoch, for ``train.log`` only."""
record.propagate = False
FINAL = "final"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run leaves behind.

    Parameters
    ----------
    metrics : dict
        As in ``metrics.json``.
    bundle : Bundle
        The final model.
    lines : tuple of str
        The figures in words, for a terminal.
    """

    metrics: dict[str, Any]
    bundle: Bundle
    lines: tuple[str, ...]


def train(config: TrainConfig, created: str, on_step: Callable[[Step], None] | None = None) -> Outcome:
    """Cross-validate a model, then train it on everybody and write everything down.

    Writes ``folds/`` (one file per left-out subject, as each is done), ``train.log``, ``metrics.json``,
    ``report.html`` and ``bundle/`` below ``config.out``. A run that was interrupted goes on where it was.

    Parameters
    ----------
    config : TrainConfig
        Settings.
    created : str
        Time of the run, ISO 8601, for the bundle.
    on_step : callable or None, default=None
        Called after each epoch and at the end of each fold.

    Returns
    -------
    outcome : Outcome

    Raises
    ------
    UsageError
        If the settings do not fit the data, or the folder holds another run.
    RecordingError
        If files cannot be used and ``skip_bad`` is off.
    """
    plan = recipe(config.task, config.model)
    dataset = usable(load_dataset(config.task, config.data), config.skip_bad)
    splits = outer_splits(dataset, config)
    strong = STRONG_BASELINE.get(config.task)
    against = None if strong is None or config.model == strong else recipe(config.task, strong)
    resolved = resolve(dataset, plan, config)
    data = sessions_sha256(dataset)
    out = Path(config.out)
    claim(out, "run", config, resolved, data)
    units = n_units(plan, config)
    progress = Progress((len(splits) + 1) * units + (len(splits) if against else 0), on_step)

    def on_epoch(name: str, epoch: Epoch) -> None:
        record.info("%s: epoch %d: %s", name, epoch.index, epoch.figures)
        progress.epoch(name, epoch)

    def on_fold(fold: FoldResult) -> None:
        record.info("%s: %d of %d right", fold.split.name, round(fold.accuracy * len(fold.labels)), len(fold.labels))
        progress.over(fold.split.name, units, max(1, len(fold.history)))

    def on_reference(fold: FoldResult) -> None:
        progress.over(f"{strong} {fold.split.name}", 1, 1)

    with torch_threads(config.threads), recorded(out / "train.log"):
        record.info("%s", config)
        results = cross_validate(dataset, splits, plan, config, out / "folds", on_epoch, on_fold)
        reference = None
        if against is not None:
            folder = out / "folds" / str(strong)
            reference = cross_validate(dataset, splits, against, config, folder, on_fold=on_reference)
        n_epochs = round(median(fold.best_epoch + 1 for fold in results))
        fitted = fit_model(
            dataset,
            Split(dataset.subjects, (), ()),
            plan,
            config,
            checkpoint=out / "folds" / f"{FINAL}.safetensors",
            stop_after=n_epochs,
            on_epoch=partial(on_epoch, FINAL),
        )
        progress.over(FINAL, units, max(1, len(fitted.history)))
        metrics = _metrics(config, plan, dataset, results, reference, resolved)
        bundle = _export(out / "bundle", config, dataset, fitted, metrics, data, created)
        record.info("accuracy %s, bundle %s", interval_text(metrics["scores"]["accuracy"]), bundle.sha256)
    write_atomic(out / "report.html", report_html(metrics, results))
    write_atomic(out / "metrics.json", json.dumps(metrics, indent=1, allow_nan=False) + "\n")
    log.info("%s: accuracy %s", config.model, interval_text(metrics["scores"]["accuracy"]))
    return Outcome(metrics, bundle, (*_lines(metrics), f"report: {out / 'report.html'}"))


def outer_splits(dataset: Dataset, config: TrainConfig) -> tuple[Split, ...]:
    """Return the folds of a run.

    Raises
    ------
    UsageError
        If there are too few people for ``n_validation``.
    """
    try:
        return leave_one_out(dataset.subjects, config.n_validation)
    except SpecError as error:
        raise UsageError(f"{error} Or lower --n-validation.") from error


def n_units(plan: Recipe, config: TrainConfig) -> int:
    """Return the units of work of one training: epochs, or 1 for a closed fit."""
    return loop_settings(plan, config).epochs if plan.fit == "network" else 1


def usable(dataset: Dataset, skip_bad: bool) -> Dataset:
    """Return the dataset, unless files had to be left out and that is not wanted.

    Raises
    ------
    RecordingError
        If there are problems and `skip_bad` is False.
    """
    if dataset.problems and not skip_bad:
        first = dataset.problems[0]
        raise RecordingError(
            f"Training needs every file of {dataset.task} to be usable, {len(dataset.problems)} are not; first "
            f"{first.path.name}: {first.reason} See bci-train data; --skip-bad trains without them."
        )
    for problem in dataset.problems:
        log.warning("left out: %s: %s", problem.path.name, problem.reason)
    return dataset


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Run torch with `n` threads and only deterministic algorithms."""
    before, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(n)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(strict)


@contextmanager
def recorded(path: Path) -> Iterator[None]:
    """Append what is recorded to a file."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    record.addHandler(handler)
    record.setLevel(logging.INFO)
    try:
        yield
    finally:
        record.removeHandler(handler)
        handler.close()


def _metrics(
    config: TrainConfig,
    plan: Recipe,
    dataset: Dataset,
    results: tuple[FoldResult, ...],
    reference: tuple[FoldResult, ...] | None,
    resolved: Mapping[str, Any],
) -> dict[str, Any]:
    strong = None
    if reference is not None:
        strong = {
            "model": STRONG_BASELINE[config.task],
            "accuracy": summary(dataset, reference, config.seed)["accuracy"],
            "difference": compare(results, reference, config.seed),
        }
    return {
        "description": plan.line,
        "note": plan.note,
        "run": {
            "task": config.task,
            "model": config.model,
            "window_s": config.window_s,
            "seed": config.seed,
            "settings": settings_record(config),
            "resolved": dict(resolved),
            "overridden": overridden(config),
            "versions": versions(),
        },
        "data": {
            "subjects": list(dataset.subjects),
            "sessions": len(dataset.sessions),
            "class_counts": dict(
                zip(dataset.classes, class_counts(dataset.sessions, len(dataset.classes)).tolist(), strict=True)
            ),
            "left_out": [problem.path.name for problem in dataset.problems],
            "incomplete_windows": sum(fold.n_incomplete for fold in results),
        },
        "scores": summary(dataset, results, config.seed),
        "trivial": trivial_baselines(dataset, results),
        "strong_baseline": strong,
    }


def _lines(metrics: dict[str, Any]) -> list[str]:
    scores, trivial = metrics["scores"], metrics["trivial"]
    lines = [f"{s['subject']}: {s['n_correct']} of {s['n']} ({s['accuracy']:.3f})" for s in scores["subjects"]]
    lines.append(f"accuracy, leave one subject out: {interval_text(scores['accuracy'])}")
    lines.append(f"chance {trivial['chance']:.3f}, most frequent class {trivial['majority']:.3f}")
    return [*lines, said] if (said := verdict(metrics)) else lines


def _export(
    folder: Path,
    config: TrainConfig,
    dataset: Dataset,
    fitted: Fitted,
    metrics: dict[str, Any],
    data: Mapping[str, str],
    created: str,
) -> Bundle:
    training = {
        "task": config.task,
        "model": config.model,
        "subjects": list(dataset.subjects),
        "sessions_sha256": dict(data),
        "seed": config.seed,
        "epochs": len(fitted.history),
    }
    return export_bundle(
        folder,
        fitted,
        DecisionSpec(dataset.classes),
        dataset.sessions[0],
        metrics=metrics,
        training=training,
        card=_card(config, metrics),
        created=created,
        seed=config.seed,
    )


def _card(config: TrainConfig, metrics: dict[str, Any]) -> str:
    data, trivial = metrics["data"], metrics["trivial"]
    return (
        f"# {config.model} for {config.task}\n\n{metrics['description']}. Windows of {config.window_s:g} s.\n\n"
        f"Trained on all {len(data['subjects'])} subjects ({data['sessions']} sessions), seed {config.seed}. "
        "This model itself was never scored: the figures below are of models trained the same way without the "
        "subject they are scored on.\n\n"
        f"- accuracy, leave one subject out, mean over subjects [95 %]: "
        f"{interval_text(metrics['scores']['accuracy'])}\n"
        f"- chance {trivial['chance']:.3f}, most frequent class {trivial['majority']:.3f}\n"
        f"- {verdict(metrics) or 'this model is the strong baseline of the task.'}\n\n"
        "Not a medical device.\n"
    )
