"""A session with a budget: what is too slow is told and counted, and the declared policy acts and ends."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bci.budget import BudgetSpec
from bci.decision import AlarmSpec, DecisionSpec, State
from bci.decoder import Decoder
from bci.fallback import FallbackDecoder
from bci.pipeline import PipelineSpec, Window
from bci.session import Session, SessionSettings
from tests.bci.budgeted import CHUNK, CLASSES, HOP, Timed, run
from tests.bci.scripted import IDENTITY, SIGNAL, Clock, Script, Sums, Tape, samples


def policy_events(tape):
    return [(e.fields["change"], e.fields["hop"]) for e in tape.events() if e.kind == "budget_policy"]


def indices(tape):
    return [output.prediction.index for output in tape.of("prediction")]


def test_without_a_budget_nothing_is_said():
    summary, tape, _ = run(BudgetSpec(), lambda n: 0.05)
    assert summary.budget is None
    assert not [e for e in tape.events() if e.kind.startswith("budget")]
    assert not [e for e in tape.events() if "budget" in e.fields]
    assert indices(tape) == list(range(100))


def test_the_status_tells_limits_and_misses():
    summary, tape, _ = run(BudgetSpec(compute_ms=20.0), lambda n: 0.05 if n < 7 else 0.0)
    told = [e.fields["budget"] for e in tape.events() if e.kind == "status"]
    assert told[-1] == {"limits_ms": {"compute": 20.0}, "missed": summary.budget.missed}
    assert summary.budget.missed == 7


def test_misses_are_told_with_their_stage_at_most_once_a_second_and_all_counted():
    budget = BudgetSpec(engine_ms=30.0, total_ms=1000.0)
    summary, tape, _ = run(budget, lambda n: 0.04 if n % 2 else 0.05 if n == 20 else 0.001)
    missed = [e for e in tape.events() if e.kind == "budget_missed"]
    assert summary.budget.missed == sum(e.fields["n_missed"] for e in missed) == 51
    assert summary.counts["budget_missed"] == len(missed)
    assert {e.fields["stage"] for e in missed} == {"engine"}
    assert np.diff([e.time for e in missed][:-1]).min() >= 1.0
    assert len(missed) >= 10
    assert missed[0].fields["last_sample"] == 59  # the second window
    assert missed[0].fields["spent_ms"] == pytest.approx(40.0, abs=0.1)
    assert max(e.fields["spent_ms"] for e in missed) == pytest.approx(50.0, abs=0.1)  # the worst of the second
    assert {e.fields["limit_ms"] for e in missed} == {30.0}
    assert summary.budget.by_stage == {"engine": 51}
    assert (summary.budget.predictions, summary.budget.policy, summary.budget.acted) == (100, None, 0)
    json.dumps(summary.budget.limits_ms)


def test_compute_begins_with_the_receipt():
    summary, _, _ = run(BudgetSpec(compute_ms=30.0), lambda n: 0.04 if n < 7 else 0.001)
    assert summary.budget.by_stage == {"compute": 7}


def test_stamps_of_another_clock_miss_nothing():
    budget = BudgetSpec(total_ms=30.0, receive_ms=1.0, engine_ms=30.0)
    clock_off = {"signal": SIGNAL}

    class Late(Script):
        def stamp(self, sample):
            return super().stamp(sample) - 1000.0

    clock = Clock()
    decoder = Decoder(
        PipelineSpec(SIGNAL, (), Window(0.5, 0.1)).build(), Timed(clock, lambda n: 0.0), DecisionSpec(CLASSES)
    )
    session = Session(
        Late(clock, [samples(100)], **clock_off),
        decoder,
        IDENTITY,
        SessionSettings("out", budget=budget),
        None,
        [Tape()],
        clock,
    )
    assert session.run().budget.missed == 0


@pytest.mark.parametrize("chunk", [1, CHUNK, 35])
def test_skip_window_leaves_out_the_window_after_each_miss(chunk):
    budget = BudgetSpec(engine_ms=30.0, policy="skip_window", misses=2, within=4, recover=3)
    summary, tape, engine = run(budget, lambda n: 0.04 if n < 6 else 0.001, chunk=chunk)
    assert policy_events(tape) == [("acts", 1), ("ends", 1)]
    found = indices(tape)
    assert found == [0, 1, 3, 5, 7, 9, *range(11, 100)]
    assert summary.n_skipped == 100 - len(found)
    assert engine.n_calls == len(found)
    assert [o.prediction.last_sample for o in tape.of("prediction")] == [49 + HOP * i for i in found]


def test_widen_hop_computes_ever_fewer_windows_and_goes_back():
    budget = BudgetSpec(engine_ms=30.0, policy="widen_hop", misses=2, within=4, recover=4, widest=4)
    summary, tape, _ = run(budget, lambda n: 0.04 if n < 5 else 0.001)
    assert policy_events(tape) == [("acts", 2), ("widens", 4), ("narrows", 2), ("ends", 1)]
    assert sorted(set(np.diff(indices(tape)).tolist())) == [1, 2, 4]
    assert summary.budget.acted == 1
    assert indices(tape)[-20:] == list(range(80, 100))


def test_alarm_fault_holds_alarms_while_it_lasts():
    """The watched class is always sure: without the fault the alarm would be raised with the first window."""
    budget = BudgetSpec(engine_ms=30.0, policy="alarm_fault", misses=2, within=4, recover=5)
    alarm = AlarmSpec("b", 0.4, 0.3, k=4, n=4)
    _, tape, _ = run(budget, lambda n: 0.04 if n < 6 else 0.001, n_windows=40, alarm=alarm)
    states = [output.prediction.state for output in tape.of("prediction")]
    assert policy_events(tape) == [("acts", 1), ("ends", 1)]
    assert State.FAULT not in states[:2]
    assert states[2:11] == [State.FAULT] * 9  # known after the second, until five in a row were in time
    assert State.FAULT not in states[11:]
    kinds = [e.kind for e in tape.events("status", "budget_missed")]
    assert kinds.index("budget_policy") < kinds.index("fault") < kinds.index("alarm_on")
    (on,) = [e for e in tape.events() if e.kind == "alarm_on"]
    assert on.fields["last_sample"] == 49 + HOP * 12  # two votes before the fault, and two after it


class Constant(Sums):
    """A small network that always says the same."""

    def __call__(self, batch):
        return np.full((len(batch), 2), [0.0, 2.0], np.float32)


def standby_of(clock, window_s=0.5, hop_s=0.1, classes=CLASSES, signal=SIGNAL, temperature=2.0):
    pipeline = PipelineSpec(signal, (), Window(window_s, hop_s))
    return Decoder(pipeline.build(), Constant(), DecisionSpec(classes, temperature=temperature), clock)


@pytest.mark.parametrize("chunk", [1, CHUNK, 35])
@pytest.mark.parametrize("window_s", [0.5, 0.2])
def test_a_fallback_model_predicts_while_the_first_is_too_slow(window_s, chunk):
    budget = BudgetSpec(engine_ms=30.0, policy="fallback_model", fallback="small", misses=2, within=4, recover=10)
    summary, tape, engine = run(
        budget, lambda n: 0.04 if n < 2 else 0.001, chunk=chunk, standby_of=lambda clock: standby_of(clock, window_s)
    )
    assert policy_events(tape) == [("acts", 1), ("ends", 1)]
    assert indices(tape) == list(range(100))
    outputs = [output.prediction for output in tape.of("prediction")]
    assert [p.last_sample for p in outputs] == [49 + HOP * i for i in range(100)]
    calm = 1 / (1 + np.exp(-1.0))  # logits 0 and 2 at the small model's temperature of 2
    by_small = [bool(np.isclose(p.probabilities[1], calm)) for p in outputs]
    assert by_small == [2 <= i < 12 for i in range(100)]
    assert (engine.n_calls, summary.n_skipped) == (90, 0)


def test_both_models_start_anew_after_a_gap():
    """While it falls back, too: the first window after the gap is whole in both."""
    clock = Clock()
    decoder = FallbackDecoder(
        PipelineSpec(SIGNAL, (), Window(0.5, 0.1)).build(), Sums(), DecisionSpec(CLASSES), None, standby_of(clock)
    )
    decoder.falls_back = True
    tape = Tape()
    steps = [samples(60), 1.0, samples(60), samples(30)]
    session = Session(Script(clock, steps), decoder, IDENTITY, SessionSettings("out"), None, [tape], clock)
    summary = session.run()
    assert [o.prediction.last_sample for o in tape.of("prediction")] == [49, 59, 209, 219, 229, 239, 249]
    assert summary.counts["gap"] == 1
    decoder.prepare()
    decoder.rehearse()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("a", "c")}, "A fallback model needs the classes a, b, got a, c"),
        (
            {"signal": SIGNAL.__class__(100.0, ("Fz",))},
            "A fallback model needs the channels of the first, got others: ",
        ),
        ({"hop_s": 0.2}, r"at the samples of the first \(49 and every 10 from there\), got 49 and every 20"),
        ({"window_s": 0.6}, "needs predictions at the samples of the first .*, got 59 and every 10"),
        ({"window_s": 0.45}, "needs predictions at the samples of the first .*, got 44 and every 10"),
    ],
)
def test_a_fallback_that_does_not_fit_is_refused(changes, message):
    clock = Clock()
    pipeline = PipelineSpec(SIGNAL, (), Window(0.5, 0.1)).build()
    with pytest.raises(ValueError, match=message):
        FallbackDecoder(pipeline, Sums(), DecisionSpec(CLASSES), None, standby_of(clock, **changes))
