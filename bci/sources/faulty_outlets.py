"""Outlets that inject faults into what a player publishes, and write down what they did."""

from __future__ import annotations

import json
import os
import signal as signals
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from bci.chunk import Signal
from bci.errors import UsageError
from bci.sources.fault_actions import CloseStreams, EndProcess, OpenStreams, Send
from bci.sources.fault_plan import FaultPlan
from bci.sources.faults import Fault
from bci.sources.player import Feed, Outlets


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """Which faults a replay injects.

    Parameters
    ----------
    faults : tuple of Fault
        What.
    seed : int, default=0
        Of the random ones.
    log : Path or None, default=None
        Where to write what was injected, as JSON Lines.
    """

    faults: tuple[Fault, ...]
    seed: int = 0
    log: Path | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """What an outlet says of the channels of a feed."""

    signal: Signal
    types: tuple[str, ...]
    units: tuple[str, ...]


def described(feed: Feed, changes: Sequence[str]) -> Described:
    """Return the description of a sender that has come back with `changes`."""
    signal, types, units = feed.signal, feed.types, feed.units
    if "names" in changes:
        signal = replace(signal, names=tuple(f"{name}'" for name in signal.names))
    if "order" in changes:
        signal, types, units = replace(signal, names=signal.names[::-1]), types[::-1], units[::-1]
    if "count" in changes:
        signal, types, units = replace(signal, names=signal.names[:-1]), types[:-1], units[:-1]
    if "rate" in changes:
        signal = replace(signal, sfreq=signal.sfreq / 2)
    return Described(signal, types, units)


def changed_rows(send: Send, changes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and stamps that a sender with `changes` sends, C-contiguous."""
    rows, stamps = send.rows, send.stamps
    if "order" in changes:
        rows = rows[:, ::-1]
    if "count" in changes:
        rows = rows[:, :-1]
    if "rate" in changes:  # the even samples
        rows, stamps = rows[send.first % 2 :: 2], stamps[send.first % 2 :: 2]
    return np.ascontiguousarray(rows), stamps


class FaultLog:
    """What was injected, one JSON object a line, on its way to the disk before it happens.

    Parameters
    ----------
    path : Path or None
        The file; None writes nothing.
    header : dict
        The first line.

    Raises
    ------
    UsageError
        If the file exists or cannot be made.
    """

    def __init__(self, path: Path | None, header: dict[str, Any]) -> None:
        self._file: IO[str] | None = None
        if path is None:
            return
        try:
            self._file = path.open("x", encoding="utf-8", buffering=1)
        except OSError as error:
            raise UsageError(
                f"--fault-log needs a new file in an existing folder, got {path}: {error.strerror}. Name another."
            ) from error
        self.write(header)

    def write(self, line: dict[str, Any]) -> None:
        """Write one line."""
        if self._file is not None:
            self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._file is not None:
            self._file.close()


class FaultyOutlets:
    """Outlets between a player and the network that publish what a plan makes of each chunk.

    Parameters
    ----------
    plan : FaultPlan
        What happens.
    open_outlets : callable
        Given changes out of `bci.sources.faults.CHANGES`, puts the streams on the network.
    log : FaultLog
        Is told what was injected.
    kill : callable or None, default=None
        Ends the process; None sends it SIGKILL.
    """

    def __init__(
        self,
        plan: FaultPlan,
        open_outlets: Callable[[Sequence[str]], Outlets],
        log: FaultLog,
        kill: Callable[[], None] | None = None,
    ) -> None:
        self._plan, self._open_outlets, self._log = plan, open_outlets, log
        self._kill = kill or _kill
        self._changes: tuple[str, ...] = ()
        self._outlets: Outlets | None = open_outlets(())
        self.n_sent = 0

    def push(self, rows: np.ndarray, stamps: np.ndarray) -> None:
        """Publish what becomes of samples, shape (n_samples, n_channels), with the time of each."""
        actions = self._plan.apply(rows, stamps)
        self._write()
        self._do(actions)

    def mark(self, payload: dict[str, Any], stamp: float) -> None:
        """Publish a marker; while the streams are away it is lost, and an ``end`` counts what was published."""
        if payload["kind"] == "end":
            actions = self._plan.finish()
            self._write()
            self._do(actions)
            payload = payload | {"n_samples": self.n_sent}
        if self._outlets is not None:
            self._outlets.mark(payload, stamp)

    def wait_for_consumer(self, timeout_s: float) -> bool:
        """Wait until somebody takes the samples; False if nobody does in time."""
        return self._outlets is not None and self._outlets.wait_for_consumer(timeout_s)

    def has_consumers(self) -> bool:
        """Whether somebody takes the samples or the markers."""
        return self._outlets is not None and self._outlets.has_consumers()

    def close(self) -> None:
        """Take the streams off the network and close the log."""
        self._close_outlets()
        self._log.close()

    def _do(self, actions: Sequence[object]) -> None:
        for action in actions:
            match action:
                case Send():
                    self._send(action)
                case CloseStreams():
                    self._close_outlets()
                case OpenStreams():
                    self._changes = action.changes
                    self._outlets = self._open_outlets(action.changes)
                case EndProcess():
                    self._kill()

    def _send(self, send: Send) -> None:
        rows, stamps = changed_rows(send, self._changes)
        if self._outlets is not None and len(stamps):
            self._outlets.push(rows, stamps)
            self.n_sent += len(stamps)

    def _close_outlets(self) -> None:
        if self._outlets is not None:
            self._outlets.close()
            self._outlets = None

    def _write(self) -> None:
        for item in self._plan.take_injected():
            line = {"kind": item.kind, "sample": item.sample, "n_samples": item.n_samples, "t0": item.t0, "t1": item.t1}
            self._log.write(line | item.fields)


def _kill() -> None:
    os.kill(os.getpid(), signals.SIGKILL)
