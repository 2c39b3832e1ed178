"""The connection to a source: notices that the stream is lost, looks for it, and takes it back if it is the same."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bci.errors import ChannelMismatch, StreamError, StreamLost
from bci.events import Event
from bci.matching import RATE_TOLERANCE
from bci.session_settings import SessionSettings
from bci.sources.base import Interruptible, Received, Reopening, Source, StreamInfo

log = logging.getLogger(__name__)

_MAX_NAMED = 8  # channel names in a message


class Connection:
    """A source whose stream may go away and come back; reads like a source.

    While the stream is away, `read` looks for it and returns nothing. Channels that come back in another order are put
    into the first one, so that nobody behind this has to know.

    Parameters
    ----------
    source : Source
        Opened and closed here. If it is no `Reopening`, a lost stream is the end.
    settings : SessionSettings
        ``silence_s``, ``reconnect_s`` and ``on_mismatch``.
    clock : callable
        The LSL clock, in seconds.
    report : callable
        Receives the events ``lost``, ``mismatch`` and ``recovered``.

    Attributes
    ----------
    stream : StreamInfo
        What is read, in the order of its first channels; another object once the stream was away.
    lost : bool
        Whether a ``lost`` was reported and no sample has come since.
    arrived_s : float
        When samples came last, in seconds; before the first when the stream was opened.
    longest_s : float
        Longest time without samples that was reported as ``lost``, in seconds.
    """

    def __init__(
        self, source: Source, settings: SessionSettings, clock: Callable[[], float], report: Callable[[Event], None]
    ) -> None:
        self._source, self._settings, self._now, self._report = source, settings, clock, report
        self._away_s: float | None = None  # since when there is no stream to read
        self._order: np.ndarray | None = None
        self._reordered = False
        self._returned: StreamInfo | None = None
        self._told: set[type] = set()  # errors of this loss that were reported
        self.lost = False
        self.arrived_s = self.longest_s = 0.0

    def open(self) -> StreamInfo:
        """Open the source; see `Source.open`."""
        self._info = self.stream = self._source.open()
        self._nothing = np.empty((self._info.signal.n_channels, 0), np.float32)
        self.arrived_s = self._now()
        return self._info

    def interrupt(self) -> None:
        """Let `open` wait no longer, if the source can; safe from any thread and from a signal handler."""
        if isinstance(self._source, Interruptible):
            self._source.interrupt()

    def read(self, timeout_s: float) -> Received:
        """Return what the source has, at the latest after about `timeout_s`; nothing while the stream is away.

        Raises
        ------
        StreamLost
            If the stream is lost for good: the source cannot look for it, or it has not come back in time.
        ChannelMismatch
            If another stream has come back and ``on_mismatch`` is ``stop``.
        StreamError
            Likewise, if several answer.
        """
        if self._away_s is not None:
            return self._look(self._away_s, timeout_s)
        try:
            received = self._source.read(timeout_s)
        except StreamLost as error:
            self.lose(str(error))
            self._away_s = self._now()
            if self._settings.reconnect_s == 0 or not isinstance(self._source, Reopening):
                raise
            return self._empty()
        return received if self._order is None else replace(received, data=received.data[self._order])

    def close(self) -> None:
        """Close the source; may be called twice."""
        self._source.close()

    def lose(self, reason: str) -> None:
        """Report once that no samples come."""
        if not self.lost:
            self.lost = True
            self._report(Event("lost", self._now(), {"reason": reason}))

    def watch(self, now_s: float) -> None:
        """Report a stream that has sent nothing for too long."""
        if now_s - self.arrived_s > self._settings.silence_s:
            self.lose(f"no sample for {self._settings.silence_s:g} s")

    def arrive(self, now_s: float) -> StreamInfo | None:
        """Note that samples have come; return what the stream says of itself if it is a new one."""
        returned, self._returned = self._returned, None
        if self.lost:
            silent_s = now_s - self.arrived_s
            self.longest_s = max(self.longest_s, silent_s)
            self._report(Event("recovered", now_s, {"silent_s": silent_s, "reordered": self._reordered}))
            self.lost = self._reordered = False
            self._told.clear()
        self.arrived_s = now_s
        return returned

    def _empty(self) -> Received:
        return Received(self._nothing, np.empty(0), self._now())

    def _look(self, away_s: float, timeout_s: float) -> Received:
        """Look for the stream, and take it back if it is the same."""
        limit_s = self._settings.reconnect_s
        if limit_s is not None and self._now() - away_s >= limit_s:
            raise StreamLost(
                f"Stream {self._info.name!r} must come back within {limit_s:g} s, it has not. Start the sender again, "
                "or wait longer with --reconnect."
            )
        try:
            returned = self._source.reopen(timeout_s, self._accept) if isinstance(self._source, Reopening) else None
        except StreamLost as error:
            log.info("%s", error)  # it went away while it was opened
        except StreamError as error:
            if self._settings.on_mismatch == "stop":
                raise
            if type(error) not in self._told:
                self._told.add(type(error))
                self._report(Event("mismatch", self._now(), {"reason": str(error)}))
        else:
            if returned is not None:
                self._away_s, self._returned = None, returned
                self.stream = replace(self._info, speed=returned.speed, source_id=returned.source_id)
        return self._empty()

    def _accept(self, offered: StreamInfo) -> None:
        """Take the channels of a stream that has come back in the order of the first one.

        Raises
        ------
        ChannelMismatch
            If it is not the same.
        """
        before, after = self._info.signal, offered.signal
        differences = []
        if abs(after.sfreq - before.sfreq) > RATE_TOLERANCE * before.sfreq:
            differences.append(f"{after.sfreq:g} Hz instead of {before.sfreq:g} Hz")
        if after.unit != before.unit:
            differences.append(f"{after.unit} instead of {before.unit}")
        missing, extra = Counter(before.names) - Counter(after.names), Counter(after.names) - Counter(before.names)
        if missing or extra:
            differences.append(
                f"{after.n_channels} channels instead of {before.n_channels} "
                f"(missing: {_listed(list(missing))}; new: {_listed(list(extra))})"
            )
        if differences:
            raise ChannelMismatch(
                f"Stream {self._info.name!r} must come back as it was, got {', '.join(differences)}. "
                "Start the sender with its former settings, or end this session and start another."
            )
        rows = np.array([after.names.index(name) for name in before.names])
        self._reordered = after.names != before.names
        self._order = rows if self._reordered else None


def _listed(names: list[str]) -> str:
    more = len(names) - _MAX_NAMED
    return (", ".join(names[:_MAX_NAMED]) or "none") + (f" and {more} more" if more > 0 else "")
