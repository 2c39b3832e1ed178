"""The alarm's promises for any sequence of predictions, faults, gaps, acknowledgements and mutes."""

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bci.alarm import Alarm, AlarmFlags, AlarmSpec, State, n_hops
from bci.errors import SpecError

HOP_S = 0.25
ON, OFF = 0.8, 0.4


def spec(**changes):
    return AlarmSpec(**({"label": "seizure", "on_threshold": ON, "off_threshold": OFF} | changes))


levels = st.sampled_from([0.0, 0.39, OFF, 0.6, 0.79, ON, 1.0])
specs = st.builds(
    spec,
    min_duration_s=st.sampled_from([0.0, 0.25, 0.8, 1.5]),
    refractory_s=st.sampled_from([0.0, 0.5, 1.1, 2.0]),
    latch=st.booleans(),
) | st.integers(1, 4).flatmap(lambda n: st.builds(spec, k=st.integers(1, n), n=st.just(n), latch=st.booleans()))

good = st.tuples(st.just("level"), levels)
bad = st.sampled_from([("fault",), ("settling",), ("lost",), ("restart",)])
gaps = st.tuples(st.just("gap"), st.integers(0, 12))
presses = st.just(("acknowledge",))
mutes = st.tuples(st.just("mute"), st.sampled_from([0.0, 0.1, 0.5, 2.0]))
acts = good | good | bad | gaps | presses
sequences = st.lists(acts, max_size=60)


def act(alarm, what, *value):
    """Let one thing happen and return what it changed."""
    match what:
        case "level":
            return alarm.step(*value)
        case "fault":
            return alarm.step(1.0, trusted=False)
        case "settling":
            return alarm.step(1.0, settled=False)
        case "lost":
            return alarm.fault()
        case "gap":
            alarm.elapse(*value)
            alarm.restart()
        case "restart":
            alarm.restart()
        case "acknowledge":
            return alarm.acknowledge()
        case "mute":
            alarm.mute(*value)
    return None


def run(alarm, sequence):
    """Return (changed, state, flags) after each act."""
    return [(act(alarm, *step), alarm.now, alarm.flags) for step in sequence]


