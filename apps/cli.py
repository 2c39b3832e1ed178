"""The command `bci`: finds the subcommand, runs it, and turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from apps.signals import sigterm_interrupts
from bci.errors import BciError, UsageError
from bci.texts import printable, visible

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_BROKEN_PIPE = 141  # 128 + SIGPIPE
MAX_MESSAGE = 4000  # characters: what came from outside may be long

COMMANDS: dict[str, tuple[str, str]] = {
    "replay": ("apps.commands.replay", "publish a recording over LSL as if it were being recorded now"),
    "run": ("apps.commands.run", "decode a live LSL stream or a board and publish the predictions over LSL"),
    "record": ("apps.commands.record", "record a live LSL stream or a board as it is received"),
    "demo": ("apps.commands.demo", "decode a simulated patient live with the shipped model, and show what it found"),
    "monitor": ("apps.commands.monitor", "watch a session in a window: traces, probabilities, alarm, latency"),
    "decode": ("apps.commands.decode", "score a recording offline, faster than real time"),
    "score": ("apps.commands.score", "score detected seizures against a reference by the rules of SzCORE"),
    "explain": ("apps.commands.explain", "show what in a recording speaks for each class, as pictures and arrays"),
    "verify": ("apps.commands.verify", "check a bundle's hashes and schema, and replay its golden run on an engine"),
    "control": ("apps.commands.control", "send one command to a session or replay that runs on this machine"),
    "streams": ("apps.commands.streams", "list the LSL streams on the network"),
    "boards": ("apps.commands.boards", "list the headsets and boards that bci run --board can read, through BrainFlow"),
    "engines": ("apps.commands.engines", "list the inference engines: which are usable here, and what others need"),
    "bench": ("apps.commands.bench", "measure latency, the cost of history, and decoding speed on this machine"),
}
"""Subcommand → (module, one-line help).

The module is imported only when its subcommand is chosen. It has ``add_arguments(parser)`` and
``run(args) -> exit code``.
"""


class Parser(argparse.ArgumentParser):
    """Argument parser whose errors are one line and whose options cannot be abbreviated."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)  # an abbreviation breaks when an option is added
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Print the message on one line and exit with code 2."""
        self.exit(EXIT_USAGE, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


class _ShowVersion(argparse.Action):
    """Print the installed version; it is looked up only when asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version  # 20 ms

        print(f"{parser.prog} {version('streaming-bci')}")
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run `bci` and return its exit code.

    Parameters
    ----------
    argv : sequence of str or None, default=None
        Arguments after the program's name; None takes those of the process.

    Returns
    -------
    code : int
        0 for success, 2 for wrong usage, 1 for any other failure, 130 if interrupted.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = Parser(
        prog="bci", description="Decode live and recorded EEG and MEG, causally and within latency budgets."
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="print the version and exit")
    add_common_options(parser)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    # no option before the subcommand takes a value, so the first bare word is the subcommand
    chosen = next((word for word in argv if not word.startswith("-")), None)
    for name, (module_name, line) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=line, description=line)
        if name == chosen:
            module = importlib.import_module(module_name)
            module.add_arguments(subparser)
            add_common_options(subparser)
            subparser.set_defaults(run=module.run)
    try:
        args = parser.parse_args(argv)
    except SystemExit as end:  # --help, --version or wrong usage: already printed
        return end.code if isinstance(end.code, int) else 0
    return guarded(args.run, args, parser.prog)


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--verbose`` and ``--debug``, which `guarded` reads, wherever on the line they stand."""
    # SUPPRESS: a subparser's default would overwrite what was given before the subcommand
    options = parser.add_argument_group("messages")
    options.add_argument(
        "-v", "--verbose", action="count", default=argparse.SUPPRESS, help="log events (-vv: details too)"
    )
    options.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
    )


def guarded(run: Callable[[argparse.Namespace], int], args: argparse.Namespace, prog: str) -> int:
    """Run a command and turn its errors into one line on stderr and an exit code.

    Parameters
    ----------
    run : callable
        Takes the parsed arguments, returns an exit code.
    args : Namespace
        Parsed arguments; ``verbose`` and ``debug`` are read here if present.
    prog : str
        Name of the program, for the message.

    Returns
    -------
    code : int
        What `run` returned; 2 for `UsageError`, 1 for any other error, 130 if interrupted, 141 if the reader
        of standard output has gone away.
    """
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    level = levels[min(getattr(args, "verbose", 0), len(levels) - 1)]
    handler = logging.StreamHandler()
    handler.setFormatter(_VisibleFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    try:
        with sigterm_interrupts():  # as long as nothing has begun that could end in order
            code = run(args)
        sys.stdout.flush()  # a closed pipe shows here, not in the interpreter's last flush
        return code
    except UsageError as error:
        return _report(error, str(error), args, prog, EXIT_USAGE)
    except BciError as error:
        return _report(error, str(error), args, prog, EXIT_FAILURE)
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # `bci streams | head -1`: the interpreter flushes once more when it ends, which must not fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the outermost frame: a user gets a line, --debug the traceback
        message = f"unexpected {type(error).__name__}: {error}"
        hint = "" if getattr(args, "debug", False) else " (run again with --debug for the traceback)"
        return _report(error, message + hint, args, prog, EXIT_FAILURE)


class _VisibleFormatter(logging.Formatter):
    """Lines in which nothing steers the terminal, wherever the text came from."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(visible(line) for line in super().format(record).split("\n"))


def _report(error: Exception, message: str, args: argparse.Namespace, prog: str, code: int) -> int:
    """Print an error on one line, after its traceback if ``--debug`` was given."""
    if getattr(args, "debug", False):
        traceback.print_exception(error)
    print(f"{prog}: error: {printable(' '.join(message.split()), MAX_MESSAGE)}", file=sys.stderr)
    return code
