"""`bci-train compare`: figures of several runs on the same folds, and what each gains over the first."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "compare finished runs on the same folds, paired by person"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci-train compare`."""
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="folder of a finished run; the first is what others gain over, seeds of the same settings are averaged",
    )
    parser.add_argument(
        "--votes", type=float, default=0.0, metavar="N", help="count stretches with at least so many votes"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures as JSON, too")


def run(args: argparse.Namespace) -> int:
    """Print the tables."""
    import json

    from bci.errors import UsageError
    from offline.checkpoint import write_atomic
    from offline.comparison import compare_runs, comparison_lines

    comparison = compare_runs(args.runs, args.votes)
    if args.json is not None:
        try:
            write_atomic(args.json, json.dumps(comparison, indent=1, allow_nan=False) + "\n")
        except OSError as error:
            raise UsageError(
                f"The figures need a file that can be written, got {args.json} ({error.strerror}). Change --json."
            ) from error
    for line in comparison_lines(comparison):
        print(line)
    return 0