class Bedside(RuleBasedStateMachine):
    """Anything in any order, against counts of hops that are kept here."""

    def __init__(self):
        super().__init__()
        self.alarm = None

    @precondition(lambda self: self.alarm is None)
    @rule(settings=specs)
    def begin(self, settings):
        self.spec, self.alarm = settings, Alarm(settings, HOP_S)
        self.at = self.said = 0  # hops; gaps that were said since the last prediction
        self.on_at = self.off_at = self.mute_until = None
        self.acknowledged = False
        self.hidden = True  # what the cause does now, by a fault or settling

    def note(self, changed):
        if changed == "alarm_on":
            assert self.on_at is None
            assert self.off_at is None or (self.at - self.off_at) * HOP_S >= self.spec.refractory_s - 1e-9
            self.on_at, self.acknowledged = self.at, False
        if changed == "alarm_off":
            assert self.on_at is not None
            assert (self.at - self.on_at) * HOP_S >= self.spec.min_duration_s - 1e-9
            assert not self.spec.latch or self.acknowledged
            self.on_at, self.off_at = None, self.at

    def pass_time(self, hops):
        new = max(0, hops - self.said)
        self.at += new
        self.said += new

    @precondition(lambda self: self.alarm)
    @rule(level=levels)
    def step(self, level):
        self.pass_time(1)
        self.said = 0
        acknowledged = self.alarm.flags.acknowledged
        changed = self.alarm.step(level)
        self.hidden = False
        assert changed in (None, "alarm_on", "alarm_off")
        assert changed != "alarm_off" or level < OFF
        self.note(changed)
        if self.alarm.flags.on:
            assert self.alarm.now is State.ALARM
            if acknowledged and not self.alarm.flags.acknowledged:
                self.acknowledged = False  # the cause has come back
                assert level >= OFF
        else:
            assert self.alarm.now is (State.WARNING if level >= ON else State.OK)

    @precondition(lambda self: self.alarm)
    @rule(level=levels, settled=st.booleans())
    def fault(self, level, settled):
        self.pass_time(1)
        self.said = 0
        before, flags = self.alarm.now, self.alarm.flags
        assert self.alarm.step(level, trusted=False, settled=settled) == (None if before is State.FAULT else "fault")
        self.held(flags)
        assert self.alarm.now is State.FAULT

    @precondition(lambda self: self.alarm)
    @rule()
    def lose(self):
        before, flags = self.alarm.now, self.alarm.flags
        assert self.alarm.fault() == (None if before is State.FAULT else "fault")
        assert self.alarm.fault() is None
        self.held(flags)
        assert self.alarm.now is State.FAULT

    @precondition(lambda self: self.alarm)
    @rule(level=levels)
    def settle(self, level):
        self.pass_time(1)
        self.said = 0
        flags = self.alarm.flags
        assert self.alarm.step(level, settled=False) is None
        self.held(flags)
        assert self.alarm.now in (State.SETTLING, State.ALARM)

    def held(self, before):
        """Neither raised nor cleared, and what the cause does is not known."""
        self.hidden = True
        after = self.alarm.flags
        assert (before.on, before.latched, before.acknowledged) == (after.on, after.latched, after.acknowledged)

    @precondition(lambda self: self.alarm)
    @rule(hops=st.integers(0, 10))
    def gap(self, hops):
        flags = self.alarm.flags
        self.pass_time(hops)
        self.alarm.elapse(hops)
        self.alarm.restart()
        self.held(flags)

    @precondition(lambda self: self.alarm)
    @rule()
    def acknowledge(self):
        flags = self.alarm.flags
        if flags.on:
            self.acknowledged = True
        changed = self.alarm.acknowledge()
        assert changed == ("alarm_off" if flags.latched and not self.hidden else None)
        self.note(changed)
        after = (self.alarm.now, self.alarm.flags)
        assert self.alarm.acknowledge() is None
        assert (self.alarm.now, self.alarm.flags) == after
        assert not self.alarm.flags.sounding

    @precondition(lambda self: self.alarm)
    @rule(seconds=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    def mute(self, seconds):
        state, flags = self.alarm.now, self.alarm.flags
        self.alarm.mute(seconds)
        assert self.alarm.now is state
        assert dataclasses.replace(self.alarm.flags, muted=flags.muted) == flags
        self.mute_until = None if seconds == 0 else self.at + n_hops(seconds, HOP_S) + 1

    @precondition(lambda self: self.alarm)
    @rule()
    def move_to_another(self):
        again = Alarm(self.spec, HOP_S)
        again.state = self.alarm.state
        self.alarm = again

    @precondition(lambda self: self.alarm)
    @rule()
    def start_over(self):
        self.alarm.reset()
        assert not self.alarm.flags.on
        self.on_at = self.off_at = None
        self.said = 0
        self.hidden = True

    @invariant()
    def the_flags_agree(self):
        if self.alarm is None:
            return
        flags = self.alarm.flags
        assert flags.on == (self.on_at is not None)
        assert flags.on or not (flags.latched or flags.acknowledged or flags.sounding)
        assert flags.on or self.alarm.now is not State.ALARM
        assert flags.muted == (self.mute_until is not None and self.at < self.mute_until)
        assert self.spec.latch or not flags.latched
        assert flags.sounding == (flags.on and not flags.acknowledged and not flags.muted)


Bedside.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestBedside = Bedside.TestCase


@given(specs, sequences)
def test_on_and_off_take_turns_and_none_comes_from_a_fault(settings, sequence):
    alarm = Alarm(settings, HOP_S)
    told = []
    for step in sequence:
        was = alarm.flags.on
        changed = act(alarm, *step)
        if step[0] in ("fault", "lost", "settling", "gap", "restart", "mute"):
            assert changed in (None, "fault")
            assert alarm.flags.on == was
        if changed in ("alarm_on", "alarm_off"):
            assert alarm.now is not State.FAULT
            told.append(changed)
    assert all(a != b for a, b in pairwise(told))
    assert told[:1] in ([], ["alarm_on"])
    assert alarm.flags.on == (told[-1:] == ["alarm_on"])


@given(specs, st.lists(acts | mutes, max_size=60))
def test_a_mute_changes_nothing_but_what_is_heard(settings, sequence):
    with_mutes = run(Alarm(settings, HOP_S), sequence)
    without = run(Alarm(settings, HOP_S), [step for step in sequence if step[0] != "mute"])
    kept = [row for step, row in zip(sequence, with_mutes, strict=True) if step[0] != "mute"]
    assert [(c, s, f.on, f.latched, f.acknowledged) for c, s, f in kept] == [
        (c, s, f.on, f.latched, f.acknowledged) for c, s, f in without
    ]
    assert all(row[0] is None for step, row in zip(sequence, with_mutes, strict=True) if step[0] == "mute")


@given(specs, st.lists(acts | mutes, max_size=40), st.lists(acts | mutes, max_size=40))
def test_a_run_cut_by_a_copy_is_the_whole(settings, before, after):
    whole = Alarm(settings, HOP_S)
    run(whole, before)
    state = whole.state
    expected = run(whole, after)
    for other in (whole, Alarm(settings, HOP_S)):
        other.state = state
        assert run(other, after) == expected


@given(specs, sequences)
def test_pressing_twice_is_pressing_once(settings, sequence):
    once = run(Alarm(settings, HOP_S), sequence)
    doubled = [step for step in sequence for _ in range(2 if step == ("acknowledge",) else 1)]
    twice, rows = iter(run(Alarm(settings, HOP_S), doubled)), []
    for step in sequence:
        rows.append(next(twice))
        if step == ("acknowledge",):
            assert next(twice)[0] is None
    assert rows == once


@given(specs, sequences)
def test_an_unlatched_alarm_does_not_know_of_acknowledgement(settings, sequence):
    """Without a latch it silences, and neither raises nor clears."""
    settings = spec(min_duration_s=settings.min_duration_s, refractory_s=settings.refractory_s)
    told = run(Alarm(settings, HOP_S), sequence)
    plain = run(Alarm(settings, HOP_S), [step for step in sequence if step != ("acknowledge",)])
    kept = [row for step, row in zip(sequence, told, strict=True) if step != ("acknowledge",)]
    assert [(c, s) for c, s, _ in kept] == [(c, s) for c, s, _ in plain]


@given(specs, st.lists(levels, max_size=60))
def test_a_latched_alarm_covers_the_unlatched_one(settings, sequence):
    """Until somebody acknowledges, a latch only adds time in alarm, and no alarm after the first."""
    fields = {f: getattr(settings, f) for f in ("k", "n", "min_duration_s", "refractory_s")}
    steps = [("level", level) for level in sequence]
    plain, latched = (run(Alarm(spec(latch=latch, **fields), HOP_S), steps) for latch in (False, True))
    assert all(b.on for (_, _, a), (_, _, b) in zip(plain, latched, strict=True) if a.on)
    assert [c for c, _, _ in latched if c] == [c for c, _, _ in plain if c][:1]


@given(st.integers(1, 4).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))), st.lists(levels, max_size=60))
def test_a_higher_threshold_or_more_votes_never_raise_the_first_alarm_earlier(votes, sequence):
    """Later alarms may come in another order: where an earlier one ends decides when the next can begin."""
    k, n = votes

    def first(**changes):
        rows = run(Alarm(spec(**({"k": k, "n": n} | changes)), HOP_S), [("level", level) for level in sequence])
        return next((i for i, (changed, _, _) in enumerate(rows) if changed == "alarm_on"), len(rows))

    assert first() <= first(on_threshold=0.9)
    assert first() <= first(n=n + 1, k=k + 1)
    assert first() >= first(n=n + 1)
    assert first() == first(min_duration_s=1.0) == first(refractory_s=1.0) == first(latch=True)


