"""Tools for tests over real LSL: outlets as a device app makes them, replays in processes of their own."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys

import numpy as np
import pylsl

from bci.sources.lsl_source import LslSource

SFREQ = 250.0

BCI = [sys.executable, "-m", "apps"]

names = (f"test-{i}" for i in itertools.count())


@contextlib.contextmanager
def replay(recording, *options, name=None):
    """Run `bci replay` in its own process; it is ended in any case."""
    name = name or next(names)
    command = [*BCI, "replay", str(recording.path), "--name", name, *map(str, options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield name, process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def opened(query, **options):
    source = LslSource(query, **options)
    try:
        yield source, source.open()
    finally:
        source.close()


def read_all(source, until=lambda received: received.ended):
    parts = [source.read(5.0)]
    while not until(parts[-1]):
        parts.append(source.read(5.0))
    data = np.concatenate([p.data for p in parts], axis=1)
    return parts, data, np.concatenate([p.times for p in parts]), [m for p in parts for m in p.markers]


def outlet(name, labels=("a", "b"), units=("uV", "uV"), sfreq=SFREQ, form="float32", source_id=None, kind="EEG"):
    """Return an outlet in this process, described as a device app might."""
    info = pylsl.StreamInfo(name, kind, len(labels), sfreq, form, source_id or f"sid-{name}")
    if any(labels):
        channels = info.desc().append_child("channels")
        for label, unit in zip(labels, units, strict=True):
            channel = channels.append_child("channel")
            if label:
                channel.append_child_value("label", label)
            if unit:
                channel.append_child_value("unit", unit)
    return pylsl.StreamOutlet(info)
