"""A live session: source, clock check, decoder and sinks, until the stream ends or somebody stops it."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bci.anticipation import Anticipation
from bci.clock import SampleClock
from bci.decoder import Decoder, Prediction
from bci.errors import Overflow, SignalError, StreamError, StreamLost
from bci.events import Event
from bci.identity import Identity, session_info
from bci.matching import channel_rows
from bci.quality import bad_channel_events
from bci.session_settings import SessionSettings
from bci.sinks.base import Output, RawRecorder, SignalPublisher, Sink
from bci.sources.base import Received, Source, StreamInfo
from bci.status import Status, Summary
from bci.telemetry import Telemetry
from bci.timeline import BREAKS, Timeline

__all__ = ["Session", "SessionSettings", "Summary"]

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 0.2
STATUS_EVERY_S = 1.0
WATCH_EVERY_S = 0.2
MAX_DELAY_S = 10.0  # between stamp and receipt; more says that the sender stamps with another clock
MAX_COMMANDS = 1000  # kept until the first sample comes


class Session:
    """Owns the life cycle; everything that decides is in the decoder.

    Parameters
    ----------
    source : Source
        Where samples come from; opened and closed here.
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
        self._source, self._decoder = source, decoder
        self._identity, self._settings = identity, settings
        self._publisher, self._logs, self._signals = publisher, tuple(logs), signals
        self._recorder, self._watches = recorder, tuple(watches)
        self._now = clock
        self._stop = threading.Event()
        self._commands: deque[Event] = deque()
        self._recording = False
        self._status = Status(self.telemetry, decoder, identity, 0.0)
        self._clock_offset_s: float | None = None

    def stop(self) -> None:
        """Ask the session to end; safe from any thread and from a signal handler."""
        self._stop.set()

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
            If the stream cannot be opened, does not fit the model or sends nothing.
        SignalError
            If no sample is finite.
        """
        try:
            info = self._source.open()
            self.opened = True
            rows = channel_rows(self._decoder.signal_in, info.signal)
            return self._loop(info, None if np.array_equal(rows, np.arange(info.signal.n_channels)) else rows)
        finally:
            for sink in self._sinks:
                sink.close()
            if self._signals is not None:
                self._signals.close()
            if self._recorder is not None:
                self._recorder.close()
            self._source.close()

    @property
    def _sinks(self) -> tuple[Sink, ...]:
        return self._logs if self._publisher is None else (self._publisher, *self._logs)

    def _loop(self, info: StreamInfo, rows: np.ndarray | None) -> Summary:
        exact = info.counted or info.n_samples is not None
        timeline = Timeline(SampleClock(info.signal, info.speed, self._settings.clock, exact))
        reader = Anticipation(self._source, self._decoder, self._settings.anticipation_s, self._now)
        opened_s = self._now()
        first_s: float | None = None  # when the first sample arrived: its stamp may be of any clock
        arrived_s = watched_s = opened_s
        silent = False
        offset_s = 0.0
        ended, lost = "stopped", False
        while not self._stop.is_set():
            try:
                received = reader.read(READ_TIMEOUT_S)
            except StreamLost as error:
                ended, lost = str(error), True
                self._lose(ended, first_s is not None)
                break
            offset_s = received.offset_s
            if self._recorder is not None and (received.times.size or received.markers):
                self._record(self._recorder, info, received)
            for event in timeline.note(received.markers):
                self._report(event, first_s is not None)
            now = self._now()
            if received.times.size:
                if first_s is None:
                    first_s = now
                    self._status.begin(now, received.times.size)
                    self._open_sinks(info, float(received.times[0]))
                    self._compare_clocks(received)
                if silent:
                    self._report(Event("recovered", now, {"silent_s": now - arrived_s}), True)
                arrived_s, silent = now, False
                self._take(timeline, received, rows)
            elif timeline.paused:
                opened_s = arrived_s = now  # a pause is no silence
            elif first_s is None and now - opened_s > self._settings.start_timeout_s:
                raise StreamError(
                    f"Stream {info.name!r} must send samples, got none in {now - opened_s:.0f} s. Start the sender."
                )
            elif not (silent or first_s is None or received.ended) and now - arrived_s > self._settings.silence_s:
                silent = True
                self._lose(f"no sample for {self._settings.silence_s:g} s", True)
            if received.ended:
                if first_s is None:
                    raise StreamError(f"Stream {info.name!r} must send samples, it ended without one. Send it again.")
                self._check_finite(timeline.clock.n_received, 1)
                ended = "end of stream"
                break
            if first_s is not None:
                self._obey()
                if now - watched_s >= WATCH_EVERY_S:
                    self._watch()
                    watched_s = now
                if now - self._status.since_s >= STATUS_EVERY_S:
                    self._report(self._status.take(now, timeline.clock.speed, offset_s), True)
                if self._settings.duration_s is not None and now - first_s >= self._settings.duration_s:
                    ended = "duration"
                    break
        self._obey(first_s is not None)
        if first_s is not None:
            self._watch()
            now = self._now()
            self._clear_alarm("ended")
            self._report(self._status.take(now, timeline.clock.speed, offset_s), True)
            self._report(Event("ended", now, {"reason": ended}), True)
        n_held = self._decoder.pipeline.gate.n_held
        latency, counts = self.telemetry.summary(), dict(self.telemetry.counts)
        return Summary(latency, counts, ended, lost, n_held, self._clock_offset_s)

    def _compare_clocks(self, received: Received) -> None:
        offset_s = received.received_s - float(received.times[0])
        if abs(offset_s) > MAX_DELAY_S:
            self._clock_offset_s = offset_s
            log.warning("stamps lie %.3f s off the clock of this computer; latencies from them mean nothing", offset_s)
            self._report(Event("clock_offset", received.received_s, {"offset_s": offset_s}), True)

    def _open_sinks(self, stream: StreamInfo, first_s: float) -> None:
        info = session_info(self._settings.name, self._identity, self._decoder, stream, first_s)
        for sink in self._sinks:
            sink.open(info)
        if self._signals is not None:
            self._signals.open(info)

    def _record(self, recorder: RawRecorder, stream: StreamInfo, received: Received) -> None:
        if not self._recording and received.times.size:
            recorder.open(stream)
            self._recording = True
        if self._recording:
            recorder.samples(received)

    def _obey(self, opened: bool = True) -> None:
        """Report the commands that have come, and do what they ask for."""
        while self._commands:
            command = self._commands.popleft()
            self._report(command, opened)
            if command.kind == "mute":
                self._decoder.decision.mute(command.fields["seconds"])
            elif command.kind == "acknowledge" and self._decoder.decision.acknowledge() and self.newest is not None:
                self._report_change(self.newest.prediction, "alarm_off", "acknowledged")

    def _watch(self) -> None:
        """Report what has happened beside the session."""
        for watch in self._watches:
            for event in watch():
                self._report(event, True)

    def _lose(self, reason: str, opened: bool) -> None:
        """Report that the stream is lost; alarms are held."""
        now = self._now()
        self._report(Event("lost", now, {"reason": reason}), opened)
        if self._decoder.decision.fault() and self.newest is not None:
            p = self.newest.prediction
            fields = {"last_sample": p.last_sample, "level": p.level, "quality": 0.0}
            self._report(Event("fault", now, fields), opened)

    def _take(self, timeline: Timeline, received: Received, rows: np.ndarray | None) -> None:
        """Decode and publish what has arrived."""
        self.telemetry.count("samples", received.times.size)
        data = received.data if rows is None else received.data[rows]
        for item in timeline.take(data, received.times):
            if isinstance(item, Event):
                if item.kind in BREAKS:
                    self._clear_alarm(item.kind)
                    self._decoder.reset()
                elif item.kind == "clock_jump":
                    self._decoder.restart()
                self._report(item, True)
                continue
            for prediction in self._decoder.push(item):
                self._publish(prediction, received.received_s)
            pipeline = self._decoder.pipeline
            for event in bad_channel_events(pipeline.changes(), item, pipeline.n_in):
                self._report(event, True)
            if self._signals is not None:
                self._signals.publish(item)
        n_received = timeline.clock.n_received
        self._check_finite(n_received, self._settings.silence_s * self._decoder.signal_in.sfreq)

    def _publish(self, prediction: Prediction, received_s: float) -> None:
        computed_s = self._now()
        output = Output(prediction, received_s, computed_s, None)
        if self._publisher is not None:
            self._publisher.prediction(output)
        output = Output(prediction, received_s, computed_s, self._now())
        for sink in self._logs:
            sink.prediction(output)
        self.newest = output
        self.telemetry.count("predictions")
        for stage, seconds in output.stages_s().items():
            self.telemetry.time(stage, seconds)
        if prediction.changed is not None:
            self._report_change(prediction, prediction.changed, "cleared")

    def _report_change(self, prediction: Prediction, kind: str, reason: str) -> None:
        fields = {"last_sample": prediction.last_sample, "level": prediction.level, "quality": prediction.quality}
        self._report(Event(kind, prediction.time, fields | ({"reason": reason} if kind == "alarm_off" else {})), True)

    def _clear_alarm(self, reason: str) -> None:
        """Report the end of a running alarm that no further prediction can clear."""
        if self._decoder.decision.alarmed and self.newest is not None:
            self._report_change(self.newest.prediction, "alarm_off", reason)

    def _report(self, event: Event, opened: bool) -> None:
        """Count an event and hand it to the sinks."""
        self.telemetry.count(event.kind)
        if event.kind != "status":
            log.info("%s at %.3f s: %s", event.kind, event.time, dict(event.fields))
        for sink in self._sinks if opened else ():
            sink.event(event)

    def _check_finite(self, n_received: int, n_needed: float) -> None:
        if n_received >= n_needed and not self._decoder.pipeline.gate.any_finite:
            raise SignalError(
                f"A stream needs finite samples, got {n_received} without one. Check the amplifier and its electrodes."
            )
