"""A session follows a replay under commands: no sample is lost, no prediction changes."""

from __future__ import annotations

import numpy as np
import pytest

from bci.chunk import Chunk, Signal
from bci.clock import SampleClock
from bci.decision import DecisionSpec
from bci.decoder import Decoder
from bci.errors import SpecError
from bci.events import Event
from bci.identity import Identity
from bci.pipeline import PipelineSpec, Window
from bci.session import Session, SessionSettings
from bci.sources.base import Marker, Received, StreamInfo
from bci.sources.player import Player, PlayerSettings
from bci.stages.filters import Highpass
from bci.timeline import Timeline
from tests.bci.test_player import FakeClock, FakeOutlets, make_feed


class Played:
    """A source that delivers what a player has published, in its order."""

    def __init__(self, feed, clock, log, speed):
        self._info = StreamInfo("played", feed.signal, speed=speed)
        self.clock, self._log = clock, iter(log)

    def open(self):
        return self._info

    def read(self, timeout_s):
        nothing = np.empty((self._info.signal.n_channels, 0), np.float32)
        if self.clock.now < self._next_s():
            self.clock.now += timeout_s
            return Received(nothing, np.empty(0), self.clock.now)
        at, item, stamps = self._step
        self._step = None
        if item is None:
            return Received(nothing, np.empty(0), at, (), ended=True)
        if isinstance(item, dict):
            fields = dict(item)
            return Received(nothing, np.empty(0), at, (Marker(fields.pop("kind"), stamps, fields),))
        return Received(np.ascontiguousarray(item.T), stamps, at)

    _step = None

    def _next_s(self):
        self._step = self._step or next(self._log, (self.clock.now, None, None))
        return self._step[0]

    def close(self):
        pass


class Log(FakeOutlets):
    """Keeps chunks and markers in one list, with the time at which each left."""

    def __init__(self, clock):
        super().__init__(clock)
        self.everything = []

    def push(self, rows, stamps):
        super().push(rows, stamps)
        self.everything.append((self.clock(), rows.copy(), stamps.copy()))

    def mark(self, payload, stamp):
        super().mark(payload, stamp)
        self.everything.append((self.clock(), payload, stamp))


class Tape:
    """A sink that keeps events and predictions."""

    def __init__(self):
        self.events, self.predictions = [], []

    def open(self, info):
        self.info = info

    def prediction(self, output):
        self.predictions.append(output.prediction)

    def event(self, event):
        event.to_json()
        self.events.append(event)

    def close(self):
        pass


class Edges:
    """An engine that shows the first and the last column of the window."""

    name, precision = "edges", "fp32"

    def __call__(self, batch):
        return np.stack([batch[:, 0, 0], batch[:, 0, -1]], axis=1).astype(np.float32)


def played(commands, feed=None, speed=1.0, chunk_size=8):
    """Play under commands (seconds after the start, function of the player); return the outlets' log and the feed."""
    feed = feed or make_feed()
    clock = FakeClock(late_s=0.002)
    outlets = Log(clock)
    player = Player(feed, outlets, PlayerSettings(chunk_size=chunk_size, speed=speed), clock, clock.sleep)
    clock.at_time = [(1000.0 + at, lambda c=command: c(player)) for at, command in commands]
    player.run()
    return feed, outlets


def decoder_of(signal):
    spec = PipelineSpec(signal, (Highpass(1.0),), Window(0.5, 0.1))
    return Decoder(spec.build(), Edges(), DecisionSpec(("a", "b")))


def followed(commands, feed=None, speed=1.0, chunk_size=8, lost=None):
    """Return the outlets and what a session made of them; `lost` are samples that do not arrive."""
    feed, outlets = played(commands, feed, speed, chunk_size)
    if lost is not None:
        outlets.everything = list(without(outlets.everything, lost))
    clock = FakeClock()
    tape = Tape()
    session = Session(
        Played(feed, clock, outlets.everything, speed),
        decoder_of(feed.signal),
        Identity("tiny", "ab" * 32, "edges", "fp32"),
        SessionSettings("out"),
        None,
        [tape],
        clock,
    )
    summary = session.run()
    assert summary.ended == "end of stream"
    return feed, outlets, tape


def without(everything, lost):
    """Yield what was sent, less the samples whose numbers are in `lost`."""
    n_sent = 0
    for at_s, what, stamps in everything:
        if not isinstance(what, dict):
            kept = [i for i in range(len(stamps)) if n_sent + i not in lost]
            n_sent += len(stamps)
            what, stamps = what[kept], stamps[kept]
            if not kept:
                continue
        yield at_s, what, stamps


def kinds(tape):
    return [event.kind for event in tape.events if event.kind not in ("status", "ended")]


