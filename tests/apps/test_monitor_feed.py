"""The monitor hears real LSL streams: what was sent, also when they go, come back, or are something else."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal as signals
import subprocess
import sys
import threading
import time

import numpy as np
import pylsl
import pytest

from apps.monitor.feed import Feed
from apps.monitor.mailbox import Mailbox
from apps.monitor.model import MonitorModel
from bci.chunk import Signal
from bci.decision import DecisionSpec
from bci.decoder import Decoder
from bci.identity import Identity
from bci.pipeline import PipelineSpec, Window
from bci.session import Session, SessionSettings
from bci.sinks.lsl_sink import LslSink
from bci.sinks.signal_sink import SignalSink
from bci.sources.base import Received, StreamInfo
from bci.stages.filters import Bandpass
from bci.stages.logmel import LogMel
from tests.bci.lsl_tools import outlet

TIMEOUT_S = 60.0
N, N_PREDICTIONS = 2560, 35
LABELS = ("Fp1", "F3", "C3", "Cz")
SPEC = PipelineSpec(
    Signal(256.0, LABELS),
    (Bandpass(1.0, 40.0), LogMel(n_fft=128, win_length=128, hop_length=16, n_mels=12, low_hz=1.0, high_hz=40.0)),
    Window(1.0, 0.25),
)
DATA = np.random.default_rng(5).normal(0, 20, (4, N)).astype(np.float32)


class Sums:
    """An engine that is no network."""

    name, precision = "sums", "fp32"

    def __call__(self, batch):
        half = np.tanh(batch.reshape(len(batch), -1).mean(axis=1) / 50)
        return np.stack([half, -half], axis=1).astype(np.float32)


class Paced:
    """A source that sends a first chunk, waits until the test says go, then sends the rest, a chunk a millisecond."""

    def __init__(self):
        self.go, self.leave = threading.Event(), threading.Event()
        self.at = 0
        self.begin = pylsl.local_clock()

    def open(self):
        return StreamInfo("eeg", SPEC.signal)

    def read(self, timeout_s):
        start = self.at
        if start:
            self.go.wait(TIMEOUT_S)
        if start == N:
            self.leave.wait(TIMEOUT_S)
        else:
            threading.Event().wait(0.001)
        self.at = min(start + 16, N)
        times = self.begin + np.arange(start, self.at) / 256.0
        return Received(DATA[:, start : self.at], times, pylsl.local_clock(), (), start == N)

    def close(self):
        pass


class Kept:
    """A sink that keeps what it gets."""

    def __init__(self):
        self.outputs, self.events = [], []

    def open(self, info):
        pass

    def prediction(self, output):
        self.outputs.append(output.prediction)

    def event(self, event):
        self.events.append(event)

    def close(self):
        pass


@contextlib.contextmanager
def session(name):
    source, kept, pipeline = Paced(), Kept(), SPEC.build()
    running = Session(
        source,
        Decoder(pipeline, Sums(), DecisionSpec(("rest", "move"), smoothing_s=0.5)),
        Identity("tiny", "ab" * 32, "sums", "fp32"),
        SessionSettings(name),
        LslSink(),
        [kept],
        pylsl.local_clock,
        SignalSink(pipeline, ("signal", "features")),
    )
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        yield source, kept
    finally:
        source.go.set()
        source.leave.set()
        thread.join()


def pumped(feed, model, until):
    """Pump until a condition holds for the snapshot."""
    deadline = time.monotonic() + TIMEOUT_S
    while not until(snapshot := model.snapshot(pylsl.local_clock())):
        assert time.monotonic() < deadline, snapshot
        feed.pump(model)
        model.traces.paint()
        model.spectrogram.paint()
        threading.Event().wait(0.01)
    return snapshot


@contextlib.contextmanager
def watching(predictions, stream=None):
    feed, model = Feed(predictions, stream), MonitorModel(pylsl.local_clock, name=predictions)
    try:
        yield feed, model
    finally:
        feed.close()


@pytest.mark.lsl
def test_a_session_is_shown_as_it_was_published():
    """Probabilities one by one, the decoder's own signal, its features, its state."""
    with session("shown") as (source, kept), watching("shown") as (feed, model):
        roles = ("predictions", "events", "signal", "features")
        pumped(feed, model, lambda s: all(s.streams.get(role) == "connected" for role in roles))
        source.go.set()
        pumped(feed, model, lambda s: len(s.curves.times) >= N_PREDICTIONS)
        assert model.snapshot(pylsl.local_clock()).session.bundle == "tiny"
        source.leave.set()
        snapshot = pumped(feed, model, lambda s: s.state.state == "ended")
    np.testing.assert_array_equal(snapshot.curves.raw.T, np.array([p.probabilities for p in kept.outputs], np.float32))
    np.testing.assert_allclose(snapshot.curves.times, [p.time for p in kept.outputs], atol=1e-3)
    assert snapshot.events.counts["ended"] == 1
    assert snapshot.health.predictions == len(kept.outputs)
    assert model.traces.names == LABELS
    filtered = Bandpass(1.0, 40.0).build(SPEC.signal).process(DATA)
    history, _ = model.traces._sources["filtered"].history.newest(1000)
    np.testing.assert_allclose(history, filtered[:, -1000:], atol=1e-3)
    assert model.spectrogram.n_mels == 12
    assert model.monitor_dropped == 0


