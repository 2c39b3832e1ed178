"""The replay contract, with a clock that the test moves: stamps, markers, loops, gaps, commands."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bci.chunk import Signal
from bci.errors import RecordingError, SpecError
from bci.sources.base import Annotation
from bci.sources.player import Player, PlayerSettings, Schedule
from bci.sources.readahead import ReadAhead


class FakeClock:
    """A clock that sleeping moves, by a little more than asked for."""

    def __init__(self, late_s=0.0, seed=0):
        self.now, self._late_s, self._rng = 1000.0, late_s, np.random.default_rng(seed)
        self.at_time = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds + self._rng.random() * self._late_s
        while self.at_time and self.at_time[0][0] <= self.now:
            self.at_time.pop(0)[1]()


class FakeOutlets:
    """Keeps what is published, with the time at which it was."""

    def __init__(self, clock, consumers_until=0.0, first_consumer=0.0):
        self.clock, self.consumers_until, self.first_consumer = clock, consumers_until, first_consumer
        self.chunks, self.marks, self.log, self.closed = [], [], [], None

    def push(self, rows, stamps):
        self.chunks.append((self.clock(), rows.copy(), stamps.copy()))
        self.log.append("chunk")

    def mark(self, payload, stamp):
        self.marks.append((self.clock(), payload, stamp))
        self.log.append(payload["kind"])

    def wait_for_consumer(self, timeout_s):
        if self.clock() < self.first_consumer:
            self.clock.sleep(timeout_s)
            return False
        return True

    def has_consumers(self):
        return self.clock() < self.consumers_until

    def close(self):
        self.closed = self.clock()

    @property
    def data(self):
        return np.concatenate([rows for _, rows, _ in self.chunks]).T

    @property
    def stamps(self):
        return np.concatenate([stamps for _, _, stamps in self.chunks])

    def kinds(self, *kinds):
        return [mark for mark in self.marks if mark[1]["kind"] in kinds]


def make_feed(n_samples=1000, sfreq=100.0, notes=(), gaps=(), seekable=True):
    data = np.random.default_rng(2).normal(size=(2, n_samples)).astype(np.float32)
    return SimpleNamespace(
        signal=Signal(sfreq, ("C3", "C4")),
        types=("eeg", "eeg"),
        units=("uV", "uV"),
        annotations=tuple(Annotation(*note) for note in notes),
        gaps=tuple(gaps),
        n_samples=n_samples,
        seekable=seekable,
        read=lambda start, stop: data[:, start:stop],
        data=data,
    )


def play(feed, late_s=0.0, commands=(), outlets=None, **settings):
    clock = FakeClock(late_s)
    outlets = FakeOutlets(clock) if outlets is None else outlets(clock)
    player = Player(feed, outlets, PlayerSettings(**settings), clock, clock.sleep)
    clock.at_time = [(at, lambda c=command: c(player)) for at, command in commands]
    player.run()
    return player, outlets


@pytest.mark.parametrize("chunk_size", [1, 8, 1000, 3000])
@pytest.mark.parametrize("speed", [0.5, 1.0, 7.3])
def test_every_sample_leaves_when_it_has_happened_and_stamps_do_not_depend_on_delays(chunk_size, speed):
    feed = make_feed()
    _, out = play(feed, late_s=0.05, chunk_size=chunk_size, speed=speed)
    np.testing.assert_array_equal(out.data, feed.data)
    np.testing.assert_allclose(np.diff(out.stamps) * speed * 100.0, 1, atol=1e-9)
    assert all(at >= stamps[-1] for at, _, stamps in out.chunks)  # never in the future
    assert {len(stamps) for _, _, stamps in out.chunks} <= {chunk_size, 1000 % chunk_size, min(chunk_size, 1000)}
    # late by a sleep's error at most, unless it is catching up
    assert min(at - stamps[-1] for at, _, stamps in out.chunks) < 0.05


def test_an_hour_drifts_by_less_than_a_sample():
    feed = make_feed(n_samples=256 * 3600, sfreq=256.0)
    _, out = play(feed, late_s=0.003, chunk_size=64)
    n = 256 * 3600
    assert abs((out.stamps[-1] - out.stamps[0]) - (n - 1) / 256) * 256 < 1e-6
    assert out.chunks[-1][0] - out.stamps[-1] < 1 / 256


def test_schedule_is_computed_from_its_anchor():
    schedule = Schedule(10, 5.0, 300.3)
    assert schedule.time(10) == 5.0
    times = schedule.times(10**6, 10**6 + 3)
    np.testing.assert_array_equal(times, [schedule.time(10**6 + k) for k in range(3)])


def test_the_end_marker_counts_the_samples_and_comes_last():
    player, out = play(make_feed(n_samples=1003), chunk_size=100)
    assert out.marks[-1][1] == {"kind": "end", "n_samples": 1003}
    assert out.marks[-1][2] >= out.stamps[-1]
    assert (out.log[-1], player.n_sent, player.state) == ("end", 1003, "done")


def test_annotations_leave_when_they_happen_with_the_stamp_of_their_sample():
    notes = [(0.0, 0.0, "start"), (2.34, 1.0, "T1"), (9.99, 0.0, "last"), (12.0, 1.0, "outside")]
    _, out = play(make_feed(notes=notes), late_s=0.001, chunk_size=100)
    marks = out.kinds("annotation")
    assert [m[1] for m in marks] == [
        {"kind": "annotation", "description": "start", "duration": 0.0},
        {"kind": "annotation", "description": "T1", "duration": 1.0},
        {"kind": "annotation", "description": "last", "duration": 0.0},
    ]
    assert [m[2] for m in marks] == [out.stamps[i] for i in (0, 234, 999)]
    assert all(0 <= at - stamp < 0.005 for at, _, stamp in marks)  # not when the chunk of 1 s leaves


def test_a_part_is_played_with_the_annotations_that_last_into_it():
    notes = [(0.5, 0.2, "before"), (1.5, 2.0, "into"), (3.0, 0.5, "in"), (5.0, 1.0, "after")]
    feed = make_feed(notes=notes)
    _, out = play(feed, start_s=2.0, stop_s=4.0)
    np.testing.assert_array_equal(out.data, feed.data[:, 200:400])
    marks = [(m[1]["description"], m[1]["duration"], m[2]) for m in out.kinds("annotation")]
    assert marks == [("into", 1.5, out.stamps[0]), ("in", 0.5, out.stamps[100])]
    assert out.marks[-1][1]["n_samples"] == 200


@pytest.mark.parametrize("chunk_size", [1, 8, 50, 64, 1000])
def test_a_loop_is_marked_at_its_first_sample_before_its_chunk(chunk_size):
    """Also where the length is a multiple of the chunk size."""
    feed = make_feed(n_samples=200, notes=[(0.0, 0.1, "again")])
    _, out = play(feed, chunk_size=chunk_size, loop=True, commands=[(1005.0, lambda p: p.stop())])
    n = out.stamps.size
    assert n >= 400
    np.testing.assert_array_equal(out.data, np.tile(feed.data, 3)[:, :n])
    np.testing.assert_allclose(np.diff(out.stamps) * 100, 1, atol=1e-9)
    loops = out.kinds("loop")
    assert [m[1] for m in loops] == [{"kind": "loop"}] * 2
    np.testing.assert_allclose([m[2] for m in loops], out.stamps[0] + [2.0, 4.0], rtol=0, atol=1e-9)
    for at, _, stamp in loops:
        assert all(at < chunk[0] for chunk in out.chunks if chunk[2][0] >= stamp - 1e-9)
        assert 0 <= at - stamp < 0.01
    assert max(len(stamps) for _, _, stamps in out.chunks) <= chunk_size


def test_a_gap_of_the_recording_is_a_gap_of_the_stream():
    feed = make_feed(gaps=[(0, 5), (150, 203), (990, 1000)], notes=[(1.6, 0.0, "in the gap")])
    _, out = play(feed, chunk_size=8)
    kept = np.r_[5:150, 203:990]
    np.testing.assert_array_equal(out.data, feed.data[:, kept])
    np.testing.assert_allclose((out.stamps - out.stamps[0]) * 100, kept - 5, atol=1e-6)
    assert out.marks[-1][1] == {"kind": "end", "n_samples": kept.size}
    assert out.marks[-1][0] >= out.stamps[0] + 9.94  # the gap at the end takes its time, too
    assert out.kinds("annotation")[0][2] == pytest.approx(out.stamps[0] + 1.55)


def test_wait_starts_when_a_consumer_connects():
    _, out = play(make_feed(), wait=True, outlets=lambda c: FakeOutlets(c, first_consumer=1030.0))
    assert 1030.0 <= out.stamps[0] < 1030.3
    assert out.stamps.size == 1000


def test_stop_while_waiting_ends_without_a_sample():
    player, out = play(
        make_feed(),
        wait=True,
        outlets=lambda c: FakeOutlets(c, first_consumer=1e9),
        commands=[(1002.0, lambda p: p.stop())],
    )
    assert (player.n_sent, out.chunks) == (0, [])
    assert out.marks[-1][1] == {"kind": "end", "n_samples": 0}
    assert out.closed < 1003


@pytest.mark.parametrize(
    ("consumers_until", "linger_s", "stays_s"),
    [(0.0, 10.0, 0.0), (1013.0, 10.0, 3.0), (2000.0, 10.0, 10.0), (2000.0, 0.0, 0)],
)
def test_after_the_end_the_outlets_stay_while_somebody_listens(consumers_until, linger_s, stays_s):
    _, out = play(make_feed(), linger_s=linger_s, outlets=lambda c: FakeOutlets(c, consumers_until=consumers_until))
    assert out.closed - out.marks[-1][0] == pytest.approx(stays_s, abs=0.05)


def test_stop_ends_early_with_an_end_marker_and_a_short_linger():
    stop = [(1002.0, lambda p: p.stop())]
    player, out = play(make_feed(), commands=stop, outlets=lambda c: FakeOutlets(c, consumers_until=1e9))
    assert 190 <= player.n_sent <= 201
    assert out.marks[-1][1] == {"kind": "end", "n_samples": player.n_sent}
    assert out.closed < 1003.1


def test_pause_shows_as_a_gap_of_the_stamps():
    feed = make_feed()
    commands = [(1002.0, lambda p: p.pause()), (1005.0, lambda p: p.resume())]
    _, out = play(feed, chunk_size=8, commands=commands)
    np.testing.assert_array_equal(out.data, feed.data)
    steps = np.diff(out.stamps) * 100
    assert np.sum(steps > 1.5) == 1
    assert steps.max() == pytest.approx(300, abs=15)
    assert all(at >= stamps[-1] for at, _, stamps in out.chunks)


def test_seek_goes_on_now_and_is_marked_before_its_samples():
    feed = make_feed(notes=[(7.5, 1.0, "there")])
    _, out = play(feed, chunk_size=8, commands=[(1002.0, lambda p: p.seek(8.0))])
    ((at, payload, stamp),) = out.kinds("seek")
    assert payload == {"kind": "seek", "sample": 800, "due_in_s": pytest.approx(-0.01)}
    n_before = out.stamps.size - 200
    np.testing.assert_array_equal(out.data, np.hstack([feed.data[:, :n_before], feed.data[:, 800:]]))
    assert stamp == out.stamps[n_before]
    assert np.diff(out.stamps).min() > 0.0099
    assert at < next(c for c in out.chunks if c[2][0] == stamp)[0]
    (note,) = out.kinds("annotation")
    assert (note[1]["duration"], note[2]) == (0.5, stamp)


def test_speed_changes_from_the_next_sample_on():
    feed = make_feed()
    _, out = play(feed, chunk_size=8, commands=[(1002.0, lambda p: p.set_speed(4.0))])
    np.testing.assert_array_equal(out.data, feed.data)
    steps = np.diff(out.stamps)
    ((_, payload, stamp),) = out.kinds("speed")
    changed = int(np.searchsorted(out.stamps, stamp - 1e-9))
    assert payload == {"kind": "speed", "speed": 4.0}
    np.testing.assert_allclose(steps[:changed], 0.01, atol=1e-9)
    np.testing.assert_allclose(steps[changed:], 0.0025, atol=1e-9)
    assert all(at >= stamps[-1] for at, _, stamps in out.chunks)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chunk_size": 0}, "chunk size of at least 1 sample, got 0"),
        ({"speed": 0.0}, "speed above 0, got 0"),
        ({"speed": float("nan")}, "speed above 0, got nan"),
        ({"speed": float("inf")}, "speed above 0, got inf"),
        ({"linger_s": -1.0}, "linger_s of at least 0 s, got -1"),
        ({"start_s": 5.0, "stop_s": 5.0}, r"0 <= start < stop <= 10 s .* got start=5 s, stop=5 s"),
        ({"stop_s": 11.0}, r"0 <= start < stop <= 10 s"),
        ({"start_s": -1.0}, r"0 <= start < stop <= 10 s"),
        ({"start_s": float("nan")}, r"0 <= start < stop <= 10 s .* got start=nan s, stop=10 s"),
        ({"stop_s": float("inf")}, r"0 <= start < stop <= 10 s .* got start=0 s, stop=inf s"),
        ({"stop_s": 1e308}, r"0 <= start < stop <= 10 s .* stop=1e\+308 s"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(SpecError, match=message):
        play(make_feed(), **settings)


def test_a_simulation_plays_once_from_its_start():
    feed = make_feed(seekable=False)
    with pytest.raises(SpecError, match="plays once from its start, got loop"):
        play(feed, loop=True)
    clock = FakeClock()
    player = Player(feed, FakeOutlets(clock), PlayerSettings(), clock, clock.sleep)
    with pytest.raises(SpecError, match=r"needs a recording and a time in \[0, 10\) s, got 2 s"):
        player.seek(2.0)
    with pytest.raises(SpecError, match=r"needs a recording and a time in .* got nan s"):
        player.seek(float("nan"))
    with pytest.raises(SpecError, match="speed above 0, got -1"):
        player.set_speed(-1.0)


def test_a_failing_file_ends_the_replay_with_its_error_and_closes_the_outlets():
    feed = make_feed()

    def read(start, stop):
        if start >= 300:
            raise RecordingError("disk gone")
        return feed.data[:, start:stop]

    feed.read = read
    clock = FakeClock()
    outlets = FakeOutlets(clock)
    with pytest.raises(RecordingError, match="disk gone"):
        Player(feed, outlets, PlayerSettings(), clock, clock.sleep).run()
    assert outlets.closed is not None
    assert outlets.stamps.size == 296


def test_reading_ahead_past_the_end_is_an_error():
    feed = make_feed(n_samples=250)
    ahead = ReadAhead(feed, 0, 250, None, 1.0)
    ahead.skip(240)
    np.testing.assert_array_equal(ahead.take(10), feed.data[:, 240:].T)
    with pytest.raises(RecordingError, match="must have the samples asked for, got none after 249"):
        ahead.take(1)
    ahead.close()