COMMANDS = {
    "faster": [(2.0, lambda p: p.set_speed(8.0))],
    "slower": [(2.0, lambda p: p.set_speed(0.25))],
    "several": [(1.0, lambda p: p.set_speed(0.2)), (5.0, lambda p: p.set_speed(3.0)), (6.0, lambda p: p.set_speed(1))],
    "pause": [(2.0, lambda p: p.pause()), (32.0, lambda p: p.resume())],
    "short pauses": [(2 + i, lambda p, i=i: (p.pause, p.resume)[i % 2]()) for i in range(4)],
    "pause twice": [(2.0, lambda p: (p.pause(), p.pause())), (4.0, lambda p: (p.resume(), p.resume()))],
    "resume and pause at once": [(2.0, lambda p: p.pause()), (4.0, lambda p: (p.resume(), p.pause(), p.resume()))],
    "speed in a pause": [(2.0, lambda p: p.pause()), (4.0, lambda p: p.set_speed(0.25)), (9.0, lambda p: p.resume())],
    "pause again before the next chunk": [
        (2.0, lambda p: p.pause()),
        (4.0, lambda p: p.resume()),
        (4.03, lambda p: p.pause()),
        (7.0, lambda p: p.resume()),
    ],
}
SEEKS = {
    "seek": [(2.0, lambda p: p.seek(6.0))],
    "seek back": [(2.03, lambda p: p.seek(0.5))],
    "seek in a pause": [(2.0, lambda p: p.pause()), (4.0, lambda p: p.seek(6.0)), (5.0, lambda p: p.resume())],
}


@pytest.mark.parametrize("chunk_size", [1, 8, 100])
@pytest.mark.parametrize("commands", COMMANDS.values(), ids=COMMANDS)
def test_pause_and_speed_change_no_prediction_and_lose_no_sample(commands, chunk_size):
    feed, outlets, tape = followed(commands, chunk_size=chunk_size)
    assert set(kinds(tape)) == {m[1]["kind"] for m in outlets.marks} - {"end"}
    assert "gap" not in kinds(tape)
    assert "lost" not in kinds(tape)
    whole = decoder_of(feed.signal).push(Chunk(feed.data, 0, outlets.stamps))
    assert [p.last_sample for p in tape.predictions] == [p.last_sample for p in whole]
    assert [p.time for p in tape.predictions] == [p.time for p in whole]
    ours, theirs = (np.stack([p.logits for p in ps]) for ps in (tape.predictions, whole))
    np.testing.assert_array_equal(ours, theirs)


def test_each_marker_is_an_event_at_its_sample():
    _, outlets, tape = followed(
        [(2.0, lambda p: p.pause()), (3.0, lambda p: p.resume()), (5.0, lambda p: p.set_speed(4.0))]
    )
    events = [event for event in tape.events if event.kind in ("pause", "resume", "speed")]
    assert [event.kind for event in events] == ["pause", "resume", "speed"]
    pause, resume, speed = events
    assert outlets.stamps[resume.fields["sample"]] == resume.time
    assert outlets.stamps[speed.fields["sample"]] == pytest.approx(speed.time, abs=1e-9)
    assert pause.time < resume.time < speed.time
    assert speed.fields["speed"] == 4.0
    (*_, status) = [event for event in tape.events if event.kind == "status"]
    assert status.fields["nominal_rate"] == 400.0
    assert tape.info.speed == 1.0  # that of the first sample


@pytest.mark.parametrize("chunk_size", [1, 8, 100])
@pytest.mark.parametrize("pause_s", [0.0, 6.0])
def test_a_seek_starts_anew_without_a_gap(chunk_size, pause_s):
    """Also with a change of speed that no sample has followed yet, and during a pause."""

    def jump(player):
        player.set_speed(0.5)
        player.seek(7.0)

    commands = [(2.0, jump)] if not pause_s else [(2.0, lambda p: p.pause()), (3.0, jump)]
    feed, outlets, tape = followed([*commands, (2.0 + pause_s, lambda p: p.resume())], chunk_size=chunk_size)
    pauses = ["pause", "resume"] if pause_s else []
    assert sorted(kinds(tape)) == sorted(["seek", "speed", *pauses])
    n_before = outlets.stamps.size - 300
    np.testing.assert_allclose(np.diff(outlets.stamps)[n_before:], 0.02, atol=1e-9)
    before = decoder_of(feed.signal).push(Chunk(feed.data[:, :n_before], 0, outlets.stamps[:n_before]))
    after = decoder_of(feed.signal).push(Chunk(feed.data[:, 700:], n_before, outlets.stamps[n_before:]))
    assert [p.last_sample for p in tape.predictions] == [p.last_sample for p in (*before, *after)]
    np.testing.assert_array_equal(
        np.stack([p.logits for p in tape.predictions]), np.stack([p.logits for p in (*before, *after)])
    )


