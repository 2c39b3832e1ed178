"""Replay: publish a recording as if it were being recorded now."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from bci.chunk import Signal
from bci.errors import SpecError
from bci.sources.base import Annotation
from bci.sources.readahead import ReadAhead

log = logging.getLogger(__name__)

_SLICE_S = 0.02  # longest sleep: a command or a signal is obeyed within it
_FLUSH_S = 1.0  # after a stop on request, for what is still on its way
_LEAD_S = 0.001  # two streams have no common order: a marker that resets pipelines leaves this long before its samples


class Feed(Protocol):
    """What a player plays: a recording, or a simulation that is computed as it goes."""

    signal: Signal
    types: tuple[str, ...]
    units: tuple[str, ...]
    annotations: tuple[Annotation, ...]
    gaps: tuple[tuple[int, int], ...]
    n_samples: int
    seekable: bool

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return float32 samples of shape (n_channels, stop - start)."""


class Outlets(Protocol):
    """Where a player publishes."""

    def push(self, rows: np.ndarray, stamps: np.ndarray) -> None:
        """Publish samples, shape (n_samples, n_channels), with the time of each."""

    def mark(self, payload: dict[str, Any], stamp: float) -> None:
        """Publish a marker."""

    def wait_for_consumer(self, timeout_s: float) -> bool:
        """Wait until somebody listens; False if nobody does in time."""

    def has_consumers(self) -> bool:
        """Whether somebody listens."""

    def close(self) -> None:
        """Take the streams off the network."""


@dataclass(frozen=True, slots=True)
class PlayerSettings:
    """How to play.

    Parameters
    ----------
    chunk_size : int, default=8
        Samples that leave together, when the last of them has happened.
    speed : float, default=1.0
        Seconds of recording per second of clock.
    loop : bool, default=False
        Start again at the end.
    wait : bool, default=False
        Start when a consumer connects.
    start_s, stop_s : float, default=0.0 and None
        Stretch of the recording, in seconds, rounded to samples; None is the end.
    linger_s : float, default=10.0
        Longest time that the streams stay after the end while a consumer is connected, in seconds.
    """

    chunk_size: int = 8
    speed: float = 1.0
    loop: bool = False
    wait: bool = False
    start_s: float = 0.0
    stop_s: float | None = None
    linger_s: float = 10.0

    def __post_init__(self) -> None:
        if self.chunk_size < 1:
            raise SpecError(f"A replay needs a chunk size of at least 1 sample, got {self.chunk_size}.")
        _check_speed(self.speed)
        if not self.linger_s >= 0:
            raise SpecError(f"A replay needs linger_s of at least 0 s, got {self.linger_s:g}.")

    def stretch(self, feed: Feed) -> tuple[int, int]:
        """Return the first sample to play and the one after the last.

        Raises
        ------
        SpecError
            If `feed` does not have them, or cannot be played like that.
        """
        rate = feed.signal.sfreq
        length_s = feed.n_samples / rate
        stop_s = length_s if self.stop_s is None else self.stop_s
        exact = (self.start_s * rate, stop_s * rate)
        start, stop = (round(n) if math.isfinite(n) else -1 for n in exact)
        if not 0 <= start < stop <= feed.n_samples:
            raise SpecError(
                f"A replay needs 0 <= start < stop <= {length_s:g} s (the recording's length), "
                f"got start={self.start_s:g} s, stop={stop_s:g} s."
            )
        if not feed.seekable and (self.loop or start):
            raise SpecError("A simulation plays once from its start, got loop or a later start. Leave them out.")
        return start, stop


class Schedule:
    """The time of every sample, computed from one anchor, so that errors do not add up.

    Parameters
    ----------
    index : int
        Running number of a sample.
    time_s : float
        When it happens, in seconds.
    rate_hz : float
        Samples per second of clock.
    """

    def __init__(self, index: int, time_s: float, rate_hz: float):
        self._index, self._time_s, self._rate_hz = index, time_s, rate_hz

    def time(self, index: int) -> float:
        """Return when sample `index` happens."""
        return self._time_s + (index - self._index) / self._rate_hz

    def times(self, start: int, stop: int) -> np.ndarray:
        """Return when samples ``start`` to ``stop - 1`` happen, float64."""
        return self._time_s + (np.arange(start, stop) - self._index) / self._rate_hz


