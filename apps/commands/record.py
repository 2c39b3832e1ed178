"""`bci record`: record a live stream without decoding it."""

from __future__ import annotations

import argparse
from pathlib import Path

from apps.board_options import add_input_options, build_input
from apps.recording_options import add_name_options, recorded_lines, recorder_in
from apps.session_options import add_config_option, add_return_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci record`."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="where to; made if it is missing")
    add_input_options(parser)
    add_name_options(parser)
    parser.add_argument("--duration", type=float, metavar="S", help="stop this long after the first sample")
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="wait for the stream, then for its first sample (10)"
    )
    options = parser.add_argument_group("lost streams and gaps")
    add_return_options(options)
    add_config_option(options)


def run(args: argparse.Namespace) -> int:
    """Record until the stream ends, the duration has passed or a signal comes."""
    from pylsl import local_clock

    from apps.liblsl import quiet_liblsl
    from apps.signals import stop_on_signals
    from bci.errors import SpecError, StreamLost, UsageError
    from bci.recording_session import RecordingSession
    from bci.session_settings import SessionSettings

    received = build_input(args, args.timeout)
    recorder = recorder_in(args.folder, args)
    try:
        settings = SessionSettings(
            received.name, args.duration, args.timeout, reconnect_s=args.reconnect, on_mismatch=args.on_mismatch
        )
    except SpecError as error:
        raise UsageError(str(error)) from error
    quiet_liblsl()
    session = RecordingSession(received.source, recorder, settings, local_clock, received.watches)

    def end() -> None:
        if not session.opened:  # still looking for the stream: nothing to put in order
            raise KeyboardInterrupt
        session.stop()

    with stop_on_signals(end):
        summary = session.run()
    for line in recorded_lines(recorder):
        print(line)
    events = ", ".join(f"{kind} {n}" for kind, n in summary.counts.items() if kind != "ended")
    print(f"{summary.n_samples} samples received. Events: {events or 'none'}. Ended: {summary.ended}.")
    if summary.lost:
        raise StreamLost(f"The recording has ended early. {summary.ended}")
    return 0
