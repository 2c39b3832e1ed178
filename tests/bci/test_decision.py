"""The decision against its definition, and the alarm's promises for any sequence of predictions."""

import json
from collections import deque
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bci.decision import AlarmSpec, Decision, DecisionSpec, State, softmax
from bci.errors import SpecError

HOP_S = 0.25
CLASSES = ("background", "seizure")


def spec(smoothing_s=0.0, min_quality=0.5, temperature=1.0, **alarm):
    settings = {"label": "seizure", "on_threshold": 0.8, "off_threshold": 0.4} | alarm
    return DecisionSpec(CLASSES, temperature, smoothing_s, min_quality, AlarmSpec(**settings))


def logits(p):
    """Return logits whose softmax gives the watched class probability `p`."""
    return np.array([0.0, np.log(p / (1 - p))])


def run(decision, steps):
    return [decision.step(logits(p), quality, settled) for p, quality, settled in steps]


def good(*probabilities):
    return [(p, 1.0, True) for p in probabilities]


def changes(verdicts):
    return [verdict.changed for verdict in verdicts]


probabilities = st.sampled_from([0.05, 0.3, 0.5, 0.79, 0.81, 0.95]) | st.floats(0.01, 0.99)
steps = st.lists(
    st.tuples(probabilities, st.sampled_from([1.0, 0.5, 0.49, 0.0]), st.sampled_from([True] * 4 + [False]))
)
alarms = st.fixed_dictionaries(
    {
        "smoothing_s": st.sampled_from([0.0, 0.5, 2.0]),
        "n": st.integers(1, 5),
        "min_duration_s": st.sampled_from([0.0, 0.25, 0.8, 1.5]),
        "refractory_s": st.sampled_from([0.0, 0.5, 1.1, 2.0]),
    }
).flatmap(lambda fields: st.integers(1, fields["n"]).map(lambda k: spec(**fields, k=k)))


def reference(settings, sequence):
    """Return (state, changed, level) of each step, by the definitions, with times in whole hops."""
    alarm, keep = settings.alarm, np.exp(-HOP_S / settings.smoothing_s) if settings.smoothing_s else 0.0
    hops_on, hops_quiet = (np.ceil(s / HOP_S) for s in (alarm.min_duration_s, alarm.refractory_s))
    level, recent, on_at, off_at, out, faulty = None, deque(maxlen=alarm.n), None, -np.inf, [], False
    for i, (p, quality, settled) in enumerate(sequence):
        if quality < settings.min_quality:
            out.append((State.FAULT, None if faulty else "fault", level or 0.0))
            faulty = True
            continue
        faulty, changed = False, None
        if not settled:
            out.append((State.SETTLING if on_at is None else State.ALARM, None, level or 0.0))
            continue
        level = p if level is None else keep * level + (1 - keep) * p
        recent.append(level >= alarm.on_threshold)
        if on_at is None and sum(recent) >= alarm.k and i - off_at >= hops_quiet:
            on_at, changed = i, "alarm_on"
        elif on_at is not None and level < alarm.off_threshold and i - on_at >= hops_on:
            on_at, off_at, changed = None, i, "alarm_off"
            recent.clear()
        calm = State.WARNING if level >= alarm.on_threshold else State.OK
        out.append((calm if on_at is None else State.ALARM, changed, level))
    return out


@given(alarms, steps)
def test_every_step_is_the_definitions(settings, sequence):
    verdicts = run(Decision(settings, HOP_S), sequence)
    for verdict, (state, changed, level) in zip(verdicts, reference(settings, sequence), strict=True):
        assert (verdict.state, verdict.changed) == (state, changed)
        assert verdict.level == pytest.approx(level, abs=1e-12)


@given(alarms, steps)
def test_an_alarm_keeps_its_promises(settings, sequence):
    verdicts = run(Decision(settings, HOP_S), sequence)
    events = [(i, v.changed) for i, v in enumerate(verdicts) if v.changed in ("alarm_on", "alarm_off")]
    assert [kind for _, kind in events] == ["alarm_on", "alarm_off"] * (len(events) // 2) + ["alarm_on"] * (
        len(events) % 2
    )
    for (at, kind), (later, _) in pairwise(events):
        lasts_s = settings.alarm.min_duration_s if kind == "alarm_on" else settings.alarm.refractory_s
        assert (later - at) * HOP_S >= lasts_s
    for (_, quality, settled), verdict in zip(sequence, verdicts, strict=True):
        if quality < settings.min_quality:
            assert verdict.state is State.FAULT
            assert verdict.changed in (None, "fault")
        elif not settled:
            assert verdict.state in (State.SETTLING, State.ALARM)
            assert verdict.changed is None
        else:
            assert verdict.state in (State.OK, State.WARNING, State.ALARM)
        assert 0 <= verdict.level <= 1


