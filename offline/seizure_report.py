"""The scores of seizure detectors as a table, in Markdown and on a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from offline.report_events import HEAD as EVENTS_HEAD
from offline.report_events import event_cells, event_text
from offline.report_parts import curves, not_checked, page
from offline.report_parts import table as html_table
from offline.training_loop import Epoch

ROWS = {
    "network": "the network",
    "tangent": "logistic regression on tangent vectors",
    "band_powers": "logistic regression on band powers",
    "line_length": "line length",
    "shifted": "the network's alarms at random other times",
    "always": "always an alarm",
    "never": "never an alarm",
}
LABELS = {"mel_cnn": "mel CNN", "mel_cnn_reference": "wide mel CNN", "mel_tcn": "mel TCN"}
"""What the models are called in tables."""
HEAD = ("detector", *EVENTS_HEAD, "AUC of windows")


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
        *not_checked(metrics["unchecked"]),
        html_table(HEAD, list(_rows(metrics))),
        "<h2>Cohorts</h2>",
        html_table(("cohort", "patients", "minutes each", "seizures"), cohorts),
        "<h2>Learning curve</h2>",
        curves({run["model"]: history}),
    ]
    return page(title, parts)


def _rows(metrics: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    network = LABELS[metrics["run"]["model"]]
    for name, label in ROWS.items():
        row = metrics["detectors"][name]
        auc = event_text(row["window_auc"], ".3f")
        yield network if name == "network" else label, *event_cells(row), auc
