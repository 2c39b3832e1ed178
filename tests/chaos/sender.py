"""A sender whose every sample can be proven: ``python -m tests.chaos.sender NAME --fault drop:0.01 …``.

Noise in three channels, a strong rhythm in them during the seizure, and a fourth channel that counts the samples.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bci.chunk import Signal
from bci.sources.base import Annotation

SFREQ = 256.0
COUNTER = "count"
SIGNAL = Signal(SFREQ, ("C3", "Cz", "C4", COUNTER))
NOISE_UV, RHYTHM_UV, RHYTHM_HZ = 10.0, 120.0, 5.0
BLOCK = 256  # noise is made in blocks of a seed each: any stretch is the same however it is read
# counts up to 2 ** 24 are exact in float32: 18 h


@dataclass(frozen=True)
class CountedFeed:
    """What the sender plays."""

    seconds: float
    seizure: tuple[float, float] | None = None
    signal: Signal = SIGNAL
    types: tuple[str, ...] = ("eeg",) * 4
    units: tuple[str, ...] = ("uV",) * 4
    gaps: tuple[tuple[int, int], ...] = ()
    seekable: bool = True

    @property
    def n_samples(self) -> int:
        return round(self.seconds * SFREQ)

    @property
    def annotations(self) -> tuple[Annotation, ...]:
        return () if self.seizure is None else (Annotation(self.seizure[0], np.diff(self.seizure)[0], "seizure"),)

    def read(self, start: int, stop: int) -> np.ndarray:
        blocks = [
            np.random.default_rng(block).normal(0.0, NOISE_UV, (3, BLOCK))
            for block in range(start // BLOCK, -(-stop // BLOCK))
        ]
        skipped = start - start // BLOCK * BLOCK
        data = np.concatenate([np.empty((3, 0)), *blocks], axis=1)[:, skipped : skipped + stop - start]
        t = np.arange(start, stop) / SFREQ
        if self.seizure is not None:
            inside = (t >= self.seizure[0]) & (t < self.seizure[1])
            data = data + RHYTHM_UV * np.sin(2 * np.pi * RHYTHM_HZ * t) * inside
        return np.concatenate([data, np.arange(start, stop)[None]]).astype(np.float32)


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
