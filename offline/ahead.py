"""An iterator run one step ahead in a thread, so that who makes and who uses its items work at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items in order; while one is used, the next is made in a thread.

    Parameters
    ----------
    items : iterator
        Used by one thread at a time. What it raises is raised here, in its place.

    Yields
    ------
    item
    """
    with ThreadPoolExecutor(1, "ahead") as thread:
        coming = thread.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, items, _END)
            yield item  # type: ignore[misc]
