"""How faults are written, and what they make of planned sends: exact samples, exact stamps, no clock, no LSL."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from apps.cli import main
from bci.chunk import Signal
from bci.errors import SpecError, UsageError
from bci.sources.fault_actions import CloseStreams, EndProcess, Injected, OpenStreams, Send
from bci.sources.fault_plan import FaultPlan
from bci.sources.faults import (
    FORMS,
    Anonymous,
    ClockJump,
    DcStep,
    Drop,
    DropStretch,
    Duplicate,
    Flat,
    Jitter,
    Kill,
    Nan,
    RateDrift,
    Reorder,
    Restart,
    Stall,
    parse_fault,
)
from bci.sources.faulty_outlets import FaultLog, FaultyOutlets, described
from tests.bci.test_player import FakeClock, FakeOutlets, make_feed

SIGNAL = Signal(100.0, ("C3", "Cz", "C4"))
N = 1000
T0 = 50.0

GOOD = {
    "drop:0.01": Drop(0.01),
    "drop:3,0.5": DropStretch(3.0, 0.5),
    "duplicate:.2": Duplicate(0.2),
    "reorder:1e-3": Reorder(0.001),
    "jitter:0.004": Jitter(0.004),
    "clock_jump:5,-2.5": ClockJump(5.0, -2.5),
    "rate_drift:200ppm": RateDrift(0.0002),
    "rate_drift:-1%": RateDrift(-0.01),
    "dc:4,20000": DcStep(4.0, 20000.0, ()),
    "dc:4,-50,C3": DcStep(4.0, -50.0, ("C3",)),
    "nan:1,2,C3,C4": Nan(1.0, 2.0, ("C3", "C4")),
    "flat:1,2,Fp1-F7": Flat(1.0, 2.0, ("Fp1-F7",)),
    "stall:20,3": Stall(20.0, 3.0),
    "kill:30": Kill(30.0),
    "restart:30,2": Restart(30.0, 2.0, ()),
    "restart:30,2,order+id": Restart(30.0, 2.0, ("order", "id")),
    "anonymous": Anonymous(),
}


@pytest.mark.parametrize("text", GOOD)
def test_a_fault_is_read_as_it_is_written(text):
    fault = parse_fault(text)
    assert type(fault) is type(GOOD[text])
    for name in fault.__slots__:
        wanted = getattr(GOOD[text], name)
        assert getattr(fault, name) == (pytest.approx(wanted) if isinstance(wanted, float) else wanted)


def test_every_kind_has_an_example():
    assert {text.partition(":")[0] for text in GOOD} == set(FORMS)


BAD = [
    "drop",
    "drop:",
    "drop:0",
    "drop:1",
    "drop:-0.1",
    "drop:x",
    "drop:1_0",
    "drop:nan",
    "drop:1,2,3",
    "drop:1,0",
    "drop:-1,2",
    "duplicate:2",
    "reorder:a",
    "jitter:0",
    "jitter:-1",
    "jitter:inf",
    "clock_jump:5",
    "clock_jump:5,0",
    "clock_jump:-5,1",
    "rate_drift:5",
    "rate_drift:0ppm",
    "rate_drift:11%",
    "rate_drift:ppm",
    "dc:1",
    "dc:1,0",
    "dc:1,2,",
    "nan:1",
    "nan:1,0",
    "nan:1,2,",
    "nan:1,2,C3,,",
    "flat:x,1",
    "stall:1",
    "stall:1,2,3",
    "kill",
    "kill:-1",
    "kill:1,2",
    "kill:1e400",
    "restart:1",
    "restart:1,2,up",
    "restart:1,2,order+order",
    "restart:1,2,",
    "anonymous:",
    "anonymous:1",
]


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_fault_is_refused_with_its_form(text):
    kind = text.partition(":")[0]
    with pytest.raises(SpecError, match=rf"^--fault needs {kind}.*, got '{kind}.*'\.$"):
        parse_fault(text)


def test_an_unknown_kind_is_refused_with_those_that_are():
    with pytest.raises(SpecError, match=r"--fault needs a kind out of drop, .*anonymous, got 'dorp'\."):
        parse_fault("dorp:0.1")
    with pytest.raises(SpecError, match=r"got 'x{60}…'"):
        parse_fault("x" * 1000)


def chunks(n=N, size=8, signal=SIGNAL, first=0):
    """Yield rows and stamps of a stream whose first channel counts its samples."""
    for a in range(first, first + n, size):
        index = np.arange(a, min(a + size, first + n))
        rows = np.stack([index, np.sin(index), np.cos(index)][: signal.n_channels], axis=1).astype(np.float32)
        yield rows, T0 + index / signal.sfreq


def inject(*faults, n=N, size=8, seed=0):
    """Return the sends of a faulty stream, its other actions with the samples sent before, and what was noted."""
    plan = FaultPlan([parse_fault(fault) for fault in faults], SIGNAL, seed, n)
    actions, noted = [], []
    for rows, stamps in chunks(n, size):
        actions += plan.apply(rows, stamps)
        noted += plan.take_injected()
    actions += plan.finish()
    noted += plan.take_injected()
    sends = [action for action in actions if isinstance(action, Send)]
    others = [action for action in actions if not isinstance(action, Send)]
    return sends, others, noted


def counted(sends):
    return np.concatenate([send.rows[:, 0] for send in sends]).astype(int)


def stamped(sends):
    return np.concatenate([send.stamps for send in sends])


def spans(noted, kind):
    return [(i.sample, i.n_samples) for i in noted if i.kind == kind]


@pytest.mark.parametrize("size", [1, 7, 8, 1000])
def test_a_stretch_is_lost_to_the_sample_whatever_the_chunks(size):
    sends, _, noted = inject("drop:3.01,0.5", size=size)
    np.testing.assert_array_equal(counted(sends), np.r_[0:301, 351:N])
    np.testing.assert_allclose(stamped(sends), T0 + counted(sends) / 100)
    assert noted == [Injected("drop", 301, 50, pytest.approx(T0 + 3.01), pytest.approx(T0 + 3.50))]


def test_a_share_of_chunks_is_lost_and_each_is_noted():
    sends, _, noted = inject("drop:0.1", n=80000)
    lost = np.concatenate([np.arange(i.sample, i.sample + i.n_samples) for i in noted])
    np.testing.assert_array_equal(np.sort(np.concatenate([counted(sends), lost])), np.arange(80000))
    assert 0.08 < len(noted) / 10000 < 0.12


def test_equal_seeds_give_equal_faults_and_a_second_fault_on_the_same_chunks_changes_no_first():
    (first, *_), (again, *_), (other, *_) = (inject("drop:0.1", seed=seed) for seed in (1, 1, 2))
    assert counted(first).tolist() == counted(again).tolist() != counted(other).tolist()
    sends, _, _ = inject("drop:0.1", "dc:0,5,Cz", "duplicate:0.5", seed=1)
    assert np.unique(counted(sends)).tolist() == counted(first).tolist()


def test_duplicates_follow_their_chunk_with_the_same_stamps():
    sends, _, noted = inject("duplicate:0.2")
    twice = [send.first for send, after in itertools.pairwise(sends) if send.first == after.first]
    assert [(first, 8) for first in twice] == spans(noted, "duplicate")
    assert len(twice) > 10
    np.testing.assert_allclose(stamped(sends), T0 + counted(sends) / 100)


def test_a_chunk_changes_places_with_the_next():
    sends, _, noted = inject("reorder:0.2")
    assert sorted(counted(sends)) == list(range(N))
    late = [send.first for before, send in itertools.pairwise(sends) if send.first < before.first]
    assert [(first, 8) for first in late] == spans(noted, "reorder")
    assert len(late) > 10
    np.testing.assert_allclose(stamped(sends), T0 + counted(sends) / 100)


def test_jitter_is_early_within_its_limit_and_never_goes_back():
    sends, _, noted = inject("jitter:0.2")
    early = T0 + counted(sends) / 100 - stamped(sends)
    assert early.min() >= -1e-9
    assert 0.05 < early.max() < 0.2
    assert np.diff(stamped(sends)).min() > 0
    assert [(i.kind, i.fields) for i in noted] == [("jitter", {"max_s": 0.2})]


@pytest.mark.parametrize("jump_s", [-3.0, 2.0])
def test_a_clock_jump_moves_stamps_and_no_sample(jump_s):
    sends, _, noted = inject(f"clock_jump:5.05,{jump_s}")
    np.testing.assert_array_equal(counted(sends), np.arange(N))
    np.testing.assert_allclose(
        stamped(sends) - T0 - np.arange(N) / 100, np.where(np.arange(N) < 505, 0, jump_s), atol=1e-9
    )
    (jump,) = noted
    assert (jump.kind, jump.sample, jump.fields) == ("clock_jump", 505, {"jump_s": jump_s})


def test_a_step_stays_and_spares_other_channels_and_the_feed():
    rows, stamps = next(chunks(size=N))
    before = rows.copy()
    plan = FaultPlan([parse_fault("dc:2.5,100,Cz")], SIGNAL)
    after = np.concatenate([send.rows for send in plan.apply(rows, stamps)])
    np.testing.assert_array_equal(rows, before)
    np.testing.assert_array_equal(after[:, [0, 2]], rows[:, [0, 2]])
    np.testing.assert_array_equal(after[:250, 1], rows[:250, 1])
    np.testing.assert_array_equal(after[250:, 1], rows[250:, 1] + np.float32(100))


def test_nan_and_flat_hold_for_their_stretch():
    sends, _, noted = inject("nan:1,0.5,Cz", "flat:2,0.5,Cz,C4", "flat:0,0.2,C4")
    rows = np.concatenate([send.rows for send in sends])
    assert np.flatnonzero(np.isnan(rows).any(axis=1)).tolist() == list(range(100, 150))
    assert np.isfinite(rows[:, [0, 2]]).all()
    np.testing.assert_array_equal(rows[200:250, 1:], np.tile(rows[199, 1:], (50, 1)))
    np.testing.assert_array_equal(rows[:20, 2], np.ones(20))
    assert {(i.kind, i.sample, i.n_samples) for i in noted} == {("nan", 100, 50), ("flat", 200, 50), ("flat", 0, 20)}
    assert {tuple(i.fields["channels"]) for i in noted} == {("Cz",), ("Cz", "C4"), ("C4",)}


def test_a_stall_keeps_order_and_stamps_and_leaves_at_once():
    plan = FaultPlan([parse_fault("stall:3,1")], SIGNAL)
    sizes = [sum(len(action) for action in plan.apply(rows, stamps)) for rows, stamps in chunks()]
    assert sum(sizes) == N
    assert max(sizes) == 108  # the chunk that ends the stall brings the 100 samples before its end
    assert sizes.count(0) == 12
    assert spans(plan.take_injected(), "stall") == [(300, 100)]
    sends, _, noted = inject("stall:9,5")
    np.testing.assert_array_equal(counted(sends), np.arange(N))
    assert spans(noted, "stall") == [(900, 100)]  # it ends with the replay


def test_a_restart_closes_loses_and_opens_changed():
    sends, others, noted = inject("restart:3,1,order", "restart:6,0.5")
    assert others == [CloseStreams(), OpenStreams(("order",)), CloseStreams(), OpenStreams(())]
    np.testing.assert_array_equal(counted(sends), np.r_[0:300, 400:600, 650:N])
    assert spans(noted, "restart") == [(300, 100), (600, 50)]


def test_a_kill_lets_everything_before_it_leave():
    plan = FaultPlan([parse_fault("kill:2.01")], SIGNAL, 0, N)
    sent = []
    for rows, stamps in chunks():
        actions = plan.apply(rows, stamps)
        sent += [action for action in actions if isinstance(action, Send)]
        if EndProcess() in actions:
            assert actions[-1] == EndProcess()
            break
    np.testing.assert_array_equal(counted(sent), np.arange(201))


def test_what_concerns_the_streams_as_a_whole():
    plan = FaultPlan([parse_fault("rate_drift:100ppm"), parse_fault("anonymous")], SIGNAL)
    assert (plan.drift, plan.exact, plan.anonymous) == (pytest.approx(1e-4), False, True)
    plan = FaultPlan([parse_fault("drop:0.5"), parse_fault("restart:1,1")], SIGNAL)
    assert (plan.drift, plan.exact, plan.anonymous) == (0, True, False)


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        (["nan:1,1,Oz"], r"needs channels of the stream, got 'Oz'\. There are C3, Cz, C4"),
        (["kill:10"], r"a time before the end of the replay \(10 s of signal\), got 10 s"),
        (["restart:1,2", "restart:2,2"], "one at 2 s, when they are away until 3 s"),
    ],
)
def test_faults_that_cannot_happen_are_refused(faults, message):
    with pytest.raises(SpecError, match=message):
        inject(*faults)


def test_a_sender_of_one_channel_cannot_come_back_with_less():
    with pytest.raises(SpecError, match="one channel less needs a stream of at least 2 channels, got 1"):
        FaultPlan([parse_fault("restart:1,1,count")], Signal(100.0, ("Cz",)))


def faulty(tmp_path, *faults):
    """Return outlets that keep what they publish, the list of all that were opened, and the log."""
    clock, opened, killed = FakeClock(), [], []

    def open_outlets(changes):
        opened.append((changes, FakeOutlets(clock, consumers_until=2000.0)))
        return opened[-1][1]

    log = FaultLog(tmp_path / "faults.jsonl", {"kind": "replay"})
    plan = FaultPlan([parse_fault(fault) for fault in faults], SIGNAL, 0, N)
    return FaultyOutlets(plan, open_outlets, log, lambda: killed.append(True)), opened, killed


def test_faulty_outlets_publish_restart_count_and_log(tmp_path):
    outlets, opened, killed = faulty(tmp_path, "drop:1,0.5", "restart:3,1,order+rate", "kill:8")
    assert outlets.wait_for_consumer(0.1)
    for rows, stamps in chunks():
        if killed:
            break
        outlets.push(rows, stamps)
        if 300 <= rows[-1, 0] < 400:
            assert not outlets.has_consumers()
            outlets.mark({"kind": "annotation"}, 0.0)  # nobody is there to take it
    assert killed
    outlets.mark({"kind": "end", "n_samples": N}, 60.0)
    outlets.close()
    (before, first), (changes, second) = opened
    assert (before, changes) == ((), ("order", "rate"))
    np.testing.assert_array_equal(first.data[0], np.r_[0:100, 150:300])
    np.testing.assert_array_equal(second.data[-1], np.arange(400, 800, 2))  # counts in the last channel, half the rate
    assert first.closed is not None
    assert second.marks[-1][1] == {"kind": "end", "n_samples": 450}
    lines = [json.loads(line) for line in (tmp_path / "faults.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["replay", "drop", "restart", "kill"]
    assert lines[1] | {"t0": 0, "t1": 0} == {"kind": "drop", "sample": 100, "n_samples": 50, "t0": 0, "t1": 0}
    assert lines[2]["changes"] == ["order", "rate"]


def test_what_is_held_back_leaves_before_the_end_marker(tmp_path):
    outlets, opened, _ = faulty(tmp_path, "stall:9,5")
    for rows, stamps in chunks():
        outlets.push(rows, stamps)
    outlets.mark({"kind": "end", "n_samples": N}, 60.0)
    outlets.close()
    assert opened[0][1].log[-1] == "end"
    np.testing.assert_array_equal(opened[0][1].data[0], np.arange(N))


@pytest.mark.parametrize(
    ("changes", "names", "sfreq"),
    [
        ((), ("C3", "C4"), 100.0),
        (("order",), ("C4", "C3"), 100.0),
        (("names", "count"), ("C3'",), 100.0),
        (("rate", "id"), ("C3", "C4"), 50.0),
    ],
)
def test_a_changed_sender_describes_what_it_sends(changes, names, sfreq):
    description = described(make_feed(), changes)
    assert (description.signal.names, description.signal.sfreq) == (names, sfreq)
    assert len(description.types) == len(description.units) == len(names)


def test_a_log_that_exists_is_kept(tmp_path):
    path = tmp_path / "faults.jsonl"
    path.write_text("mine")
    with pytest.raises(UsageError, match=r"--fault-log needs a new file in an existing folder, got .*File exists"):
        FaultLog(path, {})
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fault", "drop:7"], "--fault needs drop:SHARE with 0 < SHARE < 1"),
        (["--fault-log", "x.jsonl"], "--fault-log needs a --fault whose effects it can hold"),
        (["--fault-seed", "-1"], "--fault-seed needs a number of at least 0, got -1"),
    ],
)
def test_the_command_refuses_before_it_opens_the_file(options, message, capsys):
    assert main(["replay", "no-such-file.fif", *options]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
