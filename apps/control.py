"""The option ``--control`` of commands that run for a while."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bci.control import Command


def add_control_option(parser: argparse.ArgumentParser, words: str) -> None:
    """Add ``--control PORT`` for the commands in `words`."""
    parser.add_argument(
        "--control",
        type=int,
        metavar="PORT",
        help=f"take commands ({words}) from this machine on a TCP port (0: any free one); prints a token",
    )


@contextlib.contextmanager
def controlled(port: int | None, commands: Mapping[str, Command]) -> Iterator[None]:
    """Serve `commands` inside the block and print how to connect; None serves nothing."""
    if port is None:
        yield
        return
    from bci.control import ControlServer

    with ControlServer(commands, port) as server:
        print(server.describe(), flush=True)
        yield
