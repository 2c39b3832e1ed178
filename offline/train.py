"""A whole training run: folds, scores, report, and the final model as a bundle."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bci.bundle import Bundle, load_bundle
from bci.decision import DecisionSpec
from bci.errors import UsageError
from offline.alarm_folds import AlarmFolds, alarm_file
from offline.calibrate import pooled_temperature
from offline.checkpoint import write_atomic
from offline.config import TrainConfig
from offline.datasets.base import Dataset
from offline.datasets.registry import row_of
from offline.evaluate import Fitted, cross_validate, fit_model, resolve
from offline.export import export_bundle
from offline.fold import FoldResult
from offline.identity import claim, run_record, sessions_sha256
from offline.limits import data_record, unchecked, unchecked_lines
from offline.metrics import compare, summary, trivial_baselines
from offline.prepare import membership, outer_splits, prepared
from offline.processes import joined, wait_for_all, writes
from offline.progress import Progress, Step
from offline.recipes import STRONG_BASELINES, Recipe, configured, recipe
from offline.report import (
    chance_line,
    constant_lines,
    figure_lines,
    figure_text,
    gain_lines,
    interval_text,
    report_html,
    split_text,
    verdicts,
)
from offline.report_events import event_lines
from offline.run_context import chosen_folds, n_units, record, recorded, torch_threads
from offline.short_stretches import whole
from offline.splits import Split
from offline.start_weights import start_lines, start_training
from offline.temporal import TemporalSplit
from offline.training_loop import Epoch
from offline.tune import Chosen, OnFitted, Workplace, choose, require_tunable

log = logging.getLogger(__name__)
FINAL = "final"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run leaves behind.

    Parameters
    ----------
    metrics : dict
        As in ``metrics.json``; empty while folds are missing.
    bundle : Bundle or None
        The final model; None while folds are missing, and where no stream can carry what it learns from.
    lines : tuple of str
        The figures in words, for a terminal.
    """

    metrics: dict[str, Any]
    bundle: Bundle | None
    lines: tuple[str, ...]


