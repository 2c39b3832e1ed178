"""A self-contained HTML page about a run: scores, learning curves, confusion matrix. Nothing is fetched or run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from offline.fold import FoldResult
from offline.training_loop import Epoch

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2430; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .3rem .8rem; text-align: right; }
th { border-bottom: 1px solid #9aa5b1; } th:first-child, td:first-child { text-align: left; }
svg { background: #f7f9fb; } .note { background: #fff7e0; padding: .6rem 1rem; }
""".strip()
_COLOURS = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#66a61e", "#a6761d", "#666666")
_WIDTH, _HEIGHT, _MARGIN = 420, 240, 36


def report_html(metrics: Mapping[str, Any], results: Sequence[FoldResult]) -> str:
    """Return the page.

    Parameters
    ----------
    metrics : mapping
        As in ``metrics.json``.
    results : sequence of FoldResult
        Their histories become the learning curves.

    Returns
    -------
    html : str
        All texts escaped, graphics as inline SVG, no script.
    """
    run = metrics["run"]
    scores = metrics["scores"]
    title = f"{run['task']}: {run['model']}, windows of {run['window_s']:g} s"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(metrics['description'])}</p>",
        f"<p>Leave one subject out, {len(scores['subjects'])} subjects, seed {run['seed']}. Each stretch counts once, "
        "with its earliest window.</p>",
        _comparison(metrics),
        "<h2>Subjects</h2>",
        _subjects(scores["subjects"]),
        "<h2>Confusion</h2>",
        _confusion(scores["classes"], scores["confusion"]),
    ]
    if any(fold.history for fold in results):
        parts += ["<h2>Learning curves</h2>", curves({fold.split.name: fold.history for fold in results})]
        parts.append("<p>One line per left-out subject.</p>")
    return page(title, parts)


def page(title: str, parts: Sequence[str]) -> str:
    """Return a page of HTML parts, whose texts are escaped."""
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def interval_text(value: Mapping[str, Any], sign: bool = False) -> str:
    """Return a mean with its interval, such as ``.75 [.63, .86]``."""
    form = "+.3f" if sign else ".3f"
    low, high = value["interval"]
    return f"{value['mean']:{form}} [{low:{form}}, {high:{form}}]"


def verdict(metrics: Mapping[str, Any]) -> str:
    """Return how the model stands to the strong baseline, in words; empty if it is that baseline.

    What may limit the model is said only where it is below, with the training that the recipe names.
    """
    strong = metrics["strong_baseline"]
    if strong is None:
        return ""
    difference = strong["difference"]
    low, high = difference["interval"]
    relation = "is above" if low > 0 else "is below" if high < 0 else "cannot be told from"
    text = (
        f"{metrics['run']['model']} {relation} the strong baseline {strong['model']} "
        f"({interval_text(strong['accuracy'])}): difference {interval_text(difference, sign=True)}."
    )
    if high < 0 and metrics["note"] and not metrics["run"]["overridden"]:
        return f"{text} Possible reason, not tested: {metrics['note']}"
    return text


def _comparison(metrics: Mapping[str, Any]) -> str:
    trivial = metrics["trivial"]
    rows = [
        (metrics["run"]["model"], interval_text(metrics["scores"]["accuracy"])),
        ("chance", f"{trivial['chance']:.3f}"),
        ("most frequent class", f"{trivial['majority']:.3f}"),
        ("place of the trial in the session (a leak; no model sees it)", f"{trivial['trial_index']:.3f}"),
    ]
    strong = metrics["strong_baseline"]
    if strong is not None:
        rows.insert(1, (f"{strong['model']} (strong baseline)", interval_text(strong["accuracy"])))
    scores = table(("", f"accuracy, mean [{metrics['scores']['accuracy']['over']}]"), rows)
    said = verdict(metrics)
    return scores + (f'\n<p class="note">{escape(said)}</p>' if said else "")


def _subjects(subjects: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            s["subject"],
            f"{s['n_correct']} of {s['n']}",
            f"{s['accuracy']:.3f}",
            "[{:.3f}, {:.3f}]".format(*s["interval"]),
        )
        for s in subjects
    ]
    return table(("subject", "correct", "accuracy", "Wilson 95 %"), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of texts, escaped."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>\n{lines}</table>"


def _confusion(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    cell, left, top = 64, 90, 40
    size = cell * len(classes)
    marks = []
    for i, row in enumerate(counts):
        marks.append(_text(left - 8, top + cell * i + cell / 2 + 5, classes[i], "end"))
        marks.append(_text(left + cell * i + cell / 2, top - 10, classes[i], "middle"))
        for j, n in enumerate(row):
            share = n / max(1, sum(row))
            x, y = left + cell * j, top + cell * i
            marks.append(
                f'<rect x="{x}" y="{y}" width="{cell - 2}" height="{cell - 2}" fill="#1f77b4" '
                f'fill-opacity="{share:.3f}" stroke="#9aa5b1"/>'
            )
            colour = "#ffffff" if share > 0.5 else "#1c2430"
            marks.append(_text(x + cell / 2, y + cell / 2 + 5, str(n), "middle", colour))
    return (
        f'<svg role="img" aria-label="confusion matrix" width="{left + size + 10}" height="{top + size + 10}">'
        f"{''.join(marks)}</svg><p>Rows: true class. Columns: predicted.</p>"
    )


def curves(histories: Mapping[str, Sequence[Epoch]]) -> str:
    """Return learning curves, one line per training, as inline SVG; without validation only the training loss."""
    panels = []
    for title, field, low, high in (
        ("training loss", "train_loss", 0.0, None),
        ("validation loss", "validation_loss", 0.0, None),
        ("validation accuracy", "validation_accuracy", 0.0, 1.0),
    ):
        lines = [[value for e in history if (value := getattr(e, field)) is not None] for history in histories.values()]
        if not any(lines):
            continue
        top = high or max((max(line) for line in lines if line), default=1.0)
        panels.append(_panel(title, lines, low, top))
    names = " ".join(
        f'<span style="color:{_COLOURS[i % len(_COLOURS)]}">■</span> {escape(name)}' for i, name in enumerate(histories)
    )
    return f"{''.join(panels)}<p>{names}</p>"


def _panel(title: str, lines: Sequence[Sequence[float]], low: float, high: float) -> str:
    n = max((len(line) for line in lines), default=1)
    width, height = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN
    marks = [
        f'<rect x="{_MARGIN}" y="{_MARGIN}" width="{width}" height="{height}" fill="none" stroke="#9aa5b1"/>',
        _text(_WIDTH / 2, 22, title, "middle"),
        _text(_MARGIN - 4, _MARGIN + 8, f"{high:.2g}", "end"),
        _text(_MARGIN - 4, _HEIGHT - _MARGIN, f"{low:.2g}", "end"),
        _text(_WIDTH - _MARGIN, _HEIGHT - 14, f"{n} epochs", "end"),
    ]
    for i, line in enumerate(lines):
        points = " ".join(
            f"{_MARGIN + width * k / max(1, n - 1):.1f},{_MARGIN + height * (1 - (v - low) / (high - low or 1)):.1f}"
            for k, v in enumerate(line)
        )
        colour = _COLOURS[i % len(_COLOURS)]
        marks.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return f'<svg role="img" aria-label="{escape(title)}" width="{_WIDTH}" height="{_HEIGHT}">{"".join(marks)}</svg>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#1c2430") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="12">{escape(text)}</text>'
