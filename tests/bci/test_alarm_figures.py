"""Live figures: counted prediction by prediction, and equal to what is computed over the whole run at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from bci.alarm import Alarm, AlarmSpec, State
from bci.alarm_figures import AFTER_S, DAY_S, MAX_DURATION_S, AlarmFigures, Onset, poisson_interval, seizure_onset
from offline.seizure_events import MERGE_S, Span, onset_delays

HOP_S = 0.5


def run(levels, onsets=(), hop_s=HOP_S, speed=1.0, latch=False):
    """Let the n-th prediction come n hops of signal after time 100; a level of None is a fault."""
    alarm, figures = Alarm(AlarmSpec("seizure", 0.8, 0.4, latch=latch), hop_s), AlarmFigures(hop_s)
    for onset in onsets:
        figures.expect(onset)
    for n, level in enumerate(levels):
        changed = alarm.step(0.0 if level is None else level, trusted=level is not None)
        figures.take(alarm.now, changed, alarm.flags.on, 100.0 + n * hop_s / speed, speed)
    return figures.figures()


def test_before_anything_nothing_is_known():
    found = AlarmFigures(HOP_S).figures()
    assert (found.observed_s, found.n_alarms, found.n_seizures, found.n_detected) == (0.0, 0, 0, 0)
    unknown = (found.alarm_share, found.per_day, found.per_day_low, found.per_day_high, found.delay_s)
    assert unknown == (None,) * 5


def test_the_time_in_warning_is_a_share_of_what_could_be_judged():
    """Four predictions in alarm out of eight; the alarm that the fault hides counts on neither side."""
    found = run([0.0, 0.9, 0.9, None, None, 0.9, 0.5, 0.0, 0.85, 0.0][:10])
    assert found.observed_s == 8 * HOP_S
    assert found.alarm_share == 5 / 8
    assert found.n_alarms == 2


def test_a_warning_is_no_alarm():
    """Refractory time and missing votes show as warnings; time in warning means alarms."""
    alarm, figures = Alarm(AlarmSpec("seizure", 0.8, 0.4, k=3, n=3), HOP_S), AlarmFigures(HOP_S)
    for _ in range(2):
        changed = alarm.step(0.9)
        assert alarm.now is State.WARNING
        figures.take(alarm.now, changed, alarm.flags.on, 0.0)
    assert figures.figures().alarm_share == 0.0
    assert figures.figures().observed_s == 1.0


def test_alarms_per_day_have_an_exact_interval():
    levels = [0.9, 0.0] * 3 + [0.0] * (int(DAY_S / 60.0) - 6)
    found = run(levels, hop_s=30.0)
    assert found.observed_s == DAY_S / 2
    assert found.per_day == 6.0
    assert (found.per_day_low, found.per_day_high) == pytest.approx(
        (2 * 0.6187, 2 * 8.7673), rel=1e-3
    )  # Garwood's table


@pytest.mark.parametrize("n", [0, 1, 2, 7, 40, 1000])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_the_interval_of_a_count_leaves_as_much_on_both_sides(n, confidence):
    low, high = poisson_interval(n, confidence)
    assert poisson.cdf(n, high) == pytest.approx((1 - confidence) / 2)
    assert (poisson.sf(n - 1, low) if n else 0.0) == pytest.approx((1 - confidence) / 2 if n else 0.0)


def test_delays_from_the_nearest_onset_before():
    levels = np.zeros(1000)
    levels[[20, 21, 40, 300]] = 0.9  # at 110 and 110.5, 120, 250 s
    onsets = [Onset(104.0, 10.0), Onset(113.0, 20.0), Onset(200.0, 20.0)]
    found = run(levels, onsets)
    assert (found.n_seizures, found.n_detected, found.n_alarms) == (3, 3, 3)
    assert (found.delay_s, found.newest_delay_s) == (7.0, 50.0)  # of 6, 7 and 50 s


@pytest.mark.parametrize(("late_s", "detected"), [(0.0, 1), (10.0, 1), (9.5 + AFTER_S, 1), (10.0 + AFTER_S, 0)])
def test_an_alarm_belongs_to_a_seizure_up_to_a_minute_after_its_end(late_s, detected):
    levels = np.zeros(400)
    levels[40 + round(late_s / HOP_S)] = 0.9
    found = run(levels, [Onset(120.0, 10.0)])
    assert (found.n_seizures, found.n_detected) == (1, detected)
    assert found.delay_s == (late_s if detected else None)


def test_an_alarm_that_is_on_when_a_seizure_begins_detects_it_at_once():
    for levels in ([0.9] * 60, [0.9] * 15 + [None] * 45):
        assert run(levels, [Onset(110.0, 10.0)]).delay_s == 0.0
    assert run([0.9] * 60, [Onset(100.0, 10.0)]).delay_s == 0.0  # raised with the onset
    assert run([0.0] * 20 + [0.9] * 9, [Onset(109.9, 10.0)]).delay_s == pytest.approx(0.1)


def test_one_alarm_detects_one_seizure_and_an_alarm_before_the_onset_none():
    """The offline score allows alarms up to 30 s early, but a delay from the onset would be negative."""
    levels = np.zeros(400)
    levels[[10, 50]] = 0.9
    found = run(levels, [Onset(110.0, 5.0), Onset(112.0, 5.0)])
    assert (found.n_seizures, found.n_detected, found.delay_s) == (2, 1, 13.0)


def test_delays_are_seconds_of_signal_however_fast_a_replay_runs():
    levels = np.zeros(400)
    levels[40] = 0.9  # 20 s of signal, 5 s of clock after the beginning
    found = run(levels, [Onset(101.0, 10.0)], speed=4.0)
    assert (found.delay_s, found.n_seizures) == (pytest.approx(16.0), 1)


def test_a_seizure_that_is_not_over_is_not_counted_yet():
    assert run([0.0] * 10, [Onset(101.0, 10.0)]).n_seizures == 0


def test_a_break_ends_open_seizures_and_forgets_those_ahead():
    figures = AlarmFigures(HOP_S)
    figures.expect(Onset(100.0, 10.0))
    figures.expect(Onset(200.0, 10.0))
    figures.take(State.OK, None, False, 101.0)
    figures.expect(Onset(300.0, 10.0))
    figures.break_off(300.0)
    figures.take(State.ALARM, "alarm_on", True, 205.0)
    assert (figures.figures().n_seizures, figures.figures().n_detected) == (1, 0)
    figures.take(State.ALARM, None, True, 301.0)  # one of the new sequence, known before the break
    assert (figures.figures().n_seizures, figures.figures().n_detected) == (2, 1)


@given(
    st.lists(st.sampled_from([0.0, 0.5, 0.9]), min_size=1, max_size=150),
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 10)), max_size=3),
)
def test_delays_are_those_of_the_offline_score(levels, gaps_and_lengths):
    """Seizures far enough from each other for an alarm to belong to one of them only."""
    seizures, at = [], 0.0
    for gap, length in gaps_and_lengths:
        begin = at + gap
        seizures.append(Span(begin, begin + length))
        at = begin + length + MERGE_S
    hop_s = 2.0
    levels = [*levels, *[0.0] * 400]
    alarm, alarms, on = Alarm(AlarmSpec("seizure", 0.8, 0.4), hop_s), [], 0.0
    for n, level in enumerate(levels):
        changed = alarm.step(level)
        if changed == "alarm_on":
            on = n * hop_s
        elif changed == "alarm_off":
            alarms.append(Span(on, n * hop_s))
    found = run(levels, [Onset(100.0 + s.start_s, s.stop_s - s.start_s) for s in seizures], hop_s)
    wanted = [max(0.0, delay) for delay in onset_delays(seizures, alarms)]
    assert found.n_seizures == len(seizures)
    assert found.n_detected == len(wanted)
    assert found.delay_s == (pytest.approx(float(np.median(wanted))) if wanted else None)


@pytest.mark.parametrize(
    "description", ["sz", "sz_foc_ia", "Seizure", " seizure onset", "seizure 3", "ictal", "SEIZURE start", "spasm"]
)
def test_descriptions_of_seizures(description):
    assert seizure_onset(7.0, {"description": description, "duration": 12}, "Spasm") == Onset(7.0, 12.0)


@pytest.mark.parametrize(
    "description",
    ["bckg", "no seizure", "seizure end", "seizure offset", "interictal", "eyes closed", "", " ", None, 3, ["sz"]],
)
def test_descriptions_of_something_else(description):
    assert seizure_onset(7.0, {"description": description, "duration": 12}, "") is None


@pytest.mark.parametrize(
    ("duration", "taken_s"),
    [(3, 3.0), (0.5, 0.5), (1e9, MAX_DURATION_S), (float("inf"), MAX_DURATION_S), (10**400, MAX_DURATION_S)]
    + [(wrong, 0.0) for wrong in (-1.0, float("nan"), True, "12", None, [])],
)
def test_a_duration_from_outside_is_a_number_or_not_known(duration, taken_s):
    assert seizure_onset(7.0, {"description": "sz", "duration": duration}, "") == Onset(7.0, taken_s)
