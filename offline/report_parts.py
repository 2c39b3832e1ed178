"""Parts of a self-contained HTML page: tables and inline graphics. Nothing is fetched or run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean

from offline.training_settings import Epoch

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2430; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .3rem .8rem; text-align: right; }
th { border-bottom: 1px solid #9aa5b1; } th:first-child, td:first-child { text-align: left; }
svg { background: #f7f9fb; } .note { background: #fff7e0; padding: .6rem 1rem; }
""".strip()
_COLOURS = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#66a61e", "#a6761d", "#666666")
_PALE = "#4a5a6a"
_WIDTH, _HEIGHT, _MARGIN = 420, 240, 36
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def page(title: str, parts: Sequence[str]) -> str:
    """Return a page of HTML parts, whose texts are escaped."""
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of texts, escaped."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>\n{lines}</table>"


def not_checked(texts: Sequence[str]) -> list[str]:
    """Return a note for each thing that nothing could check."""
    return [f'<p class="note">Not checked: {escape(text)}.</p>' for text in texts]


def confusion(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Return a confusion matrix as inline SVG."""
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
    """Return learning curves as inline SVG; without validation only the training loss.

    Up to eight trainings have a colour each. More share a pale one, beside the mean of those that were not over. A disc
    is where a training ended.
    """
    several = len(histories) > len(_COLOURS)
    panels = []
    for title, field, high in (
        ("training loss", "train_loss", None),
        ("validation loss", "validation_loss", None),
        ("validation accuracy", "validation_accuracy", 1.0),
    ):
        values = {
            name: [value for e in history if (value := getattr(e, field)) is not None]
            for name, history in histories.items()
        }
        if not any(values.values()):
            continue
        top = high or max(max(line) for line in values.values() if line)
        lines = [
            _Line(name, line, *((_PALE, 0.45, 1.0) if several else (_COLOURS[i], 1.0, 1.5)))
            for i, (name, line) in enumerate(values.items())
        ]
        if several:
            lines.append(_Line("mean", _mean(list(values.values())), _COLOURS[1], 1.0, 2.5))
        panels.append(_panel(title, lines, top))
    if several:
        keys = {"each": _PALE, "mean of those that go on": _COLOURS[1]}
    else:
        keys = dict(zip(histories, _COLOURS, strict=False))
    names = " ".join(f'<span style="color:{colour}">■</span> {escape(name)}' for name, colour in keys.items())
    return f"{''.join(panels)}<p>{names}. A disc is where a training ended.</p>"


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a panel: what it is of, a value for each epoch, and how it is drawn."""

    name: str
    values: Sequence[float]
    colour: str
    opacity: float
    width: float


def _mean(lines: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean over the lines that have a value, place by place."""
    return [fmean(line[k] for line in lines if k < len(line)) for k in range(max(map(len, lines)))]


def _panel(title: str, lines: Sequence[_Line], high: float) -> str:
    n = max(len(line.values) for line in lines)
    width, height = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN
    marks = [
        f'<rect x="{_MARGIN}" y="{_MARGIN}" width="{width}" height="{height}" fill="none" stroke="#9aa5b1"/>',
        _text(_WIDTH / 2, 22, title, "middle"),
        _text(_MARGIN - 4, _MARGIN + 8, f"{high:.2g}", "end"),
        _text(_MARGIN - 4, _HEIGHT - _MARGIN, "0", "end"),
        _text(_WIDTH - _MARGIN, _HEIGHT - 14, f"{n} epoch{'s' * (n > 1)}", "end"),
    ]
    for line in lines:
        places = [
            (_MARGIN + width * k / max(1, n - 1), _MARGIN + height * (1 - value / (high or 1)))
            for k, value in enumerate(line.values)
        ]
        if not places:
            continue
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        x, y = places[-1]
        marks.append(
            f'<g opacity="{line.opacity:g}"><title>{escape(line.name)}</title>'
            f'<polyline points="{points}" fill="none" stroke="{line.colour}" stroke-width="{line.width:g}"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{1.5 + line.width:g}" fill="{line.colour}"/></g>'
        )
    return f'<svg role="img" aria-label="{escape(title)}" width="{_WIDTH}" height="{_HEIGHT}">{"".join(marks)}</svg>'


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark of a `scatter`: where, what it is called, and whether it stands out."""

    x: float
    y: float
    name: str
    full: bool


def scatter(title: str, x_name: str, marks: Sequence[Mark]) -> str:
    """Return marks as inline SVG; the axes hold all of them."""
    if not marks:
        return "<p>None has a value.</p>"
    left, width, height = _MARGIN + 20, _WIDTH - 2 * _MARGIN - 20, _HEIGHT - 2 * _MARGIN
    (x_low, x_high), (low, high) = (
        (min(values), max(values)) for values in ([mark.x for mark in marks], [mark.y for mark in marks])
    )
    pad = 0.05 * (high - low) or 0.05
    low, high = low - pad, high + pad
    drawn = [
        f'<rect x="{left}" y="{_MARGIN}" width="{width}" height="{height}" fill="none" stroke="#9aa5b1"/>',
        _text(left + width / 2, 22, title, "middle"),
        _text(left + width / 2, _HEIGHT - 10, x_name, "middle"),
        _text(left, _HEIGHT - 18, f"{x_low:g}", "middle"),
        _text(left + width, _HEIGHT - 18, f"{x_high:g}", "middle"),
        _text(left - 8, _MARGIN + 4, f"{high:.3g}", "end"),
        _text(left - 8, _HEIGHT - _MARGIN + 4, f"{low:.3g}", "end"),
    ]
    for mark in sorted(marks, key=lambda mark: mark.full):
        x = left + width * (mark.x - x_low) / (x_high - x_low or 1)
        y = _MARGIN + height * (high - mark.y) / (high - low)
        drawn.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{5 if mark.full else 3}" stroke="{_COLOURS[0]}" '
            f'fill="{_COLOURS[1] if mark.full else "none"}"><title>{escape(mark.name)}</title></circle>'
        )
    return f'<svg role="img" aria-label="{escape(title)}" width="{_WIDTH}" height="{_HEIGHT}">{"".join(drawn)}</svg>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#1c2430") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="12">{escape(text)}</text>'


def reliability_plot(title: str, bins: Sequence[Mapping[str, float]]) -> str:
    """Return a reliability diagram as inline SVG: a disc for each bin, with an area by its number.

    Parameters
    ----------
    title : str
        What was counted.
    bins : sequence of mapping
        As `offline.classification.reliability` returns them.
    """
    side, left = _HEIGHT - 2 * _MARGIN, _MARGIN + 20
    total = max(1.0, sum(part["n"] for part in bins))

    def place(confidence: float, accuracy: float) -> tuple[float, float]:
        return left + side * confidence, _HEIGHT - _MARGIN - side * accuracy

    (x0, y0), (x1, y1) = place(0, 0), place(1, 1)
    middle = left + side / 2
    named = _text(0, 0, "share that is right", "middle")
    marks = [
        f'<rect x="{left}" y="{_MARGIN}" width="{side}" height="{side}" fill="none" stroke="#9aa5b1"/>',
        f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="#9aa5b1" stroke-dasharray="4"/>',
        _text(middle, 22, title, "middle"),
        _text(middle, _HEIGHT - 4, "confidence", "middle"),
        f'<g transform="translate(14 {_HEIGHT / 2:g}) rotate(-90)">{named}</g>',
    ]
    for tick in _TICKS:
        x, y = place(tick, tick)
        marks += [
            f'<path d="M{left} {y:g}h-4M{x:g} {_HEIGHT - _MARGIN}v4" stroke="#9aa5b1"/>',
            _text(left - 6, y + 4, f"{tick:g}", "end"),
            _text(x, _HEIGHT - _MARGIN + 16, f"{tick:g}", "middle"),
        ]
    for part in bins:
        x, y = place(part["confidence"], part["accuracy"])
        radius = 2 + 14 * (part["n"] / total) ** 0.5
        marks.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{_COLOURS[0]}" fill-opacity="0.6">'
            f"<title>{part['n']:g}: {part['accuracy']:.3f} right at {part['confidence']:.3f}</title></circle>"
        )
    label = f"reliability of {title}"
    width = left + side + 20
    return f'<svg role="img" aria-label="{escape(label)}" width="{width}" height="{_HEIGHT}">{"".join(marks)}</svg>'
