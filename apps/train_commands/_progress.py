"""Progress of a training on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from offline.train import Step


@contextmanager
def bar() -> Iterator[Callable[[Step], None]]:
    """Show a bar with loss, metric and the time left, and give the function that moves it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        task = progress.add_task("preparing", total=None)

        def show(step: Step) -> None:
            progress.update(task, description=f"{step.name}: {step.figures}", completed=step.done, total=step.total)

        yield show
