"""The real window on real LSL streams: they go, come back as others, and send what is no signal."""

from __future__ import annotations

import json
import math
import time
from functools import partial

import numpy as np
import pylsl
import pytest
from PySide6.QtTest import QTest

from apps.monitor import alarm_state
from apps.monitor.feed import Feed
from apps.monitor.model import MonitorModel
from apps.monitor.options import MonitorOptions
from tests.bci.lsl_tools import outlet

pytestmark = [pytest.mark.qt, pytest.mark.lsl]

TIMEOUT_S = 60.0
LABELS = ("Fp1", "F3", "C3", "Cz")
CLASSES = ("rest", "move")


def sender(name, classes=CLASSES):
    """Return a prediction stream as `bci run` describes it."""
    labels = (*classes, "quality", "state", "compute_ms")
    info = pylsl.StreamInfo(name, "Predictions", len(labels), 0.0, "float32", name)
    channels = info.desc().append_child("channels")
    for label in labels:
        channels.append_child("channel").append_child_value("label", label)
    decoder = info.desc().append_child("decoder")
    said = {"classes": ",".join(classes), "hop_s": "0.25", "window_s": "2", "smoothing_s": "1", "speed": "1"}
    for key, value in said.items():
        decoder.append_child_value(key, value)
    return pylsl.StreamOutlet(info)


@pytest.fixture
def live(qapp, commands):
    """Return a function to open a window on streams by name."""
    from apps.monitor.show import application, dispose
    from apps.monitor.view import MonitorWindow

    application()
    opened = []

    def show(predictions, stream):
        feed = Feed(predictions, stream)
        window = MonitorWindow(MonitorModel(pylsl.local_clock, 0.0, predictions), feed, commands, MonitorOptions())
        opened.append((window, feed))
        window.show()
        window.start()
        return window

    yield show
    for window, feed in opened:
        dispose(window)
        feed.close()


def drive(window, until, again=lambda: None):
    """Let the window's own timer run until a condition holds, with something done again and again."""
    deadline = time.monotonic() + TIMEOUT_S
    while not until():
        assert time.monotonic() < deadline, window.snapshot
        again()
        QTest.qWait(20)
    assert not window.grab().isNull()


def test_predictions_that_vanish_and_return(live):
    """FAULT and why, then the state again; also from a session with other classes."""
    window = live("gone", None)
    word, reasons = (lambda: window.state.sign.word), window.state.reasons
    assert word() == "WAITING"
    first = sender("gone")
    drive(window, lambda: word() == "OK", partial(first.push_sample, [0.9, 0.1, 1.0, 1.0, 1.0]))
    del first
    drive(window, lambda: word() == "FAULT")
    assert "The prediction stream has gone" in reasons.text()
    second = sender("gone", ("left", "right", "rest"))
    drive(window, lambda: word() == "OK", partial(second.push_sample, [0.2, 0.1, 0.7, 1.0, 1.0, 1.0]))
    assert len(window.probabilities.raw) == 3
    drive(window, lambda: word() == "FAULT", partial(second.push_sample, [math.nan] * 3 + [1.0, 1.0, 1.0]))
    assert "no number" in reasons.text()
    del second
    odd = outlet("gone", ("a", "b"), ("", ""), 0.0, kind="Predictions")
    drive(window, lambda: "cannot be shown: This is no prediction stream of bci run" in reasons.text())
    assert word() == "FAULT"
    del odd


def test_a_signal_that_returns_with_other_channels_no_rate_and_no_numbers(live, monkeypatch):
    monkeypatch.setattr(alarm_state, "FIND_S", 1.0)
    window = live("nobody", "odd-eeg")
    panel = window.traces.panel
    first = outlet("odd-eeg", LABELS, ("uV",) * 4, 256.0)
    noise = np.random.default_rng(0).normal(0, 20, (16, 4)).astype(np.float32)
    drive(window, lambda: math.isfinite(panel.newest_s), partial(first.push_chunk, noise))
    assert panel.names == LABELS
    del first
    drive(window, lambda: window.snapshot.streams["raw"] != "connected")
    second = outlet("odd-eeg", ("A", "B"), ("uV",) * 2, 0.0, source_id="other")
    values = np.array([[math.nan, 1e6], [-1e6, math.nan], [math.inf, -math.inf]] * 5, np.float32)
    window.resize(400, 700)
    shown = lambda: panel.names == ("A", "B") and math.isfinite(panel.newest_s)  # noqa: E731
    drive(window, shown, partial(second.push_chunk, values))
    assert (panel.sfreq, window.width()) == (0.0, 400)
    drive(window, lambda: window.state.sign.word == "FAULT")
    assert "No predictions of nobody are found" in window.state.reasons.text()
    del second


def test_five_thousand_events_within_a_second(live):
    window = live("busy", None)
    predictions = sender("busy")
    events = pylsl.StreamOutlet(pylsl.StreamInfo("busy-events", "Markers", 1, 0.0, "string", "busy"))
    drive(
        window,
        lambda: window.state.sign.word == "OK" and window.snapshot.streams.get("events") == "connected",
        partial(predictions.push_sample, [0.9, 0.1, 1.0, 1.0, 1.0]),
    )
    events.wait_for_consumers(TIMEOUT_S)
    for k in range(5000):
        events.push_sample([json.dumps({"kind": "gap", "t": pylsl.local_clock(), "n_lost": k, "filled": True})])
    window.focus_panel("events")
    drive(window, lambda: window.events.count.text() == "2000 of 5000 events, 3000 left out")
    drive(window, lambda: window.state.sign.word == "OK", partial(predictions.push_sample, [0.9, 0.1, 1.0, 1.0, 1.0]))
    n_frames = window.n_frames
    drive(window, lambda: window.n_frames > n_frames + 5)
    del predictions, events
