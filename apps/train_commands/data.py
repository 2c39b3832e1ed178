"""`bci-train data`: fetches archives, and says what is in them before anything is trained."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bci.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from offline.datasets.base import Problem
    from offline.datasets.check import Report

HELP = "check an archive (files, subjects, classes, what cannot be used), or download one"
_SHOWN = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci-train data`."""
    parser.add_argument(
        "action", nargs="?", choices=("check", "download"), default="check", help="what to do (default: check)"
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="archive to download")
    parser.add_argument("--dataset", "--task", dest="task", metavar="NAME", help="archive to check (bci-train list)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the archive")
    parser.add_argument(
        "--window-s", type=float, metavar="S", help="tell which stretches are too short for windows of this length"
    )
    parser.add_argument("--only", metavar="PATTERN", help="download only files such as 'chb01/*'")
    parser.add_argument("--from", dest="url", metavar="URL", help="download from a mirror instead")


def run(args: argparse.Namespace) -> int:
    """Check or download; fail if a file cannot be used or fetched."""
    return _download(args) if args.action == "download" else _check(args)


def _check(args: argparse.Namespace) -> int:
    task = args.task or args.name
    if task is None or (args.task and args.name and args.task != args.name):
        raise UsageError(f"A check needs one --dataset, got {args.name or 'none'}. Names: bci-train list.")
    if args.only is not None or args.url is not None:
        raise UsageError("A check needs neither --only nor --from, got one. They belong to a download.")
    if args.window_s is not None and not args.window_s > 0:
        raise UsageError(f"--window-s must be above 0, got {args.window_s:g}.")
    report = _report(task, args.data, args.window_s)
    for line in report.lines:
        print(line)
    _print_problems(report.problems)
    return 1 if report.problems else 0


def _report(task: str, folder: Path | None, window_s: float | None) -> Report:
    from offline.datasets.check import check_dataset, check_examples, describe
    from offline.datasets.registry import EXAMPLES, TASKS, load_dataset, load_examples

    if task in EXAMPLES:
        examples = load_examples(task, folder)
        with _bar("reading", len(examples)) as show:
            return check_examples(examples, show)
    dataset = load_dataset(task, folder)
    if not TASKS[task].has_archive:
        return describe(dataset)
    row = TASKS[task]
    window_s = row.settings.get("window_s") if window_s is None and row.continuous else window_s
    with _bar("reading", len(dataset.sessions)) as show:
        return check_dataset(dataset, show, window_s)


def _print_problems(problems: Sequence[Problem]) -> None:
    from offline.datasets.check import printable_line

    for problem in problems[:_SHOWN]:
        print(printable_line(f"  cannot be used: {problem.text}"))
    if len(problems) > _SHOWN:
        print(f"  and {len(problems) - _SHOWN} more")


def _download(args: argparse.Namespace) -> int:
    from offline.datasets.download import SOURCES, download

    if args.name is None or args.task is not None:
        raise UsageError(f"A download needs one NAME, as in 'data download chb-mit'. Names: {', '.join(SOURCES)}.")
    if args.data is None:
        raise UsageError("A download needs a folder, got none. Pass --data DIR.")
    if args.window_s is not None:
        raise UsageError("A download needs no --window-s, got one. It belongs to a check.")
    with _downloads() as show:
        done = download(args.name, args.data, only=args.only, url=args.url, on_progress=show)
    unpacked = f", {done.n_unpacked} unpacked" if done.n_unpacked else ""
    there = done.n_files - done.n_fetched
    print(f"{done.n_files} files in {args.data}: {done.n_fetched} fetched, {there} already there{unpacked}")
    return 0


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function that shows how much is done, on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


@contextmanager
def _downloads() -> Iterator[Callable[[str, int, int, int, int | None], None]]:
    """Give a function that shows a download: a bar for the file in progress, on a terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("looking", total=None)

        def show(name: str, number: int, n_files: int, n_bytes: int, of_bytes: int | None) -> None:
            described = f"{number}/{n_files} {escape(name)}"
            progress.update(task, description=described, completed=n_bytes, total=of_bytes)

        yield show
