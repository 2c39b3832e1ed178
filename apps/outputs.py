"""The options that say where the results of a session go, and what they become."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from apps.recording_options import add_record_options, build_recorder, recorded_lines
from apps.service import Services, add_service_options, build_services

if TYPE_CHECKING:
    from bci.decision import DecisionSpec
    from bci.events import Event
    from bci.recorder import Recorder
    from bci.sinks.base import Sink
    from bci.sinks.queued import QueuedSink


MAX_LINES = 20_000  # of the log that wait for the disk: an hour at four predictions a second


@dataclass(frozen=True, slots=True)
class Outputs:
    """Receivers of a session besides its LSL prediction stream.

    Parameters
    ----------
    queues : tuple of QueuedSink, default=()
        Receive predictions and events in threads of their own.
    items : tuple of str, default=()
        ``signal`` and ``features``: more LSL outlets.
    events : Path or None, default=None
        Table of seizures that one of the queues writes.
    services : Services
        What tells others how the session goes.
    recorder : Recorder or None, default=None
        Records the stream and all that is reported.
    """

    queues: tuple[QueuedSink, ...] = ()
    items: tuple[str, ...] = ()
    events: Path | None = None
    services: Services = field(default_factory=Services)
    recorder: Recorder | None = None

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """All receivers; the queued ones last, they cost the least."""
        health = () if self.services.health is None else (self.services.health,)
        recorder = () if self.recorder is None else (self.recorder.log,)
        return (*health, *recorder, *self.queues)

    @property
    def watches(self) -> tuple[Callable[[], list[Event]], ...]:
        """What tells of receivers that fail or lose something."""
        recorder = () if self.recorder is None else (self.recorder.events,)
        return (*(queue.events for queue in self.queues), *recorder, *self.services.watches)

    def lines(self) -> tuple[str, ...]:
        """Return what became of the recording and the queued items, for a user at the end."""
        told = {queue.name: queue.delivery() for queue in self.queues}
        queued = (
            f"{name}: {d.n_sent} sent, {d.n_dropped} dropped, {d.n_refused} refused, {d.n_left} left."
            for name, d in told.items()
        )
        return (*(() if self.recorder is None else recorded_lines(self.recorder)), *queued)

    def check(self, decision: DecisionSpec) -> None:
        """Refuse a model that cannot give what was asked for.

        Raises
        ------
        UsageError
            If a table of seizures was asked for and its alarms are none.
        """
        if self.events is not None:
            from bci.sinks.szcore_sink import check_watches_seizures

            check_watches_seizures(decision)


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `build_outputs`, ``--out`` and ``--summary``."""
    options = parser.add_argument_group("outputs")
    options.add_argument("--out", metavar="NAME", help="name of the prediction stream (default: {stream}-pred)")
    options.add_argument("--log", type=Path, metavar="FILE", help="write predictions and events as JSON Lines")
    options.add_argument("--events", type=Path, metavar="FILE", help="write the alarms as a SzCORE table (_events.tsv)")
    options.add_argument("--overwrite", action="store_true", help="replace the files of --log, --events, --summary")
    options.add_argument("--osc", metavar="HOST:PORT[/PREFIX]", help="send predictions and events as OSC over UDP")
    options.add_argument(
        "--mqtt", metavar="HOST[:PORT][/TOPIC]", help="publish them on an MQTT broker (user: see docs/outputs.md)"
    )
    options.add_argument(
        "--publish", metavar="ITEMS", help="also publish the decoder's own NAME-signal, NAME-features: signal,features"
    )
    add_record_options(parser)
    add_service_options(parser)


def build_outputs(args: argparse.Namespace) -> Outputs:
    """Return the receivers that the options ask for; nothing is written or sent yet.

    Raises
    ------
    UsageError
        If an option asks for what cannot be.
    """
    from pylsl import local_clock

    from bci.sinks.address import parse_address
    from bci.sinks.mqtt_sink import DEFAULT_PORT, MqttSink
    from bci.sinks.osc_sink import OscSink
    from bci.sinks.queued import QueuedSink
    from bci.sinks.signal_sink import parse_items
    from bci.sinks.szcore_sink import SzcoreSink

    items = parse_items(args.publish) if args.publish is not None else ()
    logs = (log_queue(args.log, args.overwrite),) if args.log is not None else ()
    slow: dict[str, Sink] = {}
    if args.events is not None:
        check_apart(args.log, args.events)
        slow["events"] = SzcoreSink(args.events, args.overwrite)
    if args.osc is not None:
        slow["osc"] = OscSink(parse_address(args.osc, "--osc"))
    if args.mqtt is not None:
        slow["mqtt"] = MqttSink(parse_address(args.mqtt, "--mqtt", DEFAULT_PORT))
    queues = (*logs, *(QueuedSink(sink, name=name, clock=local_clock) for name, sink in slow.items()))
    recorder = build_recorder(args)
    return Outputs(queues, items, args.events, build_services(args, queues), recorder)


def log_queue(path: Path, overwrite: bool = False) -> QueuedSink:
    """Return a log on JSON Lines that a slow or full disk cannot hold up.

    Parameters
    ----------
    path : Path
        File to write.
    overwrite : bool, default=False
        Whether one that exists is replaced.

    Raises
    ------
    UsageError
        If it cannot be written.
    """
    from pylsl import local_clock

    from bci.sinks.jsonl_sink import JsonlSink
    from bci.sinks.queued import QueuedSink

    return QueuedSink(JsonlSink(path, overwrite), name="log", clock=local_clock, max_items=MAX_LINES)


def check_apart(log: Path | None, events: Path) -> None:
    """Refuse one file for two outputs.

    Raises
    ------
    UsageError
        If log and table are one file.
    """
    from bci.errors import UsageError

    if log is not None and log.resolve() == events.resolve():
        raise UsageError(f"--log and --events need a file each, got {events} for both. Choose another name.")
