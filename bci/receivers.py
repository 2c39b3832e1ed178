"""Everybody who receives what a session makes: the publisher first, then logs, signals and the recorder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from bci.chunk import Chunk
from bci.decoder import Prediction
from bci.events import Event
from bci.sinks.base import Output, RawRecorder, SessionInfo, SignalPublisher, Sink
from bci.sources.base import Received, StreamInfo

MAX_EARLY = 1000  # reads without samples that are kept for the recorder


class Receivers:
    """Hands on to all receivers, in their order.

    Parameters
    ----------
    publisher : Sink or None
        Receives predictions first; its time is the ledger's ``publish``.
    logs : sequence of Sink
        Receive predictions after that, with the complete ledger.
    signals : SignalPublisher or None
        Receives what the pipeline made of each chunk.
    recorder : RawRecorder or None
        Receives what the source delivers.
    clock : callable
        The LSL clock, in seconds.

    Attributes
    ----------
    is_open : bool
        Whether all are open.
    """

    def __init__(
        self,
        publisher: Sink | None,
        logs: Sequence[Sink],
        signals: SignalPublisher | None,
        recorder: RawRecorder | None,
        clock: Callable[[], float],
    ) -> None:
        self._publisher, self._logs = publisher, tuple(logs)
        self._signals, self._recorder = signals, recorder
        self._now = clock
        self._recorded: StreamInfo | None = None
        self._early: list[Received] = []  # markers that came before the first sample
        self.is_open = False

    @property
    def _sinks(self) -> tuple[Sink, ...]:
        return self._logs if self._publisher is None else (self._publisher, *self._logs)

    def open(self, info: SessionInfo) -> None:
        """Begin, with the first sample."""
        for sink in self._sinks:
            sink.open(info)
        if self._signals is not None:
            self._signals.open(info)
        self.is_open = True

    def record(self, stream: StreamInfo, received: Received) -> None:
        """Hand on what was read; `stream` is another object once the stream was away."""
        if self._recorder is None or not (received.times.size or received.markers):
            return
        if received.times.size and stream is not self._recorded:
            self._recorder.open(stream)
            self._recorded = stream
        self._early.append(received)
        if self._recorded is None:
            del self._early[MAX_EARLY:]
            return
        for item in self._early:
            self._recorder.samples(item)
        self._early.clear()

    def publish(self, prediction: Prediction, received_s: float) -> Output:
        """Hand on a prediction, and return it with its times."""
        computed_s = self._now()
        output = Output(prediction, received_s, computed_s, None)
        if self._publisher is not None:
            self._publisher.prediction(output)
        output = Output(prediction, received_s, computed_s, self._now())
        for sink in self._logs:
            sink.prediction(output)
        return output

    def publish_signal(self, chunk: Chunk) -> None:
        """Hand on what the pipeline made of `chunk`."""
        if self._signals is not None:
            self._signals.publish(chunk)

    def event(self, event: Event) -> None:
        """Hand on an event, if all are open."""
        if self.is_open:
            for sink in self._sinks:
                sink.event(event)

    def close(self) -> None:
        """Close everybody, also if one of them fails."""
        with contextlib.ExitStack() as stack:
            for receiver in (self._recorder, self._signals, *reversed(self._sinks)):
                if receiver is not None:
                    stack.callback(receiver.close)
