"""The options about real-time hygiene; ``docs/real-time.md`` says what it does."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bci.realtime import RealTime


def add_realtime_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--realtime`` and ``--cores``."""
    options = parser.add_argument_group("real time")
    options.add_argument(
        "--realtime", action="store_true", help="go before other programs and keep processors awake (Linux, as root)"
    )
    options.add_argument("--cores", metavar="LIST", help="with --realtime: run on these processors, for example 2,3")


def build_realtime(args: argparse.Namespace) -> RealTime | None:
    """Return what the options ask for; None without ``--realtime``.

    Raises
    ------
    UsageError
        If ``--cores`` is given without ``--realtime``, or names what this process may not use.
    """
    from bci.errors import UsageError

    if args.cores is not None and not args.realtime:
        raise UsageError(f"--cores {args.cores} is a part of --realtime, got none. Add --realtime.")
    if not args.realtime:
        return None
    from bci.realtime import RealTime

    return RealTime(_cores(args.cores))


@contextlib.contextmanager
def in_real_time(hygiene: RealTime | None) -> Iterator[None]:
    """Apply `hygiene` inside the block and print what was possible; enter it last, before the session's threads."""
    if hygiene is None:
        yield
        return
    with hygiene:
        print("Real-time hygiene:", *hygiene.steps, sep="\n  ", flush=True)
        yield


def _cores(text: str | None) -> tuple[int, ...]:
    import os

    from bci.errors import UsageError

    if text is None:
        return ()
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    named = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) in usable for part in named):
        raise UsageError(
            f"--cores needs processors out of {', '.join(map(str, usable)) or 'none'}, joined by commas, got {text}."
        )
    return tuple(int(part) for part in named)
