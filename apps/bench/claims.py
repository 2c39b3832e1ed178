"""What ``--assert`` demands: a small language of comparisons, such as ``ours p99<3ms``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from apps.bench.report import Column, Row, Table, shown
from bci.errors import UsageError

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
UNITS = {
    "s": ("time", 1.0),
    "ms": ("time", 1e-3),
    "µs": ("time", 1e-6),
    "us": ("time", 1e-6),
    "%": ("share", 1.0),
    "×": ("ratio", 1.0),
    "x": ("ratio", 1.0),
}
"""What a unit measures, and how many of the first of its kind it is."""

_TEXT = re.compile(
    r"(?:(?P<row>[^<>=;]*[^<>=;\s])\s+)?(?P<metric>[A-Za-z_][\w.]*)\s*(?P<op><=|>=|<|>)"
    r"\s*(?P<number>[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*(?P<unit>[^\d\s]*)"
)


@dataclass(frozen=True, slots=True)
class Claim:
    """One comparison.

    Parameters
    ----------
    text : str
        As it was given.
    row : str
        Beginning of the labels that are meant; empty for all of ours.
    column : Column
    holds : callable
        From a value in the unit of the column.
    """

    text: str
    row: str
    column: Column
    holds: Callable[[float], bool]


def parse(text: str, columns: Sequence[Column]) -> Claim:
    """Read ``[ROW] METRIC OP NUMBER[UNIT]``.

    Raises
    ------
    UsageError
        If the text is something else, or names a metric or unit that the benchmark does not have.
    """
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f'--assert needs [ROW] METRIC < NUMBER UNIT, such as "ours p99<3ms" (<, <=, > or >=), got {text!r}.'
        )
    known = {column.key: column for column in columns}
    column = known.get(match["metric"])
    if column is None:
        raise UsageError(
            f"--assert needs a metric that is measured here ({', '.join(known)}), got {match['metric']!r}."
        )
    bound = float(match["number"]) * _scale(match["unit"], column)
    compare = OPERATORS[match["op"]]
    return Claim(text.strip(), match["row"] or "", column, lambda value: compare(value, bound))


def judge(claim: Claim, table: Table) -> tuple[bool, str]:
    """Return whether a claim holds for all rows that it means, and a line that says so with the value.

    Raises
    ------
    UsageError
        If it means no row.
    """
    meant = [row for row in table.rows if (row.label.startswith(claim.row) if claim.row else row.ours)]
    if not meant:
        labels = "; ".join(row.label for row in table.rows) or "none"
        raise UsageError(f"--assert {claim.text!r} needs a row that begins with {claim.row!r}, got: {labels}.")
    failed = [row for row in meant if not _holds(claim, row)]
    values = ", ".join(
        f"{row.label}: {shown(row.values.get(claim.column.key))} {claim.column.unit}".strip() for row in failed or meant
    )
    return not failed, f"{'does not hold' if failed else 'holds'}: {claim.text} ({values})"


def _holds(claim: Claim, row: Row) -> bool:
    value = row.values.get(claim.column.key)
    return isinstance(value, int | float) and claim.holds(value)


def _scale(unit: str, column: Column) -> float:
    """Return the factor from the unit of a claim to that of the column."""
    if unit == column.unit:
        return 1.0
    kind, size = UNITS.get(unit, (unit, 1.0))
    wanted, own = UNITS.get(column.unit, (column.unit, 1.0))
    if kind != wanted:
        needed = f"in {column.unit}" if column.unit else "without a unit"
        raise UsageError(f"--assert needs {column.key} {needed}, got the unit {unit!r}.")
    return size / own
