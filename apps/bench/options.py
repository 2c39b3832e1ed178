"""Numbers on the command line of a benchmark."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError


def numbers(text: str) -> tuple[float, ...]:
    """Read an option such as ``1,8,64``: positive numbers with commas between them.

    Raises
    ------
    ArgumentTypeError
        If one is something else.
    """
    return tuple(positive(part) for part in text.split(","))


def positive(text: str) -> float:
    """Read an option such as ``0.5``.

    Raises
    ------
    ArgumentTypeError
        If it is no finite number above 0: with infinite seconds a benchmark would never end.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"a finite number above 0 is needed, got {text!r}")
    return value


def seed(text: str) -> int:
    """Read the seed of a generator of random numbers.

    Raises
    ------
    ArgumentTypeError
        If it is no whole number from 0 on.
    """
    if not text.isdecimal():
        raise ArgumentTypeError(f"a whole number from 0 on is needed, got {text!r}")
    return int(text)
