"""`bci-train data`: what an archive holds, before anything is trained on it."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "check an archive: sessions, subjects, class counts, and files that cannot be used"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci-train data`."""
    parser.add_argument("action", nargs="?", choices=("check",), default="check", help="what to do (default: check)")
    parser.add_argument("--task", required=True, help="what is learnt (bci-train list)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the archive")


def run(args: argparse.Namespace) -> int:
    """Print what was found; fail if a file cannot be used."""
    from offline.datasets.base import class_counts
    from offline.datasets.registry import load_dataset

    dataset = load_dataset(args.task, args.data)
    signal = dataset.sessions[0].signal
    print(f"{len(dataset.sessions)} sessions of {len(dataset.subjects)} subjects")
    print(f"{signal.n_channels} channels at {signal.sfreq:g} Hz: {', '.join(signal.names)}")
    for session in dataset.sessions:
        counts = class_counts((session,), len(dataset.classes))
        shown = ", ".join(f"{name} {n}" for name, n in zip(dataset.classes, counts, strict=True))
        print(f"  {session.name}: {session.n_samples / signal.sfreq:.0f} s; {shown}")
    for problem in dataset.problems:
        print(f"  cannot be used: {problem.path.name}: {problem.reason}")
    return 1 if dataset.problems else 0
