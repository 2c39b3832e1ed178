"""Each fault at work: what becomes of one chunk of a replay."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bci.chunk import Signal
from bci.sources.fault_actions import Action, CloseStreams, EndProcess, Injected, OpenStreams, Send
from bci.sources.faults import (
    Anonymous,
    ClockJump,
    DcStep,
    Drop,
    DropStretch,
    Duplicate,
    Fault,
    Flat,
    Jitter,
    Kill,
    Nan,
    RateDrift,
    Reorder,
    Restart,
    Stall,
)

MAX_CATCH_UP = 0.9  # of the time to the stamp before: jittered stamps are never equal


class Running:
    """A fault at work.

    Attributes
    ----------
    cuts : tuple of int
        Samples at which it begins or ends: no chunk that it is given extends over one.
    """

    cuts: tuple[int, ...] = ()

    def process(self, send: Send) -> list[Action]:
        """Return what becomes of `send`."""
        return [send]

    def finish(self) -> list[Action]:
        """Return what was held back, at the end."""
        return []


Note = Callable[[Injected], None]


class _Stretch:
    """Notes a stretch once, when its last sample passes."""

    def __init__(self, kind: str, start: int, stop: int, note: Note, fields: dict[str, Any] | None = None) -> None:
        self.start, self.stop = start, stop
        self.cuts: tuple[int, ...] = (start, stop)
        self._kind, self._note, self._fields = kind, note, fields or {}
        self._open: Injected | None = None

    def covers(self, send: Send) -> bool:
        """Whether `send` lies in the stretch; it is noted then."""
        if not self.start <= send.first < self.stop:
            return False
        if self._open is None:
            self._open = _noted(self._kind, send, self._fields)
        else:
            n = self._open.n_samples + len(send)
            self._open = replace(self._open, n_samples=n, t1=float(send.stamps[-1]))
        if send.first + len(send) >= self.stop:
            self.end()
        return True

    def end(self) -> None:
        """Note what there was of the stretch."""
        if self._open is not None:
            self._note(self._open)
            self._open = None


class _Values(Running):
    """NaN or a flat line in some channels, for a while."""

    def __init__(self, fault: Nan | Flat, signal: Signal, note: Note) -> None:
        chosen, self._columns = _columns(fault.channels, signal)
        self._held: np.ndarray | None = None if isinstance(fault, Flat) else np.full(len(chosen), np.nan, np.float32)
        self._is_flat = isinstance(fault, Flat)
        start, n = round(fault.at_s * signal.sfreq), _n_samples(fault.length_s, signal)
        self._stretch = _Stretch("flat" if self._is_flat else "nan", start, start + n, note, {"channels": chosen})
        self.cuts = self._stretch.cuts

    def process(self, send: Send) -> list[Action]:
        if not self._stretch.covers(send):
            if self._is_flat:
                self._held = send.rows[-1, self._columns].copy()
            return [send]
        if self._held is None:
            self._held = send.rows[0, self._columns].copy()
        rows = send.rows.copy()
        rows[:, self._columns] = self._held
        return [replace(send, rows=rows)]

    def finish(self) -> list[Action]:
        self._stretch.end()
        return []


class _Step(Running):
    """A step in some channels that stays."""

    def __init__(self, fault: DcStep, signal: Signal, note: Note) -> None:
        self._chosen, self._columns = _columns(fault.channels, signal)
        self._step, self._note = fault.step, note
        self._start = round(fault.at_s * signal.sfreq)
        self.cuts = (self._start,)
        self._stepped = False

    def process(self, send: Send) -> list[Action]:
        if send.first < self._start:
            return [send]
        if not self._stepped:
            self._stepped = True
            self._note(_noted("dc", send, {"channels": self._chosen, "step": self._step}))
        rows = send.rows.copy()
        rows[:, self._columns] += np.float32(self._step)
        return [replace(send, rows=rows)]


class _Jump(Running):
    """The stamps jump once."""

    def __init__(self, fault: ClockJump, signal: Signal, note: Note) -> None:
        self._jump_s, self._note = fault.jump_s, note
        self._start = round(fault.at_s * signal.sfreq)
        self.cuts = (self._start,)
        self._jumped = False

    def process(self, send: Send) -> list[Action]:
        if send.first < self._start:
            return [send]
        if not self._jumped:
            self._jumped = True
            self._note(_noted("clock_jump", send, {"jump_s": self._jump_s}))
        return [replace(send, stamps=send.stamps + self._jump_s)]


class _Jittering(Running):
    """The stamps of each chunk are early by a random time."""

    def __init__(self, fault: Jitter, rng: np.random.Generator, note: Note) -> None:
        self._max_s, self._rng, self._note = fault.max_s, rng, note
        self._last_s = -np.inf
        self._noted = False

    def process(self, send: Send) -> list[Action]:
        if not self._noted:
            self._noted = True
            self._note(_noted("jitter", send, {"max_s": self._max_s}))
        early_s = self._rng.random() * self._max_s
        if self._last_s - send.stamps[0] <= 0:  # else the clock has jumped back: jitter starts anew
            early_s = min(early_s, MAX_CATCH_UP * (send.stamps[0] - self._last_s))
        self._last_s = float(send.stamps[-1] - early_s)
        return [replace(send, stamps=send.stamps - early_s)]


class _Loss(Running):
    """Chunks by chance, or a stretch, are not sent."""

    def __init__(self, fault: Drop | DropStretch, signal: Signal, rng: np.random.Generator, note: Note) -> None:
        self._fault, self._rng, self._note = fault, rng, note
        if isinstance(fault, DropStretch):
            start = round(fault.at_s * signal.sfreq)
            self._stretch = _Stretch("drop", start, start + _n_samples(fault.length_s, signal), note)
            self.cuts = self._stretch.cuts

    def process(self, send: Send) -> list[Action]:
        if isinstance(self._fault, DropStretch):
            return [] if self._stretch.covers(send) else [send]
        if self._rng.random() >= self._fault.share:
            return [send]
        self._note(_noted("drop", send))
        return []

    def finish(self) -> list[Action]:
        if isinstance(self._fault, DropStretch):
            self._stretch.end()
        return []


class _Restarts(Running):
    """The streams go and come back, perhaps changed."""

    def __init__(self, fault: Restart, signal: Signal, note: Note) -> None:
        start = round(fault.at_s * signal.sfreq)
        self._changes = fault.changes
        self._stretch = _Stretch(
            "restart", start, start + _n_samples(fault.length_s, signal), note, {"changes": list(fault.changes)}
        )
        self.cuts = self._stretch.cuts
        self._closed = self._opened = False

    def process(self, send: Send) -> list[Action]:
        if self._stretch.covers(send):
            before: list[Action] = [] if self._closed else [CloseStreams()]
            self._closed = True
            return before
        if self._closed and not self._opened:
            self._opened = True
            return [OpenStreams(self._changes), send]
        return [send]

    def finish(self) -> list[Action]:
        self._stretch.end()
        return []


class _Duplicates(Running):
    """Chunks by chance are sent twice."""

    def __init__(self, fault: Duplicate, rng: np.random.Generator, note: Note) -> None:
        self._share, self._rng, self._note = fault.share, rng, note

    def process(self, send: Send) -> list[Action]:
        if self._rng.random() >= self._share:
            return [send]
        self._note(_noted("duplicate", send))
        return [send, send]


class _Reordering(Running):
    """Chunks by chance change places with the next."""

    def __init__(self, fault: Reorder, rng: np.random.Generator, note: Note) -> None:
        self._share, self._rng, self._note = fault.share, rng, note
        self._held: Send | None = None

    def process(self, send: Send) -> list[Action]:
        if self._held is not None:
            held, self._held = self._held, None
            self._note(_noted("reorder", held))
            return [send, held]
        if self._rng.random() < self._share:
            self._held = send
            return []
        return [send]

    def finish(self) -> list[Action]:
        return [] if self._held is None else [self._held]


class _Stalls(Running):
    """Nothing leaves for a while."""

    def __init__(self, fault: Stall, signal: Signal, note: Note) -> None:
        start = round(fault.at_s * signal.sfreq)
        self._stretch = _Stretch("stall", start, start + _n_samples(fault.length_s, signal), note)
        self.cuts = self._stretch.cuts
        self._held: deque[Action] = deque()

    def process(self, send: Send) -> list[Action]:
        if self._stretch.covers(send):
            self._held.append(send)
            return []
        return [*self.finish(), send]

    def finish(self) -> list[Action]:
        self._stretch.end()
        held = list(self._held)
        self._held.clear()
        return held


class _Killing(Running):
    """The process ends."""

    def __init__(self, fault: Kill, signal: Signal, note: Note) -> None:
        self._start, self._note = round(fault.at_s * signal.sfreq), note
        self.cuts = (self._start,)

    def process(self, send: Send) -> list[Action]:
        if send.first < self._start:
            return [send]
        self._note(_noted("kill", send))
        return [EndProcess()]


def start(fault: Fault, signal: Signal, rng: np.random.Generator, note: Note) -> Running | None:
    """Return the running fault; None for those that act on the streams as a whole."""
    match fault:
        case Nan() | Flat():
            return _Values(fault, signal, note)
        case DcStep():
            return _Step(fault, signal, note)
        case ClockJump():
            return _Jump(fault, signal, note)
        case Jitter():
            return _Jittering(fault, rng, note)
        case Drop() | DropStretch():
            return _Loss(fault, signal, rng, note)
        case Restart():
            return _Restarts(fault, signal, note)
        case Duplicate():
            return _Duplicates(fault, rng, note)
        case Reorder():
            return _Reordering(fault, rng, note)
        case Stall():
            return _Stalls(fault, signal, note)
        case Kill():
            return _Killing(fault, signal, note)
        case RateDrift() | Anonymous():
            return None


def _columns(channels: tuple[str, ...], signal: Signal) -> tuple[list[str], list[int]]:
    """Return the names of the channels that a fault strikes, all if none is named, and their columns."""
    chosen = list(channels or signal.names)
    return chosen, [signal.names.index(name) for name in chosen]


def _n_samples(length_s: float, signal: Signal) -> int:
    """Return the length of a stretch, at least one sample."""
    return max(1, round(length_s * signal.sfreq))


def _noted(kind: str, send: Send, fields: dict[str, Any] | None = None) -> Injected:
    """Return what is to be said of a fault that strikes the samples of `send`."""
    return Injected(kind, send.first, len(send), float(send.stamps[0]), float(send.stamps[-1]), fields or {})