def train(
    config: TrainConfig,
    created: str,
    on_step: Callable[[Step], None] | None = None,
    place: Workplace | None = None,
) -> Outcome:
    """Cross-validate a model, then train it on everybody and write everything down.

    Writes ``folds/`` (one file per fold, as each is done), ``train.log``, ``metrics.json``, ``report.html`` and
    ``bundle/`` below ``config.out``. A run that was interrupted goes on where it was. Under ``torchrun`` all processes
    share each batch and the first one writes.

    Parameters
    ----------
    config : TrainConfig
        Settings.
    created : str
        Time of the run, ISO 8601, for the bundle.
    on_step : callable or None, default=None
        Called after each epoch and at the end of each fold.
    place : Workplace or None, default=None
        Which folds this process does, and where trials are kept; None does all of it below ``config.out``.

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
    with joined(config.device or "cpu"):
        return _Run(config, created, on_step, place or Workplace(Path(config.out))).outcome()


class _Run:
    """The parts of a run: what is checked before anything is written, the folds, and the final model."""

    def __init__(
        self, config: TrainConfig, created: str, on_step: Callable[[Step], None] | None, place: Workplace
    ) -> None:
        self._config, self._created, self._place = config, created, place
        self._plan = configured(config)
        if config.tune:
            require_tunable(config, self._plan)
        self._dataset, self._splits = outer_splits(prepared(config), config)
        self._wanted = chosen_folds(self._splits, place.folds)
        self._whole = len(self._wanted) == len(self._splits) and not place.helps
        self._task = row_of(config.task)
        if config.alarm_class is not None and not self._task.streams:
            raise UsageError(f"An alarm needs recordings, {config.task} has examples. Leave --alarm-class out.")
        self._alarms = AlarmFolds(whole(self._dataset), config, place.folder / "folds")
        without = config.split == "temporal" or not config.baselines
        strong = () if without else STRONG_BASELINES.get(config.task, ())
        self._strong = tuple(name for name in strong if name != config.model)
        self._resolved = resolve(self._dataset, self._plan, config)
        self._data = sessions_sha256(self._dataset)
        if writes():
            claim(place.folder, "run", config, self._resolved, self._data)
        wait_for_all()
        self._units = n_units(self._plan, config)
        trials = config.tune * config.n_inner * self._units
        n_parts = len(self._wanted) + (self._whole and self._task.streams)
        n_reference = len(self._splits) * len(self._strong) * self._whole
        self._progress = Progress(n_parts * (trials + self._units) + n_reference, on_step)

    def outcome(self) -> Outcome:
        """Do all that this process is to do."""
        config, out = self._config, self._place.folder
        with torch_threads(config.threads), recorded(out / "train.log"):
            record.info("%s", config)
            results, choices = self._folds()
            if self._place.helps and config.tune and self._place.folds is None and self._task.streams:
                self._choose(Split(self._dataset.subjects, (), ()))
            if not self._whole:
                return Outcome({}, None, (f"{len(self._wanted)} of {len(self._splits)} folds are done here",))
            references = {name: self._reference(name) for name in self._strong}
            final = self._final(results) if self._task.streams else None
            decision, events = self._decision(results)
            metrics = _metrics(config, self._plan, self._dataset, results, references, self._resolved)
            metrics |= {
                "folds": membership(self._splits),
                "temperature": decision.temperature,
                "tuning": [*choices, *([] if final is None else final[1:])] if config.tune else None,
                "events": events,
                "unchecked": unchecked(config, self._dataset, self._splits),
            }
            if writes():
                if final is not None:
                    self._export(final[0], decision, metrics)
                write_atomic(out / "report.html", report_html(metrics, results))
                write_atomic(out / "metrics.json", json.dumps(metrics, indent=1, allow_nan=False) + "\n")
            wait_for_all()
            bundle = None if final is None else load_bundle(out / "bundle")
            sha256 = "none" if bundle is None else bundle.sha256
            record.info("accuracy %s, bundle %s", interval_text(metrics["scores"]["accuracy"]), sha256)
        log.info("%s: accuracy %s", config.model, interval_text(metrics["scores"]["accuracy"]))
        return Outcome(metrics, bundle, (*_lines(metrics), f"report: {out / 'report.html'}"))

    def _folds(self) -> tuple[tuple[FoldResult, ...], list[dict[str, Any]]]:
        results: list[FoldResult] = []
        choices: list[dict[str, Any]] = []
        for split in self._wanted:
            several = self._config.n_inner > 1
            keep_inner = self._alarms.keep_inner if several else None
            chosen = self._choose(split, keep_inner) if self._config.tune else None
            if self._place.helps and chosen is not None:
                continue
            inner: list[Path] = []
            if chosen is not None:
                choices.append(chosen.record)
                inner = [alarm_file(chosen.folder, one) for one in chosen.inner] if several else []
            results += cross_validate(
                self._dataset,
                [split],
                self._plan,
                self._config if chosen is None else chosen.settings,
                self._place.folder / "folds",
                self._on_epoch,
                self._on_fold,
                partial(self._alarms.keep, inner=inner),
                None if chosen is None else chosen.temperature,
            )
        return tuple(results), choices

    def _choose(self, split: Split | TemporalSplit, on_fitted: OnFitted | None = None) -> Chosen:
        return choose(self._dataset, split, self._plan, self._config, self._place, self._progress, on_fitted)

    def _reference(self, name: str) -> tuple[FoldResult, ...]:
        against = recipe(self._config.task, name)
        # as it is: settings of the model that is trained are not its own, and no alarm is taken from it
        config = replace(
            self._config,
            model=name,
            arguments=None,
            augment=None,
            balance=None,
            start_weights=None,
            targets=None,
            alarm_class=None,
        )

        def on_fold(fold: FoldResult) -> None:
            self._progress.over(f"{name} {fold.split.name}", 1, 1)

        folder = self._place.folder / "folds" / name
        return cross_validate(self._dataset, self._splits, against, config, folder, on_fold=on_fold)

    def _final(self, results: Sequence[FoldResult]) -> tuple[Fitted, dict[str, Any] | None]:
        everybody = Split(self._dataset.subjects, (), ())
        chosen = self._choose(everybody) if self._config.tune else None
        settings, choice = (self._config, None) if chosen is None else (chosen.settings, chosen.record)
        fitted = fit_model(
            self._dataset,
            everybody,
            self._plan,
            settings,
            checkpoint=self._place.folder / "folds" / f"{FINAL}.safetensors",
            stop_after=round(median(fold.best_epoch + 1 for fold in results)),
            on_epoch=partial(self._on_epoch, FINAL),
        )
        self._progress.over(FINAL, self._units, max(1, len(fitted.history)))
        return fitted, choice

    def _decision(self, results: Sequence[FoldResult]) -> tuple[DecisionSpec, dict[str, Any] | None]:
        """Return the final model's decision: its inner folds are the folds of the run."""
        return self._alarms.final(self._splits, round(pooled_temperature(results), 3))

    def _export(self, fitted: Fitted, decision: DecisionSpec, metrics: dict[str, Any]) -> None:
        export_bundle(
            self._place.folder / "bundle",
            fitted,
            decision,
            self._dataset.sessions[0],
            metrics=metrics,
            training={
                "task": self._config.task,
                "model": self._config.model,
                "subjects": list(self._dataset.subjects),
                "sessions_sha256": dict(self._data),
                "folds": membership(self._splits),
                "seed": self._config.seed,
                "epochs": len(fitted.history),
                **start_training(self._resolved),
            },
            card=_card(self._config, metrics),
            created=self._created,
            seed=self._config.seed,
        )

    def _on_epoch(self, name: str, epoch: Epoch) -> None:
        record.info("%s: epoch %d: %s", name, epoch.index, epoch.figures)
        self._progress.epoch(name, epoch)

    def _on_fold(self, fold: FoldResult) -> None:
        record.info("%s: %d of %d right", fold.split.name, round(fold.accuracy * len(fold.labels)), len(fold.labels))
        self._progress.over(fold.split.name, self._units, max(1, len(fold.history)))


