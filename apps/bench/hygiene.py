"""Work of a benchmark with the real-time hygiene of `bci run --realtime`."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from bci.realtime import RealTime


def missing_hygiene() -> list[str]:
    """Return the steps of real-time hygiene that are not possible here, with the reason."""
    with RealTime() as real_time:
        return [str(step) for step in real_time.steps if not step.done]


def in_real_time(pipe: Connection, left_out: tuple[str, ...], work: Callable[..., None], *arguments: Any) -> None:
    """Do `work` with real-time hygiene, without the steps that are left out."""
    with RealTime(left_out=left_out):
        work(pipe, *arguments)
