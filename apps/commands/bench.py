"""`bci bench`: measure latency, the cost of history, and decoding speed on this machine."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

BENCHES = {
    "e2e": "push → prediction over real LSL, beside mne-lsl + torch.stft",
    "ring": "cost of a push and of a window, at 10 s and 600 s of history",
    "decode": "decoding a recording, in times real time",
    "faults": "a gap, a restart and a stall of the sender, beside mne-lsl",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one subcommand per benchmark."""
    parser.set_defaults(bench=None)
    benches = parser.add_subparsers(metavar="BENCH")
    added = {name: benches.add_parser(name, help=line, description=line) for name, line in BENCHES.items()}
    for name, bench in added.items():
        bench.set_defaults(bench=name)
        bench.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON, too")
        if name != "faults":
            bench.add_argument("--seed", type=int, default=0, help="of the noise that is decoded (default 0)")
    for name in ("e2e", "decode"):
        added[name].add_argument("--engine", default="auto", help="auto (default), onnx or eager")
    e2e = added["e2e"]
    e2e.add_argument("--duration", type=float, default=60.0, metavar="S", help="measured time per row (default 60)")
    e2e.add_argument("--history-s", type=float, default=10.0, metavar="S", help="signal kept at hand (default 10)")
    e2e.add_argument("--rounds", type=int, default=2, metavar="N", help="turns in which the rows alternate (default 2)")
    e2e.add_argument("--threads", type=int, default=1, metavar="N", help="for us and the peer (default 1)")
    for name in ("e2e", "faults"):
        added[name].add_argument(
            "--peer", action=argparse.BooleanOptionalAction, default=True, help="measure mne-lsl beside us"
        )
    added["ring"].add_argument("--seconds", type=float, default=2.0, metavar="S", help="spent per row (default 2)")
    added["decode"].add_argument("--length", type=float, default=600.0, metavar="S", help="of the recording (600)")


def run(args: argparse.Namespace) -> int:
    """Run the chosen benchmark, or list them."""
    if args.bench is None:
        for name, line in BENCHES.items():
            print(f"bci bench {name:8}{line}")
        return 0
    from apps.signals import stop_on_signals

    _check_target(args.json)
    with stop_on_signals(_interrupt):
        result = {"e2e": _e2e, "ring": _ring, "decode": _decode, "faults": _faults}[args.bench](args)
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return 0


def _interrupt() -> None:
    raise KeyboardInterrupt  # leaves every `with` block, and so ends the child processes


def _check_target(path: Path | None) -> None:
    """Refuse a file that cannot be written before minutes are spent on it."""
    from bci.errors import UsageError

    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise UsageError(f"--json needs a file in an existing folder, got {path}.")


def _e2e(args: argparse.Namespace) -> dict[str, Any]:
    from apps.bench import e2e, tables
    from bci.errors import UsageError

    if args.rounds < 1 or args.threads < 1:
        raise UsageError(f"--rounds and --threads must be at least 1, got {args.rounds} and {args.threads}.")
    settings = e2e.Settings(args.duration, args.engine, args.history_s, args.peer, args.rounds, args.threads, args.seed)
    with tables.console().status("") as line:
        report = e2e.run(settings, line.update)
    tables.print_e2e(report)
    return report.to_dict()


def _ring(args: argparse.Namespace) -> dict[str, Any]:
    from apps.bench import rings, tables

    rows = rings.run(args.seconds, args.seed)
    tables.print_ring(rows)
    return rings.to_dict(rows)


def _decode(args: argparse.Namespace) -> dict[str, Any]:
    from apps.bench import offline_speed, tables

    rows = offline_speed.run(args.length, args.engine, args.seed)
    tables.print_speed(rows, args.length)
    return offline_speed.to_dict(rows, args.length)


def _faults(args: argparse.Namespace) -> dict[str, Any]:
    from apps.bench import faults, tables

    with tables.console().status("") as line:
        report = faults.run(args.peer, line.update)
    tables.print_faults(report)
    return report.to_dict()
