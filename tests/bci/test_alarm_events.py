"""The events of the alarm, whatever predictions, commands and losses come in whatever order."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bci.alarm_events import AlarmEvents
from bci.decision import AlarmSpec, Decision, DecisionSpec, State
from bci.decoder import Ledger, Prediction
from bci.events import Event
from bci.sources.base import Marker

HOP_S = 0.5
NO_LEDGER = Ledger(0.0, 0.0, 0.0, 0.0)


class Bed:
    """A decision that is fed levels, and everything that was said about it."""

    def __init__(self, **alarm):
        spec = DecisionSpec(("a", "seizure"), alarm=AlarmSpec("seizure", 0.8, 0.4, **alarm))
        self.decision = Decision(spec, HOP_S)
        self.alarms = AlarmEvents(self.decision)
        self.n = 0
        self.said = []

    def __call__(self, *levels, quality=1.0):
        for level in levels:
            verdict = self.decision.step(np.array([0.0, np.log(level / (1 - level))]), quality, True)
            p = Prediction(
                self.n, 64 * self.n, 100.0 + self.n * HOP_S, np.zeros(2), verdict.probabilities, quality, verdict.state,
                verdict.changed, verdict.level, NO_LEDGER, verdict.alarm,
            )  # fmt: skip
            self.n += 1
            self.said += self.alarms.take(p, 1.0)
        return self

    def command(self, kind, **fields):
        self.said += self.alarms.obey(Event(kind, 100.0 + self.n * HOP_S, fields))
        return self

    @property
    def kinds(self):
        return [event.kind for event in self.said]


def test_an_alarm_has_its_two_events():
    bed = Bed()(0.1, 0.9, 0.1)
    on, off = bed.said
    assert (on.kind, on.time) == ("alarm_on", 100.5)
    assert on.fields == {"last_sample": 64, "level": pytest.approx(0.9), "quality": 1.0, "muted": False}
    assert (off.kind, off.time) == ("alarm_off", 101.0)
    assert off.fields == {"last_sample": 128, "level": pytest.approx(0.1), "quality": 1.0, "reason": "cleared"}


def test_a_latched_alarm_ends_when_it_is_acknowledged():
    bed = Bed(latch=True)(0.9, 0.1, 0.1)
    assert bed.kinds == ["alarm_on"]
    assert bed.alarms.flags.latched
    bed.command("acknowledge").command("acknowledge")
    assert bed.kinds == ["alarm_on", "alarm_off"]
    assert bed.said[-1].fields["reason"] == "acknowledged"
    assert bed.said[-1].fields["last_sample"] == 128  # of the newest prediction
    assert Bed().command("acknowledge").said == []


def test_a_mute_is_on_the_events_and_its_end_is_one():
    bed = Bed().command("mute", seconds=1.0)(0.9, 0.1)(0.9, 0.9)
    assert [(e.kind, e.fields.get("muted")) for e in bed.said] == [
        ("alarm_on", True), ("alarm_off", None), ("unmuted", None), ("alarm_on", False)
    ]  # fmt: skip
    assert bed.said[2].time == 101.0
    assert bed.said[2].fields == {}


def test_a_mute_that_is_ended_by_hand_or_replaced():
    bed = Bed().command("mute", seconds=9.0)(0.1).command("mute", seconds=0.0).command("mute", seconds=0.0)
    assert bed.kinds == ["unmuted"]
    bed = Bed().command("mute", seconds=1.0).command("mute", seconds=2.0)(0.1, 0.1, 0.1, 0.1)
    assert bed.kinds == []
    assert bed(0.1).kinds == ["unmuted"]


def test_a_fault_says_whether_it_is_heard():
    bed = Bed().command("mute", seconds=9.0)(0.1)(0.1, quality=0.0)
    assert [(e.kind, e.fields["muted"]) for e in bed.said] == [("fault", True)]


def test_a_lost_stream_is_a_fault_once_and_its_time_passes():
    bed = Bed(latch=True)
    assert bed.alarms.lose(99.0) == []  # nothing has been decoded: there is nothing to hold
    bed = Bed().command("mute", seconds=3.0)(0.9)
    (fault,) = bed.alarms.lose(107.0)
    assert (fault.kind, fault.time, fault.fields["quality"], fault.fields["muted"]) == ("fault", 107.0, 0.0, True)
    assert bed.alarms.lose(107.1) == []
    assert (bed.alarms.state, bed.alarms.flags.on) == (State.FAULT, True)
    assert bed.alarms.wait(108.0, 1.0) == []
    assert [e.kind for e in bed.alarms.wait(110.0, 3.0)] == ["unmuted"]
    assert bed.alarms.wait(111.0, 4.0) == []


@pytest.mark.parametrize("reason", ["loop", "seek", "ended"])
def test_the_end_of_a_sequence_ends_a_running_alarm_once(reason):
    bed = Bed()(0.9)
    (off,) = bed.alarms.close(reason)
    assert (off.kind, off.time, off.fields["reason"]) == ("alarm_off", 100.0, reason)
    bed.decision.reset()
    assert bed.alarms.close(reason) == []
    assert Bed().alarms.close(reason) == []


@given(
    st.lists(
        st.sampled_from([0.1, 0.6, 0.9, "fault", "acknowledge", "mute", "unmute", "lose", "wait", "loop"]), max_size=60
    ),
    st.booleans(),
)
def test_the_events_of_any_session_are_in_order(acts, latch):
    """On and off take turns up to the end, each mute that ran out is told once, and all fields are JSON."""
    bed = Bed(latch=latch)
    for act in acts:
        if isinstance(act, float):
            bed(act)
        elif act == "fault":
            bed(0.9, quality=0.0)
        elif act == "acknowledge":
            bed.command("acknowledge")
        elif act in ("mute", "unmute"):
            bed.command("mute", seconds=1.0 if act == "mute" else 0.0)
        elif act == "lose":
            bed.said += bed.alarms.lose(0.0)
        elif act == "wait":
            bed.said += bed.alarms.wait(0.0, 1.0)
        else:
            bed.said += bed.alarms.close("loop")
            bed.decision.reset()
        json.dumps(bed.alarms.fields(), allow_nan=False)
    bed.said += bed.alarms.close("ended")
    turns = [kind for kind in bed.kinds if kind.startswith("alarm")]
    assert turns == ["alarm_on", "alarm_off"] * (len(turns) // 2)
    assert bed.kinds.count("unmuted") <= acts.count("mute")
    for event in bed.said:
        json.loads(event.to_json())


def test_annotated_seizures_are_in_the_figures():
    bed = Bed()
    fields = {"description": "seizure", "duration": 10.0}
    bed.alarms.annotate([
        Marker("annotation", 100.5, fields),
        Marker("annotation", 100.5, {"description": "eyes closed"}),
        Marker("loop", 100.5, fields),
    ])  # fmt: skip
    bed(0.1, 0.1, 0.1, 0.9, 0.1)
    figures = bed.alarms.fields()["alarm_figures"]
    assert (figures["n_seizures"], figures["n_detected"], figures["delay_s"]) == (1, 1, 1.0)
    assert (figures["observed_s"], figures["alarm_share"], figures["n_alarms"]) == (2.5, 0.2, 1)
    assert figures["per_day"] == pytest.approx(86400 / 2.5)


def test_without_an_alarm_there_are_faults_mutes_and_figures():
    decision = Decision(DecisionSpec(("a", "b")), HOP_S)
    alarms = AlarmEvents(decision)
    assert alarms.obey(Event("acknowledge", 0.0)) == []
    assert alarms.obey(Event("mute", 0.0, {"seconds": 1.0})) == []
    assert alarms.fields()["alarm"] == {
        "state": "settling", "on": False, "latched": False, "acknowledged": False, "muted": True, "mute_left_s": 1.5
    }  # fmt: skip
    assert alarms.figures().n_alarms == 0
