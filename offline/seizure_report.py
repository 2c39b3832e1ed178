"""The scores of seizure detectors as a table, in Markdown and on a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from offline.report_parts import curves, page
from offline.report_parts import table as html_table
from offline.seizure_alarm import FIGURES
from offline.training_loop import Epoch

ROWS = {
    "network": "the network",
    "band_powers": "logistic regression on band powers",
    "line_length": "line length",
    "shifted": "the network's alarms at random other times",
    "always": "always an alarm",
    "never": "never an alarm",
}
HEAD = (
    "detector",
    "event F1",
    "sensitivity",
    "precision",
    "false alarms / 24 h",
    "Poisson interval",
    "hours scored",
    "median delay, s",
    "AUC of windows",
)
_FORMS = {name: ".1f" if name in ("false_per_day", "median_delay_s") else ".2f" for name in FIGURES}


def table(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the scores as the lines of a Markdown table."""
    lines = [f"| {' | '.join(HEAD)} |", "|---" + "|---:" * (len(HEAD) - 1) + "|"]
    return (*lines, *(f"| {' | '.join(row)} |" for row in _rows(metrics)))


def report_html(metrics: Mapping[str, Any], history: Sequence[Epoch]) -> str:
    """Return the page.

    Parameters
    ----------
    metrics : mapping
        As in ``metrics.json``.
    history : sequence of Epoch
        Learning curve of the network.

    Returns
    -------
    html : str
        All texts escaped, graphics as inline SVG, no script.
    """
    run, data = metrics["run"], metrics["data"]
    title = f"{run['task']}: {run['model']}, windows of {run['window_s']:g} s"
    cohorts = [
        (name, str(c["n_patients"]), f"{c['duration_s'] / 60:g}", str(c["seizures"])) for name, c in data.items()
    ]
    parts = [
        f"<h1>{escape(title)}</h1>",
        "<p>Simulated patients: the figures say nothing about people.</p>",
        f"<p>{escape(metrics['scored'])}; seed {run['seed']}.</p>",
        html_table(HEAD, list(_rows(metrics))),
        "<h2>Cohorts</h2>",
        html_table(("cohort", "patients", "minutes each", "seizures"), cohorts),
        "<h2>Learning curve</h2>",
        curves({run["model"]: history}),
    ]
    return page(title, parts)


def _rows(metrics: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    network = metrics["run"]["model"].replace("mel_cnn", "mel CNN").replace("mel_tcn", "mel TCN")
    for name, label in ROWS.items():
        row = metrics["detectors"][name]
        ratios = [_cell(row[figure], form) for figure, form in _FORMS.items()]
        hours = f"{row['hours']:.1f}"
        auc = _cell(row["window_auc"], ".3f")
        yield network if name == "network" else label, *ratios[:4], _poisson(row), hours, ratios[4], auc


def _poisson(row: Mapping[str, Any]) -> str:
    interval = row["false_per_day"].get("poisson")
    return "–" if interval is None else "[{:.1f}, {:.1f}]".format(*interval)


def _cell(figure: Mapping[str, Any], form: str) -> str:
    if figure["value"] is None:
        return "–"
    text = f"{figure['value']:{form}}"
    if figure["interval"] is None:
        return text
    low, high = figure["interval"]
    return f"{text} [{low:{form}}, {high:{form}}]"
