"""Strict JSON for frozen dataclasses: unknown, missing and mistyped fields are refused."""

from __future__ import annotations

import dataclasses
import json
import sys
import typing
from collections.abc import Mapping
from typing import Any

from bci.errors import SpecError
from bci.texts import printable

LARGEST = sys.float_info.max
"""Largest number that a float field takes."""

LARGEST_INT = 2**63 - 1
"""Largest number that an integer field takes: beyond it, arithmetic with floats fails."""

MAX_SHOWN = 200


def to_json(record: Any) -> str:
    """Return the canonical JSON text of a JSON value or a dataclass: sorted keys, one form for one value."""
    return json.dumps(_listed(record), sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def json_object(text: str, what: str) -> dict[str, Any]:
    """Return the JSON object in `text`.

    Raises
    ------
    SpecError
        If `text` is not JSON or not an object.
    """
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: syntax, or a number of more than 4300 digits
        raise SpecError(f"{what} needs JSON, got a syntax error: {error}.") from error
    if not isinstance(record, dict):
        raise SpecError(f"{what} needs a JSON object, got {type(record).__name__}.")
    return record


def record_to_dict(record: Any) -> dict[str, Any]:
    """Return the fields of a frozen dataclass as JSON values: those that `record_from_dict` takes, and no others.

    Raises
    ------
    SpecError
        If a field is of a wrong type.
    """
    what, hints = type(record).__name__, typing.get_type_hints(type(record))
    # typed first: 1 and 1.0 in a float field are one value, and must have one text and one hash
    return {
        f.name: _listed(_typed(getattr(record, f.name), hints[f.name], f"{what}: {f.name}"))
        for f in dataclasses.fields(record)
    }


def record_from_dict(cls: type, fields: Mapping[str, Any], what: str) -> Any:
    """Build the dataclass `cls` from JSON fields, refusing what does not fit.

    Parameters
    ----------
    cls : type
        A dataclass whose fields are numbers, strings, booleans, None, dataclasses or tuples of these.
    fields : mapping
        JSON object.
    what : str
        Name of the record in messages.

    Returns
    -------
    record : object of type `cls`

    Raises
    ------
    SpecError
        If a field is unknown, missing or of a wrong type.
    """
    if not isinstance(fields, Mapping):
        raise SpecError(f"{what} needs a JSON object, got {type(fields).__name__}.")
    known = {f.name: f for f in dataclasses.fields(cls)}
    unknown = sorted(set(fields) - set(known))
    if unknown:
        raise SpecError(f"{what} has unknown fields {', '.join(unknown)}. Known: {', '.join(known)}.")
    required = [n for n, f in known.items() if f.default is f.default_factory is dataclasses.MISSING]
    missing = [n for n in required if n not in fields]
    if missing:
        raise SpecError(f"{what} lacks {', '.join(missing)}.")
    hints = typing.get_type_hints(cls)
    return cls(**{name: _typed(value, hints[name], f"{what}: {name}") for name, value in fields.items()})


def _listed(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return record_to_dict(value)
    return [_listed(v) for v in value] if isinstance(value, tuple) else value


def _typed(value: Any, hint: Any, where: str) -> Any:
    """Return `value` as `hint` demands; JSON lists become tuples."""
    for option in _options(hint):
        if option is type(None) and value is None:
            return None
        # neither NaN nor infinite, nor an integer too large to convert
        if option is float and type(value) is not bool and isinstance(value, int | float) and abs(value) <= LARGEST:
            return float(value)
        if option is int and type(value) is int and abs(value) <= LARGEST_INT:
            return value
        if option in (str, bool) and type(value) is option:
            return value
        if isinstance(option, str) and value == option:
            return value
        if dataclasses.is_dataclass(option) and isinstance(option, type) and isinstance(value, option):
            return value
        if dataclasses.is_dataclass(option) and isinstance(option, type) and isinstance(value, Mapping):
            return record_from_dict(option, value, where)
        if typing.get_origin(option) is tuple and isinstance(value, list | tuple):
            inner = typing.get_args(option)
            items = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
            if len(items) == len(value):
                return tuple(_typed(v, h, where) for v, h in zip(value, items, strict=True))
    raise SpecError(f"{where} must be {_spelled(hint)}, got {printable(repr(value), MAX_SHOWN)}.")


def _options(hint: Any) -> list[Any]:
    """Return what a union or a literal admits; any other hint admits itself."""
    if typing.get_origin(hint) in (tuple, None):
        return [hint]
    return [option for part in typing.get_args(hint) for option in _options(part)]


def _spelled(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
