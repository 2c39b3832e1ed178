"""A live session: source, clock check, decoder and sinks, until the stream ends or somebody stops it."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bci.alarm_events import AlarmEvents
from bci.algorithmic import algorithmic_latency
from bci.anticipation import Anticipation
from bci.budget_events import BudgetEvents
from bci.chunk import Chunk
from bci.clock import SampleClock
from bci.connection import Connection
from bci.decoder import Decoder, Prediction
from bci.errors import Overflow, SignalError, StreamError, StreamLost, StreamNotFound
from bci.events import Event
from bci.identity import Identity, session_info
from bci.matching import channel_rows
from bci.overload import Overload
from bci.quality import bad_channel_events
from bci.receivers import Receivers
from bci.rehearsal import Rehearsal
from bci.session_settings import SessionSettings
from bci.sinks.base import Output, RawRecorder, SignalPublisher, Sink
from bci.sources.base import Received, Source
from bci.status import Status, Summary
from bci.telemetry import Telemetry
from bci.timeline import BREAKS, Timeline

__all__ = ["Session", "SessionSettings", "Summary"]

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 0.2
STATUS_EVERY_S = 1.0
WATCH_EVERY_S = 0.2
WARM_AFTER_S = 0.15  # without a prediction: less than the longest wait for samples
MAX_DELAY_S = 10.0  # between stamp and receipt; more says that the sender stamps with another clock
MAX_COMMANDS = 1000  # kept until the first sample comes


class Session:
    """Owns the life cycle; everything that decides is in the decoder.

    Parameters
    ----------
    source : Source
        Where samples come from; opened and closed here. If it is a `Reopening`, a lost stream is waited for.
    decoder : Decoder
        Already warmed up.
    identity : Identity
        Model and engine, for the description of the output.
    settings : SessionSettings
        What the user chose.
    publisher : Sink or None
        Receives predictions first; its time is the ledger's ``publish``.
    logs : sequence of Sink, default=()
        Receive predictions after that, with the complete ledger.
    clock : callable
        The LSL clock, in seconds.
    signals : SignalPublisher or None, default=None
        Receives what the decoder's pipeline made of each chunk, after the predictions.
    recorder : RawRecorder or None, default=None
        Receives what the source delivers before it is decoded.
    watches : sequence of callable, default=()
        Asked every `WATCH_EVERY_S` and at the end for events of what runs beside the session.
    """

    def __init__(
        self,
        source: Source,
        decoder: Decoder,
        identity: Identity,
        settings: SessionSettings,
        publisher: Sink | None,
        logs: Sequence[Sink],
        clock: Callable[[], float],
        signals: SignalPublisher | None = None,
        recorder: RawRecorder | None = None,
        watches: Sequence[Callable[[], Sequence[Event]]] = (),
    ) -> None:
        self.telemetry = Telemetry()
        self.newest: Output | None = None
        self.opened = False
        self._link = Connection(source, settings, clock, self._report_link)
        self._decoder = decoder
        self._identity, self._settings = identity, settings
        self._receivers = Receivers(publisher, logs, signals, recorder, clock)
        self._watches = tuple(watches)
        self._now = clock
        self._stop = threading.Event()
        self._commands: deque[Event] = deque()
        self._first_s: float | None = None  # when the first sample arrived: its stamp may be of any clock
        self._watched_s = self._offset_s = self._warmed_s = 0.0
        self._n_published = self._n_warmed = self._n_skipped = self._n_lost = 0
        hop_s = decoder.decision.hop_s
        self._overload = Overload(hop_s, round(hop_s * decoder.signal_in.sfreq), settings.overload)
        self.alarms = AlarmEvents(decoder.decision)
        self._budget = BudgetEvents(settings.budget, decoder)
        self._status = Status(self.telemetry, decoder, identity, self.alarms, 0.0, self._budget.figures)
        self._clock_offset_s: float | None = None

    def stop(self) -> None:
        """Ask the session to end; safe from any thread and from a signal handler."""
        self._stop.set()
        self._link.interrupt()

    def command(self, kind: str, fields: Mapping[str, Any] | None = None) -> None:
        """Take a command, which becomes an event; safe from any thread.

        Parameters
        ----------
        kind : str
            ``acknowledge``, ``mute``, or ``stop``, which ends the session.
        fields : mapping or None, default=None
            JSON values for the event.

        Raises
        ------
        Overflow
            If too many wait for the first sample.
        """
        if len(self._commands) >= MAX_COMMANDS:
            raise Overflow(
                f"A session keeps at most {MAX_COMMANDS} commands until it can publish them, got one more. "
                "Wait for the stream's first sample."
            )
        self._commands.append(Event(kind, self._now(), fields or {}))
        if kind == "stop":
            self.stop()

    def run(self) -> Summary:
        """Decode until the stream ends, the duration has passed, or `stop` is called.

        Returns
        -------
        summary : Summary

        Raises
        ------
        StreamError
            If the stream cannot be opened, does not fit the model, sends nothing, or comes back as another.
        SignalError
            If no sample is finite.
        """
        with contextlib.closing(self._link), contextlib.closing(self._receivers):
            try:
                info = self._link.open()
            except StreamNotFound:
                if self._stop.is_set():
                    return self._finish("stopped")
                raise
            self.opened = True
            rows = channel_rows(self._decoder.signal_in, info.signal)
            self._rows = None if np.array_equal(rows, np.arange(info.signal.n_channels)) else rows
            self._timeline = Timeline(SampleClock(info.signal, info.speed, self._settings.clock, info.exact))
            self._info, self._opened_s = info, self._now()
            try:
                ended, lost = self._loop()
            except SignalError:  # no value was a number: nothing has begun that could end
                raise
            except BaseException as error:  # however it ends, a running alarm ends before it, and everybody is told
                self._finish(str(error) or type(error).__name__)
                raise
            return self._finish(ended, lost)

    def _loop(self) -> tuple[str, bool]:
        """Read and decode until the end; return why it came, and whether because the stream was lost."""
        rehearsal = Rehearsal(self._decoder, self._info.signal, self._settings.clock)
        reader = Anticipation(self._link, rehearsal, self._settings.anticipation_s, self._now)
        held: Received | None = None  # what waits until it is known whether more does
        ended = "stopped"
        while not self._stop.is_set():
            try:
                received = reader.read(READ_TIMEOUT_S if held is None else 0.0)
            except StreamLost as error:
                if held is not None:
                    self._handle(held)
                self._link.lose(str(error))
                return str(error), True
            self._receivers.record(self._link.stream, received)
            if held is not None:
                self._handle(held, more=received.times.size > 0)
                held = None
            if received.times.size and not received.ended and self._overload.lasting:
                held = received
            else:
                self._handle(received)
                if received.ended:
                    self._check_ended()
                    return "end of stream", False
            now = self._now()
            self._keep_warm(now)
            if self._first_s is None:
                self._check_started(now)
                continue
            self._tick(now)
            if self._settings.duration_s is not None and now - self._first_s >= self._settings.duration_s:
                ended = "duration"
                break
        if held is not None:
            self._handle(held)
        return ended, False

    def _keep_warm(self, now: float) -> None:
        """Ask something of an engine that has had nothing to do: a GPU lowers its clocks after seconds."""
        if self._n_published == self._n_warmed:
            if now - self._warmed_s < WARM_AFTER_S:
                return
            self._decoder.keep_warm()
        self._n_warmed, self._warmed_s = self._n_published, now

    def _handle(self, received: Received, more: bool = False) -> None:
        """Take in what one read brought; `more` says that newer samples are already there."""
        self._report_all(self._timeline.note(received.markers))
        self.alarms.annotate(received.markers)
        self._offset_s = received.offset_s
        if received.times.size:
            if self._first_s is None:
                self._begin(received)
            returned = self._link.arrive(received.received_s)
            if returned is not None:
                self._timeline.rejoin(returned.speed)
                self._decoder.restart()
            self._take(received, more)
        elif self._timeline.paused:
            self._opened_s = self._link.arrived_s = received.received_s  # a pause is no silence
        elif self._first_s is not None and not received.ended:
            self._link.watch(received.received_s)

    def _begin(self, received: Received) -> None:
        """Open everything with the first samples."""
        self._first_s = received.received_s
        self._status.begin(received.received_s, received.times.size)
        first_time = float(received.times[0])
        self._receivers.open(session_info(self._settings.name, self._identity, self._decoder, self._info, first_time))
        self._compare_clocks(received)

    def _tick(self, now: float) -> None:
        """Do what comes a few times a second."""
        self._obey()
        if now - self._watched_s >= WATCH_EVERY_S:
            self._watched_s = now
            self._watch()
            if self._link.lost:
                signal_s = (now - self._link.arrived_s) * self._timeline.clock.speed
                self._report_all(self.alarms.wait(now, signal_s))
        if now - self._status.since_s >= STATUS_EVERY_S:
            self._report_status(now)

    def _finish(self, ended: str, lost: bool = False) -> Summary:
        """Report how it went, as the last thing."""
        self._obey()
        if self._first_s is not None:
            self._watch()
            self._report_all(self.alarms.close("ended"))
            now = self._now()
            self._report_all(self._budget.flush(now))
            self._report_status(now)
            self._report(Event("ended", now, {"reason": ended}))
            if self._link.lost:
                self._link.longest_s = max(self._link.longest_s, now - self._link.arrived_s)
        return Summary(
            self.telemetry.summary(),
            dict(self.telemetry.counts),
            ended,
            lost,
            self._decoder.pipeline.gate.n_held,
            self._clock_offset_s,
            n_lost=self._n_lost,
            n_skipped=self._decoder.n_skipped,
            longest_silence_s=self._link.longest_s,
            alarms=self.alarms.figures() if self._decoder.decision.spec.alarm else None,
            budget=self._budget.figures(),
            algorithmic=algorithmic_latency(self._decoder.pipeline, self._decoder.decision.spec.smoothing_s),
        )

    def _check_started(self, now: float) -> None:
        if now - self._opened_s > self._settings.start_timeout_s:
            raise StreamError(
                f"Stream {self._info.name!r} must send samples, got none in {now - self._opened_s:.0f} s. "
                "Start the sender."
            )

    def _check_ended(self) -> None:
        if self._first_s is None:
            raise StreamError(f"Stream {self._info.name!r} must send samples, it ended without one. Send it again.")
        self._check_finite(1)

    def _compare_clocks(self, received: Received) -> None:
        offset_s = received.received_s - float(received.times[0])
        if abs(offset_s) > MAX_DELAY_S:
            self._clock_offset_s = offset_s
            log.warning("stamps lie %.3f s off the clock of this computer; latencies from them mean nothing", offset_s)
            self._report(Event("clock_offset", received.received_s, {"offset_s": offset_s}))

    def _obey(self) -> None:
        """Report the commands that have come, and do what they ask for."""
        while self._commands:
            command = self._commands.popleft()
            self._report(command)
            self._report_all(self.alarms.obey(command))

    def _watch(self) -> None:
        """Report what has happened beside the session."""
        for watch in self._watches:
            self._report_all(watch())

    def _report_status(self, now: float) -> None:
        n_new, self._n_skipped = self._decoder.n_skipped - self._n_skipped, self._decoder.n_skipped
        if n_new:
            self._report(Event("overflow", now, {"n_skipped": n_new}))
        self._report(self._status.take(now, self._timeline.clock.speed, self._offset_s))

    def _report_link(self, event: Event) -> None:
        """Report an event of the connection; while the stream is lost, alarms are held."""
        self._report(event)
        if event.kind == "lost":
            self._report_all(self.alarms.lose(event.time))

    def _take(self, received: Received, more: bool) -> None:
        """Decode and publish what has arrived."""
        n_samples = received.times.size
        self.telemetry.count("samples", n_samples)
        data = received.data if self._rows is None else received.data[self._rows]
        items: Iterable[Chunk | Event] = self._timeline.take(data, received.times, received.received_s)
        since, end, can_skip = 0, 0, not more and self._overload.can_skip(n_samples)
        if more or can_skip or self._budget.one_by_one:
            items = list(self._overload.split(items))
            end = self._timeline.clock.next_sample
            since = end if more else 0
        began_s, n_before = self._now(), self._n_published
        for item in items:
            if isinstance(item, Event):
                self._turn(item)
                continue
            if can_skip and self._overload.skips(end - item.first_sample, self._now() - began_s):
                since, can_skip = self._overload.since(end), False
            self._decode(item, since, received.received_s)
            pipeline = self._decoder.pipeline
            self._report_all(bad_channel_events(pipeline.changes(), item, pipeline.n_in))
            self._receivers.publish_signal(item)
        if self._n_published > n_before and self.newest is not None and self.newest.published_s is not None:
            self._overload.note(self.newest.published_s - began_s, self._n_published - n_before)
        self._check_finite(self._settings.silence_s * self._decoder.signal_in.sfreq)

    def _decode(self, chunk: Chunk, since: int, received_s: float) -> None:
        """Publish what a chunk completes, without the windows that the budget leaves out."""
        n_skipped = self._decoder.n_skipped
        if self._budget.skips_next:
            since = chunk.first_sample + chunk.n_samples
        for prediction in self._decoder.push(chunk, since):
            self._publish(prediction, received_s)
        self._budget.skipped(self._decoder.n_skipped - n_skipped)

    def _turn(self, event: Event) -> None:
        """Let the decoder follow an event that stands before the next samples."""
        if event.kind in BREAKS:
            self._report_all(self.alarms.close(event.kind, event.time))
            self._decoder.reset()
        elif event.kind == "clock_jump":
            self._decoder.restart()
        elif event.kind == "gap":
            self._n_lost += event.fields["n_lost"]
        self._report(event)

    def _publish(self, prediction: Prediction, received_s: float) -> None:
        self.newest = output = self._receivers.publish(prediction, received_s)
        self._n_published += 1
        self.telemetry.count("predictions")
        for stage, seconds in output.stages_s().items():
            self.telemetry.time(stage, seconds)
        self._report_all(self.alarms.take(prediction, self._timeline.clock.speed))
        self._report_all(self._budget.take(output, stamped=self._clock_offset_s is None))

    def _report_all(self, events: Iterable[Event]) -> None:
        for event in events:
            self._report(event)

    def _report(self, event: Event) -> None:
        """Count an event and hand it to the sinks, if they are open."""
        self.telemetry.count(event.kind)
        if event.kind != "status":
            log.info("%s at %.3f s: %s", event.kind, event.time, dict(event.fields))
        self._receivers.event(event)

    def _check_finite(self, n_needed: float) -> None:
        n_received = self._timeline.clock.n_received
        if n_received >= n_needed and not self._decoder.pipeline.gate.any_finite:
            raise SignalError(
                f"A stream needs finite samples, got {n_received} without one. Check the amplifier and its electrodes."
            )
