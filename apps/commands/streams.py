"""`bci streams`: list the LSL streams on the network."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bci.sources.lsl_discovery import Found

HELP = "list the LSL streams on the network"

_NAMES_SHOWN = 4
_PIPE_WIDTH = 240


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci streams`."""
    parser.add_argument("--timeout", type=float, default=1.0, metavar="S", help="seconds to listen (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON, with all channel names and units")


def run(args: argparse.Namespace) -> int:
    """Print a table of the streams, or say that there are none."""
    from apps.liblsl import quiet_liblsl
    from bci.errors import UsageError
    from bci.sources.lsl_discovery import list_streams

    if not 0 < args.timeout < float("inf"):
        raise UsageError(f"--timeout must be above 0 s, got {args.timeout:g}.")
    quiet_liblsl()
    streams = list_streams(args.timeout)
    if args.json:
        print(json.dumps([asdict(stream) for stream in streams], indent=2, ensure_ascii=False))
    elif streams:
        _print_table(streams)
    else:
        print(f"No LSL stream answered within {args.timeout:g} s. Start the amplifier's app, or `bci replay FILE`.")
    return 0


def _print_table(streams: list[Found]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    for column in ("name", "type", "channels", "rate", "format", "source_id", "host", "unit", "names"):
        table.add_column(column, justify="right" if column in ("channels", "rate") else "left", overflow="fold")
    for stream in streams:
        rate = f"{stream.sfreq:g} Hz" if stream.sfreq else "irregular"
        units = ", ".join(sorted({unit or "none" for unit in stream.units})) or "none"
        names = " ".join(stream.labels[:_NAMES_SHOWN]) + (" …" if len(stream.labels) > _NAMES_SHOWN else "")
        values = (
            stream.name,
            stream.type,
            str(stream.n_channels),
            rate,
            stream.channel_format,
            stream.source_id,
            stream.host,
            units,
            names or "none",
        )
        table.add_row(*(Text(value) for value in values))  # Text: brackets in a name are no markup
    console = Console()
    if not console.is_terminal:  # a pipe has no width: keep one line per stream
        console = Console(width=_PIPE_WIDTH)
    console.print(table)
