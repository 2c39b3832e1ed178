"""Record a stream as received, beside the decoding: in a thread of its own, behind a queue with an end."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bci.events import Event
from bci.realtime import step_back
from bci.recorder_log import Line, RecorderLog
from bci.recorder_names import RecordingName, check_folder
from bci.recorder_numbers import Mark, Numbering, Stretch
from bci.recorder_writer import MAX_LINES, Item, RecorderSettings, RecordWriter
from bci.sources.base import Received, StreamInfo

__all__ = ["Recorded", "Recorder", "RecorderSettings", "RecordingName"]

log = logging.getLogger(__name__)

REPORT_EVERY_S = 10.0  # a lasting overflow is one event in this time
CLOSE_WITHIN_S = 10.0
DEFAULTS = RecorderSettings()


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a stream.

    Parameters
    ----------
    paths : tuple of Path
        First FIF file of each run.
    n_written : int
        Samples in them.
    n_missed : int
        Samples that were received and are not in them: the disk was full or slow.
    """

    paths: tuple[Path, ...]
    n_written: int
    n_missed: int


class Recorder:
    """Writes what `samples` is given, and the lines that come to `log`. No method but `close` waits.

    Parameters
    ----------
    folder : Path
        Where to; made if it is missing.
    name : RecordingName
        What the files are called. Nothing is overwritten: each run has the next free number.
    clock : callable
        The LSL clock, in seconds.
    settings : RecorderSettings, default=DEFAULTS

    Attributes
    ----------
    log : RecorderLog
        A sink for predictions and events.

    Raises
    ------
    UsageError
        If the folder cannot be made or written.
    """

    def __init__(
        self,
        folder: Path,
        name: RecordingName,
        clock: Callable[[], float],
        settings: RecorderSettings = DEFAULTS,
    ) -> None:
        check_folder(folder)
        self._clock, self._settings = clock, settings
        self.log = RecorderLog(self._put)
        self._writer = RecordWriter(folder, name, clock, settings, self._tell)
        self._numbering: Numbering | None = None
        self._max_queued = 0.0  # samples
        self._begins = False  # a stretch that was dropped would have begun a run: the next one does
        self._changed = threading.Condition()  # guards all below
        self._queue: deque[Item] = deque()
        self._n_queued = self._n_lines = 0  # samples; marks and lines
        self._n_dropped = self._n_dropped_lines = 0
        self._n_told = (0, 0)
        self._told_s = -float("inf")
        self._events: list[Event] = []
        self._closing = False
        self._thread: threading.Thread | None = None

    def describe(self, about: Mapping[str, Any]) -> None:
        """Add JSON values to the description of each run; before `open`."""
        self._writer.about = dict(about)

    def open(self, stream: StreamInfo) -> None:
        """Begin with a stream; called again, go on with the one that came back."""
        if self._numbering is None:
            self._numbering = Numbering(stream, self._settings.clock)
            self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
            self._thread.start()
        else:
            self._numbering.rejoin(stream)
        self._max_queued = self._settings.queue_s * stream.signal.sfreq
        with self._changed:
            self._queue.append(stream)

    def samples(self, received: Received) -> None:
        """Take what one read brought."""
        self.take(received)

    def take(self, received: Received) -> list[Event]:
        """Take what one read brought, and return what happened in the stream: gaps, jumps, loops.

        Parameters
        ----------
        received : Received
            After `open`.

        Returns
        -------
        events : list of Event
        """
        events = []
        for item in self._numbering.take(received) if self._numbering is not None else ():
            if isinstance(item, Event):
                events.append(item)
            else:
                self._put(item)
        return events

    def events(self) -> list[Event]:
        """Return what has happened to the recording since the last call; from any thread.

        ``recording``, ``disk_full``, ``record_failed``, ``record_resumed`` and ``record_overflow``: a lasting one
        is told at once and then every `REPORT_EVERY_S`, with the samples and lines dropped since.
        """
        with self._changed:
            told, self._events = self._events, []
            n_dropped, now = (self._n_dropped, self._n_dropped_lines), self._clock()
            if n_dropped != self._n_told and (self._closing or now - self._told_s >= REPORT_EVERY_S):
                n_samples, n_lines = n_dropped[0] - self._n_told[0], n_dropped[1] - self._n_told[1]
                self._n_told, self._told_s = n_dropped, now
                told.append(Event("record_overflow", now, {"n_samples": n_samples, "n_lines": n_lines}))
            return told

    def recorded(self) -> Recorded:
        """Return what became of the stream; complete after `close`."""
        with self._changed:
            writer = self._writer
            return Recorded(tuple(writer.paths), writer.n_written, writer.n_missed + self._n_dropped)

    def close(self) -> None:
        """Write what is left and finish the files; waits at most `CLOSE_WITHIN_S`."""
        for mark in self._numbering.rest() if self._numbering is not None else ():
            self._put(mark)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is None:
            return
        self._thread.join(CLOSE_WITHIN_S)
        if self._thread.is_alive():
            log.warning("the disk has not taken the end of the recording within %g s", CLOSE_WITHIN_S)
        for event in self.events():
            log.warning("%s at the end of the recording: %s", event.kind, dict(event.fields))

    def _put(self, item: Stretch | Mark | Line) -> None:
        with self._changed:
            if self._closing:
                return
            if not isinstance(item, Stretch):
                if self._n_lines >= MAX_LINES:
                    self._n_dropped_lines += 1
                    return
                self._n_lines += 1
                self._queue.append(item)
                return
            if self._n_queued + len(item.times) > self._max_queued:
                self._n_dropped += len(item.times)
                self._begins = self._begins or item.is_new
                return
            if self._begins:
                item, self._begins = Stretch(item.first_sample, item.data, item.times, is_new=True), False
            self._n_queued += len(item.times)
            self._queue.append(item)

    def _tell(self, event: Event) -> None:
        with self._changed:
            self._events.append(event)

    def _work(self) -> None:
        """Write what is queued every `flush_s`, until `close`."""
        step_back()
        closing = False
        while not closing:
            with self._changed:
                closing = self._changed.wait_for(lambda: self._closing, self._settings.flush_s)
                items, self._queue = self._queue, deque()
            self._writer.write(items)
            with self._changed:
                self._n_queued -= sum(len(item.times) for item in items if isinstance(item, Stretch))
                self._n_lines -= sum(isinstance(item, Mark | Line) for item in items)
        self._writer.close()
