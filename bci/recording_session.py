"""A live stream that is only recorded: source, connection and recorder, until it ends or somebody stops it."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bci.connection import Connection
from bci.errors import StreamError, StreamLost
from bci.events import Event
from bci.receivers import Receivers
from bci.recorder import Recorder
from bci.session_settings import SessionSettings
from bci.sources.base import Received, Source, StreamInfo

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 0.2
WATCH_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class RecordingSummary:
    """How it went.

    Parameters
    ----------
    ended : str
        ``end of stream``, ``duration``, ``stopped``, or how the stream was lost.
    lost : bool
        Whether it was.
    n_samples : int
        Samples received.
    counts : dict of str to int
        Events by kind.
    """

    ended: str
    lost: bool
    n_samples: int
    counts: dict[str, int]


class RecordingSession:
    """Hands what a source delivers to a recorder, and reports what happens.

    Parameters
    ----------
    source : Source
        Where samples come from; opened and closed here.
    recorder : Recorder
        Closed here. Events go to its log, too.
    settings : SessionSettings
        Duration, waits and tolerances.
    clock : callable
        The LSL clock, in seconds.
    watches : sequence of callable, default=()
        Return events of what runs beside it.

    Attributes
    ----------
    opened : bool
        Whether the stream was found.
    """

    def __init__(
        self,
        source: Source,
        recorder: Recorder,
        settings: SessionSettings,
        clock: Callable[[], float],
        watches: Sequence[Callable[[], Sequence[Event]]] = (),
    ) -> None:
        self._link = Connection(source, settings, clock, self._report)
        self._recorder, self._settings, self._now = recorder, settings, clock
        self._receivers = Receivers(None, (), None, _Reporting(recorder, self._report), clock)
        self._watches = (recorder.events, *watches)
        self._stop = threading.Event()
        self._counts: Counter[str] = Counter()
        self._n_samples = 0
        self.opened = False

    def stop(self) -> None:
        """Ask it to end; safe from any thread and from a signal handler."""
        self._stop.set()

    def run(self) -> RecordingSummary:
        """Record until the stream ends, the duration has passed, or `stop` is called.

        Returns
        -------
        summary : RecordingSummary

        Raises
        ------
        StreamError
            If the stream cannot be opened or sends nothing, or another one comes back after it was lost.
        """
        with contextlib.closing(self._link), contextlib.closing(self._receivers):
            self._link.open()
            self.opened = True
            try:
                ended, lost = self._read(self._now()), False
            except StreamLost as error:
                ended, lost = str(error), True
                self._link.lose(ended)
            except BaseException as error:
                self._finish(str(error) or type(error).__name__)
                raise
            self._finish(ended)
            return RecordingSummary(ended, lost, self._n_samples, dict(self._counts))

    def _read(self, opened_s: float) -> str:
        first_s: float | None = None
        watched_s = opened_s
        while not self._stop.is_set():
            received = self._link.read(READ_TIMEOUT_S)
            now = self._now()
            self._receivers.record(self._link.stream, received)
            if received.times.size:
                self._n_samples += received.times.size
                first_s = now if first_s is None else first_s
                self._link.arrive(received.received_s)
            elif first_s is None:
                self._check_started(now - opened_s, received)
            elif not received.ended:
                self._link.watch(now)
            if received.ended:
                return "end of stream"
            if now - watched_s >= WATCH_EVERY_S:
                watched_s = now
                self._watch()
            duration_s = self._settings.duration_s
            if duration_s is not None and first_s is not None and now - first_s >= duration_s:
                return "duration"
        return "stopped"

    def _check_started(self, waited_s: float, received: Received) -> None:
        if received.ended or waited_s > self._settings.start_timeout_s:
            raise StreamError(
                f"Stream {self._link.stream.name!r} must send samples to be recorded, got none in {waited_s:.0f} s. "
                "Start the sender."
            )

    def _finish(self, ended: str) -> None:
        self._watch()
        self._report(Event("ended", self._now(), {"reason": ended}))

    def _watch(self) -> None:
        for watch in self._watches:
            for event in watch():
                self._report(event)

    def _report(self, event: Event) -> None:
        self._counts[event.kind] += 1
        log.info("%s at %.3f s: %s", event.kind, event.time, dict(event.fields))
        self._recorder.log.event(event)


class _Reporting:
    """The recorder, with what it finds in the stream reported."""

    def __init__(self, recorder: Recorder, report: Callable[[Event], None]) -> None:
        self._recorder, self._report = recorder, report

    def open(self, stream: StreamInfo) -> None:
        self._recorder.open(stream)

    def samples(self, received: Received) -> None:
        for event in self._recorder.take(received):
            self._report(event)

    def close(self) -> None:
        self._recorder.close()
