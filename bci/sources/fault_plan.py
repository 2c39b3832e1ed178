"""From planned sends to sends: what injected faults make of the chunks of a replay. No clock, no I/O."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from bci.chunk import Signal
from bci.errors import SpecError
from bci.sources.fault_actions import Action, Injected, Send
from bci.sources.fault_kinds import Running, start
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

_ORDER = (Flat, DcStep, Nan, ClockJump, Jitter, Drop, DropStretch, Restart, Duplicate, Reorder, Stall, Kill)
"""In which the faults work: values, stamps, loss, order, time, end."""

_MAX_NAMED = 8  # channels in a message


class FaultPlan:
    """Applies faults to the chunks of a replay; the same chunks, faults and seed give the same sends.

    Parameters
    ----------
    faults : sequence of Fault
        What to inject. Each draws from a generator of its own.
    signal : Signal
        What is played.
    seed : int, default=0
        Of the random faults.
    n_samples : int or None, default=None
        How many will be played, None without an end: a fault after them is refused.

    Attributes
    ----------
    drift : float
        Share by which the sender is faster than its nominal rate.
    exact : bool
        Whether the stamps are those of a replay, neither jittered, nor jumping, nor drifting.
    anonymous : bool
        Whether the streams have no ``source_id``.

    Raises
    ------
    SpecError
        If a fault cannot happen in this replay.
    """

    def __init__(self, faults: Sequence[Fault], signal: Signal, seed: int = 0, n_samples: int | None = None) -> None:
        _check(faults, signal, n_samples)
        self._injected: list[Injected] = []
        self.drift = sum(fault.drift for fault in faults if isinstance(fault, RateDrift))
        self.exact = not any(isinstance(fault, ClockJump | Jitter | RateDrift) for fault in faults)
        self.anonymous = any(isinstance(fault, Anonymous) for fault in faults)
        self._running: list[Running] = []
        acting = [(_ORDER.index(type(fault)), i, fault) for i, fault in enumerate(faults) if type(fault) in _ORDER]
        for _, i, fault in sorted(acting, key=lambda item: item[:2]):
            # a generator each: another fault does not change what this one strikes
            running = start(fault, signal, np.random.default_rng([seed, i]), self._injected.append)
            if running is not None:
                self._running.append(running)
        self._cuts = sorted({cut for running in self._running for cut in running.cuts})
        self._next = 0

    def apply(self, rows: np.ndarray, stamps: np.ndarray) -> list[Action]:
        """Return what happens instead of a send.

        Parameters
        ----------
        rows : ndarray of float32, shape (n_samples, n_channels)
            The next samples of the replay; left as they are.
        stamps : ndarray of float64, shape (n_samples,)
            Their stamps.

        Returns
        -------
        actions : list of Action
            In the order in which they happen.
        """
        first, stop = self._next, self._next + len(stamps)
        self._next = stop
        edges = [first, *(cut for cut in self._cuts if first < cut < stop), stop]
        actions: list[Action] = []
        for a, b in itertools.pairwise(edges):
            piece = Send(a, rows[a - first : b - first], stamps[a - first : b - first])
            actions += self._through(self._running, [piece])
        return actions

    def finish(self) -> list[Action]:
        """Return what was held back, at the end of the replay."""
        actions: list[Action] = []
        for i, running in enumerate(self._running):
            actions += self._through(self._running[i + 1 :], running.finish())
        return actions

    def take_injected(self) -> list[Injected]:
        """Return what has been injected since the last call."""
        taken = list(self._injected)
        self._injected.clear()
        return taken

    @staticmethod
    def _through(chain: Sequence[Running], actions: list[Action]) -> list[Action]:
        for running in chain:
            after: list[Action] = []
            for action in actions:
                after += running.process(action) if isinstance(action, Send) else [action]
            actions = after
        return actions


def _check(faults: Sequence[Fault], signal: Signal, n_samples: int | None) -> None:
    """Refuse faults that cannot happen in this replay."""
    for fault in faults:
        unknown = [name for name in getattr(fault, "channels", ()) if name not in signal.names]
        if unknown:
            raise SpecError(
                f"--fault needs channels of the stream, got {', '.join(map(repr, unknown))}. "
                f"There are {', '.join(signal.names[:_MAX_NAMED])}{' …' if signal.n_channels > _MAX_NAMED else ''}."
            )
        at_s = getattr(fault, "at_s", 0.0)
        if n_samples is not None and round(at_s * signal.sfreq) >= n_samples:
            raise SpecError(
                f"--fault needs a time before the end of the replay ({n_samples / signal.sfreq:g} s of signal), "
                f"got {at_s:g} s. Play more, or in a loop."
            )
        if isinstance(fault, Restart) and "count" in fault.changes and signal.n_channels == 1:
            raise SpecError("A restart with one channel less needs a stream of at least 2 channels, got 1.")
    restarts = sorted((f.at_s, f.at_s + f.length_s) for f in faults if isinstance(f, Restart))
    for (_, back_s), (at_s, _) in itertools.pairwise(restarts):
        if at_s <= back_s:
            raise SpecError(
                f"A restart needs streams that are there, got one at {at_s:g} s, when they are away until {back_s:g} s."
            )
