"""Keeps `None`, `True` and `False` alive under a Qt binding that gives away references which it does not own."""

from __future__ import annotations

import ctypes
import sys

PLENTY = 1 << 60


def keep_constants() -> None:
    """Make `None`, `True` and `False` outlive the process, as they do by themselves from Python 3.12 on.

    PySide6 6.12 returns them without a new reference: on Python 3.11 each call that returns nothing takes one from
    `None`, and each signal that is emitted one from `True`. After some seconds of drawing none is left, and the
    interpreter aborts with ``bool_dealloc: deallocating True or False``. May be called twice.

    References
    ----------
    PEP 683, immortal objects.
    """
    if sys.version_info >= (3, 12) or sys.implementation.name != "cpython":
        return
    for constant in (None, True, False):
        count = ctypes.c_ssize_t.from_address(id(constant))  # the first field of an object
        if count.value < PLENTY:
            count.value += PLENTY
