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

    gaps = {kind.name: kind.gap() for kind in CATALOG}
    if args.json:
        rows = [
            {
                "name": kind.name,
                "runs_on": kind.runs_on,
                "precisions": kind.precisions,
                "usable": not gaps[kind.name],
                "missing": gaps[kind.name],
                "summary": kind.summary,
            }
            for kind in CATALOG
        ]
        print(json.dumps(rows, indent=1))
        return 0
    for kind in CATALOG:
        state = gaps[kind.name] or "usable"
        print(f"{kind.name:12}{kind.runs_on:6}{' '.join(kind.precisions):16}{state}")
        print(f"{'':12}{kind.summary}")
    return 0
