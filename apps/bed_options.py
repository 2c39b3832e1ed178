"""What the options of `bci run` mean for one stream out of several: every output has the stream's name in its own."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

STREAM = "{stream}"
_FILES = {"log": "--log", "events": "--events", "record": "--record", "summary": "--summary"} | {
    "status_file": "--status-file"
}
_TEXTS = {"out": "--out", "osc": "--osc", "mqtt": "--mqtt"}
_PORTS = ("control", "http")
_BOARD = ("board", "serial_port", "mac", "serial_number", "ip", "ip_port", "other_info", "file", "master_board")
_MAX_NAME = 80
_NOT_PLAIN = re.compile(r"[^\w.-]+")


def check_beds(args: argparse.Namespace) -> None:
    """Refuse options that cannot hold for several streams.

    Raises
    ------
    UsageError
        If both kinds of input are asked for, one stream twice, an output is the same for all, or ports overlap.
    """
    from bci.errors import UsageError

    streams = args.stream or ()
    if args.all_streams is not None and streams:
        raise UsageError("--all-streams finds the streams itself, got --stream too. Leave one of them out.")
    boards = [name for name in _BOARD if getattr(args, name) is not None]
    if boards:
        raise UsageError(
            f"Several streams are read over LSL, got --{boards[0].replace('_', '-')} too. Run the board by itself."
        )
    twice = sorted({stream for stream in streams if streams.count(stream) > 1})
    if twice:
        raise UsageError(f"Every --stream needs to be another one, got {twice[0]!r} twice. Leave one out.")
    for field, option in (_FILES | _TEXTS).items():
        given = getattr(args, field)
        if given is not None and STREAM not in str(given):
            raise UsageError(
                f"With several streams {option} needs {STREAM} in its name, got {given}. "
                f"For example: {option} '{_example(field, str(given))}'."
            )
    if args.control and args.http and abs(args.control - args.http) < len(streams):
        raise UsageError(
            f"With {len(streams)} streams --control and --http take {len(streams)} ports each, counted up from the one "
            f"that is given, got {args.control} and {args.http}, which overlap. Name ports further apart, or 0 for any."
        )


def options_of(args: argparse.Namespace, stream: str, n_before: int) -> argparse.Namespace:
    """Return the options for one stream.

    Parameters
    ----------
    args : Namespace
        That `check_beds` has passed.
    stream : str
        Name of the stream. It comes from outside: in the names of files it is `plain`.
    n_before : int
        Streams before it; ports are counted up by it.

    Returns
    -------
    options : Namespace
        A copy.
    """
    options = argparse.Namespace(**vars(args))
    for field in _FILES:
        given = getattr(args, field)
        if given is not None:
            setattr(options, field, Path(str(given).replace(STREAM, plain(stream))))
    for field in ("osc", "mqtt"):
        if getattr(args, field) is not None:
            setattr(options, field, getattr(args, field).replace(STREAM, plain(stream)))
    for field in _PORTS:
        if getattr(args, field):
            setattr(options, field, getattr(args, field) + n_before)
    return options


def plain(name: str) -> str:
    """Return `name` with nothing in it that means something in a path or an address."""
    return _NOT_PLAIN.sub("_", name)[:_MAX_NAME].lstrip(".") or "stream"


def _example(field: str, given: str) -> str:
    return f"{STREAM}-{given}" if field == "out" or "/" not in given else f"{given.rstrip('/')}/{STREAM}"
