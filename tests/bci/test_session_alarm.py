"""The alarm in a session: flags, live figures and the time of a lost stream."""

from __future__ import annotations

import numpy as np
import pytest

from bci.decision import AlarmSpec, DecisionSpec
from bci.sources.base import Marker
from tests.bci.scripted import SFREQ, START_S, decoder_of, samples, session_of

HIGH = np.tile(np.linspace(0.0, 3000.0, 200), (3, 1)).astype(np.float32)
FLAT = np.zeros((3, 200), np.float32)


def watched(**alarm):
    return decoder_of(DecisionSpec(("a", "b"), alarm=AlarmSpec("b", 0.6, 0.4, **alarm)))


def test_an_annotated_seizure_gives_a_delay_in_status_and_summary():
    """The first window that shows it ends just before half a second after its onset."""
    onset = Marker("annotation", START_S + 4.0, {"description": "seizure", "duration": 5.0})
    session, tape, _ = session_of([FLAT, FLAT, (onset, HIGH), FLAT, FLAT], decoder=watched())
    summary = session.run()
    on = next(e for e in tape.events() if e.kind == "alarm_on")
    assert on.fields["muted"] is False
    assert summary.alarms.n_detected == 1
    assert summary.alarms.delay_s == pytest.approx(on.time - onset.time) == pytest.approx(0.49)
    status = [e for e in tape.events() if e.kind == "status"][-1]
    assert status.fields["alarm_figures"]["delay_s"] == pytest.approx(summary.alarms.delay_s, abs=1e-4)
    assert status.fields["alarm_figures"]["n_alarms"] == summary.alarms.n_alarms == 1
    n_windows = len(tape.of("prediction"))
    assert summary.alarms.observed_s == 0.5 * n_windows
    in_alarm = sum(o.prediction.alarm.on for o in tape.of("prediction"))
    assert summary.alarms.alarm_share == pytest.approx(in_alarm / n_windows)


def test_without_a_watched_class_the_summary_has_no_figures():
    session, _, _ = session_of([FLAT])
    assert session.run().alarms is None


def test_a_loop_keeps_the_annotations_of_the_pass_that_begins():
    """The markers of a loop and of a seizure right after it arrive together."""
    loop = Marker("loop", START_S + 4.0, {})
    onset = Marker("annotation", START_S + 4.0, {"description": "seizure", "duration": 5.0})
    session, _, _ = session_of([FLAT, FLAT, (loop, onset, HIGH), FLAT], decoder=watched())
    summary = session.run()
    assert (summary.alarms.n_seizures, summary.alarms.n_detected) == (1, 1)


def test_a_mute_is_on_the_alarm_and_ends_by_itself():
    def steps():
        yield samples(10) * 0
        session.command("mute", {"seconds": 3.0})
        yield from np.split(HIGH, 20, axis=1)
        yield from [samples(10) * 0] * 60

    session, tape, _ = session_of(steps(), decoder=watched(latch=True))
    session.run()
    kinds = [e.kind for e in tape.events("status")]
    assert kinds == ["mute", "alarm_on", "unmuted", "alarm_off", "ended"]
    mute, on, unmuted = tape.events("status")[:3]
    assert on.fields["muted"] is True
    assert 3.0 <= unmuted.time - mute.time <= 3.0 + 2 * 0.5
    heard = [o.prediction.alarm.sounding for o in tape.of("prediction")]
    assert heard == sorted(heard)
    assert heard[-1]
    status = [e for e in tape.events() if e.kind == "status"][-1]
    assert status.fields["alarm"] == {
        "state": "alarm", "on": True, "latched": True, "acknowledged": False, "muted": False, "mute_left_s": 0.0
    }  # fmt: skip


def test_a_mute_runs_out_while_the_stream_is_silent():
    """A lost stream does not stay silent for longer than was asked for; the time counts once."""

    def steps():
        yield from np.split(HIGH, 20, axis=1)
        session.command("mute", {"seconds": 6.0})
        yield from [0.2] * 60
        states.append((session.alarms.state.name, session.alarms.flags.on))
        yield HIGH[:, ::-1]

    states = []
    session, tape, _ = session_of(steps(), decoder=watched(min_duration_s=10.0), silence_s=3.0)
    session.run()
    said = {e.kind: e for e in tape.events("status")}
    assert [e.kind for e in tape.events("status")] == [
        "alarm_on", "mute", "lost", "fault", "unmuted", "recovered", "gap", "alarm_off", "ended"
    ]  # fmt: skip
    assert states == [("FAULT", True)]
    assert said["fault"].fields["muted"] is True
    assert said["unmuted"].time - said["mute"].time == pytest.approx(6.5, abs=0.8)
    assert said["alarm_off"].fields["reason"] == "cleared"  # the silent seconds were part of the minimum
    assert said["alarm_off"].fields["last_sample"] / SFREQ < 16.0
