"""The command `bci-train`: finds the verb, runs it, and turns errors into one line and an exit code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from apps.cli import Parser, add_common_options, guarded

VERBS: dict[str, str] = {
    "run": "apps.train_commands.run",
    "data": "apps.train_commands.data",
    "tune": "apps.train_commands.tune",
    "compare": "apps.train_commands.compare",
    "oof": "apps.train_commands.oof",
    "submit": "apps.train_commands.submit",
    "list": "apps.train_commands.list",
}
"""Verb → module with ``HELP``, ``add_arguments`` and ``run``. Modules import torch and mne only in ``run``."""

_COMMON = ("-v", "-vv", "--verbose", "--debug")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `bci-train` and return its exit code.

    Parameters
    ----------
    argv : sequence of str or None, default=None
        Arguments after the program's name; None takes those of the process. Without a verb, ``run`` is meant.

    Returns
    -------
    code : int
        0 for success, 2 for wrong usage, 1 for any other failure, 130 if interrupted.
    """
    parser = Parser(
        prog="bci-train",
        description="Train models on archives, split by person, and write bundles that the runtime loads.",
        epilog="'bci-train --task …' is short for 'bci-train run --task …'.",
    )
    add_common_options(parser)
    subparsers = parser.add_subparsers(metavar="VERB", required=True)
    for name, module_name in VERBS.items():
        module = importlib.import_module(module_name)
        subparser = subparsers.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(subparser)
        add_common_options(subparser)
        subparser.set_defaults(run=module.run)
    try:
        args = parser.parse_args(with_verb(sys.argv[1:] if argv is None else argv))
    except SystemExit as end:  # --help or wrong usage: already printed
        return end.code if isinstance(end.code, int) else 0
    return guarded(args.run, args, parser.prog)


def with_verb(argv: Sequence[str]) -> list[str]:
    """Return the arguments with ``run`` put in where they start with an option of it."""
    words = list(argv)
    first = next((i for i, word in enumerate(words) if word not in _COMMON), len(words))
    if first < len(words) and words[first].startswith("-") and words[first] not in ("-h", "--help"):
        words.insert(first, "run")
    return words
