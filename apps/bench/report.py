"""What a benchmark returns: named rows of numbers with units, as text, as JSON, and for claims and charts."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.bench import machine
from apps.bench.timing import Calls, Latencies

Value = float | int | str | None
"""None stands for what was not measured."""

SUFFIXES = {"µs": "us", "%": "percent", "×": "times", "1/s": "per_s", "": ""}


@dataclass(frozen=True, slots=True)
class Column:
    """One number of each row.

    Parameters
    ----------
    key : str
        Name in claims and, with the unit, in JSON.
    unit : str, default=""
        Such as ``ms``, ``µs``, ``%`` or ``×``.
    """

    key: str
    unit: str = ""

    @property
    def title(self) -> str:
        """Name with unit, for people."""
        return f"{self.key} {self.unit}".strip()

    @property
    def json_key(self) -> str:
        """Name with unit, in letters that need no escape."""
        return "_".join(filter(None, (self.key.replace(" ", "_"), SUFFIXES.get(self.unit, self.unit))))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Parameters
    ----------
    label : str
        What was measured.
    values : mapping of str to number, str or None
        By the keys of the columns; a key that is missing was not measured.
    ours : bool, default=True
        Whether a claim that names no row means this one, too.
    """

    label: str
    values: Mapping[str, Value]
    ours: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a title."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def __str__(self) -> str:
        """Return lines of text, the columns aligned."""
        cells = [["", *(column.title for column in self.columns)]]
        cells += [[row.label, *(shown(row.values.get(c.key)) for c in self.columns)] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
            for line in cells
        ]
        rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([self.title, rule, lines[0], rule, *lines[1:], rule])


@dataclass(frozen=True, slots=True)
class Chart:
    """How the first table is drawn.

    Parameters
    ----------
    y : tuple of str
        Keys of the columns that are drawn; they have one unit.
    x : str or None, default=None
        Key of the column along which they are drawn; None draws bars, one group a row.
    series : str or None, default=None
        Key of the column whose values are lines of their own.
    """

    y: tuple[str, ...]
    x: str | None = None
    series: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Result of one benchmark.

    Parameters
    ----------
    bench : str
        Its name.
    table : Table
        What claims are held against.
    chart : Chart
    settings : mapping
        JSON values: what it was asked for.
    notes : tuple of str, default=()
        What was skipped, and what to know.
    more : tuple of Table, default=()
        Printed below.
    details : mapping, default={}
        More JSON values; a key ``rows``, ``notes`` or ``settings`` replaces ours.
    machine : mapping
        Where it ran.
    """

    bench: str
    table: Table
    chart: Chart
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    more: tuple[Table, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=machine.describe)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "settings": dict(self.settings),
            "rows": [
                {"label": row.label, **{c.json_key: row.values.get(c.key) for c in self.table.columns}}
                for row in self.table.rows
            ],
            "notes": list(self.notes),
            **self.details,
            "bench": self.bench,
            "command": command(),
            "machine": dict(self.machine),
        }

    def __str__(self) -> str:
        """Return tables and notes as text."""
        return "\n".join([*map(str, (self.table, *self.more)), *self.notes])


def command() -> str:
    """Return what was typed, without the folder of the program."""
    return shlex.join(["bci", *sys.argv[1:]])


def shown(value: Value) -> str:
    """Return a value for people: three digits that count."""
    if value is None:
        return "–"
    if isinstance(value, str | int):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


TIMES = tuple(Column(key, "ms") for key in ("p50", "p99", "p99.9", "max"))


CPU = Column("cpu", "ms")
"""Processor time of a call, median."""


def times(latencies: Latencies) -> dict[str, Value]:
    """Return the values of the columns `TIMES`, and of `CPU` if it is known."""
    cpu: dict[str, Value] = {"cpu": latencies.cpu} if isinstance(latencies, Calls) else {}
    return cpu | {"p50": latencies.p50, "p99": latencies.p99, "p99.9": latencies.p999, "max": latencies.max}


def whole(values: Iterable[float]) -> tuple[int, ...]:
    """Return numbers as integers, at least 1."""
    return tuple(max(1, round(value)) for value in values)


def joined(parts: Sequence[str]) -> str:
    """Return a label of its parts."""
    return ", ".join(filter(None, parts))
