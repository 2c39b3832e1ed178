"""A whole training run on simulated patients: features, network, calibration, alarm, scores, bundle."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from bci.bundle import load_bundle
from bci.chunk import Signal
from bci.decision import DecisionSpec
from bci.errors import UsageError
from bci.pipeline import PipelineSpec, window_starts
from bci.serving import windows_at
from bci.sources.head_model import CHANNELS
from offline.calibrate import fit_temperature
from offline.checkpoint import write_atomic
from offline.config import TrainConfig, flag, overridden
from offline.datasets.registry import load_dataset
from offline.datasets.simulated import (
    CLASSES,
    COHORTS,
    TEST,
    TRAIN,
    VALIDATION,
    Labelling,
    PatientFeatures,
    cache_key,
    features,
    labelled_windows,
)
from offline.evaluate import Fitted, loop_settings, model_spec, resolve
from offline.export import export_bundle
from offline.identity import claim, settings_record, versions
from offline.limits import unchecked_lines, unchecked_start
from offline.processes import first_alone, joined, wait_for_all, writes
from offline.progress import Progress, Step
from offline.recipes import Recipe, configured
from offline.run_context import record, recorded, torch_threads
from offline.seizure_alarm import Track, choose_alarm, figures, score_tracks, shifted_chance
from offline.seizure_comparison import classical, detector_figures
from offline.seizure_detectors import every_label, track
from offline.seizure_events import Span, score_events
from offline.seizure_report import report_html, table
from offline.start_weights import fresh_network, start_lines, start_training
from offline.train import Outcome
from offline.training_loop import Epoch, logits_along, logits_of, train_network
from offline.tune import Workplace
from offline.windows import SessionWindows, WindowSet

log = logging.getLogger(__name__)

NAMES = {"mel_cnn_reference": "seizure-demo", "mel_cnn": "seizure-small", "mel_tcn": "seizure-tcn"}
"""Names of the bundles."""
UNUSED = (
    "patience",
    "n_validation",
    "skip_bad",
    "baselines",
    "features",
    "split",
    "n_folds",
    "classes",
    "piece_s",
    "alarm_class",
    "tune",
    "search",
    "n_inner",
    "monitor",
)
"""Settings that have no effect with fixed cohorts."""
SIMULATORS = 2
BATCH = 64
_NO_FIGURE: dict[str, Any] = {"value": None, "interval": None}


def train(
    config: TrainConfig,
    created: str,
    on_step: Callable[[Step], None] | None = None,
    place: Workplace | None = None,
) -> Outcome:
    """Train on simulated patients, choose the alarm on others, score it on a third cohort and write everything down.

    Writes ``features/`` (outputs of the pipeline), ``train.log``, ``metrics.json``, ``report.html`` and the
    bundle (`NAMES`) below ``config.out``. A run that was interrupted goes on where it was.

    Parameters
    ----------
    config : TrainConfig
        Settings; there is no data folder, and the number of epochs is fixed beforehand.
    created : str
        Time of the run, ISO 8601, for the bundle.
    on_step : callable or None, default=None
        Called after each patient and each epoch.
    place : Workplace or None, default=None
        Has no folds or trials here.

    Returns
    -------
    outcome : Outcome

    Raises
    ------
    UsageError
        If a setting has no effect here or does not fit the data, or the folder holds another run.
    """
    with joined(config.device or "cpu"):
        return _train(config, created, on_step, place)


def command(config: TrainConfig) -> str:
    """Return the command line that repeats a run."""
    defaults = {field.name: field.default for field in fields(config)}
    words = [
        f"{flag(name)} {_word(value)}"
        for name, value in asdict(config).items()
        if value != defaults[name] and name not in ("out", "threads", "start_weights")
    ]
    if config.start_weights is not None:  # a bundle does not tell folders of others
        words.append(f"{flag('start_weights')} {Path(config.start_weights).name}")
    return " ".join(["bci-train", *words, f"--out {config.out}"])


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _train(
    config: TrainConfig, created: str, on_step: Callable[[Step], None] | None, place: Workplace | None
) -> Outcome:
    plan = configured(config)
    unused = [flag(name) for name in overridden(config, UNUSED)]
    if place is not None and (place.folds is not None or place.helps or place.storage):
        unused += ["--folds, --worker or --storage"]
    if unused:
        raise UsageError(
            f"The task {config.task} trains a fixed number of epochs on fixed cohorts, got {', '.join(unused)}, which "
            "would have no effect. Leave it out."
        )
    dataset = load_dataset(config.task, config.data)
    pipeline = plan.pipeline(Signal(256.0, CHANNELS), config.window_s, config.hop_s)
    # windows are cut by `labelled_windows`, which takes stretches of any length
    unlabelled = replace(dataset, sessions=tuple(replace(session, stretches=()) for session in dataset.sessions))
    resolved = resolve(unlabelled, plan, config)
    out = Path(config.out)
    cohorts = [asdict(cohort) for cohort in COHORTS]
    labelling = Labelling(recent_s=plan.label_s)
    data = {"simulator": cache_key(pipeline), "cohorts": cohorts, "labelling": asdict(labelling)}
    if writes():
        claim(out, "run", config, resolved, data)
    wait_for_all()
    n_epochs = loop_settings(plan, config).epochs
    progress = Progress(sum(cohort.n_patients for cohort in COHORTS) + n_epochs, on_step)
    patients = {}
    with torch_threads(config.threads), recorded(out / "train.log"):
        record.info("%s", config)
        for cohort in COHORTS:
            log.info("%s cohort: simulating %d patients", cohort.name, cohort.n_patients)
            with first_alone():
                patients[cohort.name] = features(
                    pipeline,
                    cohort.specs(),
                    out / "features",
                    SIMULATORS,
                    partial(_simulated, progress, cohort.name),
                )
        windows = [labelled_windows(pipeline, patient, labelling) for patient in patients[TRAIN.name]]
        fitted = _fit(pipeline, windows, plan, config, out / "network.safetensors", progress)
        tracks = {name: _tracks(fitted, patients[name]) for name in (VALIDATION.name, TEST.name)}
        decision = _decide(fitted, patients[VALIDATION.name], tracks[VALIDATION.name], labelling)
        metrics = _metrics(fitted, decision, patients, tracks[TEST.name], config, resolved, labelling)
        metrics["unchecked"] = unchecked_start(config)
        lines = table(metrics)
        if writes():
            export_bundle(
                out / NAMES[config.model],
                fitted,
                decision,
                dataset.sessions[0],
                metrics=metrics,
                training={
                    "task": config.task,
                    "model": config.model,
                    "cohorts": cohorts,
                    "seed": config.seed,
                    "epochs": len(fitted.history),
                    **start_training(resolved),
                    "command": command(config),
                },
                card=_card(plan, config, metrics, lines, decision),
                created=created,
                seed=config.seed,
            )
            write_atomic(out / "report.html", report_html(metrics, fitted.history))
            write_atomic(out / "metrics.json", json.dumps(metrics, indent=1, allow_nan=False) + "\n")
        wait_for_all()
        bundle = load_bundle(out / NAMES[config.model])
    said = (*start_lines(resolved), *unchecked_lines(metrics))
    return Outcome(metrics, bundle, (*lines, *said, f"report: {out / 'report.html'}"))


def _fit(
    pipeline: PipelineSpec,
    pieces: Sequence[SessionWindows],
    plan: Recipe,
    config: TrainConfig,
    checkpoint: Path,
    progress: Progress,
) -> Fitted:
    windows = WindowSet(pieces, pipeline.build().window_frames)
    spec = model_spec(plan, pipeline, len(CLASSES), config.dropout)
    network = fresh_network(spec, config.seed, config.start_weights)
    settings = loop_settings(plan, config)

    def report(epoch: Epoch) -> None:
        name = NAMES[config.model]
        record.info("%s: epoch %d: %s", name, epoch.index, epoch.figures)
        progress.epoch(name, epoch)

    signal = pipeline.build().signal_out
    trained = train_network(network, windows, None, settings, checkpoint, report, signal)
    return Fitted(pipeline, spec, network, trained.history, trained.best)


def _simulated(progress: Progress, cohort: str, n: int) -> None:
    progress.over(f"{cohort} patient {n}", 1, 1)


def _tracks(fitted: Fitted, patients: Sequence[PatientFeatures]) -> list[Track]:
    return [track(fitted.pipeline, patient, _logits(fitted.network, fitted.pipeline, patient)) for patient in patients]


def _logits(network: nn.Module, pipeline: PipelineSpec, patient: PatientFeatures) -> np.ndarray:
    running = pipeline.build()
    columns = np.asarray(patient.data)
    starts = window_starts(columns.shape[-1], running)
    if hasattr(network, "step"):
        return logits_along(network, columns)[starts + running.window_frames - 1]
    parts = (starts[i : i + BATCH] for i in range(0, len(starts), BATCH))
    return logits_of(network, (np.ascontiguousarray(windows_at(columns, s, running.window_frames)) for s in parts))


def _decide(
    fitted: Fitted, patients: Sequence[PatientFeatures], tracks: Sequence[Track], labelling: Labelling
) -> DecisionSpec:
    labels = np.concatenate([every_label(fitted.pipeline, patient, labelling) for patient in patients])
    logits = np.concatenate([t.logits for t in tracks])
    temperature = round(fit_temperature(logits[labels >= 0], labels[labels >= 0]), 3)
    return choose_alarm(tracks, CLASSES, fitted.pipeline.window.hop_s, temperature)


def _metrics(
    fitted: Fitted,
    decision: DecisionSpec,
    patients: Mapping[str, Sequence[PatientFeatures]],
    test: Sequence[Track],
    config: TrainConfig,
    resolved: Mapping[str, Any],
    labelling: Labelling,
) -> dict[str, Any]:
    pipeline, hop_s = fitted.pipeline, fitted.pipeline.window.hop_s
    labels = [every_label(pipeline, p, labelling) for p in patients[TEST.name]]
    detectors: dict[str, Any] = {
        "network": detector_figures(test, score_tracks(test, decision, hop_s), labels, config.seed),
        **classical(pipeline, patients, labelling, config.seed),
    }
    constants: dict[str, list[list[Span]]] = {
        "always": [[Span(0.0, t.duration_s)] for t in test],
        "never": [[] for _ in test],
    }
    for name, alarms in constants.items():
        scores = [score_events(t.seizures, alarm, t.duration_s) for t, alarm in zip(test, alarms, strict=True)]
        # the same seed for every detector: the same resamples of patients
        detectors[name] = figures(scores, np.random.default_rng(config.seed)) | {"window_auc": _NO_FIGURE}
    chance = shifted_chance(test, decision, hop_s, np.random.default_rng(config.seed))
    detectors["shifted"] = {name: {"value": value, "interval": None} for name, value in chance.items()}
    detectors["shifted"] |= {"median_delay_s": _NO_FIGURE, "window_auc": _NO_FIGURE}
    detectors["shifted"]["hours"] = detectors["network"]["hours"]
    return {
        "run": {
            "task": config.task,
            "model": config.model,
            "window_s": config.window_s,
            "hop_s": config.hop_s,
            "seed": config.seed,
            "settings": settings_record(config),
            "resolved": dict(resolved),
            "versions": versions(),
            "labelling": asdict(labelling),
        },
        "data": {cohort.name: {**asdict(cohort), "seizures": _n_seizures(patients[cohort.name])} for cohort in COHORTS},
        "scored": "SzCORE event rules, pooled over the test patients; 95 % percentile bootstrap over patients, and the "
        "exact 95 % Poisson interval of the false alarms",
        "detectors": detectors,
        "history": [asdict(epoch) for epoch in fitted.history],
    }


def _n_seizures(patients: Sequence[PatientFeatures]) -> int:
    return sum(len(patient.seizures) for patient in patients)


def _card(
    plan: Recipe, config: TrainConfig, metrics: Mapping[str, Any], lines: Sequence[str], decision: DecisionSpec
) -> str:
    data = metrics["data"]
    people = "; ".join(
        f"{name}: {c['n_patients']} patients of {c['duration_s'] / 60:g} min, seeds from {c['first_seed']}, "
        f"{c['seizures']} seizures"
        for name, c in data.items()
    )
    parts = (
        f"# {NAMES[config.model]}",
        "Shows the toolkit at work on simulated patients. It has never met a person, its figures say nothing about "
        "people, and it is not a medical device.",
        f"A {plan.line}; windows of {config.window_s:g} s, a prediction every {config.hop_s:g} s; 19 channels of "
        f"the 10–20 system at 256 Hz, 0.5–40 Hz, average reference. {_alarm_text(decision)}",
        "## Data",
        f"Simulated recordings (`docs/simulated-patient.md`). {people}. No seed is in two cohorts. Weights and "
        "baselines come from the first cohort, temperature and alarm from the second, the figures from the third.",
        *start_lines(metrics["run"]["resolved"]),
        *unchecked_lines(metrics),
        "## Figures",
        f"{metrics['scored']}. The alarms of all detectors were chosen in the same way on the second cohort. Line "
        "length is relative to its median over the whole recording, which no live detector has.",
        "\n".join(lines),
        "## Made by",
        f"```\n{command(config)}\n```",
    )
    return "\n\n".join(parts) + "\n"


def _alarm_text(decision: DecisionSpec) -> str:
    alarm = decision.alarm
    if alarm is None:
        return ""
    smoothed = f", smoothed over {decision.smoothing_s:g} s," if decision.smoothing_s else ""
    votes = f" in {alarm.k} of {alarm.n} predictions" if alarm.n > 1 else ""
    return (
        f"An alarm begins when the probability of a seizure{smoothed} reaches {alarm.on_threshold:g}{votes} and ends "
        f"below {alarm.off_threshold:g}, after {alarm.min_duration_s:g} s at the earliest. The threshold is high "
        "because almost half of the windows that the network learnt from held a seizure, and few do in use."
    )
