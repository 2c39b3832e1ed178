"""Seizure events: the rules of SzCORE, delays, and alarms as the decision raises them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bci.decision import AlarmSpec, Decision, DecisionSpec, State
from bci.errors import SpecError
from offline.calibrate import fit_temperature
from offline.seizure_alarm import Track, choose_alarm, figures, of_people, score_tracks, shifted_chance
from offline.seizure_events import EventScore, Span, alarm_spans, merged, pooled, score_events

HOUR_S = 3600.0
SEIZURE = Span(1000.0, 1040.0)
CLASSES = ("background", "seizure")


def random_spans(rng: np.random.Generator, duration_s: float, n: int) -> list[Span]:
    """Return spans that do not touch, at tenths of a second, where the reference scorer rounds."""
    edges = np.sort(rng.choice(np.arange(1, round(duration_s * 10) - 1), 2 * n, replace=False)) / 10
    return [Span(a, b) for a, b in edges.reshape(-1, 2).tolist()]


@pytest.mark.parametrize("seed", range(25))
def test_counts_are_those_of_the_szcore_scorer(seed):
    """Found and false events equal the published implementation's on random truth and alarms."""
    annotations = pytest.importorskip("timescoring.annotations", reason="needs timescoring (extra dev)")
    scoring = pytest.importorskip("timescoring.scoring", reason="needs timescoring (extra dev)")
    rng = np.random.default_rng(seed)
    truth, alarms = (random_spans(rng, HOUR_S, int(rng.integers(0, 9))) for _ in range(2))
    reference, hypothesis = (
        annotations.Annotation([(s.start_s, s.stop_s) for s in spans], 10, round(HOUR_S * 10))
        for spans in (truth, alarms)
    )
    wanted = scoring.EventScoring(reference, hypothesis)
    score = score_events(truth, alarms, HOUR_S)
    assert (score.n_seizures, score.n_found, score.n_false) == (wanted.refTrue, wanted.tp, wanted.fp)
    np.testing.assert_allclose([score.f1, score.sensitivity], [wanted.f1, wanted.sensitivity])
    assert score.false_per_day == pytest.approx(wanted.fpRate)


@pytest.mark.parametrize(
    ("alarm", "found", "false"),
    [
        (Span(1005.0, 1010.0), 1, 0),
        (Span(960.0, 971.0), 1, 0),  # within 30 s before
        (Span(960.0, 969.0), 0, 1),
        (Span(1099.0, 1120.0), 1, 0),  # within 60 s after
        (Span(1101.0, 1120.0), 0, 1),
    ],
)
def test_tolerance(alarm, found, false):
    score = score_events([SEIZURE], [alarm], HOUR_S)
    assert (score.n_found, score.n_false) == (found, false)


def test_close_events_are_one_and_long_events_are_several():
    assert merged([Span(100.0, 110.0), Span(0.0, 10.1)]) == [Span(0.0, 110.0)]
    assert merged([Span(0.0, 10.0), Span(100.0, 110.0)]) == [Span(0.0, 10.0), Span(100.0, 110.0)]
    assert merged([Span(0.0, 620.0)]) == [Span(0.0, 300.0), Span(300.0, 600.0), Span(600.0, 620.0)]


@pytest.mark.parametrize(
    ("alarms", "delays"),
    [
        ([Span(1007.5, 1040.0)], (7.5,)),
        ([Span(980.0, 1020.0)], (0.0,)),
        ([Span(980.0, 990.0), Span(1012.0, 1020.0)], (12.0,)),  # the early alarm is over: it detects nothing
        ([Span(980.0, 990.0)], ()),
    ],
)
def test_delay_is_from_the_onset_to_an_alarm_that_is_on_after_it(alarms, delays):
    score = score_events([SEIZURE], alarms, HOUR_S)
    assert score.n_found == 1
    assert score.delays_s == delays


def test_nothing_to_find_and_nothing_found():
    nothing = score_events([], [], HOUR_S)
    assert all(math.isnan(v) for v in (nothing.f1, nothing.sensitivity, nothing.precision, nothing.median_delay_s))
    silent = score_events([SEIZURE], [], HOUR_S)
    assert (silent.f1, silent.sensitivity) == (0.0, 0.0)
    noisy = score_events([], [Span(10.0, 20.0)], HOUR_S)
    assert (noisy.f1, noisy.false_per_day, noisy.alarm_s) == (0.0, 24.0, 10.0)


def test_pooling_adds_up():
    a = EventScore(2, 1, 3, 100.0, (4.0,), 9.0)
    b = EventScore(1, 1, 0, 50.0, (8.0,), 6.0)
    assert pooled([a, b]) == EventScore(3, 2, 3, 150.0, (4.0, 8.0), 15.0)
    assert pooled([a, b]).median_delay_s == 6.0


def test_an_impossible_span_or_length_is_refused():
    with pytest.raises(SpecError, match=r"start_s <= stop_s, got 3 and 2 s"):
        Span(3.0, 2.0)
    with pytest.raises(SpecError, match=r"length above 0 s, got 0 s"):
        score_events([], [], 0.0)


# --- alarms ---------------------------------------------------------------------------------------------------------


def track(seed: int, duration_s: float = 900.0, gain: float = 8.0, hop_s: float = 0.5) -> Track:
    """Return a track whose logits rise during a seizure of 40 s."""
    rng = np.random.default_rng(seed)
    times_s = np.arange(8.0, duration_s, hop_s)
    onset_s = float(rng.uniform(0.2, 0.8)) * duration_s
    logit = rng.standard_normal(len(times_s)) - 3 + gain * ((times_s > onset_s) & (times_s < onset_s + 40))
    logits = np.stack([np.zeros_like(logit), logit], axis=1)
    return Track(logits, times_s, times_s > 12, (Span(onset_s, onset_s + 40),), duration_s)


