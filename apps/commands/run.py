"""`bci run`: decode a live stream and publish the predictions."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from apps.board_options import Input, add_input_options, build_input
from apps.control import add_control_option, controlled
from apps.engine_options import add_engine_options
from apps.live import live_session, out_name, session_commands, told_afterwards
from apps.outputs import Outputs, add_output_options, build_outputs
from apps.quality import add_quality_options, judged
from apps.realtime_options import add_realtime_options, build_realtime, in_real_time
from apps.service import write_summary
from apps.session_options import Choices, add_session_options, session_choices

if TYPE_CHECKING:
    from bci.realtime import RealTime
    from bci.serving import Served
    from bci.session import Summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci run`."""
    add_input_options(parser, several=True)
    parser.add_argument("--model", required=True, metavar="BUNDLE", help="directory or name of a shipped bundle")
    parser.add_argument("--duration", type=float, metavar="S", help="stop this long after the first sample")
    add_engine_options(parser)
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="wait for the stream, then for its first sample (10)"
    )
    add_output_options(parser)
    add_quality_options(parser)
    add_session_options(parser)
    add_control_option(parser, "acknowledge, mute, stop")
    add_realtime_options(parser)
    parser.add_argument("--no-view", action="store_true", help="do not draw the live view")


def run(args: argparse.Namespace) -> int:
    """Decode until the stream ends, the duration has passed or a signal comes."""
    if args.all_streams is not None or len(args.stream or ()) > 1:
        from apps.beds import run_beds

        return run_beds(args)
    from apps.console import print_summary

    received = build_input(args, args.timeout)
    choices = session_choices(args)
    outputs = build_outputs(args)
    summary = run_session(
        stream=received.name,
        received=received,
        model=args.model,
        out=args.out,
        duration_s=args.duration,
        engine=args.engine,
        precision=args.precision,
        remeasure=args.remeasure,
        timeout_s=args.timeout,
        outputs=outputs,
        view=not args.no_view,
        control=args.control,
        quality=args.quality,
        min_channels=args.min_channels,
        hygiene=build_realtime(args),
        choices=choices,
    )
    print_summary(summary)
    for line in told_afterwards(args, outputs):
        print(line)
    if args.summary is not None:
        write_summary(args.summary, summary, outputs.queues)
        print(f"Summary: {args.summary}")
    if summary.lost:
        from bci.errors import StreamLost

        raise StreamLost(f"The session has ended early. {summary.ended}")
    return 0


def run_session(
    *,
    stream: str,
    model: str,
    out: str | None = None,
    duration_s: float | None = None,
    engine: str = "auto",
    precision: str = "fp32",
    remeasure: bool = False,
    received: Input | None = None,
    timeout_s: float = 10.0,
    outputs: Outputs | None = None,
    view: bool = True,
    control: int | None = None,
    quality: str | None = None,
    min_channels: int | None = None,
    hygiene: RealTime | None = None,
    choices: Choices | None = None,
) -> Summary:
    """Serve a bundle on a stream; SIGINT and SIGTERM end it in order.

    Parameters
    ----------
    stream : str
        Name of the stream; without `received`, of an LSL stream, or ``key=value``.
    model : str
        Directory or name of a bundle.
    out : str or None, default=None
        Name of the prediction stream; None appends ``-pred`` to the stream's.
    duration_s : float or None, default=None
        Stop this long after the first sample.
    engine, precision : str, default="auto", "fp32"
        See `bci.engines.selection.build_engine`.
    remeasure : bool, default=False
        Likewise.
    received : Input or None, default=None
        Where samples come from; None takes the LSL stream.
    timeout_s : float, default=10.0
        Longest wait for the stream, and then for its first sample, in seconds.
    outputs : Outputs or None, default=None
        Receivers besides the LSL prediction stream; None has none.
    view : bool, default=True
        Draw the live view, if this is a terminal.
    control : int or None, default=None
        TCP port for commands; 0 takes a free one.
    quality, min_channels : str or None, and int or None, default=None
        See `bci.quality.with_quality`.
    hygiene : RealTime or None, default=None
        Applied while the session runs; what was possible is printed.
    choices : Choices or None, default=None
        About lost streams, overload and tolerances; None waits for no lost stream and has the defaults else.

    Returns
    -------
    summary : Summary
    """
    import contextlib
    import gc

    from apps.console import ConsoleView, print_engine
    from apps.liblsl import quiet_liblsl
    from apps.signals import stop_on_signals
    from bci.anticipation import LEAD_S
    from bci.serving import serve
    from bci.sources.lsl_source import LslSource

    name = out_name(out, stream)
    choices = choices or Choices({"reconnect_s": 0.0})
    settings = choices.build(name, duration_s=duration_s, start_timeout_s=timeout_s, anticipation_s=LEAD_S)
    outputs = outputs or Outputs()
    received = received or Input(stream, LslSource(stream, resolve_timeout_s=timeout_s))
    quiet_liblsl()

    def load(bundle: str) -> Served:
        return judged(serve(bundle, engine, precision, remeasure), quality, min_channels)

    served = choices.adjust(load(model))
    standby = None if settings.budget.fallback is None else load(settings.budget.fallback)
    bundle, report = served.bundle, served.engine_report
    outputs.check(bundle.decision)
    print_engine(report)
    session = live_session(served, received, settings, outputs, standby)
    title = f"{stream} → {bundle.name} ({report.name}, {report.precision}) → {name}"
    drawing = ConsoleView(session, title, bundle.decision.classes) if view else contextlib.nullcontext()
    gc.freeze()  # what was loaded so far lives as long as the session

    def end() -> None:
        if not session.opened:  # still looking for the stream: nothing to put in order
            raise KeyboardInterrupt
        session.stop()

    with (
        stop_on_signals(end),
        outputs.services.running(),
        controlled(control, session_commands(session)),
        drawing,
        in_real_time(hygiene),  # last: it is for the threads of the session
    ):
        return session.run()