def _metrics(
    config: TrainConfig,
    plan: Recipe,
    dataset: Dataset,
    results: tuple[FoldResult, ...],
    references: Mapping[str, tuple[FoldResult, ...]],
    resolved: Mapping[str, Any],
) -> dict[str, Any]:
    strong = []
    for name, reference in references.items():
        scored = summary(dataset, reference, config.seed)
        strong.append(
            {
                "model": name,
                "accuracy": scored["accuracy"],
                "figures": scored["figures"],
                "difference": compare(results, reference, config.seed),
            }
        )
    return {
        "description": plan.line,
        "note": plan.note,
        "run": run_record(config, resolved),
        "data": data_record(dataset, results),
        "scores": summary(dataset, results, config.seed),
        "trivial": trivial_baselines(dataset, results, config.seed),
        "strong_baselines": strong,
    }


def _lines(metrics: dict[str, Any]) -> list[str]:
    scores, trivial = metrics["scores"], metrics["trivial"]
    lines = [f"{s['subject']}: {s['n_correct']} of {s['n']} ({s['accuracy']:.3f})" for s in scores["subjects"]]
    lines += [*figure_lines(scores), *constant_lines(trivial)]
    lines.append(f"accuracy, {split_text(metrics['run']['settings'])}: {interval_text(scores['accuracy'])}")
    lines.append(chance_line(trivial))
    lines += [*verdicts(metrics), *gain_lines(metrics)]
    lines += [*event_lines(metrics["events"]), *start_lines(metrics["run"]["resolved"])]
    return [*lines, *unchecked_lines(metrics)]


def _card(config: TrainConfig, metrics: dict[str, Any]) -> str:
    data, trivial = metrics["data"], metrics["trivial"]
    figures = metrics["scores"]["figures"]
    level = "stretches" if figures["people"] is None else "people"
    said = [*verdicts(metrics), *event_lines(metrics["events"]), *start_lines(metrics["run"]["resolved"])]
    areas = f"AUROC {figure_text(figures[level]['auroc'])}, AUPRC {figure_text(figures[level]['auprc'])}"
    return (
        f"# {config.model} for {config.task}\n\n{metrics['description']}. Windows of {config.window_s:g} s.\n\n"
        f"Trained on all {len(data['subjects'])} subjects ({data['sessions']} sessions), seed {config.seed}. "
        "This model itself was never scored: the figures below are of models trained the same way without the "
        "subject they are scored on.\n\n"
        f"- accuracy, {split_text(metrics['run']['settings'])}, mean over subjects [95 %]: "
        f"{interval_text(metrics['scores']['accuracy'])}\n"
        f"- {areas} of {level}\n"
        f"- {chance_line(trivial)}\n" + "".join(f"- {line}\n" for line in (*said, *unchecked_lines(metrics))) + "\n"
        "Not a medical device.\n"
    )
