"""Values out of JSON and descriptions from outside: what is not as it should be is unknown, never an error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bci.texts import printable

MAX_LIST = 1024


def number(fields: Mapping[str, Any], key: str, default: float = math.nan) -> float:
    """Return a finite number, or `default`."""
    value = fields.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return default
    try:
        return float(value) if math.isfinite(value) else default
    except OverflowError:  # an integer beyond float64
        return default


def count(fields: Mapping[str, Any], key: str) -> int:
    """Return a counter, at least 0."""
    return int(max(0.0, number(fields, key, 0.0)))


def text(fields: Mapping[str, Any], key: str, most: int = 120) -> str:
    """Return a printable text, empty if there is none."""
    value = fields.get(key)
    return printable(value, most) if isinstance(value, str) else ""


def texts(fields: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return a list of printable texts, at most 1024."""
    value = fields.get(key)
    return tuple(printable(one) for one in value[:MAX_LIST] if isinstance(one, str)) if isinstance(value, list) else ()


def mapping(fields: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a JSON object, empty if there is none."""
    value = fields.get(key)
    return value if isinstance(value, dict) else {}


def said_number(fields: Mapping[str, str], key: str, default: float = 0.0) -> float:
    """Return a finite number out of a text of a stream's description, or `default`."""
    try:
        value = float(fields.get(key, ""))
    except ValueError:
        return default
    return value if math.isfinite(value) else default
