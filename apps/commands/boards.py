"""`bci boards`: list the boards that BrainFlow knows, and what each needs to be opened."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bci.sources.brainflow_boards import Board

HELP = "list the headsets and boards that bci run --board can read, through BrainFlow"

_PIPE_WIDTH = 200
_NAMES_SHOWN = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci boards`."""
    parser.add_argument("--json", action="store_true", help="print JSON, with all channel names")


def run(args: argparse.Namespace) -> int:
    """Print a table of the boards; none has to be there."""
    from bci.sources.brainflow_boards import boards

    if args.json:
        print(json.dumps([_described(board) for board in boards()], indent=2, ensure_ascii=False))
    else:
        _print_table(boards())
    return 0


def _described(board: Board) -> dict[str, Any]:
    from bci.sources.brainflow_settings import OPTIONS

    return {
        "name": board.name,
        "id": board.board_id,
        "n_channels": len(board.channels),
        "channels": list(board.channels),
        "named": board.named,
        "sfreq": board.sfreq,
        "unit": "uV",
        "needs": [OPTIONS[field] for field in board.needs],
        "bluetooth": board.bluetooth,
        "losses": "counted" if board.counter is not None else "by time",
        "battery": board.battery is not None,
    }


def _print_table(boards: tuple[Board, ...]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    for column in ("name", "id", "EEG", "rate", "needs", "losses", "battery", "channels"):
        table.add_column(column, justify="right" if column in ("id", "EEG", "rate") else "left", overflow="fold")
    for board in boards:
        told = _described(board)
        shown = " ".join(board.channels[:_NAMES_SHOWN]) + (" …" if len(board.channels) > _NAMES_SHOWN else "")
        values = (
            board.name,
            str(board.board_id),
            str(told["n_channels"] or "none"),
            f"{board.sfreq:g} Hz" if board.sfreq else "",
            " ".join(told["needs"]) or ("Bluetooth" if board.bluetooth else ""),
            told["losses"] if board.channels else "",
            "yes" if board.battery else "",
            shown if board.named or not board.channels else f"{shown} (not named)",
        )
        table.add_row(*(Text(value) for value in values))
    console = Console()
    if not console.is_terminal:  # a pipe has no width: keep one line per board
        console = Console(width=_PIPE_WIDTH)
    console.print(table)
