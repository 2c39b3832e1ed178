"""What trials came to, as parts of a page: the settings that each fold chose, and the value of every trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from offline.report_parts import Mark, scatter, table

NONE = "–"
_FIGURES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "loss": "minus the loss"}
_STATES = {"pruned": "stopped early"}


def tuning_parts(choices: Sequence[Mapping[str, Any]], monitor: str) -> list[str]:
    """Return the parts of a page.

    Parameters
    ----------
    choices : sequence of mapping
        Of each fold: its name, the chosen values, their inner score and what was tried, see `offline.tune.Chosen`.
    monitor : str
        Name of the figure that trials are compared by, see `offline.choices.Monitor`.

    Returns
    -------
    parts : list of str
        HTML, all texts escaped.
    """
    figure = _FIGURES[monitor]
    rows = [
        (
            choice["fold"],
            values_text(choice["values"]),
            _number(choice["score"]),
            str(len(choice["tried"])),
            str(sum(trial["state"] == "pruned" for trial in choice["tried"])),
        )
        for choice in choices
    ]
    marks = [
        Mark(
            trial["number"] + 1,
            trial["score"],
            f"without {choice['fold']}, trial {trial['number'] + 1}: {_number(trial['score'])}",
            trial["values"] == choice["values"] and trial["score"] == choice["score"],
        )
        for choice in choices
        for trial in choice["tried"]
        if _is_over(trial)
    ]
    return [
        "<h2>Trials</h2>",
        f"<p>Each fold's settings were chosen by the mean {figure} on inner folds of people whom it does not score. "
        "The inner score of a choice is the best of many, and so too high; the figures of this page are of people who "
        "had no say.</p>",
        table(("without", "chosen", f"inner {figure}", "trials", "stopped early"), rows),
        scatter(f"{figure} on inner folds", "trial", marks),
        "<p>One mark for each trial of each fold that came to its end; full ones are the choices. Trials that were "
        "stopped early have no score.</p>",
        *(_trials(choice) for choice in choices),
    ]


def values_text(values: Mapping[str, Any]) -> str:
    """Return settings in words, such as ``learning_rate 0.00312, dropout 0.25``."""
    return ", ".join(f"{name} {_setting(value)}" for name, value in values.items())


def _trials(choice: Mapping[str, Any]) -> str:
    rows = [
        (
            str(trial["number"] + 1),
            values_text(trial["values"]),
            _number(trial["score"] if _is_over(trial) else None),
            _STATES.get(trial["state"], trial["state"]),
        )
        for trial in choice["tried"]
    ]
    shown = table(("trial", "settings", "inner score", "state"), rows)
    return f"<details><summary>Trials without {escape(choice['fold'])}</summary>{shown}</details>"


def _is_over(trial: Mapping[str, Any]) -> bool:
    """Return whether a trial has a score; the value of one that was stopped is that of an epoch on the way."""
    return bool(trial["state"] == "complete")


def _setting(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"
