"""A sender whose every sample can be proven: ``python -m tests.chaos.sender NAME --fault drop:0.01 …``."""

from __future__ import annotations

import argparse
from pathlib import Path

from apps.bench.counted import CountedFeed


def main() -> None:
    from bci.sources.faults import parse_fault
    from bci.sources.faulty_outlets import FaultSettings
    from bci.sources.lsl_player import lsl_player
    from bci.sources.player import PlayerSettings

    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seizure", type=float, nargs=2)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--start", type=float, default=0.0)
    parser.add_argument("--chunk-size", type=int, default=8)
    parser.add_argument("--now", action="store_true", help="do not wait for a consumer")
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--fault-seed", type=int, default=0)
    parser.add_argument("--fault-log", type=Path)
    args = parser.parse_args()
    feed = CountedFeed(args.seconds, tuple(args.seizure) if args.seizure else None)
    settings = PlayerSettings(args.chunk_size, args.speed, wait=not args.now, start_s=args.start, linger_s=3.0)
    faults = FaultSettings(tuple(map(parse_fault, args.fault)), args.fault_seed, args.fault_log)
    lsl_player(feed, args.name, "counted", "counted", settings, faults).run()


if __name__ == "__main__":
    main()
