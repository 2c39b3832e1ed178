"""`bci engines`: which inference engines are usable here, and what the others need."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci engines`."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Print all engines; nothing is built, and no numerical library is imported."""
    import json

    from bci.engines.catalog import CATALOG

    rows = [
        {
            "name": kind.name,
            "runs_on": kind.runs_on,
            "precisions": list(kind.precisions),
            "usable": not (gap := kind.gap()),
            "missing": gap,
            "summary": kind.summary,
        }
        for kind in CATALOG
    ]
    if args.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        state = "usable" if row["usable"] else row["missing"]
        print(f"{row['name']:12}{row['runs_on']:6}{' '.join(row['precisions']):16}{state}")
        print(f"{'':12}{row['summary']}")
    return 0
