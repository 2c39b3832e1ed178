"""Pickles of numbers: read by a machine that knows arrays, lists and numbers and nothing else.

A pickle is a program. Here the few names that a pickled array needs stand for containers of this module, which turn
bytes into numbers; every other name is refused, and nothing is imported or called for it.
"""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bci.errors import RecordingError
from bci.texts import printable

_DTYPE = re.compile(r"b1|[iuf][1248]|[US]\d{1,4}|O8?", re.ASCII)
_FAILURES = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


def load_plain(path: Path) -> Any:
    """Read a pickle that holds arrays, lists, texts and numbers.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    value : ndarray, list, str, bytes, bool, int, float or None
        Lists hold the same; tuples and arrays of objects become lists.

    Raises
    ------
    RecordingError
        If it is damaged, or holds anything else.
    """
    try:
        with path.open("rb") as file:
            return _plain(_Reader(file).load(), {})
    except _FAILURES as error:
        raise RecordingError(
            f"{path.name} must be a pickle of arrays, lists and numbers, it is not: {printable(str(error))}. "
            "Save its arrays with numpy.save, or leave it out."
        ) from error


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        make = _NAMES.get((module.replace("numpy._core", "numpy.core"), name))
        if make is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _Name(make)  # a new one for each use: a pickle may try to change what it is given

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it asks for what is stored elsewhere")


class _Name:
    """What a name in a pickle stands for: something that can be called."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *args: Any) -> Any:
        return self._make(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it changes what it must only use")


class _Dtype:
    """Type of the values of an array."""

    __slots__ = ("_order", "name")

    def __init__(self, name: str, *_: Any) -> None:
        if not (isinstance(name, str) and _DTYPE.fullmatch(name)):
            raise pickle.UnpicklingError(f"it holds values of type {name!r}")
        self.name = name
        self._order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("it holds records")
        self._order = state[1]

    @property
    def dtype(self) -> np.dtype:
        """The same for numpy."""
        return np.dtype(self._order + self.name)


class _Array:
    """An array that is being read."""

    __slots__ = ("value",)

    def __init__(self, *_: Any) -> None:
        self.value: Any = []

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, raw = state
        self.value = _filled(raw, dtype, shape, "F" if is_fortran else "C")


def _filled(raw: Any, dtype: Any, shape: Sequence[int], order: str) -> Any:
    if not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError("it holds an array without type")
    if dtype.name.startswith("O"):
        if not isinstance(raw, list) or len(raw) != math.prod(shape) or len(shape) != 1:
            raise pickle.UnpicklingError(f"it holds objects in an array of shape {tuple(shape)}")
        return raw
    return np.frombuffer(raw, dtype.dtype).reshape(tuple(shape), order="F" if order == "F" else "C")


def _from_buffer(raw: Any, dtype: Any, shape: Sequence[int], order: str, axes: Sequence[int] | None = None) -> Any:
    array = _Array()
    array.value = _filled(raw, dtype, shape, order)
    if order == "K" and axes is not None:  # so a transposed array is stored since numpy 2.4
        array.value = np.transpose(array.value, tuple(axes))
    return array


def _scalar(dtype: Any, raw: bytes) -> Any:
    return np.frombuffer(raw, dtype.dtype)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it encodes text as {encoding!r}")
    return text.encode("latin-1")  # so protocols before 3 store bytes


def _no_bytes() -> bytes:
    return b""  # so protocols before 3 store none


_NAMES: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
}


def _plain(value: Any, known: dict[int, Any]) -> Any:
    """Return a value without containers of this module; each is turned once, however often it occurs."""
    if isinstance(value, _Array):
        value = value.value
    if value is None or isinstance(value, np.ndarray | str | bytes | bool | int | float):
        return value
    if not isinstance(value, list | tuple):
        raise pickle.UnpicklingError(f"it holds a {type(value).__name__.lstrip('_')}")
    if id(value) not in known:
        known[id(value)] = [_plain(part, known) for part in value]
    return known[id(value)]
