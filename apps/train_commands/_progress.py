"""Progress of a training: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from offline.progress import Step

_LINE_EVERY = 20


@contextmanager
def followed(tensorboard: Path | None, run: str) -> Iterator[Callable[[Step], None]]:
    """Give the function that shows a step and, if a folder is given, writes it there for TensorBoard."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(shown())]
        if tensorboard is not None:
            from offline.epoch_log import epoch_log

            listeners.append(stack.enter_context(epoch_log(tensorboard, Path(run).resolve().name)))

        def tell(step: Step) -> None:
            for listener in listeners:
                listener(step)

        yield tell


@contextmanager
def shown() -> Iterator[Callable[[Step], None]]:
    """Give the function that shows a step: on a bar with loss, metric and time left, or as lines in a log."""
    if os.environ.get("RANK", "0") != "0":  # torchrun: the first process speaks for all
        yield _say_nothing
        return
    if not sys.stdout.isatty():
        yield _print_step
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("preparing", total=None)

        def show(step: Step) -> None:
            progress.update(task, description=f"{step.name}: {step.figures}", completed=step.done, total=step.total)

        yield show


def _say_nothing(step: Step) -> None:
    pass


def _print_step(step: Step) -> None:
    if step.epoch is None:
        print(f"[{step.done}/{step.total}] {step.name}: done", flush=True)
    elif (step.epoch.index + 1) % _LINE_EVERY == 0:
        print(f"[{step.done}/{step.total}] {step.name}: epoch {step.epoch.index + 1}, {step.figures}", flush=True)
