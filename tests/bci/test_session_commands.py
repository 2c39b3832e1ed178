"""What comes from outside while a session runs, and what stands beside it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import bci.session
from bci.chunk import Signal
from bci.decision import AlarmSpec, DecisionSpec
from bci.errors import Overflow
from bci.events import Event
from bci.sources.base import Marker
from tests.bci.scripted import (
    SFREQ,
    START_S,
    decoder_of,
    samples,
    session_of,
)


def test_a_command_becomes_an_event_and_stop_ends_the_session():
    def steps():
        yield samples(100)
        session.command("mute", {"seconds": 30})
        yield samples(100)
        session.command("stop")
        yield from itertools.repeat(samples(10))

    session, tape, _ = session_of(steps())
    assert session.run().ended == "stopped"
    assert [(e.kind, e.fields) for e in tape.events("status")] == [
        ("mute", {"seconds": 30}),
        ("stop", {}),
        ("ended", {"reason": "stopped"}),
    ]


def test_acknowledge_and_mute_reach_the_alarm():
    decision = DecisionSpec(("a", "b"), alarm=AlarmSpec("b", 0.6, 0.4, latch=True))
    high = np.tile(np.linspace(0.0, 3000.0, 200), (3, 1)).astype(np.float32)

    def steps():
        yield high
        session.command("mute", {"seconds": 30})
        yield np.zeros((3, 300), np.float32)
        flags.append(decoder.decision.flags)
        session.command("acknowledge")
        yield np.zeros((3, 10), np.float32)

    flags, decoder = [], decoder_of(decision)
    session, tape, _ = session_of(steps(), decoder=decoder)
    session.run()
    assert (flags[0].on, flags[0].latched, flags[0].muted) == (True, True, True)
    assert [e.kind for e in tape.events("status")] == ["alarm_on", "mute", "acknowledge", "alarm_off", "ended"]
    assert tape.events("status")[-2].fields["reason"] == "acknowledged"
    assert not decoder.decision.alarmed


def test_a_recorder_gets_what_arrives_before_it_is_decoded():
    """Channels as sent, also those that no model needs; markers too; nothing before the first sample."""

    class Recorder:
        def __init__(self):
            self.said = []

        def open(self, stream):
            self.said.append(stream)

        def samples(self, received):
            self.said.append((received.data.copy(), len(received.markers), len(tape.of("prediction"))))

        def close(self):
            self.said.append("close")

    wide = Signal(SFREQ, ("EMG", "C4", "Cz", "C3"))
    recorder = Recorder()
    data = np.arange(800, dtype=np.float32).reshape(4, 200)
    marker = Marker("annotation", START_S + 2.0, {})
    steps = [0.2, data[:, :100], np.empty((4, 0), np.float32), (marker, data[:, 100:]), "end"]
    session, tape, _ = session_of(steps, signal=wide, recorder=recorder)
    session.run()
    info, *parts, last = recorder.said
    assert (info.signal, last) == (wide, "close")
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts], axis=1), data)
    assert [part[1:] for part in parts] == [(0, 0), (1, 1)]


def test_watches_are_asked_a_few_times_a_second_and_at_the_end():
    asked = []

    def watch():
        asked.append(session.telemetry.counts["samples"])
        return [Event("sink_failed", START_S, {"sink": "x", "reason": str(len(asked))})]

    session, tape, _ = session_of([samples(10)] * 20, watches=[watch])
    session.run()
    assert 8 <= len(asked) <= 11
    assert asked[-1] == 200
    told = [e.fields["reason"] for e in tape.events() if e.kind == "sink_failed"]
    assert told == [str(n + 1) for n in range(len(asked))]
    assert tape.events()[-1].kind == "ended"


def test_commands_before_the_first_sample_are_kept_but_not_without_end(monkeypatch):
    monkeypatch.setattr(bci.session, "MAX_COMMANDS", 3)
    session, tape, _ = session_of([0.2, samples(10)])
    for _ in range(3):
        session.command("acknowledge")
    with pytest.raises(Overflow, match=r"A session keeps at most 3 commands until it can publish them"):
        session.command("acknowledge")
    session.run()
    assert [e.kind for e in tape.events("status")] == ["acknowledge"] * 3 + ["ended"]
