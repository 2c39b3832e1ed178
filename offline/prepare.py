"""What a run learns from: the dataset its settings ask for, and folds in which nothing leaks."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from bci.errors import RecordingError, SpecError, UsageError
from offline.choices import SplitName
from offline.config import TrainConfig, flag, overridden
from offline.datasets.base import Dataset, Session, class_counts
from offline.datasets.check import readable
from offline.datasets.registry import load_dataset, row_of
from offline.labels import cut_up, regrouped
from offline.leaks import require_apart
from offline.short_stretches import MARGIN_S, short_lines, without_short
from offline.splits import Split, archive_folds, k_fold, leave_one_out, sides
from offline.temporal import TemporalSplit, temporal_splits

IDLE: dict[SplitName, tuple[str, ...]] = {
    "leave-one-out": ("n_folds",),
    "k-fold": ("n_validation",),
    "temporal": ("n_validation",),
    "archive": ("n_folds", "n_validation"),
}
"""Settings that have no effect with a split."""

log = logging.getLogger(__name__)


def prepared(config: TrainConfig) -> Dataset:
    """Return the dataset of a task with the classes and pieces of the settings.

    Of long recordings, stretches in which no window fits are left out; in a split in time, windows lie inside theirs.

    Raises
    ------
    UsageError
        If the settings do not fit the task, or no stretch of a class has room for a window.
    RecordingError
        If files cannot be used and ``skip_bad`` is off.
    """
    dataset = usable(readable(load_dataset(config.task, config.data)), config.skip_bad)
    if config.classes is not None:
        dataset = regrouped(dataset, config.classes)
    if row_of(config.task).continuous:
        dataset = _roomy(dataset, config)
    return dataset if config.piece_s is None else cut_up(dataset, config.piece_s)


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


def outer_splits(dataset: Dataset, config: TrainConfig) -> tuple[Split | TemporalSplit, ...]:
    """Return the folds of a run, none of which shares a person, a recording or the content of one.

    Raises
    ------
    UsageError
        If there are too few people or stretches for the folds, people share recordings, the learners of a fold know one
        class only, or a setting has no effect.
    """
    splits: tuple[Split | TemporalSplit, ...]
    idle = overridden(config, IDLE[config.split])
    if idle:
        raise UsageError(f"{flag(idle[0])} has no effect with --split {config.split}. Leave it out.")
    try:
        if config.split == "k-fold":
            splits = k_fold(main_labels(dataset), config.n_folds, config.seed)
        elif config.split == "temporal":
            splits = temporal_splits(dataset, config.n_folds)
        elif config.split == "archive":
            splits = archive_folds(dataset)
        else:
            splits = _leave_one_out(dataset, config)
        for split in splits:
            require_apart(dataset, split)
            require_classes(dataset, split)
    except SpecError as error:
        raise UsageError(str(error)) from error
    return splits


def require_classes(dataset: Dataset, split: Split | TemporalSplit) -> None:
    """Refuse a split whose learners know one class only: whatever is shown to them, they would name it.

    Raises
    ------
    SpecError
        If the labels, or votes, of the training side are of fewer than two classes.
    """
    learners = sides(dataset, split)[0]
    n_classes = len(dataset.classes)
    found = class_counts(learners, n_classes) > 0
    for votes in (stretch.votes for session in learners for stretch in session.stretches):
        found |= np.array((0.0,) * n_classes if votes is None else votes) > 0
    if found.sum() < 2:
        only = ", ".join(name for name, there in zip(dataset.classes, found, strict=True) if there) or "none"
        raise SpecError(
            f"A fold needs learners of at least two classes, fold {split.name} has {len(learners)} recordings of "
            f"{only} only, the first {learners[0].path.name}. Add recordings of the others, or use another --split."
        )


def _roomy(dataset: Dataset, config: TrainConfig) -> Dataset:
    least_s = config.window_s + MARGIN_S
    if config.piece_s is not None and config.piece_s < least_s:
        raise UsageError(
            f"--piece-s must be at least {least_s:g}, a window with {MARGIN_S:g} s to spare, got {config.piece_s:g}. "
            "Use longer pieces, or a shorter --window-s."
        )
    if config.split == "temporal":  # what comes before a stretch may be on another side
        dataset = replace(dataset, sessions=tuple(map(_inside, dataset.sessions)))
    left = without_short(dataset, config.window_s)
    for line in short_lines(left, config.window_s):
        log.warning("left out: %s", line)
    return left


def _inside(session: Session) -> Session:
    return replace(session, stretches=tuple(replace(stretch, ending=None) for stretch in session.stretches))


def main_labels(dataset: Dataset) -> dict[str, int]:
    """Return the class of most of each subject's stretches."""
    n_classes = len(dataset.classes)
    return {name: int(np.argmax(class_counts(dataset.of((name,)), n_classes))) for name in dataset.subjects}


def membership(splits: tuple[Split | TemporalSplit, ...]) -> list[dict[str, Any]]:
    """Return who or what was on which side of each fold, as JSON values."""
    return [{"name": split.name, **asdict(split)} for split in splits]


def _leave_one_out(dataset: Dataset, config: TrainConfig) -> tuple[Split, ...]:
    try:
        return leave_one_out(dataset.subjects, config.n_validation)
    except SpecError as error:
        raise UsageError(f"{error} Or lower --n-validation.") from error
