"""`bci-train oof`: the predictions of finished runs for people they had not met, as a table, and their best blend."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "write what runs predicted for people they had not met, and blend them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci-train oof`."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a finished run (--out of run)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.csv", help="table to write")
    parser.add_argument(
        "--blend", type=Path, metavar="FILE.json", help="fit weights and class biases, write them there"
    )
    parser.add_argument(
        "--votes", type=float, default=0.0, metavar="N", help="blend by stretches with at least so many votes"
    )


def run(args: argparse.Namespace) -> int:
    """Write the table and, if asked, the blend; print its figures."""
    from bci.errors import UsageError
    from bci.sinks.jsonl_sink import check_log
    from offline.ensemble import ensemble, write_ensemble
    from offline.oof import read_runs, write_table

    if args.votes and args.blend is None:
        raise UsageError("--votes chooses what a blend is fitted to, got no blend. Pass --blend.")
    if args.blend is not None and args.blend.resolve() == args.out.resolve():
        raise UsageError(f"The table and the blend need a file each, got {args.out} for both. Change --blend.")
    check_log(args.out, "table")
    if args.blend is not None:
        check_log(args.blend, "blend")
    found = read_runs(args.runs)
    together = None if args.blend is None else ensemble(found, args.votes)
    write_table(found, args.out)
    print(f"{sum(len(run.rows) for run in found)} predictions of {len(found)} runs: {args.out}")
    if together is not None:
        write_ensemble(together, args.blend)
        for line in together.lines():
            print(line)
        print(f"blend: {args.blend}")
    return 0