@given(specs, st.lists(good | bad, max_size=40), st.integers(1, 30), st.integers(0, 30))
def test_time_passes_once_whoever_tells_of_it(settings, before, hops, earlier):
    """A session that counts a silent stream's seconds and a decoder that then sees the gap add nothing up."""
    told = []
    for steps in ([hops], [min(earlier, hops), hops], [hops, min(earlier, hops)]):
        alarm = Alarm(settings, HOP_S)
        run(alarm, before)
        alarm.mute(3.0)
        for n in steps:
            alarm.elapse(n)
        alarm.restart()
        told.append((alarm.step(0.0), alarm.state))
    assert told[0] == told[1] == told[2]


def test_a_mute_lasts_as_long_as_it_says_and_less_than_a_hop_longer():
    for n_muted in range(1, 40):
        alarm = Alarm(spec(), HOP_S)
        alarm.mute(n_muted * HOP_S)
        heard = [not alarm.flags.muted for _ in range(n_muted + 2) if alarm.step(0.0) is None]
        assert heard == [False] * n_muted + [True, True]
        assert alarm.mute_left_s == 0.0


def test_a_mute_replaces_the_one_before():
    alarm = Alarm(spec(), HOP_S)
    alarm.mute(60.0)
    assert alarm.mute_left_s == pytest.approx(60.0, abs=HOP_S)
    alarm.mute(1.0)
    assert alarm.mute_left_s == pytest.approx(1.0, abs=HOP_S)
    alarm.mute(0.0)
    assert not alarm.flags.muted


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_mute_needs_a_duration(seconds):
    with pytest.raises(SpecError, match=r"A mute needs a duration of at least 0 s, got .*Mute for 0 s to end one"):
        Alarm(spec(), HOP_S).mute(seconds)


def test_without_an_alarm_there_are_faults_and_mutes():
    alarm = Alarm(None, HOP_S)
    assert alarm.now is State.SETTLING
    assert (alarm.step(1.0), alarm.now) == (None, State.OK)
    assert (alarm.step(1.0, trusted=False), alarm.now) == ("fault", State.FAULT)
    alarm.mute(1.0)
    assert alarm.acknowledge() is None
    assert alarm.flags == AlarmFlags(muted=True)
    assert (alarm.step(1.0, settled=False), alarm.now) == (None, State.SETTLING)
