"""What a run learns from: the dataset its settings ask for, and folds in which nothing leaks."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from bci.errors import RecordingError, SpecError, UsageError
from offline.choices import SplitName
from offline.config import TrainConfig, flag, overridden
from offline.datasets.base import Dataset, Problem, Session, class_counts
from offline.datasets.check import readable
from offline.datasets.registry import load_dataset, row_of
from offline.datasets.shared import in_one_part, without_copies
from offline.labels import cut_up, regrouped
from offline.leaks import require_apart
from offline.short_stretches import MARGIN_S, short_lines, without_short
from offline.splits import Split, archive_folds, k_fold, leave_one_out, require_classes, sides
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
        If files cannot be used, are there as two people's or are in two folds of the archive, and ``skip_bad`` is off.
    """
    found = without_copies(readable(load_dataset(config.task, config.data)))
    dataset = usable(in_one_part(found) if config.split == "archive" else found, config.skip_bad)
    if config.classes is not None:
        dataset = regrouped(dataset, config.classes)
    empty = _absent(dataset.sessions, dataset.classes)
    if empty:
        log.warning("no stretch is labelled %s: nothing scores what the model says of it", ", ".join(empty))
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
            f"{first.text} See bci-train data; --skip-bad trains without them."
        )
    for problem in dataset.problems:
        log.warning("left out: %s", problem.text)
    return dataset


def outer_splits(dataset: Dataset, config: TrainConfig) -> tuple[Dataset, tuple[Split | TemporalSplit, ...]]:
    """Return the folds of a run, none of which shares a person, a recording or the content of one.

    Returns
    -------
    dataset : Dataset
        As it was; with ``skip_bad``, folds that were left out are added to its problems.
    splits : tuple of Split or TemporalSplit
        With ``skip_bad``, without those whose learners know one class only, if two others are left.

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
        return _of_two_classes(dataset, splits, config.skip_bad)
    except SpecError as error:
        raise UsageError(str(error)) from error


def _of_two_classes(
    dataset: Dataset, splits: tuple[Split | TemporalSplit, ...], skip_bad: bool
) -> tuple[Dataset, tuple[Split | TemporalSplit, ...]]:
    """Return the splits whose learners know two classes, if all do, or with `skip_bad` at least two do."""
    kept: list[Split | TemporalSplit] = []
    errors: list[SpecError] = []
    left: list[Problem] = []
    for split in splits:
        try:
            require_classes(dataset, split)
            kept.append(split)
        except SpecError as error:
            errors.append(error)
            left.append(Problem(sides(dataset, split)[0][0].path, str(error)))
    if errors and not (skip_bad and len(kept) >= 2):
        raise errors[0]
    for problem in left:
        log.warning("left out: %s", problem.text)
    return replace(dataset, problems=(*dataset.problems, *left)), tuple(kept)


def unscored(dataset: Dataset, splits: Sequence[Split | TemporalSplit]) -> tuple[str, ...]:
    """Return what folds do not tell since no stretch of a class is scored in any, in words."""
    scored = (session for split in splits for session in sides(dataset, split)[2])
    return tuple(
        f"what the model makes of {name}: no stretch that is scored is labelled so"
        for name in _absent(scored, dataset.classes)
    )


def _absent(sessions: Iterable[Session], classes: Sequence[str]) -> list[str]:
    """Return the classes that no stretch is labelled with."""
    counts = class_counts(tuple(sessions), len(classes))
    return [name for name, n in zip(classes, counts, strict=True) if not n]


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
