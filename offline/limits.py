"""What the figures of a run do not tell: what was left out of them, and what could not be checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from offline.config import TrainConfig
from offline.datasets.base import Dataset, class_counts
from offline.datasets.registry import row_of
from offline.fold import FoldResult
from offline.prepare import unscored
from offline.short_stretches import counted
from offline.splits import Split
from offline.temporal import TemporalSplit


def data_record(dataset: Dataset, results: Sequence[FoldResult]) -> dict[str, Any]:
    """Return what a run learnt from and was scored on, and what it left out, as JSON values.

    Parameters
    ----------
    dataset : Dataset
        As it was split.
    results : sequence of FoldResult
        All folds.

    Returns
    -------
    record : dict
        ``subjects``, ``sessions``, ``class_counts``; files and rows that were ``left_out``, with the reason; stretches
        ``too_short`` for a window, by class; scored ``incomplete_windows``.
    """
    counts = class_counts(dataset.sessions, len(dataset.classes)).tolist()
    return {
        "subjects": list(dataset.subjects),
        "sessions": len(dataset.sessions),
        "class_counts": dict(zip(dataset.classes, counts, strict=True)),
        "left_out": [problem.text for problem in dataset.problems],
        "too_short": counted(dataset),
        "incomplete_windows": sum(fold.n_incomplete for fold in results),
    }


def left_out_lines(data: Mapping[str, Any]) -> list[str]:
    """Return what `data_record` says was left out, in words; nothing if all was used."""
    lines = [
        f"no room for a window: {part['n']} stretches of {name}, {part['seconds']:g} s in all, the first "
        f"{part['where'][0]}"
        for name, part in data["too_short"].items()
    ]
    if data["incomplete_windows"]:
        lines.append(f"scored windows with missing samples: {data['incomplete_windows']}")
    return [*data["left_out"], *lines]


def unchecked(config: TrainConfig, dataset: Dataset, splits: Sequence[Split | TemporalSplit]) -> list[str]:
    """Return what nothing in a run can check, in words."""
    row = row_of(config.task)
    met = [name for name in row.origins if any(subject.startswith(name) for subject in dataset.subjects)]
    origins = []
    if len(met) > 1:
        names = ", ".join(name.rstrip("-") for name in met)
        origins.append(f"whether the model tells apart where people were recorded ({names}) instead of the classes")
    return [*row.unchecked, *origins, *unscored(dataset, splits), *unchecked_start(config)]


def unchecked_start(config: TrainConfig) -> list[str]:
    """Return what cannot be checked of the weights that a training started from; nothing if all were fresh."""
    if config.start_weights is None:
        return []
    return ["whether the weights that it started from were learnt from anybody who is scored here"]


def unchecked_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Return what a run could not check as lines for a terminal or a card."""
    return [f"not checked: {text}" for text in metrics["unchecked"]]