@given(alarms, steps, steps)
def test_state_is_a_copy_that_goes_back_and_over(settings, before, after):
    decision = Decision(settings, HOP_S)
    run(decision, before)
    state = decision.state
    expected = [(v.state, v.changed, v.level) for v in run(decision, after)]
    for other in (decision, Decision(settings, HOP_S)):
        other.state = state
        assert [(v.state, v.changed, v.level) for v in run(other, after)] == expected


@given(alarms, steps)
def test_reset_starts_a_new_sequence(settings, sequence):
    decision = Decision(settings, HOP_S)
    first = [(v.state, v.changed, v.level) for v in run(decision, sequence)]
    decision.reset()
    assert [(v.state, v.changed, v.level) for v in run(decision, sequence)] == first


def test_k_of_n():
    verdicts = run(Decision(spec(k=2, n=3), HOP_S), good(0.9, 0.1, 0.1, 0.9, 0.1, 0.9))
    assert changes(verdicts) == [None] * 5 + ["alarm_on"]
    assert verdicts[0].state is State.WARNING
    assert verdicts[1].state is State.OK


def test_thresholds_are_reached_to_raise_and_undercut_to_clear():
    decision = Decision(spec(on_threshold=0.75, off_threshold=0.5), HOP_S)
    verdicts = run(decision, good(0.75 + 1e-9, 0.6, 0.5 + 1e-9, 0.5 - 1e-9))
    assert changes(verdicts) == ["alarm_on", None, None, "alarm_off"]


def test_an_alarm_is_held_in_a_fault_and_over_a_gap():
    decision = Decision(spec(), HOP_S)
    assert changes(run(decision, good(0.9))) == ["alarm_on"]
    bad = run(decision, [(0.01, 0.0, True)] * 3)
    assert changes(bad) == ["fault", None, None]
    assert {v.state for v in bad} == {State.FAULT}
    decision.restart()
    settling = run(decision, [(0.01, 1.0, False)] * 3)
    assert [(v.state, v.changed) for v in settling] == [(State.ALARM, None)] * 3
    assert changes(run(decision, good(0.1))) == ["alarm_off"]


def test_a_fault_raises_nothing_and_is_told_at_each_beginning():
    verdicts = run(Decision(spec(), HOP_S), [(0.99, 0.1, True), (0.99, 0.1, True), (0.1, 1.0, True), (0.99, 0.1, True)])
    assert changes(verdicts) == ["fault", None, None, "fault"]


def test_a_restart_forgets_what_was_smoothed():
    decision = Decision(spec(smoothing_s=10.0, k=2, n=2), HOP_S)
    run(decision, good(0.9))
    decision.restart()
    verdict = run(decision, good(0.1))[0]
    assert verdict.level == pytest.approx(0.1)
    assert changes(run(decision, good(0.99))) == [None]


@pytest.mark.parametrize("hop_s", [0.1, 0.05, 0.3, 1 / 3, 0.7])
def test_durations_are_counted_in_hops_not_summed(hop_s):
    """Eight tenths of a second are eight hops of 0.1 s, though summing them gives 0.7999999999999999."""
    for n_hops in range(1, 40):
        settings = spec(min_duration_s=n_hops * hop_s, refractory_s=n_hops * hop_s)
        decision = Decision(settings, hop_s)
        assert changes(run(decision, good(0.9, *[0.1] * n_hops))) == ["alarm_on", *[None] * (n_hops - 1), "alarm_off"]
        assert changes(run(decision, good(*[0.9] * n_hops))) == [None] * (n_hops - 1) + ["alarm_on"]


@pytest.mark.parametrize("broken", [[np.nan, 0.0], [np.inf, 0.0], [0.0, -np.inf], [np.inf, np.inf]])
def test_logits_that_are_no_numbers_are_a_fault_and_do_not_stay(broken):
    """An overflow in float16 must neither clear an alarm nor live on in the smoothing."""
    decision = Decision(spec(smoothing_s=1.0), HOP_S)
    run(decision, good(0.9))
    verdict = decision.step(np.array(broken), 1.0, True)
    assert (verdict.state, verdict.changed) == (State.FAULT, "fault")
    assert np.isnan(verdict.probabilities).all()
    assert np.isfinite(run(decision, good(0.9))[0].level)


def test_a_quality_that_is_no_number_is_a_fault():
    assert Decision(spec(), HOP_S).step(logits(0.9), np.nan, True).state is State.FAULT


def test_probabilities_are_the_softmax_of_calibrated_logits():
    raw = np.array([1.0, -2.0, 0.5], dtype=np.float32)
    settings = DecisionSpec(("a", "b", "c"), temperature=2.5)
    verdict = Decision(settings, HOP_S).step(raw, 1.0, True)
    expected = [np.exp(v / 2.5) / sum(np.exp(w / 2.5) for w in raw.tolist()) for v in raw.tolist()]
    np.testing.assert_allclose(verdict.probabilities, expected, rtol=1e-12)
    assert verdict.probabilities.dtype == np.float64
    assert (verdict.state, verdict.changed, verdict.level) == (State.OK, None, 0.0)  # nothing is watched


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=6), st.floats(0.05, 50), st.floats(-100, 100))
def test_softmax_is_a_distribution_that_no_shift_changes(values, temperature, shift):
    p = softmax(np.array(values), temperature)
    assert p.sum() == pytest.approx(1.0)
    assert (p >= 0).all()
    assert p[np.argmax(values)] == p.max()
    np.testing.assert_allclose(softmax(np.array(values) + shift, temperature), p, rtol=1e-6, atol=1e-12)


