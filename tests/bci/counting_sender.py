"""An amplifier in a process of its own: ``python -m tests.bci.counting_sender NAME …`` sends its samples' numbers.

Sample n of every such sender happens at ``--epoch`` + n / rate in the LSL clock, and its first channel is n modulo 2^20
(exact as float32): whoever receives it knows what was lost. Each other channel is its own position plus that.
"""

from __future__ import annotations

import argparse
import math
import sys
import time

import numpy as np
import pylsl

MODULO = 2**20
CHUNK = 8


def main() -> None:
    """Send until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--labels", default="n,C3,Cz,C4")
    parser.add_argument("--order", default="", help="labels in the order in which they are sent")
    parser.add_argument("--rate", type=float, default=250.0)
    parser.add_argument("--source-id", default="")
    parser.add_argument("--epoch", type=float, required=True)
    args = parser.parse_args()
    labels = args.labels.split(",")
    order = args.order.split(",") if args.order else labels
    info = pylsl.StreamInfo(args.name, "EEG", len(labels), args.rate, "float32", args.source_id)
    channels = info.desc().append_child("channels")
    for label in order:
        channel = channels.append_child("channel")
        channel.append_child_value("label", label)
        channel.append_child_value("unit", "uV")
    outlet = pylsl.StreamOutlet(info)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    n = math.ceil((pylsl.local_clock() - args.epoch) * args.rate)
    columns = np.array([labels.index(label) for label in order])
    while True:
        times = args.epoch + np.arange(n, n + CHUNK) / args.rate
        time.sleep(max(0.0, times[-1] - pylsl.local_clock()))
        rows = ((np.arange(n, n + CHUNK) % MODULO)[:, None] + columns).astype(np.float32)
        outlet.push_chunk(rows, times.tolist())
        n += CHUNK


if __name__ == "__main__":
    main()
