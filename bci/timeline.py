"""How the samples of a source follow each other: sample numbers, and the markers of a replay."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np

from bci.chunk import Chunk
from bci.clock import Gap, Jump, SampleClock
from bci.events import Event
from bci.rate import RateDrift
from bci.recent import Repeat
from bci.sources.base import Marker
from bci.stages.gate import InvalidRuns

log = logging.getLogger(__name__)

SAME_TIME_S = 1e-6  # a marker and its sample may differ by rounding
MAX_SPEED = 1e6  # of a marker, which comes from outside
MAX_DUE_S = 3600.0  # likewise: between a pause or seek and the sample that was due
BREAKS = ("loop", "seek")
"""Markers after which the next sample does not follow the one before: the decoder starts anew."""
TURNS = ("seek", "resume", "speed")
"""Markers after which stamps go on otherwise than before."""


class Timeline:
    """Turns what arrives into numbered chunks, and events between them.

    Parameters
    ----------
    clock : SampleClock
        Numbers the samples.
    """

    def __init__(self, clock: SampleClock) -> None:
        self.clock = clock
        self._invalid_runs = InvalidRuns(clock.sfreq)
        self._breaks: list[Marker] = []
        self._turns: list[tuple[Marker, float | None]] = []  # and when the next sample was due before
        self._paused_s: float | None = None
        self._due_s: float | None = None

    @property
    def paused(self) -> bool:
        """Whether the sender has said that no samples come for a while."""
        return self._paused_s is not None

    def note(self, markers: Sequence[Marker]) -> list[Event]:
        """Keep the markers that say how the samples go on, and return the events that have no sample.

        Parameters
        ----------
        markers : sequence of Marker
            By time, no later than the first of their samples is taken.

        Returns
        -------
        events : list of Event
        """
        events = []
        for marker in markers:
            if marker.kind in BREAKS:
                self._breaks.append(marker)
            if marker.kind in TURNS:
                self._turns.append((marker, self._due_before(marker)))
            elif marker.kind == "pause":
                self._paused_s = marker.time
                self._due_s = _due_s(marker) if self._due_s is None else self._due_s
                events.append(Event("pause", marker.time))
        return events

    def rejoin(self, speed: float) -> None:
        """Take what comes next as from a sender that was away: its clock and its speed may be others."""
        self._breaks.clear()
        self._turns.clear()
        self._paused_s = self._due_s = None
        self.clock.rejoin(speed)

    def take(self, data: np.ndarray, times: np.ndarray, received_s: float | None = None) -> Iterator[Chunk | Event]:
        """Yield the next samples in numbered chunks, with the events that stand before each.

        Parameters
        ----------
        data : ndarray of float32, shape (n_channels, n_samples)
            At least one sample, in the order received.
        times : ndarray of float64, shape (n_samples,)
            Their stamps in the local clock.
        received_s : float or None, default=None
            When they arrived, in seconds of the local clock.

        Yields
        ------
        item : Chunk or Event
        """
        if self._paused_s is not None and times[-1] > self._paused_s:
            self._paused_s = None
        start = 0
        while self._turns and self._turns[0][0].time <= times[-1] + SAME_TIME_S:
            marker, due_s = self._turns.pop(0)
            stop = max(start, _sample_at(times, marker.time))
            yield from self._number(data[:, start:stop], times[start:stop])
            start = stop
            yield from self._turn(marker, due_s)
        yield from self._number(data[:, start:], times[start:], received_s)

    def _due_before(self, turn: Marker) -> float | None:
        """Return when the sample before which a turn stands was due without it; None if nobody knows."""
        if turn.kind == "seek":
            return _due_s(turn)
        if turn.kind == "resume":
            due_s, self._due_s = self._due_s, None
            return due_s
        return None

    def _turn(self, marker: Marker, due_s: float | None) -> Iterator[Event]:
        """Let the clock follow a marker that stands before the next sample."""
        if marker.kind == "speed":
            speed = marker.fields.get("speed")
            if isinstance(speed, bool) or not isinstance(speed, int | float) or not 0 < speed <= MAX_SPEED:
                log.warning("speed marker without a speed in (0, %g]; going on at %g", MAX_SPEED, self.clock.speed)
                return
            jumps = any(later.kind == "seek" and later.time <= marker.time + SAME_TIME_S for later, _ in self._turns)
            self.clock.set_speed(float(speed), None if jumps else marker.time)
            yield Event("speed", marker.time, {"sample": self.clock.next_sample, "speed": self.clock.speed})
            return
        self.clock.resume_at(marker.time, due_s)
        if marker.kind == "resume":
            yield Event("resume", marker.time, {"sample": self.clock.next_sample})

    def _number(self, data: np.ndarray, times: np.ndarray, received_s: float | None = None) -> Iterator[Chunk | Event]:
        chunks, breaks = self.clock.number(data, times, received_s)
        jumps, drifts = [], []
        for item in breaks:
            if isinstance(item, Jump):
                jumps.append(item)
            elif isinstance(item, RateDrift):
                drifts.append(item)
            else:
                yield gap_event(item) if isinstance(item, Gap) else repeat_event(item)
        for chunk in chunks:
            if jumps and jumps[0].sample == chunk.first_sample:
                yield jump_event(jumps.pop(0))
            yield from self._parts(chunk)
        for drift in drifts:
            yield rate_event(drift, self.clock.sfreq)

    def _parts(self, chunk: Chunk) -> Iterator[Chunk | Event]:
        """Cut `chunk` where the stream breaks."""
        while self._breaks and self._breaks[0].time <= chunk.times[-1] + SAME_TIME_S:
            marker = self._breaks.pop(0)
            at = _sample_at(chunk.times, marker.time)
            if at:
                before = part_of(chunk, 0, at)
                yield from self._invalid_runs.take(before)
                yield before
                chunk = part_of(chunk, at, chunk.n_samples)
            yield Event(marker.kind, marker.time, {"sample": chunk.first_sample})
        yield from self._invalid_runs.take(chunk)
        yield chunk


def gap_event(gap: Gap) -> Event:
    """Return the event of a gap."""
    fields = {"n_lost": gap.n_lost, "t0": gap.start_s, "t1": gap.stop_s, "filled": gap.filled}
    return Event("gap", gap.stop_s, fields)


def jump_event(jump: Jump) -> Event:
    """Return the event of a clock that was set."""
    return Event("clock_jump", jump.stop_s, {"jump_s": jump.jump_s, "t0": jump.start_s, "t1": jump.stop_s})


def repeat_event(repeat: Repeat) -> Event:
    """Return the event of samples that came twice or late."""
    fields = {"n_samples": repeat.n_samples, "t0": repeat.start_s, "t1": repeat.stop_s}
    return Event("late" if repeat.late else "duplicate", repeat.stop_s, fields)


def rate_event(drift: RateDrift, nominal_hz: float) -> Event:
    """Return the event of a rate that has left its tolerance, or has come back."""
    fields = {"rate": drift.rate, "nominal_rate": nominal_hz, "within": drift.within}
    return Event("rate_drift", drift.time_s, fields)


def _due_s(marker: Marker) -> float | None:
    """Return when the sample was due that a pause holds back, or a seek leaves out; None if the sender does not say."""
    due_in_s = marker.fields.get("due_in_s")
    if isinstance(due_in_s, bool) or not isinstance(due_in_s, int | float) or not abs(due_in_s) <= MAX_DUE_S:
        return None
    return marker.time + due_in_s


def _sample_at(times: np.ndarray, time_s: float) -> int:
    return int(np.searchsorted(times, time_s - SAME_TIME_S))


def part_of(chunk: Chunk, start: int, stop: int) -> Chunk:
    """Return samples `start` to ``stop - 1`` of a chunk, counted within it."""
    filled = None if chunk.filled is None else chunk.filled[start:stop]
    return Chunk(chunk.data[:, start:stop], chunk.first_sample + start, chunk.times[start:stop], filled)
