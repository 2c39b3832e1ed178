"""What the monitor says of a session: state, why, curves; from what the streams say and when."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apps.monitor.alarm_state import FIND_S
from apps.monitor.model import MonitorModel
from apps.monitor.probabilities import MAX_POINTS, Probabilities
from apps.monitor.snapshot import SHAPES
from bci.decision import Decision, DecisionSpec
from bci.errors import SpecError
from tests.apps.monitor_feeding import CLASSES, HOP_S, Clock, predict, predictions, running, say, signal, status

MARKUP = "<img src=x onerror=alert(1)>\x1b[31m\n<b>F3</b>"


def shown(model, clock):
    return model.snapshot(clock.now_s).state


# --- the state --------------------------------------------------------------------------------------------------------


def test_it_waits_and_then_says_that_nothing_is_there():
    clock = Clock()
    model = MonitorModel(clock, name="night")
    assert shown(model, clock).state == "waiting"
    clock.now_s += FIND_S
    panel = shown(model, clock)
    assert (panel.state, panel.word, panel.shape) == ("fault", "FAULT", "cross")
    assert panel.reasons == ("No predictions of night are found.", "Is bci run running?")


@pytest.mark.parametrize(("code", "state"), [(0, "settling"), (1, "ok"), (2, "warning"), (3, "alarm"), (4, "fault")])
def test_the_state_is_that_of_the_predictions(code, state):
    clock = Clock()
    model = running(clock)
    assert shown(model, clock).state == "settling"
    predict(model, clock, state=code, quality=0.25 if code == 4 else 1.0)
    panel = shown(model, clock)
    assert (panel.state, panel.word, panel.shape) == (state, state.upper(), SHAPES[state])
    assert ("Only 25 % of the window is valid signal." in panel.reasons) == (code == 4)


def test_each_state_has_a_shape_of_its_own():
    assert len(set(SHAPES.values())) == len(SHAPES) == 7


def test_a_code_that_is_none_is_a_fault():
    clock = Clock()
    model = running(clock)
    predict(model, clock, state=17)
    assert shown(model, clock).state == "fault"


def test_output_that_is_no_number_is_said():
    clock = Clock()
    model = running(clock)
    predict(model, clock, p=math.nan, state=4)
    assert shown(model, clock).reasons == ("The network's output is no number.",)


def test_time_since_the_state_and_the_onset():
    clock = Clock()
    model = running(clock)
    predict(model, clock, n=8)
    predict(model, clock, p=0.9, state=3)
    say(model, clock, "alarm_on", level=0.9, quality=1.0, last_sample=1, muted=False)
    clock.now_s += 3
    panel = shown(model, clock)
    assert (panel.state, panel.since_s, panel.onset_s) == ("alarm", pytest.approx(3), pytest.approx(3))
    predict(model, clock, p=0.9, state=4, quality=0.1)
    panel = shown(model, clock)
    assert "An alarm is held." in panel.reasons
    assert panel.onset_s == pytest.approx(3 + HOP_S)
    say(model, clock, "alarm_off", level=0.1, quality=1.0, last_sample=1, reason="cleared")
    predict(model, clock)
    assert math.isnan(shown(model, clock).onset_s)


def test_a_mute_counts_down_and_an_acknowledgement_shows():
    clock = Clock()
    model = running(clock)
    predict(model, clock, p=0.9, state=3)
    say(model, clock, "alarm_on", level=0.9, quality=1.0, last_sample=1, muted=False)
    say(model, clock, "mute", seconds=60)
    say(model, clock, "acknowledge")
    clock.now_s += 1.5
    panel = shown(model, clock)
    assert (panel.muted, panel.mute_left_s, panel.acknowledged) == (True, pytest.approx(58.5), True)
    alarm = {"on": True, "latched": True, "acknowledged": False, "muted": True, "mute_left_s": 20.0}
    status(model, clock, alarm=alarm)
    clock.now_s += 1
    panel = shown(model, clock)
    assert (panel.latched, panel.mute_left_s) == (True, pytest.approx(19.0))
    say(model, clock, "unmuted")
    assert not shown(model, clock).muted


@pytest.mark.parametrize(
    ("happen", "reason"),
    [
        (lambda m, c: say(m, c, "lost", reason=MARKUP), "The signal is lost: <img"),
        (lambda m, c: m.on_stream("predictions", None, "its sender has gone away."), "The prediction stream has gone:"),
        (lambda m, c: setattr(c, "now_s", c.now_s + 8), "No prediction for 8 s."),
        (lambda m, c: m.on_session_process("killed"), "bci run has ended: killed"),
        (lambda m, c: setattr(m, "behind_s", 9.0), "This monitor is 9 s behind"),
    ],
    ids=["lost", "vanished", "silent", "process", "behind"],
)
def test_whatever_stops_the_watching_is_a_fault_that_says_why(happen, reason):
    clock = Clock()
    model = running(clock)
    predict(model, clock)
    assert shown(model, clock).state == "ok"
    happen(model, clock)
    panel = shown(model, clock)
    assert panel.state == "fault"
    assert panel.reasons[0].startswith(reason)
    assert all(reason.isprintable() for reason in panel.reasons)


def test_a_session_whose_events_are_not_heard_is_shown_with_what_is_missing():
    clock = Clock()
    model = running(clock)
    predict(model, clock, n=20)
    panel = shown(model, clock)
    assert panel.state == "ok"
    assert panel.reasons[0].startswith("No events of the session are heard")
    status(model, clock)
    assert shown(model, clock).reasons == ()


def test_a_decoder_that_says_nothing_is_a_fault_and_one_that_talks_again_is_none():
    clock = Clock()
    model = running(clock)
    predict(model, clock)
    status(model, clock)
    clock.now_s += 5
    assert shown(model, clock).reasons[0] == "The decoder has said nothing for 5 s."
    status(model, clock)
    predict(model, clock)
    assert shown(model, clock).state == "ok"


def test_a_stream_that_comes_back_is_shown_again():
    clock = Clock()
    model = running(clock)
    predict(model, clock)
    say(model, clock, "lost", reason="cable")
    assert shown(model, clock).state == "fault"
    say(model, clock, "recovered", silent_s=2.0, reordered=False)
    predict(model, clock)
    assert shown(model, clock).state == "ok"
    model.on_stream("predictions", None, "gone")
    assert shown(model, clock).state == "fault"
    model.on_stream("predictions", predictions())
    assert shown(model, clock).state == "settling"


def test_an_orderly_end_is_no_fault_but_says_that_nothing_is_watched():
    clock = Clock()
    model = running(clock)
    predict(model, clock)
    say(model, clock, "ended", reason="end of stream")
    model.on_stream("predictions", None, "its sender has gone away.")
    panel = shown(model, clock)
    assert (panel.state, panel.reasons) == (
        "ended", ("The session has ended: end of stream.", "Nothing is watched.")
    )  # fmt: skip


def test_a_pause_is_no_fault():
    clock = Clock()
    model = running(clock)
    predict(model, clock)
    say(model, clock, "pause")
    clock.now_s += 30
    status(model, clock)
    panel = shown(model, clock)
    assert (panel.state, panel.reasons) == ("ok", ("The replay is paused.",))


# --- curves ---------------------------------------------------------------------------------------------------------


def test_the_smoothed_curve_is_the_decoders_level():
    """The same exponential mean, begun anew after settling and gaps; bitwise the same is not asked for in float32."""
    from bci.decision import AlarmSpec

    clock, rng = Clock(), np.random.default_rng(1)
    model = running(clock)
    decision = Decision(DecisionSpec(CLASSES, smoothing_s=1.0, alarm=AlarmSpec("seizure", 0.7, 0.5)), HOP_S)
    levels = []
    for k in range(200):
        if k == 100:
            say(model, clock, "gap", n_lost=500, t0=0.0, t1=2.0, filled=False)
            decision.restart()
        logits = rng.normal(0, 2, 2)
        verdict = decision.step(logits, 1.0, settled=True)
        levels.append(verdict.level)
        predict(model, clock, p=float(verdict.probabilities[1]), state=int(verdict.state))
    curves = model.snapshot(clock.now_s).curves
    np.testing.assert_allclose(curves.smoothed[1], levels, atol=1e-5)
    assert curves.times.shape == curves.quality.shape == (200,)


def test_a_break_is_a_hole_and_fault_and_settling_are_not_smoothed():
    clock = Clock()
    model = running(clock)
    predict(model, clock, n=4)
    clock.now_s += 5
    predict(model, clock, state=0, n=2)
    predict(model, clock, state=4, quality=0.0)
    curves = model.snapshot(clock.now_s).curves
    assert np.isnan(curves.raw[0]).tolist() == [False] * 4 + [True] + [False] * 3
    assert np.isnan(curves.smoothed[0]).tolist() == [False] * 4 + [True] * 4
    assert (np.diff(curves.times) > 0).all()


def test_alarm_spans_come_from_events_or_from_the_status():
    clock = Clock()
    model = running(clock)
    predict(model, clock, n=4)
    begin = clock.now_s
    say(model, clock, "alarm_on", level=0.9, quality=1.0, last_sample=1, muted=False)
    predict(model, clock, n=4)
    assert model.snapshot(clock.now_s).curves.alarms == ((begin, clock.now_s),)
    say(model, clock, "alarm_off", level=0.1, quality=1.0, last_sample=1, reason="cleared")
    end = clock.now_s
    predict(model, clock, n=4)
    assert model.snapshot(clock.now_s).curves.alarms == ((begin, end),)
    status(model, clock, alarm={"on": True})  # a monitor that came late has seen no alarm_on
    late = clock.now_s
    predict(model, clock)
    assert model.snapshot(clock.now_s).curves.alarms[1] == (late, clock.now_s)
    model.curve_span_s = 1.0
    assert model.snapshot(clock.now_s).curves.alarms == ((late, clock.now_s),)


def test_many_points_are_joined_and_no_peak_is_lost():
    kept = Probabilities(CLASSES, 0.05, 0.0)
    for k in range(10_000):
        p = 0.93 if k == 7777 else 0.2
        kept.take(np.array([1 - p, p, 1, 1, 1], np.float32), 0.05 * k)
    curves = kept.curves(1e9)
    assert len(curves.times) <= MAX_POINTS
    assert curves.raw[1].max() == np.float32(0.93)
    assert (np.diff(curves.times) >= 0).all()
    assert kept.curves(1e9) is curves


def test_wrong_shapes_are_dropped():
    clock = Clock()
    model = running(clock)
    model.on_prediction(np.zeros((3, 9), np.float32), np.arange(3.0))
    model.on_signal(np.zeros((3, 9), np.float32), np.arange(9.0))
    model.on_features(np.zeros((3, 9), np.float32), np.arange(9.0))
    assert len(model.snapshot(clock.now_s).curves.times) == 0


# --- streams --------------------------------------------------------------------------------------------------------


def test_the_window_is_what_the_newest_prediction_has_seen():
    clock = Clock()
    model = running(clock)
    assert math.isnan(model.snapshot(clock.now_s).window[0])
    predict(model, clock)
    assert model.snapshot(clock.now_s).window == (clock.now_s - 2, clock.now_s)


def test_a_stream_that_is_no_prediction_stream_is_refused_in_words():
    clock = Clock()
    model = MonitorModel(clock)
    model.on_stream("predictions", signal())
    clock.now_s += FIND_S
    assert model.snapshot(clock.now_s).streams["predictions"].startswith("This is no prediction stream")
    assert shown(model, clock).state == "fault"


def test_a_role_that_is_none_is_refused():
    with pytest.raises(SpecError, match=r"A stream of the monitor is one of predictions, events, .* got 'eeg'"):
        MonitorModel(Clock()).on_stream("eeg", None)


def test_a_session_with_other_classes_begins_anew():
    clock = Clock()
    model = running(clock)
    predict(model, clock, n=4)
    model.on_stream("predictions", predictions(classes=("a", "b", "c")))
    snapshot = model.snapshot(clock.now_s)
    assert snapshot.session.classes == ("a", "b", "c")
    assert snapshot.curves.raw.shape == (3, 0)


@pytest.mark.parametrize(
    ("kind", "fields"), [("seek", {}), ("loop", {}), ("gap", {"filled": False}), ("clock_jump", {})]
)
def test_a_pipeline_that_begins_anew_settles_until_it_decides_again(kind, fields):
    clock = Clock()
    model = running(clock)
    predict(model, clock)
    say(model, clock, "gap", filled=True)
    assert shown(model, clock).state == "ok"
    say(model, clock, kind, **fields)
    assert shown(model, clock).state == "settling"
    predict(model, clock, p=0.9, state=3)
    say(model, clock, kind, **fields)
    assert shown(model, clock).state == "alarm"
