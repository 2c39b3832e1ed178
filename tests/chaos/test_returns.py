"""Senders that go away: the session takes back the same stream, and ends or waits for anything else."""

from __future__ import annotations

import numpy as np
import pytest

from apps.bench.counted import SFREQ
from bci.decision import State
from bci.errors import ChannelMismatch
from tests.chaos.rig import HOP_S, SECONDS, SEIZURE, SPEED, WINDOW_S, decoder
from tests.chaos.scenarios import ENDS, RETURNS

pytestmark = [pytest.mark.lsl, pytest.mark.timeout(400)]

SAME_TIME_S = 1e-6
ALARM_DELAY_S = 4.0
SETTLING_S = decoder().pipeline.warmup_s + WINDOW_S


def each(*names):
    """Parametrize over scenarios by name."""
    return pytest.mark.parametrize("name", names)


@each(*RETURNS)
def test_the_session_goes_on_with_the_stream_that_came_back(outcome, name):
    assert outcome.error is None
    assert outcome.summary.ended == "end of stream"
    assert not outcome.summary.lost
    last = outcome.tape.predictions[-1]
    assert last.state is State.OK
    assert outcome.counts[-1] == round(SECONDS * SFREQ) - 1
    assert outcome.stamps[-1] - last.time < 2 * HOP_S / SPEED + SAME_TIME_S


@each(*RETURNS)
def test_the_loss_is_one_gap_with_its_count_and_times(outcome, name):
    """Samples between the return and the subscription are lost, too: the counter knows them."""
    (truth,) = outcome.gaps()
    (gap,) = outcome.events("gap")
    n_lost, before_s, after_s = truth
    np.testing.assert_allclose([gap.fields["t0"], gap.fields["t1"]], [before_s, after_s], atol=SAME_TIME_S)
    by_stamps = round((after_s - before_s) * SFREQ * SPEED) - 1
    assert gap.fields["n_lost"] == by_stamps
    if not name.startswith("killed"):  # a new process goes on somewhere else in its file
        assert gap.fields["n_lost"] == n_lost
    assert gap.fields["filled"] is False


@each(*RETURNS)
def test_the_recording_holds_every_sample_that_arrived(outcome, name):
    np.testing.assert_array_equal(outcome.tape.recorded(), outcome.counts)


@each(*RETURNS)
def test_losing_and_recovering_is_said_once_each(outcome, name):
    kinds = outcome.kinds()
    assert (kinds["lost"], kinds["recovered"], kinds["fault"]) == (1, 1, 1)
    lost, recovered = outcome.events("lost", "recovered")
    assert (lost.kind, recovered.kind) == ("lost", "recovered")
    assert recovered.fields["reordered"] is (name == "restart in another order")
    assert set(kinds) - {"lost", "recovered", "fault", "gap", "mismatch"} == set()


@each(*RETURNS)
def test_one_alarm_is_raised_and_cleared_and_by_the_seizure(outcome, name):
    alarms = outcome.events("alarm_on", "alarm_off")
    assert [e.kind for e in alarms] == ["alarm_on", "alarm_off"]
    counter = dict(zip(outcome.stamps.tolist(), outcome.counts.tolist(), strict=True))
    on_s, off_s = (counter[event.time] / SFREQ for event in alarms)
    # how long the stream is looked for depends on the machine; then filters and window settle
    decided_s = counter[outcome.events("gap")[0].fields["t1"]] / SFREQ + SETTLING_S
    assert SEIZURE[0] < on_s < max(SEIZURE[0], decided_s) + ALARM_DELAY_S
    assert SEIZURE[1] < off_s < max(SEIZURE[1], decided_s) + ALARM_DELAY_S


@each("restart as another, then as itself")
def test_another_stream_is_told_and_not_taken(outcome, name):
    (mismatch,) = outcome.events("mismatch")
    assert "3 channels instead of 4 (missing: count; new: none)" in mismatch.fields["reason"]


MISMATCHES = {
    "restart with half the rate": r"must come back as it was, got 128 Hz instead of 256 Hz",
    "restart with a channel less": r"got 3 channels instead of 4 \(missing: count; new: none\)",
    "restart with other names": r"must come back as it was, got 4 channels instead of 4 \(missing: C3, Cz, C4, count;",
}


@each(*MISMATCHES)
def test_another_stream_ends_the_session_with_what_differs(outcome, name):
    assert isinstance(outcome.error, ChannelMismatch)
    with pytest.raises(ChannelMismatch, match=MISMATCHES[name]):
        raise outcome.error


@each("killed for good", "restart with another id")
def test_a_stream_that_does_not_come_back_in_time_ends_the_session(outcome, name):
    """Another ``source_id`` is another device, even under the same name."""
    assert outcome.summary.lost
    limit_s = 1 if name == "killed for good" else 3
    assert f"must come back within {limit_s} s, it has not" in outcome.summary.ended


@each("killed with nobody waiting")
def test_without_a_wait_the_session_ends_with_the_stream(outcome, name):
    assert outcome.summary.lost
    assert "got a lost connection after" in outcome.summary.ended


@each(*ENDS)
def test_nothing_that_arrived_before_the_end_is_missing(outcome, name):
    np.testing.assert_array_equal(outcome.counts, np.arange(outcome.counts.size))
    np.testing.assert_array_equal(outcome.tape.recorded(), outcome.counts)
    # what was still on its way went with the sender
    assert 0 <= 8 * SFREQ - outcome.counts.size < 0.1 * SPEED * SFREQ
    assert outcome.kinds()["lost"] == 1
    assert "gap" not in outcome.kinds()


@each("killed for good", "killed with nobody waiting", "killed and started again")
def test_a_killed_sender_has_said_no_last_word(outcome, name):
    assert outcome.exit_codes[0] == -9
    assert outcome.injected[-1]["kind"] == "kill"