class Player:
    """Plays a feed into outlets. `run` blocks; the other methods may be called from any thread.

    Parameters
    ----------
    feed : Feed
        What to play.
    outlets : Outlets
        Where to.
    settings : PlayerSettings
        How.
    clock : callable
        The clock of the stamps, in seconds.
    sleep : callable, default=time.sleep
        Sleeps for a number of seconds.
    drift : float, default=0.0
        Share by which samples come faster than they should, as from a device whose clock is off.

    Attributes
    ----------
    feed : Feed
        What is played.
    position : int
        The next sample of the recording.
    n_sent : int
        Samples published so far.
    state : str
        ``waiting``, ``playing``, ``paused``, ``lingering`` or ``done``.
    """

    def __init__(
        self,
        feed: Feed,
        outlets: Outlets,
        settings: PlayerSettings,
        clock: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
        drift: float = 0.0,
    ):
        self.feed = feed
        self._outlets, self._settings = outlets, settings
        self._clock, self._sleep = clock, sleep
        self._drift = drift
        self._start, self._stop = settings.stretch(feed)
        self._speed = settings.speed
        self._base = -self._start  # running index = base + position
        self._stopped = False
        self._commands: deque[Callable[[], None]] = deque()
        self._marks: deque[tuple[int, dict[str, Any]]] = deque()
        self.position = self._start
        self.n_sent = 0
        self.state = "waiting"

    def pause(self) -> None:
        """Hold the recording at its place; consumers get a ``pause`` marker."""
        self._order(self._do_pause)

    def resume(self) -> None:
        """Go on; consumers get a ``resume`` marker with the stamp of the next sample, which jumps over the pause."""
        self._order(self._do_resume)

    def seek(self, seconds: float) -> None:
        """Jump to a time of the recording; consumers get a ``seek`` marker with the new first sample."""
        exact = seconds * self.feed.signal.sfreq
        sample = round(exact) if math.isfinite(exact) else -1
        if not self.feed.seekable or not self._start <= sample < self._stop:
            rate = self.feed.signal.sfreq
            raise SpecError(
                f"Seeking needs a recording and a time in [{self._start / rate:g}, {self._stop / rate:g}) s, "
                f"got {seconds:g} s."
            )
        self._order(lambda: self._do_seek(sample))

    def set_speed(self, speed: float) -> None:
        """Change the speed from the next sample on; consumers get a ``speed`` marker."""
        _check_speed(speed)
        self._order(lambda: self._do_speed(speed))

    def stop(self) -> None:
        """End early and cleanly; safe in a signal handler."""
        self._stopped = True

    def run(self) -> None:
        """Play to the end, then keep the streams while a consumer is connected, and close them."""
        try:
            if self._settings.wait:
                while not self._stopped and not self._outlets.wait_for_consumer(0.2):
                    pass
            self._ahead = self._read_ahead(self._start)
            try:
                self._play()
            finally:
                self._ahead.close()
            self._outlets.mark({"kind": "end", "n_samples": self.n_sent}, self._clock())
            self._linger()
        finally:
            self.state = "done"
            self._outlets.close()

    def _play(self) -> None:
        self._marks = self._marks_from(self._start)
        self._ahead.wait_ready()  # reading the first block is no part of the first sample's delay
        self._schedule = Schedule(0, self._clock(), self._rate())
        self.state = "playing"
        while not self._stopped:
            while self._commands:
                self._commands.popleft()()
            if self.state == "paused":
                self._sleep(_SLICE_S)
            elif self.position < self._stop:
                self._step()
            elif self._settings.loop:
                self._base += self._stop - self._start
                self.position = self._start
                self._marks = self._marks_from(self._start, {"kind": "loop"}, self._unsent(self._start))
            else:
                return

    def _step(self) -> None:
        """Wait for the next marker or chunk, whichever is first, and publish it."""
        end, recorded = self._next_cut()
        if self._marks and self._marks[0][0] < end:
            at, payload = self._marks[0]
            stamp = self._schedule.time(self._base + at)
            if self._wait_until(stamp):
                self._marks.popleft()
                self._outlets.mark(payload, stamp)
                if payload["kind"] != "annotation":
                    self._sleep(_LEAD_S)
            return
        first, last = self._base + self.position, self._base + end
        if not self._wait_until(self._schedule.time(last - 1)):
            return
        if recorded:
            rows = self._ahead.take(end - self.position)
            self._outlets.push(rows, self._schedule.times(first, last))
            self.n_sent += end - self.position
        else:
            self._ahead.skip(end - self.position)
        self.position = end

    def _next_cut(self) -> tuple[int, bool]:
        """Return where the next chunk ends, and whether it was recorded (or is a gap of the recording)."""
        end = min(self.position + self._settings.chunk_size, self._stop)
        for start, stop in self.feed.gaps:
            if start <= self.position < stop:
                return min(stop, self._stop), False
            if self.position < start < end:
                return start, True
        return end, True

    def _wait_until(self, due: float) -> bool:
        """Sleep until `due`, never returning True before it; False if there is something else to do first."""
        while (left := due - self._clock()) > 0:
            if self._stopped or self._commands:
                return False
            self._sleep(min(left, _SLICE_S))
        return True

    def _linger(self) -> None:
        self.state = "lingering"
        requested = self._stopped  # a second request ends the wait
        self._stopped = False
        until = self._clock() + (min(_FLUSH_S, self._settings.linger_s) if requested else self._settings.linger_s)
        while not self._stopped and self._outlets.has_consumers() and self._clock() < until:
            self._sleep(_SLICE_S)

    def _order(self, command: Callable[[], None]) -> None:
        """Keep a command for the playing thread."""
        if self.state in ("lingering", "done"):
            raise SpecError("Commands need a replay that still plays, got one that has ended. Start it again.")
        self._commands.append(command)

    def _do_pause(self) -> None:
        if self.state != "paused":
            self.state = "paused"
            now_s = self._clock()
            due_in_s = self._schedule.time(self._base + self.position) - now_s
            self._outlets.mark({"kind": "pause", "due_in_s": due_in_s}, now_s)

    def _do_resume(self) -> None:
        if self.state == "paused":
            self.state = "playing"
            self._anchor_now()
            self._marks.appendleft((self.position, {"kind": "resume"}))

    def _do_seek(self, sample: int) -> None:
        self._ahead.close()
        self._ahead = self._read_ahead(sample)
        self._ahead.wait_ready()
        due_s = self._schedule.time(self._base + self.position)
        self._anchor_now()
        self._base += self.position - sample
        self.position = sample
        seek: dict[str, Any] = {"kind": "seek", "sample": sample}
        unsent = self._unsent(sample)
        if self.state == "playing" and not unsent:  # else the stamps were cut before, and the next one is not known
            seek["due_in_s"] = due_s - self._schedule.time(self._base + sample)
        self._marks = self._marks_from(sample, seek, unsent)

    def _do_speed(self, speed: float) -> None:
        self._speed = speed
        index = self._base + self.position
        self._schedule = Schedule(index, self._schedule.time(index), self._rate())
        self._marks.appendleft((self.position, {"kind": "speed", "speed": speed}))

    def _anchor_now(self) -> None:
        """Let the next sample happen now, but after all that were published."""
        index = self._base + self.position
        self._schedule = Schedule(index, max(self._clock(), self._schedule.time(index)), self._rate())

    def _rate(self) -> float:
        return self.feed.signal.sfreq * self._speed * (1.0 + self._drift)

    def _read_ahead(self, first: int) -> ReadAhead:
        loop_start = self._start if self._settings.loop else None
        return ReadAhead(self.feed, first, self._stop, loop_start, self._speed)

    def _unsent(self, sample: int) -> list[tuple[int, dict[str, Any]]]:
        """Return the markers of commands that no sample has followed yet, for `sample`."""
        return [(sample, payload) for _, payload in self._marks if payload["kind"] in ("resume", "speed")]

    def _marks_from(
        self,
        first: int,
        leading: dict[str, Any] | None = None,
        unsent: Sequence[tuple[int, dict[str, Any]]] = (),
    ) -> deque[tuple[int, dict[str, Any]]]:
        """Return the markers from sample `first` on, those that last into it with what is left of them."""
        rate = self.feed.signal.sfreq
        marks = []
        for note in self.feed.annotations:
            onset, end = round(note.onset_s * rate), round((note.onset_s + note.duration_s) * rate)
            if onset >= self._stop or (onset < first and end <= first):
                continue
            duration_s = note.duration_s if onset >= first else (end - first) / rate
            payload = {"kind": "annotation", "description": note.description, "duration": duration_s}
            marks.append((max(onset, first), payload))
        marks.sort(key=lambda mark: mark[0])
        return deque([*unsent, (first, leading), *marks] if leading else marks)


def _check_speed(speed: float) -> None:
    if not (math.isfinite(speed) and speed > 0):
        raise SpecError(f"A replay needs a speed above 0, got {speed:g}. Use 1 for the recorded speed.")
