"""A session follows the markers of a replay, and what they mean for a running alarm."""

from __future__ import annotations

import numpy as np
import pytest

from bci.decision import AlarmSpec, DecisionSpec
from bci.errors import StreamLost
from bci.sources.base import Marker
from tests.bci.scripted import (
    SFREQ,
    START_S,
    decoder_of,
    samples,
    session_of,
)


@pytest.mark.parametrize("kind", ["loop", "seek"])
@pytest.mark.parametrize("sizes", [[250, 250], [10] * 50, [230, 40, 230], [500]])
def test_a_marker_resets_exactly_at_its_sample(kind, sizes):
    """No window contains samples from both sides, however the samples arrive; the marker may come early."""
    at = 230
    marker = Marker(kind, START_S + at / SFREQ)
    steps, start = [], 0
    for size in sizes:
        chunk = samples(size, start)
        covers = start <= at < start + size
        steps.append((marker, chunk) if covers else chunk)
        start += size
    session, tape, _ = session_of(steps)
    session.run()
    assert [o.prediction.last_sample for o in tape.of("prediction")] == [99, 149, 199, 329, 379, 429, 479]
    (event,) = (e for e in tape.events() if e.kind == kind)
    assert event.fields == {"sample": at}
    assert event.time == pytest.approx(START_S + 2.3)
    order = [
        value.prediction.last_sample if what == "prediction" else value.kind
        for what, value in tape.said
        if what == "prediction" or (what == "event" and value.kind == kind)
    ]
    assert order == [99, 149, 199, kind, 329, 379, 429, 479]


def test_a_marker_ahead_of_its_samples_waits_for_them():
    marker = Marker("loop", START_S + 2.3)
    session, tape, _ = session_of([samples(100), (marker, samples(20, 100)), samples(380, 120)])
    session.run()
    assert [o.prediction.last_sample for o in tape.of("prediction")] == [99, 149, 199, 329, 379, 429, 479]


def test_a_loop_ends_a_running_alarm():
    """What comes after a loop is another stream: nothing is held over it."""
    decision = DecisionSpec(("a", "b"), alarm=AlarmSpec("b", 0.6, 0.4))
    high = np.tile(np.linspace(0.0, 3000.0, 200), (3, 1)).astype(np.float32)
    flat = np.zeros((3, 200), np.float32)
    session, tape, _ = session_of([high, (Marker("loop", START_S + 2.0), flat)], decoder=decoder_of(decision))
    session.run()
    states = [int(o.prediction.state) for o in tape.of("prediction")]
    assert states[:3] == [3, 3, 3]
    assert 3 not in states[3:]
    assert [e.kind for e in tape.events("status")] == ["alarm_on", "alarm_off", "loop", "ended"]
    alarm, off = tape.events("status")[:2]
    assert set(alarm.fields) == {"last_sample", "level", "quality", "muted"}
    assert off.fields == {"last_sample": 199, "level": pytest.approx(1.0, abs=1e-3), "quality": 1.0, "reason": "loop"}
    assert off.time == tape.of("prediction")[2].prediction.time
    assert alarm.time == tape.of("prediction")[0].prediction.time


@pytest.mark.parametrize(("last", "reason"), [("end", "ended"), (StreamLost("The cable is out."), "ended")])
def test_the_end_of_a_session_ends_a_running_alarm(last, reason):
    decision = DecisionSpec(("a", "b"), alarm=AlarmSpec("b", 0.6, 0.4))
    high = np.tile(np.linspace(0.0, 3000.0, 200), (3, 1)).astype(np.float32)
    session, tape, _ = session_of([high, last], decoder=decoder_of(decision))
    session.run()
    on, off, ended = tape.events("status", "lost", "fault")
    assert [e.kind for e in (on, off, ended)] == ["alarm_on", "alarm_off", "ended"]
    assert off.fields["reason"] == reason
    assert off.time >= on.time


def test_an_alarm_that_is_over_is_not_ended_again():
    decision = DecisionSpec(("a", "b"), alarm=AlarmSpec("b", 0.6, 0.4))
    high = np.tile(np.linspace(0.0, 3000.0, 200), (3, 1)).astype(np.float32)
    session, tape, _ = session_of([high, np.zeros((3, 400), np.float32)], decoder=decoder_of(decision))
    session.run()
    assert [e.kind for e in tape.events("status")] == ["alarm_on", "alarm_off", "ended"]
    assert tape.events("status")[1].fields["reason"] == "cleared"


@pytest.mark.parametrize("sizes", [[500], [10] * 50, [230, 40, 230]])
def test_a_step_back_of_the_clock_restarts_the_decoder_and_holds_the_alarm(sizes):
    """No window spans the step; the sample numbers go on; the alarm is neither lost nor raised again."""
    decision = DecisionSpec(("a", "b"), alarm=AlarmSpec("b", 0.6, 0.4))
    high = np.tile(np.linspace(0.0, 9000.0, 500), (3, 1)).astype(np.float32)
    steps = [high[:, stop - size : stop] for size, stop in zip(sizes, np.cumsum(sizes), strict=True)]
    session, tape, source = session_of(steps, decoder=decoder_of(decision))
    stamp = source.stamp
    source.stamp = lambda sample: stamp(sample) - (60.0 if sample >= 230 else 0.0)
    session.run()
    on, jump, off, _ = tape.events("status")
    assert [e.kind for e in (on, jump, off)] == ["alarm_on", "clock_jump", "alarm_off"]
    assert jump.fields == {
        "jump_s": pytest.approx(-60.0), "t0": pytest.approx(START_S + 2.29), "t1": pytest.approx(START_S - 57.7)
    }  # fmt: skip
    assert [o.prediction.last_sample for o in tape.of("prediction")] == [99, 149, 199, 329, 379, 429, 479]
    assert {int(o.prediction.state) for o in tape.of("prediction")} == {3}


def test_other_markers_are_ignored():
    markers = [Marker(kind, START_S + 1.0, {"n_samples": 3}) for kind in ("annotation", "unheard of")]
    session, tape, _ = session_of([(*markers, samples(300))])
    session.run()
    assert [e.kind for e in tape.events("status")] == ["ended"]