@pytest.mark.lsl
@pytest.mark.qt
def test_kill_9_of_the_monitor_changes_nothing_for_the_decoder():
    code = (
        "import pylsl, sys\n"
        "from apps.monitor.controls import Controls\nfrom apps.monitor.feed import Feed\n"
        "from apps.monitor.model import MonitorModel\nfrom apps.monitor.options import MonitorOptions\n"
        "from apps.monitor.show import application\nfrom apps.monitor.view import MonitorWindow\n"
        "app, model = application(), MonitorModel(pylsl.local_clock)\n"
        "window = MonitorWindow(model, Feed('killed'), Controls(), MonitorOptions())\n"
        "window.show(); window.start()\n"
        "while sum(text == 'connected' for text in window.snapshot.streams.values()) < 4:\n"
        "    app.processEvents()\n"
        "print('watching', flush=True)\n"
        "sys.stdin.read()\n"  # alive, connected, and reading nothing: the worst of listeners
    )
    with session("killed") as (source, kept):
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        )  # fmt: skip
        try:
            assert child.stdout.readline() == "watching\n"
            source.go.set()
            deadline = time.monotonic() + TIMEOUT_S
            while len(kept.outputs) < 10 and time.monotonic() < deadline:
                threading.Event().wait(0.001)
            os.kill(child.pid, signals.SIGKILL)
        finally:
            child.kill()
            child.communicate()
        source.leave.set()
    with session("alone") as (_, alone):
        pass
    assert len(kept.outputs) == len(alone.outputs) == N_PREDICTIONS
    for one, other in zip(kept.outputs, alone.outputs, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
        assert (one.state, one.last_sample, one.quality) == (other.state, other.last_sample, other.quality)
    kinds = [event.kind for event in kept.events if event.kind != "status"]
    assert kinds == [event.kind for event in alone.events if event.kind != "status"] == ["ended"]


@pytest.mark.lsl
def test_a_stream_that_goes_and_comes_back_with_other_channels():
    with watching("nobody", "eeg-back") as (feed, model):
        first = outlet("eeg-back", LABELS, ("mV",) * 4, 256.0)
        pumped(feed, model, lambda s: s.streams.get("raw") == "connected")
        first.wait_for_consumers(TIMEOUT_S)
        first.push_chunk(np.ones((256, 4), np.float32))
        pumped(feed, model, lambda _: np.isfinite(model.traces.newest_s))
        history, _ = model.traces._sources["raw"].history.newest(5)
        np.testing.assert_array_equal(history, np.full((4, 5), 1000.0))  # µV
        del first
        snapshot = pumped(feed, model, lambda s: s.streams["raw"] != "connected")
        assert snapshot.streams["raw"] in ("its sender has gone away.", "looking")
        back = outlet("eeg-back", ("A", "B"), ("uV", "uV"), 0.0, source_id="other")
        pumped(feed, model, lambda s: s.streams["raw"] == "connected")
        assert (model.traces.names, model.traces.sfreq) == (("A", "B"), 0.0)
        del back


def announced(name, stream):
    """Return the prediction stream of a session that decodes `stream`."""
    info = pylsl.StreamInfo(name, "Predictions", 5, 0.0, "float32", f"{name}-{stream}")
    decoder = info.desc().append_child("decoder")
    decoder.append_child_value("classes", "rest,move")
    decoder.append_child_value("stream", stream)
    return pylsl.StreamOutlet(info)


@pytest.mark.lsl
def test_the_next_session_of_a_name_may_decode_another_stream():
    kept = [outlet("eeg-one", ("A", "B")), outlet("eeg-two", ("C", "D"))]
    with watching("again") as (feed, model):
        first = announced("again", "eeg-one")
        pumped(feed, model, lambda _: model.traces.names == ("A", "B"))
        del first
        pumped(feed, model, lambda s: s.streams["predictions"] != "connected")
        kept.append(announced("again", "eeg-two"))
        pumped(feed, model, lambda _: model.traces.names == ("C", "D"))
    del kept


@pytest.mark.lsl
@pytest.mark.parametrize("role", ["events", "signal"])
def test_a_stream_of_another_kind_is_refused_in_words(role):
    kinds = {"events": ("float32", "texts .* got numbers"), "signal": ("string", "numbers .* got texts")}
    form, reason = kinds[role]
    kept = outlet(f"odd-{role}", ("a",), ("",), 0.0 if form == "string" else 10.0, form)
    with watching("odd") as (feed, model):
        pumped(feed, model, lambda s: "Choose another stream" in s.streams.get(role, ""))
        said = model.snapshot(pylsl.local_clock()).streams[role]
    assert re.search(reason, said)
    del kept


@pytest.mark.lsl
def test_a_marker_that_is_no_utf_8_is_shown_and_those_after_it(monkeypatch):
    markers = outlet("eeg-latin-annotations", ("",), ("",), 0.0, "string")
    with watching("latin", "eeg-latin") as (feed, model):
        pumped(feed, model, lambda s: s.streams.get("annotations") == "connected")
        markers.wait_for_consumers(TIMEOUT_S)
        for sent in ("Mühe".encode("latin-1"), b"after"):
            markers.push_sample([sent])
        snapshot = pumped(feed, model, lambda s: len(s.events.rows) == 2)
    assert [row.text for row in snapshot.events.rows] == ["M\ufffdhe (0 s)", "after (0 s)"]
    del markers


@pytest.mark.lsl
def test_markup_and_5000_events_at_once():
    info = pylsl.StreamInfo("flood-events", "Markers", 1, 0.0, "string", "flood")
    events = pylsl.StreamOutlet(info)
    odd = outlet("eeg-odd", ("<b>x</b>\x1b[31m", "<img>"), ("uV", "<u>"), 100.0)
    with watching("flood", "eeg-odd") as (feed, model):
        pumped(feed, model, lambda s: [s.streams.get(r) for r in ("events", "raw")] == ["connected"] * 2)
        events.wait_for_consumers(TIMEOUT_S)
        for k in range(5000):
            events.push_sample([json.dumps({"kind": "<b>k</b>", "t": float(k), "n": k})])
        snapshot = pumped(feed, model, lambda s: sum(s.events.counts.values()) >= 5000)
        assert snapshot.events.counts == {"<b>k</b>": 5000}
        assert len(snapshot.events.rows) == 2000
        assert all(name.isprintable() for name in model.traces.names)
    del events, odd


def test_a_mailbox_is_bounded_and_keeps_notices_and_order():
    mailbox, heard = Mailbox(100), []
    for k in range(30):
        mailbox.put(lambda _, k=k: heard.append(k), 0 if k % 10 == 0 else 10)
    while (letter := mailbox.take()) is not None:
        letter(None)
    assert heard == sorted(heard)
    assert {0, 10, 20} <= set(heard)
    assert len(heard) == 13
    assert mailbox.n_dropped == 17
    assert mailbox.take() is None


def test_a_mailbox_tells_how_long_the_oldest_letter_waits(monkeypatch):
    mailbox = Mailbox()
    assert mailbox.behind_s() == 0.0
    now_s = time.monotonic()
    mailbox.put(lambda _: None, 8)
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 60.0)
    assert 59.0 < mailbox.behind_s() <= 60.0
