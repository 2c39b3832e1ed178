"""The sender of `bci demo`: a simulated patient as a live LSL stream, in a process of its own.

Ends when the patient does, and when the process that started it closes its standard input or dies.
"""

from __future__ import annotations

import argparse
import sys
import threading

from apps.cli import Parser, add_common_options, guarded

LINGER_S = 5.0


def main() -> int:
    """Publish the patient that the command line names, once somebody listens."""
    parser = Parser(prog="python -m apps.commands._demo_patient")
    parser.add_argument("--name", required=True, help="name of the stream")
    parser.add_argument("--seed", type=int, required=True, help="which patient")
    parser.add_argument("--duration", type=float, required=True, help="length, in seconds")
    add_common_options(parser)
    return guarded(run, parser.parse_args(), parser.prog)


def run(args: argparse.Namespace) -> int:
    """Publish until the patient's end, a signal, or the end of standard input."""
    from apps.liblsl import quiet_liblsl
    from apps.signals import stop_on_signals
    from bci.sources.patient_source import patient_player
    from bci.sources.player import PlayerSettings
    from bci.sources.simulated_patient import PatientSpec

    quiet_liblsl()
    spec = PatientSpec(args.seed, duration_s=args.duration)
    player = patient_player(spec, args.name, PlayerSettings(wait=True, linger_s=LINGER_S))

    def watch() -> None:
        sys.stdin.read()
        player.stop()

    threading.Thread(target=watch, daemon=True).start()
    with stop_on_signals(player.stop):
        player.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
