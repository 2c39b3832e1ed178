"""A session that `bci monitor` has started outlives the monitor's `kill -9`, and ends in order when it is asked to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pylsl
import pytest

from bci.stages.montages import TEN_TWENTY_19
from tests.bci.lsl_tools import outlet

TIMEOUT_S = 60.0


@pytest.mark.lsl
@pytest.mark.qt
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the session as a child process in /proc")
def test_a_session_outlives_the_monitor_that_started_it(tmp_path):
    sender = outlet("orphan", TEN_TWENTY_19, ("uV",) * 19, 256.0)
    noise = np.random.default_rng(0).normal(0, 20, (64, 19)).astype(np.float32)
    command = [sys.executable, "-m", "apps", "monitor", "--stream", "orphan", "--model", "seizure-demo"]
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "XDG_CONFIG_HOME": str(tmp_path)}
    monitor = subprocess.Popen([*command, "--engine", "eager"], env=environment)
    session = 0
    try:
        events = pylsl.StreamInlet(published("orphan-pred-events", sender, noise), recover=False)
        events.open_stream(TIMEOUT_S)
        (session,) = map(int, Path(f"/proc/{monitor.pid}/task/{monitor.pid}/children").read_text().split())
        kinds = said(events, sender, noise, "status", 2)
        monitor.kill()
        monitor.wait(TIMEOUT_S)
        kinds += said(events, sender, noise, "status", 3)
        os.kill(session, signal.SIGTERM)
        kinds += said(events, sender, noise, "ended", 1)
        assert set(kinds) <= {"status", "ended", "clock_jump", "rate_drift", "gap", "bad_channel"}
        deadline = time.monotonic() + TIMEOUT_S
        while running(session):
            assert time.monotonic() < deadline
            os.sched_yield()
        session = 0
    finally:
        monitor.terminate()  # which ends the session with it, unless it was killed before
        monitor.wait(TIMEOUT_S)
        if session:
            os.kill(session, signal.SIGKILL)


def published(name, sender, noise):
    """Send samples, for which a session waits, until it publishes a stream; return that."""
    resolver = pylsl.ContinuousResolver(prop="name", value=name)
    deadline = time.monotonic() + TIMEOUT_S
    while not (found := resolver.results()):
        assert time.monotonic() < deadline
        sender.push_chunk(noise)
        threading.Event().wait(0.25)
    return found[0]


def said(events, sender, noise, kind, n):
    """Send samples until so many events of a kind have come; return the kinds of all."""
    kinds = []
    deadline = time.monotonic() + TIMEOUT_S
    while kinds.count(kind) < n:
        assert time.monotonic() < deadline, kinds
        sender.push_chunk(noise)
        line, _ = events.pull_sample(0.25)
        if line is not None:
            kinds.append(json.loads(line[0])["kind"])
    return kinds


def running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
