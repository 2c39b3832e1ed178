"""`bci control`: send one command to a session or replay that runs on this machine."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

TOKEN_VARIABLE = "BCI_CONTROL_TOKEN"
MAX_TOKEN_BYTES = 4096
ARGUMENTS = {
    "acknowledge": None,
    "mute": "seconds",
    "stop": None,
    "pause": None,
    "resume": None,
    "seek": "seconds",
    "speed": "x",
}
"""Command → name of its number."""

SHORT = {"ack": "acknowledge"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci control`."""
    parser.add_argument("port", type=int, metavar="PORT", help="TCP port that `--control` printed")
    parser.add_argument(
        "command",
        choices=(*ARGUMENTS, *SHORT),
        metavar="COMMAND",
        help="acknowledge (ack), mute SECONDS, stop; of a replay: pause, resume, seek SECONDS, speed X, stop",
    )
    parser.add_argument("value", type=float, nargs="?", metavar="NUMBER", help="seconds of mute and seek, x of speed")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--token", help=f"token that `--control` printed (others can see it; or set {TOKEN_VARIABLE})")
    given.add_argument("--token-file", type=Path, metavar="FILE", help="file with the token, or the line that has it")


def run(args: argparse.Namespace) -> int:
    """Send the command and print the answer."""
    import json

    from bci.control_client import send_command
    from bci.errors import UsageError

    if not 1 <= args.port <= 65535:
        raise UsageError(f"bci control needs a port from 1 to 65535, got {args.port}.")
    command = SHORT.get(args.command, args.command)
    wanted = ARGUMENTS[command]
    if (args.value is None) != (wanted is None):
        raise UsageError(
            f"bci control needs {command}{f' {wanted.upper()}' if wanted else ' without a number'}, "
            f"got {command}{'' if args.value is None else f' {args.value:g}'}."
        )
    arguments = {} if wanted is None else {wanted: args.value}
    print(json.dumps(send_command(args.port, find_token(args.token, args.token_file), command, arguments)))
    return 0


def find_token(given: str | None, file: Path | None) -> str:
    """Return the token: as given, from a file, or from the environment.

    Raises
    ------
    UsageError
        If there is none, or the file cannot be read.
    """
    from bci.errors import UsageError

    if given is not None:
        return given
    if file is None:
        token = os.environ.get(TOKEN_VARIABLE, "")
        if not token:
            raise UsageError(
                f"bci control needs the token that --control printed, got none. Pass --token, --token-file or set "
                f"{TOKEN_VARIABLE}."
            )
        return token
    try:
        with file.open("rb") as opened:
            words = opened.read(MAX_TOKEN_BYTES).decode("utf-8", "replace").split()
    except OSError as error:
        raise UsageError(f"--token-file needs a file that can be read, got {file}: {error.strerror}.") from error
    if not words:
        raise UsageError(f"--token-file needs a file with the token, got an empty one: {file}.")
    # the printed line is `control: ADDRESS token TOKEN`; a file with the token alone has one word
    return words[words.index("token") + 1] if "token" in words[:-1] else words[0]
