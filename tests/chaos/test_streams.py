"""Faults of a stream that stays: every sample is proven, every loss reported, every alarm right."""

from __future__ import annotations

import numpy as np
import pytest

from apps.bench.counted import SFREQ
from bci.decision import State
from tests.chaos.rig import HOP_S, SECONDS, SEIZURE, SPEED, WINDOW_S
from tests.chaos.scenarios import GOING_ON, LOSSES, WHOLE

pytestmark = [pytest.mark.lsl, pytest.mark.timeout(400)]

SAME_TIME_S = 1e-6
ALARM_DELAY_S = 4.0  # window, smoothing and k of n; to raise and to clear


def each(*names):
    """Parametrize over scenarios by name."""
    return pytest.mark.parametrize("name", names)


@each(*GOING_ON)
def test_the_session_outlives_the_fault_and_decodes_to_the_end(outcome, name):
    assert outcome.error is None
    assert outcome.summary.ended == "end of stream"
    assert outcome.exit_codes == [0]
    last = outcome.tape.predictions[-1]
    assert last.state is State.OK
    assert outcome.stamps[-1] - last.time < 2 * HOP_S / SPEED + SAME_TIME_S


@each(*WHOLE)
def test_every_sample_arrives(outcome, name):
    seconds = 2 * SECONDS if name == "fast clock" else SECONDS
    np.testing.assert_array_equal(np.unique(outcome.counts), np.arange(round(seconds * SFREQ)))
    assert "gap" not in outcome.kinds()


@each(*LOSSES)
def test_every_loss_is_reported_with_its_count_and_times(outcome, name):
    """The sender's log, the counter and the events agree sample by sample."""
    lost = outcome.lost("drop")
    assert lost.size
    np.testing.assert_array_equal(np.sort(np.concatenate([outcome.counts, lost])), np.arange(round(SECONDS * SFREQ)))
    truth = outcome.gaps()
    reported = [(e.fields["n_lost"], e.fields["t0"], e.fields["t1"]) for e in outcome.events("gap")]
    assert [n for n, _, _ in reported] == [n for n, _, _ in truth]
    np.testing.assert_allclose([times[1:] for times in reported], [times[1:] for times in truth], atol=SAME_TIME_S)


@each(*GOING_ON)
def test_the_recording_holds_every_sample_that_arrived(outcome, name):
    """Once and in order, gaps left out; what came too late for its place is told, not recorded."""
    late = sum(event.fields["n_samples"] for event in outcome.events("late"))
    recorded = outcome.tape.recorded()
    assert np.diff(recorded).min() > 0
    assert recorded.size == np.unique(outcome.counts).size - late
    assert np.isin(recorded, outcome.counts).all()
    assert outcome.tape.recorder.recorded().n_missed == 0


@each(*GOING_ON)
def test_predictions_count_samples_as_the_sender_does(outcome, name):
    """Also across losses, repetitions and jumps of the clock."""
    assert outcome.misnumbered() == []


@each(*GOING_ON)
def test_one_alarm_is_raised_and_cleared_and_by_the_seizure(outcome, name):
    alarms = outcome.events("alarm_on", "alarm_off")
    assert [e.kind for e in alarms] == ["alarm_on", "alarm_off"]
    on_s, off_s = (event.fields["last_sample"] / SFREQ for event in alarms)
    delay_s = ALARM_DELAY_S + (2.0 if name == "gap over the seizure's end" else 0.0)  # it is held until 26 s
    assert SEIZURE[0] < on_s < SEIZURE[0] + ALARM_DELAY_S
    assert SEIZURE[1] < off_s < SEIZURE[1] + delay_s


@each("nothing", "jitter")
def test_nothing_is_reported_where_nothing_is_wrong(outcome, name):
    assert outcome.kinds() == {}
    assert outcome.usable() == 1.0


