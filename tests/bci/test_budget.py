"""Budgets: a state machine whose laws hold for every course of latencies."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bci.budget import LONGEST_RECOVERY, STAGES, Budget, BudgetSpec, Miss, Policy
from bci.errors import SpecError
from bci.records import record_from_dict

POLICIES = (None, "skip_window", "widen_hop", "fallback_model", "alarm_fault")
LIMIT_MS = 10.0


def spec_of(policy, **changes):
    fallback = "small" if policy == "fallback_model" else None
    return BudgetSpec(total_ms=LIMIT_MS, policy=policy, fallback=fallback, **changes)


def took(ms, **stages_ms):
    return {stage: value / 1e3 for stage, value in ({"total": ms} | stages_ms).items()}


@st.composite
def courses(draw):
    """A policy with its numbers, and whether each window would miss its budget."""
    within = draw(st.integers(1, 12))
    spec = spec_of(
        draw(st.sampled_from(POLICIES)),
        misses=draw(st.integers(1, within)),
        within=within,
        recover=draw(st.integers(1, 10)),
        widest=draw(st.integers(2, 9)),
    )
    runs = draw(st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=12))
    return spec, [missed for missed, n in runs for _ in range(n)]


def play(spec, course):
    """Go through windows as a session does; return the budget and, per window, (skipped, missed, change, acting)."""
    budget, steps = Budget(spec), []
    for missed in course:
        if budget.skips_next:
            budget.skipped()
            steps.append((True, False, None, budget.acting))
            continue
        miss, change = budget.take(took(20.0 if missed else 1.0))
        assert (miss is not None) == missed
        steps.append((False, missed, change, budget.acting))
    return budget, steps


@given(courses())
def test_every_miss_is_counted_and_the_policy_begins_and_ends_in_turn(case):
    spec, course = case
    budget, steps = play(spec, course)
    computed = [missed for skipped, missed, _, _ in steps if not skipped]
    assert (budget.n_taken, budget.n_missed) == (len(computed), sum(computed))
    assert budget.by_stage == Counter({"total": sum(computed)} if any(computed) else {})
    turns = [change for *_, change, _ in steps if change in ("acts", "ends")]
    assert turns == ["acts", "ends"] * (len(turns) // 2) + ["acts"] * (len(turns) % 2)
    assert budget.n_acted == turns.count("acts")
    assert budget.acting == bool(len(turns) % 2)
    assert spec.policy is not None or not turns


@given(courses())
def test_it_acts_exactly_when_so_many_of_the_last_missed(case):
    spec, course = case
    _, steps = play(spec, course)
    if spec.policy is None:
        return
    n_missed, acting = [], False
    for skipped, missed, change, now_acting in steps:
        if skipped:
            continue
        if acting:
            n_missed = []
        else:
            n_missed = [*n_missed, missed][-spec.within :]
            assert (sum(n_missed) >= spec.misses) == (change == "acts")
        acting = now_acting


@given(courses())
def test_it_never_ends_in_the_middle_of_misses(case):
    """The last `recover` predictions before the end were within the budget."""
    spec, course = case
    _, steps = play(spec, course)
    good = 0
    for skipped, missed, change, _ in steps:
        if skipped:
            continue
        good = 0 if missed else good + 1
        if change in ("ends", "narrows"):
            assert good >= spec.recover


@given(courses())
def test_windows_are_left_out_only_as_the_policy_says(case):
    spec, course = case
    budget, steps = play(spec, course)
    in_a_row, after_miss, acting = 0, False, False
    for skipped, missed, _, now_acting in steps:
        if skipped:
            in_a_row += 1
            assert acting
            assert spec.policy in ("skip_window", "widen_hop")
            assert in_a_row <= (1 if spec.policy == "skip_window" else spec.widest - 1)
            assert spec.policy != "skip_window" or after_miss
        else:
            in_a_row, after_miss = 0, missed
        acting = now_acting
    assert 1 <= budget.hop <= max(1, spec.widest)
    assert budget.hop == 1 or (budget.acting and spec.policy == "widen_hop")


@pytest.mark.parametrize("policy", ["skip_window", "fallback_model", "alarm_fault"])
def test_a_policy_that_helps_does_not_flap(policy):
    """Slow without it, fast with it: it ends ever more rarely, until 64 times `recover`."""
    budget = Budget(spec_of(policy, misses=2, within=4, recover=5))
    for _ in range(20_000):
        budget.skipped()
        budget.take(took(1.0 if budget.acting else 20.0))
    longest = LONGEST_RECOVERY * 5
    assert 6 < budget.n_acted <= 8 + 20_000 / longest
    assert budget.n_missed == 2 * (budget.n_acted - 1) + (2 if budget.acting else budget.n_missed % 2)


def test_a_quiet_time_shortens_the_recovery_again():
    budget = Budget(spec_of("alarm_fault", misses=1, within=1, recover=2))

    def act_and_end():
        budget.take(took(20.0))
        assert budget.acting
        n = 0
        while budget.acting:
            budget.take(took(1.0))
            n += 1
        return n

    assert [act_and_end() for _ in range(4)] == [2, 4, 8, 16]
    for _ in range(100):
        budget.take(took(1.0))
    assert act_and_end() == 2


def test_a_wider_hop_goes_up_and_down_by_twos():
    budget = Budget(spec_of("widen_hop", misses=2, within=5, recover=3, widest=8))
    hops = [budget.hop]
    for ms in [20.0] * 12 + [1.0] * 20:
        while budget.skips_next:
            budget.skipped()
        budget.take(took(ms))
        if budget.hop != hops[-1]:
            hops.append(budget.hop)
    assert hops == [1, 2, 4, 8, 4, 2, 1]


def test_of_several_stages_the_one_that_is_over_by_the_largest_factor_is_named():
    budget = Budget(BudgetSpec(total_ms=50.0, engine_ms=2.0, publish_ms=1.0))
    assert budget.take(took(60.0, engine=9.0, publish=0.5)) == (Miss("engine", 9e-3, 2e-3), None)
    assert budget.take(took(49.0, engine=2.0)) == (None, None)  # the limit itself is kept
    assert budget.by_stage == {"total": 1, "engine": 1}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"engine_ms": 0.0}, "A budget needs engine_ms above 0 ms, got 0. Leave it out for none"),
        ({"total_ms": -5.0}, "A budget needs total_ms above 0 ms, got -5"),
        ({"misses": 5, "within": 4}, "needs 1 <= misses <= within, .* got misses=5, within=4"),
        ({"recover": 0}, "recover of at least 1 and widest of at least 2, got .*recover=0"),
        ({"widest": 1}, "recover of at least 1 and widest of at least 2, got .*widest=1"),
        ({"policy": "skip_window"}, "The policy skip_window needs a limit that can be missed, got none"),
        ({"total_ms": 1.0, "policy": "fallback_model"}, "go together, got policy fallback_model and fallback None"),
        ({"total_ms": 1.0, "fallback": "b"}, "go together, got policy None and fallback b. Set both or neither"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused(fields, message):
    with pytest.raises(SpecError, match=message):
        BudgetSpec(**fields)


def test_the_document_has_every_limit_and_policy_and_an_example_that_holds():
    text = (Path(__file__).resolve().parents[2] / "docs" / "budget.md").read_text()
    example = tomllib.loads(text.partition("```toml")[2].partition("```")[0])
    assert record_from_dict(BudgetSpec, example["budget"], "[budget]").policy == "widen_hop"
    missing = [word for word in (*get_args(Policy), *(f"{stage}_ms" for stage in STAGES)) if f"`{word}`" not in text]
    assert not missing