def test_softmax_of_a_batch_is_row_by_row():
    batch = np.array([[1.0, 2.0], [np.nan, 0.0], [1e4, -1e4]])
    np.testing.assert_array_equal(softmax(batch, 1.0), [softmax(row, 1.0) for row in batch])


def test_smoothing_is_an_exponential_mean_that_starts_at_the_first():
    decision = Decision(spec(smoothing_s=1.0), HOP_S)
    levels = [v.level for v in run(decision, good(0.5, 0.9, 0.1))]
    keep = np.exp(-0.25)
    second = keep * 0.5 + (1 - keep) * 0.9
    np.testing.assert_allclose(levels, [0.5, second, keep * second + (1 - keep) * 0.1], rtol=1e-12)


def test_a_verdict_holds_its_own_probabilities():
    decision = Decision(spec(), HOP_S)
    buffer = logits(0.9)
    first = decision.step(buffer, 1.0, True)
    kept = first.probabilities.copy()
    buffer[:] = 0.0
    decision.step(buffer, 1.0, True)
    np.testing.assert_array_equal(first.probabilities, kept)


@pytest.mark.parametrize("settings", [spec(k=2, n=3), DecisionSpec(("a", "b", "c"), 1.7)], ids=["alarm", "none"])
def test_settings_survive_json(settings):
    again = DecisionSpec.from_json(settings.to_json())
    assert again == settings
    assert again.to_json() == settings.to_json()


def changed(alarm=None, **fields):
    record = json.loads(spec().to_json()) | fields
    if alarm is not None:
        record["alarm"] = record["alarm"] | alarm
    return json.dumps(record)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "A decision needs JSON, got a syntax error"),
        ("[]", "A decision needs a JSON object, got list"),
        ('{"temperature": 1.0}', "decision lacks classes"),
        (changed(treshold=0.5), r"decision has unknown fields treshold\. Known: classes, temperature"),
        (changed(classes="ab"), "decision: classes must be .*, got 'ab'"),
        (changed(temperature=True), "decision: temperature must be float, got True"),
        (changed(temperature=float("nan")), "decision: temperature must be float, got nan"),
        (changed(alarm={"k": 1.0}), r"decision: alarm: k must be int, got 1\.0"),
        (changed(alarm={"lach": True}), "decision: alarm has unknown fields lach"),
        (changed(alarm={"label": "sezure"}), "The alarm watches 'sezure', the classes are background, seizure"),
    ],
)
def test_json_that_is_not_exactly_a_decision_is_refused(text, message):
    with pytest.raises(SpecError, match=message):
        DecisionSpec.from_json(text)


@pytest.mark.parametrize(
    "alarm",
    [
        {"on_threshold": 0.3},
        {"off_threshold": 0.0},
        {"on_threshold": 1.1},
        {"k": 0},
        {"k": 3, "n": 2},
        {"off_threshold": np.nan},
    ],
)
def test_thresholds_and_counts_that_do_not_fit_are_refused(alarm):
    with pytest.raises(SpecError, match=r"An alarm needs 0 < off_threshold <= on_threshold <= 1 and 1 <= k <= n, got"):
        spec(**alarm)


@pytest.mark.parametrize("seconds", [-1.0, np.nan, np.inf])
def test_durations_below_zero_are_refused(seconds):
    with pytest.raises(SpecError, match=r"needs min_duration_s and refractory_s of at least 0 s, got .* and 0"):
        spec(min_duration_s=seconds)
    with pytest.raises(SpecError, match=r"needs min_duration_s and refractory_s of at least 0 s, got 0 and"):
        spec(refractory_s=seconds)


@pytest.mark.parametrize("classes", [(), ("a",), ("a", "b", "a")])
def test_classes_must_be_two_and_differ(classes):
    with pytest.raises(SpecError, match="A decision needs at least two different classes, got"):
        DecisionSpec(classes)


@pytest.mark.parametrize(
    "fields",
    [{"temperature": 0.0}, {"temperature": np.nan}, {"temperature": np.inf}, {"smoothing_s": -1.0},
     {"smoothing_s": np.nan}, {"min_quality": 1.1}, {"min_quality": np.nan}],
)  # fmt: skip
def test_numbers_that_do_not_fit_are_refused(fields):
    with pytest.raises(SpecError, match=r"temperature > 0, smoothing_s >= 0 and min_quality within 0 to 1, got"):
        DecisionSpec(CLASSES, **fields)
