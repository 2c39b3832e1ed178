"""Event scores of an alarm in words and as a table: with hours scored, and beside an alarm that never ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offline.report_parts import table

HEAD = (
    "event F1",
    "sensitivity",
    "precision",
    "false alarms / 24 h",
    "Poisson interval",
    "hours scored",
    "median delay, s",
)
ALWAYS = "always an alarm"
NONE = "–"
_RATIOS = ("f1", "sensitivity", "precision")


def event_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the figures of `offline.seizure_alarm.figures` as texts, in the order of `HEAD`."""
    return (
        *(event_text(row[name], ".2f") for name in _RATIOS),
        event_text(row["false_per_day"], ".1f"),
        _poisson(row),
        f"{row['hours']:.2f}",
        event_text(row["median_delay_s"], ".1f"),
    )


def event_text(figure: Mapping[str, Any], form: str) -> str:
    """Return a figure with its interval, each only if there is one, such as ``0.90 [0.79, 1.00]``."""
    if figure["value"] is None:
        return NONE
    text = f"{figure['value']:{form}}"
    return text if figure["interval"] is None else f"{text} {_interval(figure['interval'], form)}"


def event_lines(events: Mapping[str, Any] | None) -> list[str]:
    """Return the event figures of a cross-validation, a line each, for a terminal; none without an alarm."""
    if events is None:
        return []
    own, always = event_cells(events), event_cells(events["always"])
    f1, sensitivity, precision, false_per_day, poisson, hours, delay_s = own
    return [
        f"alarm for {events['label']}, {_over(events)}; intervals over people, 95 %",
        f"event F1: {f1}, sensitivity {sensitivity}, precision {precision} "
        f"({events['n_found']} of {events['n_seizures']} events found)",
        f"false alarms per 24 h: {false_per_day}, Poisson interval {poisson} "
        f"({events['n_false']} in {hours} h, in alarm {100 * events['alarm_share']:.1f} % of it)",
        f"median delay: {delay_s} s",
        f"{ALWAYS}: event F1 {always[0]}, sensitivity {always[1]}, precision {always[2]}, "
        f"false alarms per 24 h {always[3]}",
    ]


def event_table(events: Mapping[str, Any], model: str) -> str:
    """Return the same as HTML."""
    rows = [(model, *event_cells(events)), (ALWAYS, *event_cells(events["always"]))]
    share = f"in alarm {100 * events['alarm_share']:.1f} % of the time"
    counts = f"{events['n_found']} of {events['n_seizures']} events found, {events['n_false']} false alarms"
    return table((f"{_over(events)}; 95 % over people", *HEAD), rows) + f"\n<p>{counts}, {share}.</p>"


def _over(events: Mapping[str, Any]) -> str:
    return f"{events['n_people']} people in {events['n_recordings']} recordings, each fold with its own alarm"


def _poisson(row: Mapping[str, Any]) -> str:
    interval = row["false_per_day"].get("poisson")
    return NONE if interval is None else _interval(interval, ".1f")


def _interval(interval: tuple[float, float], form: str) -> str:
    low, high = interval
    return f"[{low:{form}}, {high:{form}}]"
