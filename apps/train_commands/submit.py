"""`bci-train submit`: the table that the HMS competition asks for, from one model or several."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = "predict the test part of an archive in the HMS layout, as submission.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci-train submit`."""
    parser.add_argument("bundles", nargs="+", metavar="BUNDLE", help="model of the task hms or icu-hms")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with test.csv and test_eegs")
    parser.add_argument(
        "--out", type=Path, default=Path("submission.csv"), metavar="FILE", help="default submission.csv"
    )
    parser.add_argument("--blend", type=Path, metavar="FILE.json", help="weights and biases of bci-train oof --blend")
    parser.add_argument("--skip-bad", action="store_true", help="leave out EEGs that cannot be used")


def run(args: argparse.Namespace) -> int:
    """Write the table."""
    from offline.submission import submission

    n_rows = submission(args.bundles, args.data, args.out, blend=args.blend, skip_bad=args.skip_bad, on_done=_shown)
    print(f"{n_rows} rows: {args.out}")
    return 0


def _shown(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True)
