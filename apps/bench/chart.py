"""A report as a figure, drawn without a display."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.bench.report import Column, Report, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAR = 0.8  # of the distance between rows
MIN_HEIGHT, PER_ROW = 3.0, 0.32  # inches
LOG_RATIO = 20.0  # of the largest to the smallest value, from which on the axis is logarithmic


def draw(report: Report, path: Path) -> None:
    """Write the chart of a report as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = {column.key: column for column in report.table.columns}
    drawn = [columns[key] for key in report.chart.y]
    rows = [row for row in report.table.rows if any(_number(row, c) is not None for c in drawn)]
    n_bars = len(rows) * len(drawn) if report.chart.x is None else 0
    figure = Figure(figsize=(10.0, max(MIN_HEIGHT, PER_ROW * n_bars + 1.0)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if report.chart.x is None:
        _bars(axes, rows, drawn)
    else:
        _lines(axes, rows, drawn, columns[report.chart.x], report.chart.series)
    axes.set_title(report.table.title, loc="left", fontsize="medium")
    where = report.machine
    figure.supxlabel(
        f"{where['processor']}, {where['cores']} cores, load {where['load_average'][:1]}", fontsize="x-small"
    )
    figure.savefig(path, format="png", dpi=120)


def _bars(axes: Axes, rows: list[Row], drawn: list[Column]) -> None:
    height = BAR / len(drawn)
    for k, column in enumerate(drawn):
        places = [i - BAR / 2 + (k + 0.5) * height for i in range(len(rows))]
        axes.barh(places, [_number(row, column) or 0.0 for row in rows], height, label=column.key)
    axes.set_yticks(range(len(rows)), [row.label for row in rows], fontsize="small")
    axes.invert_yaxis()
    axes.set_xlabel(drawn[0].unit)
    if _wide(rows, drawn):
        axes.set_xscale("log")
    axes.legend()


def _lines(axes: Axes, rows: list[Row], drawn: list[Column], x: Column, series: str | None) -> None:
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.values.get(series) if series else None, []).append(row)
    for name, members in groups.items():
        for column in drawn:
            points = sorted((_number(r, x) or 0.0, y) for r in members if (y := _number(r, column)) is not None)
            label = column.key if name is None else f"{name}, {column.key}"
            axes.plot(*zip(*points, strict=True), marker="o", label=label)
    axes.set_xlabel(x.title)
    axes.set_ylabel(drawn[0].unit)
    if _wide(rows, [x]):
        axes.set_xscale("log")
    if _wide(rows, drawn):
        axes.set_yscale("log")
    axes.legend(fontsize="small")


def _number(row: Row, column: Column) -> float | None:
    value = row.values.get(column.key)
    return float(value) if isinstance(value, int | float) else None


def _wide(rows: list[Row], drawn: list[Column]) -> bool:
    values = [v for row in rows for c in drawn if (v := _number(row, c)) is not None]
    return bool(values) and min(values) > 0 and max(values) / min(values) > LOG_RATIO
