"""The options that choose what is received: an LSL stream, or a board that BrainFlow knows."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bci.events import Event
    from bci.sources.base import Source

_CONNECTION = {
    "serial_port": (
        "--serial-port",
        "PORT",
        "serial port of the board or its dongle, for example /dev/ttyUSB0 or COM3",
    ),
    "mac": ("--mac", "ADDRESS", "Bluetooth address, if there are several boards"),
    "serial_number": ("--serial-number", "TEXT", "serial number or Bluetooth name, if there are several boards"),
    "ip": ("--ip", "ADDRESS", "IP address of a board in the network"),
    "ip_port": ("--ip-port", "PORT", "port of a board in the network"),
    "other_info": ("--other-info", "TEXT", "what BrainFlow calls other_info, for boards that need it"),
    "file": ("--file", "FILE", "play this recording, which BrainFlow made of such a board"),
    "master_board": ("--master-board", "NAME", "board behind playback_file and streaming"),
}
"""Field of `BoardSettings` → option, metavar, help."""


@dataclass(frozen=True, slots=True)
class Input:
    """What a session receives.

    Parameters
    ----------
    name : str
        Name of the stream, for names and titles.
    source : Source
        Not open yet.
    watches : tuple of callable, default=()
        Return events of the source, as `bci.session.Session` takes them.
    """

    name: str
    source: Source
    watches: tuple[Callable[[], list[Event]], ...] = ()


def add_input_options(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """Add ``--stream``, ``--board`` and what belongs to them; `several` streams can be asked for."""
    text = "name of the LSL stream, or key=value (type=EEG, source_id=…)"
    if several:
        parser.add_argument("--stream", action="append", metavar="STREAM", help=text + "; again for more streams")
        parser.add_argument(
            "--all-streams", metavar="TYPE", help="decode all LSL streams of this type, and those that come later"
        )
    else:
        parser.add_argument("--stream", help=text)
    parser.add_argument("--unit", help="unit of the channels, if the stream does not state it, for example uV")
    options = parser.add_argument_group("board, instead of --stream")
    options.add_argument("--board", metavar="NAME", help="name of a BrainFlow board, see `bci boards`")
    for option, metavar, text in _CONNECTION.values():
        options.add_argument(option, metavar=metavar, help=text, type=int if option == "--ip-port" else str)
    options.add_argument(
        "--board-timeout", type=int, metavar="S", help="how long BrainFlow looks for the board (its own default)"
    )
    options.add_argument(
        "--channel-names", metavar="NAMES", help="names of the board's EEG channels in order, joined by commas"
    )


def build_input(args: argparse.Namespace, timeout_s: float = 10.0) -> Input:
    """Return the source that the options ask for; nothing is connected yet.

    Parameters
    ----------
    args : Namespace
        With the options of `add_input_options`, and ``debug`` if it was given.
    timeout_s : float, default=10.0
        Longest wait for an LSL stream, in seconds.

    Raises
    ------
    UsageError
        Unless exactly one of ``--stream`` and ``--board`` is given, with options that belong to it.
    """
    from bci.errors import UsageError

    stream = args.stream[0] if isinstance(args.stream, list) else args.stream
    connection = {field: getattr(args, field) for field in _CONNECTION if getattr(args, field) is not None}
    given = [_CONNECTION[field][0] for field in connection]
    given += ["--board-timeout"] * (args.board_timeout is not None) + ["--channel-names"] * (
        args.channel_names is not None
    )
    if (stream is None) == (args.board is None):
        got = "neither" if args.board is None else "both"
        raise UsageError(
            f"Exactly one of --stream and --board is needed, got {got}. `bci streams` and `bci boards` list."
        )
    if args.board is None:
        if given:
            raise UsageError(
                f"{', '.join(given)} can only go with --board, got --stream. Name the board, or leave it out."
            )
        from bci.sources.lsl_source import LslSource

        return Input(stream, LslSource(stream, args.unit, timeout_s))
    if args.unit is not None:
        raise UsageError(
            f"--unit can only go with --stream, got --unit {args.unit}. EEG of a board is in µV: leave it out."
        )
    from bci.sources.brainflow_settings import BoardSettings
    from bci.sources.brainflow_source import BrainFlowSource

    names = () if args.channel_names is None else tuple(name.strip() for name in args.channel_names.split(","))
    settings = BoardSettings(args.board, **connection, timeout_s=args.board_timeout or 0, channels=names)
    source = BrainFlowSource(settings, debug=getattr(args, "debug", False))
    return Input(source.board.name, source, (source.events,))
