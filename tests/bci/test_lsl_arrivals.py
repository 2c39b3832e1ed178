"""Streams of a type, as they appear on the network."""

from __future__ import annotations

import itertools
import threading
import time

import pylsl
import pytest

from bci.sources.lsl_arrivals import Arrival, Arrivals
from tests.bci.lsl_tools import outlet

pytestmark = [pytest.mark.lsl, pytest.mark.timeout(60)]

COUNT = itertools.count()
PATIENCE_S = 20.0


def wait_for(arrivals, n, own=()):
    found, deadline = [], time.monotonic() + PATIENCE_S
    while len(found) < n:
        assert time.monotonic() < deadline
        found += arrivals.new(own)
        threading.Event().wait(0.02)
    return found


def test_each_stream_comes_once_and_again_when_it_was_started_again():
    kind = f"arrivals-{next(COUNT)}"
    arrivals = Arrivals(kind)
    assert arrivals.new() == []
    first = outlet(f"{kind}-a", kind=kind, source_id="amp 1")
    others = [outlet(f"{kind}-b", kind=f"{kind}-other")]
    assert wait_for(arrivals, 1) == [Arrival(f"{kind}-a", "source_id=amp 1")]
    second = outlet(f"{kind}-c", kind=kind, source_id="amp 2")
    assert wait_for(arrivals, 1) == [Arrival(f"{kind}-c", "source_id=amp 2")]
    del first
    again = outlet(f"{kind}-a", kind=kind, source_id="amp 1")
    assert wait_for(arrivals, 1) == [Arrival(f"{kind}-a", "source_id=amp 1")]
    assert arrivals.new() == []
    del second, again, others


def test_what_this_process_publishes_and_what_has_no_rate_is_not_meant():
    kind = f"arrivals-{next(COUNT)}"
    arrivals = Arrivals(kind)
    ours = outlet(f"{kind}-pred-signal", kind=kind)
    markers = pylsl.StreamOutlet(pylsl.StreamInfo(f"{kind}-m", kind, 1, pylsl.IRREGULAR_RATE, "float32", "m"))
    deadline = time.monotonic() + PATIENCE_S
    while len(arrivals._seen) < 2:
        assert time.monotonic() < deadline
        assert arrivals.new([f"{kind}-pred"]) == []
        threading.Event().wait(0.02)
    del ours, markers


def test_a_stream_without_an_identifier_is_known_by_its_name():
    kind = f"arrivals-{next(COUNT)}"
    arrivals = Arrivals(kind)
    nameless = pylsl.StreamOutlet(pylsl.StreamInfo("x\x1b[1m", kind, 1, 100.0, "float32", ""))
    assert wait_for(arrivals, 1) == [Arrival("x\N{REPLACEMENT CHARACTER}[1m", "name=x\x1b[1m")]
    del nameless