def test_a_gap_of_the_recording_after_a_resume_is_still_a_gap():
    """The pause is explained by its markers, what the file lacks is not."""
    feed = make_feed(gaps=[(205, 260)])
    _, outlets, tape = followed([(2.2, lambda p: p.pause()), (5.0, lambda p: p.resume())], feed)
    (gap,) = [event for event in tape.events if event.kind == "gap"]
    assert gap.fields["n_lost"] == 55
    assert gap.time == outlets.stamps[205]
    assert tape.predictions[-1].last_sample == pytest.approx(999, abs=10)


@pytest.mark.parametrize("speed", [1.0, 3.0])
@pytest.mark.parametrize("n_before", [8, 80])
@pytest.mark.parametrize("n_after", [0, 16])
@pytest.mark.parametrize(
    "commands",
    ["faster", "slower", "pause", "pause again before the next chunk", "speed in a pause", *SEEKS],
)
def test_what_is_lost_around_a_command_is_a_gap_of_its_length(commands, n_before, n_after, speed):
    """Neither a pause nor another spacing hides it: samples are numbered as they were sent."""
    commands = (COMMANDS | SEEKS)[commands]
    _, outlets, tape = followed(commands, speed=speed)
    n_sent = 0
    for _, what, stamps in outlets.everything:
        if isinstance(what, dict) and what["kind"] in ("pause", "seek", "speed"):
            break
        n_sent += 0 if isinstance(what, dict) else len(stamps)
    lost = range(n_sent - n_before, n_sent + n_after)
    _, _, missed = followed(commands, speed=speed, lost=lost)
    assert sum(event.fields["n_lost"] for event in missed.events if event.kind == "gap") == n_before + n_after
    assert missed.predictions[-1].last_sample == pytest.approx(tape.predictions[-1].last_sample, abs=10)


@pytest.mark.parametrize("due_in_s", [None, "1", True, float("nan"), float("inf"), 1e6, -1e6])
def test_a_pause_that_does_not_say_when_the_next_sample_is_due_hides_what_was_lost(due_in_s):
    """Nobody can know then; what comes from outside is not believed either."""
    timeline = Timeline(SampleClock(Signal(100.0, ("C3",)), exact=True))
    data = np.zeros((1, 10), np.float32)
    list(timeline.take(data, 50.0 + np.arange(10) / 100.0))
    timeline.note([Marker("pause", 50.5, {} if due_in_s is None else {"due_in_s": due_in_s})])
    timeline.note([Marker("resume", 60.0)])
    items = list(timeline.take(data, 60.0 + np.arange(10) / 100.0))
    assert [item.kind for item in items if isinstance(item, Event)] == ["resume"]
    assert timeline.clock.next_sample == 20


def test_a_jump_that_no_marker_explains_is_a_gap():
    _, outlets = played([(2.0, lambda p: p.pause()), (3.0, lambda p: p.resume())])
    timeline = Timeline(SampleClock(make_feed().signal))
    items = [item for _, rows, stamps in outlets.chunks for item in timeline.take(rows.T, stamps)]
    (event,) = [item for item in items if isinstance(item, Event)]
    assert (event.kind, event.fields["filled"]) == ("gap", False)


@pytest.mark.parametrize("speed", [None, "2", True, 0, -1.0, float("nan"), float("inf"), 10**400, 1e7])
def test_a_speed_that_is_none_is_logged_and_ignored(speed, caplog):
    """Markers come from outside."""
    timeline = Timeline(SampleClock(Signal(100.0, ("C3",)), 2.0))
    timeline.note([Marker("speed", 0.0, {"speed": speed})])
    items = list(timeline.take(np.zeros((1, 5), np.float32), np.arange(5) / 200))
    assert [type(item) for item in items] == [Chunk]
    assert timeline.clock.speed == 2.0
    assert "speed marker without a speed in (0, 1e+06]; going on at 2" in caplog.text


def test_commands_after_the_end_are_refused():
    clock = FakeClock()
    feed, refused = make_feed(n_samples=100), []
    player = Player(feed, FakeOutlets(clock, consumers_until=1004.0), PlayerSettings(), clock, clock.sleep)

    def late():
        for order in (player.pause, player.resume, lambda: player.seek(0.5), lambda: player.set_speed(2.0)):
            with pytest.raises(SpecError, match="Commands need a replay that still plays, got one that has ended"):
                order()
            refused.append(player.state)

    clock.at_time = [(1002.0, late)]
    player.run()
    assert refused == ["lingering"] * 4