@each("1 % of chunks")
def test_with_one_percent_of_the_chunks_lost_nine_of_ten_predictions_are_usable(outcome, name):
    assert outcome.usable() >= 0.9
    assert all(event.fields["filled"] for event in outcome.events("gap"))
    assert min(p.quality for p in outcome.tape.predictions) < 1.0


@each("long gap", "long gap in the seizure", "step in a long gap")
def test_after_a_long_gap_predictions_settle_anew(outcome, name):
    (gap,) = outcome.events("gap")
    assert gap.fields["filled"] is False
    first = next(p for p in outcome.tape.predictions if p.time > gap.fields["t1"])
    assert first.state is (State.ALARM if name == "long gap in the seizure" else State.SETTLING)
    assert (first.time - gap.fields["t1"]) * SPEED >= WINDOW_S - 1.5 / SFREQ  # no window reaches over the gap


@each("stall", "stall in the seizure")
def test_a_stall_is_reported_lost_and_recovered_and_costs_no_sample(outcome, name):
    assert outcome.kinds() == {"lost": 1, "fault": 1, "recovered": 1}
    (recovered,) = outcome.events("recovered")
    assert recovered.fields["silent_s"] == pytest.approx(4.0 / SPEED, abs=0.25)


@each("clock back", "clock forward")
def test_a_jump_of_the_clock_is_no_loss(outcome, name):
    (jump,) = outcome.events("clock_jump")
    assert jump.fields["jump_s"] == pytest.approx(-2.0003 if name == "clock back" else 2.0003, abs=1e-3)
    (injected,) = outcome.injected
    assert jump.fields["t1"] == pytest.approx(injected["t0"] + injected["jump_s"], abs=1e-3)


@each("fast clock")
def test_a_rate_that_is_not_nominal_is_reported(outcome, name):
    drift = outcome.events("rate_drift")[0]
    assert drift.fields["rate"] == pytest.approx(1.01 * SFREQ, rel=1e-3)


@each("duplicates")
def test_samples_that_come_twice_are_reported_and_decoded_once(outcome, name):
    n_injected = outcome.lost("duplicate").size
    assert n_injected > 100
    assert sum(event.fields["n_samples"] for event in outcome.events("duplicate")) == n_injected
    assert outcome.tape.predictions[-1].last_sample < SECONDS * SFREQ


@each("reordered")
def test_samples_that_come_late_are_told_as_a_gap_and_as_late(outcome, name):
    """Their place was filled when they did not come, so they are not decoded; nothing is counted twice."""
    n_injected = outcome.lost("reorder").size
    assert n_injected > 100
    assert sum(event.fields["n_lost"] for event in outcome.events("gap")) == n_injected
    assert sum(event.fields["n_samples"] for event in outcome.events("late")) == n_injected
    np.testing.assert_array_equal(np.sort(outcome.counts), np.arange(round(SECONDS * SFREQ)))


@each("one NaN", "all NaN", "all NaN in the seizure")
def test_values_that_are_no_numbers_are_reported_with_their_samples(outcome, name):
    (injected,) = outcome.injected
    (invalid,), (valid,) = outcome.events("invalid"), outcome.events("valid")
    assert invalid.fields["sample"] == injected["sample"]
    assert valid.fields["sample"] == injected["sample"] + injected["n_samples"]
    assert valid.fields["n_samples"] == injected["n_samples"]


@each("all NaN in the seizure", "flat in the seizure", "stall in the seizure")
def test_what_cannot_be_trusted_is_a_fault_and_holds_the_alarm(outcome, name):
    assert outcome.kinds()["fault"] == 1
    on, off = outcome.events("alarm_on", "alarm_off")
    (fault,) = outcome.events("fault")
    assert on.time < fault.time < off.time


@each("flat", "flat in the seizure", "step")
def test_channels_that_turn_bad_and_good_are_reported(outcome, name):
    bad = outcome.events("bad_channel")
    assert {event.fields["channel"] for event in bad} == {"C3", "Cz", "C4"}
    assert {event.fields["bad"] for event in bad} == {True, False}