def test_alarm_spans_begin_when_the_alarm_is_known():
    times_s = np.arange(10) * 0.5
    logit = np.array([-5.0, -5, 5, 5, 5, -5, -5, 5, 5, 5])
    decision = DecisionSpec(CLASSES, alarm=AlarmSpec("seizure", 0.5, 0.5, k=2, n=2))
    logits = np.stack([np.zeros(10), logit], axis=1)
    spans = alarm_spans(logits, times_s, np.full(10, True), decision, 0.5)
    assert spans == [Span(1.5, 2.5), Span(4.0, 5.0)]  # the last one is still on at the end
    unsettled = alarm_spans(logits, times_s, times_s > 3, decision, 0.5)
    assert unsettled == [Span(4.0, 5.0)]


def stepped(track: Track, decision: DecisionSpec, hop_s: float) -> list[Span]:
    """Return the alarms of the runtime's own decision."""
    judge = Decision(decision, hop_s)
    on = [
        judge.step(row, 1.0, bool(ready)).state is State.ALARM
        for row, ready in zip(track.logits, track.settled, strict=True)
    ]
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.array(on, dtype=int), [0]])))
    ends = np.append(track.times_s, track.times_s[-1] + hop_s)
    return [Span(float(ends[a]), float(ends[b])) for a, b in edges.reshape(-1, 2)]


@pytest.mark.parametrize("seed", range(20))
def test_alarms_over_a_recording_are_those_of_the_runtime(seed):
    """One definition of the alarm: computed at once for tuning, step by step live."""
    rng = np.random.default_rng(seed)
    on = float(rng.uniform(0.2, 0.9))
    n = int(rng.integers(1, 7))
    alarm = AlarmSpec(
        "seizure",
        on,
        on * float(rng.uniform(0.2, 1.0)),
        int(rng.integers(1, n + 1)),
        n,
        min_duration_s=float(rng.choice([0.0, 0.5, 5.0])),
        refractory_s=float(rng.choice([0.0, 0.5, 30.0])),
    )
    decision = DecisionSpec(CLASSES, float(rng.uniform(0.5, 3)), float(rng.choice([0.0, 1.0, 3.0])), alarm=alarm)
    noisy = track(seed, duration_s=300.0, gain=2.0)
    noisy = replace(noisy, logits=noisy.logits * 2 + [0, 4])
    assert alarm_spans(noisy.logits, noisy.times_s, noisy.settled, decision, 0.5) == stepped(noisy, decision, 0.5)


def test_alarms_need_something_to_watch():
    with pytest.raises(SpecError, match=r"watches a class, got one without an alarm"):
        alarm_spans(np.zeros((1, 2)), np.zeros(1), np.full(1, True), DecisionSpec(CLASSES), 0.5)


def test_the_chosen_alarm_finds_clear_seizures_of_other_patients():
    decision = choose_alarm([track(i) for i in range(6)], CLASSES, 0.5)
    score = pooled(score_tracks([track(i) for i in range(10, 16)], decision, 0.5))
    assert decision.alarm is not None
    assert decision.alarm.label == "seizure"
    assert score.f1 > 0.9
    assert score.median_delay_s < 5


def test_the_same_alarms_at_other_times_find_less():
    tracks = [track(i) for i in range(6)]
    decision = choose_alarm(tracks, CLASSES, 0.5)
    chance = shifted_chance(tracks, decision, 0.5, np.random.default_rng(0), n_draws=50)
    assert 0 < chance["sensitivity"] < 0.4  # 40 s alarm and 130 s with tolerances, in 900 s
    assert chance["f1"] < 0.4


def test_figures_have_intervals_over_patients():
    scores = score_tracks([track(i, gain=3.5) for i in range(12)], choose_alarm([track(99)], CLASSES, 0.5), 0.5)
    found = figures(scores, np.random.default_rng(0), n_draws=200)
    assert found["n_seizures"] == 12
    low, high = found["f1"]["interval"]
    assert low <= found["f1"]["value"] <= high
    assert found == figures(scores, np.random.default_rng(0), n_draws=200)
    silent = figures([EventScore(1, 0, 0, 900.0, (), 0.0)], np.random.default_rng(0), n_draws=10)
    assert silent["median_delay_s"] == {"value": None, "interval": None}
    assert silent["f1"] == {"value": 0.0, "interval": None}, "one patient says nothing of others"
    assert silent["false_per_day"]["poisson"] == [0.0, pytest.approx(3.689 * 96, rel=1e-3)]
    assert of_people(["a", "b", "a"], scores[:3]) == [pooled([scores[0], scores[2]]), scores[1]]
    assert figures(of_people([str(i) for i in range(12)], scores), np.random.default_rng(0), n_draws=200) == found


def test_an_alarm_cannot_be_chosen_without_seizures():
    with pytest.raises(SpecError, match=r"chosen by seizures, the patients have none"):
        choose_alarm([Track(np.zeros((4, 2)), np.arange(4.0), np.full(4, True), (), 10.0)], CLASSES, 1.0)


# --- calibration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_overconfident_logits_is_found(temperature):
    rng = np.random.default_rng(0)
    true = rng.standard_normal(20_000) * 2
    labels = (rng.random(len(true)) < 1 / (1 + np.exp(-true))).astype(np.int64)
    logits = temperature * np.stack([np.zeros_like(true), true], axis=1)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)


def test_a_temperature_needs_windows():
    with pytest.raises(SpecError, match=r"needs labelled windows, got none"):
        fit_temperature(np.zeros((0, 2)), np.zeros(0, dtype=np.int64))
