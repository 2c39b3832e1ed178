"""A live session from what the options say: the same for one stream and for several."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from apps.board_options import Input
from apps.outputs import Outputs

if TYPE_CHECKING:
    from bci.control import Command
    from bci.decoder import Decoder
    from bci.serving import Served
    from bci.session import Session, SessionSettings

MAX_MUTE_S = 86400.0  # a day
DEFAULT_OUT = "{stream}-pred"


def plain_name(stream: str) -> str:
    """Return the name of a stream that was asked for as ``NAME`` or ``key=value``."""
    return stream.rpartition("=")[2]


def out_name(out: str | None, stream: str) -> str:
    """Return the name of the prediction stream for the stream called `stream`."""
    return (out or DEFAULT_OUT).replace("{stream}", plain_name(stream))


def live_session(
    served: Served, received: Input, settings: SessionSettings, outputs: Outputs, standby: Served | None = None
) -> Session:
    """Return a session that publishes over LSL; nothing is opened yet.

    Parameters
    ----------
    served : Served
        Model and engine.
    received : Input
        Where samples come from.
    settings : SessionSettings
    outputs : Outputs
        Receivers besides the LSL prediction stream.
    standby : Served or None, default=None
        Model of the budget's policy ``fallback_model``.

    Returns
    -------
    session : Session

    Raises
    ------
    UsageError
        If features are to be published and the model has none, or the fallback model does not fit it.
    """
    import pylsl

    from bci.identity import Identity
    from bci.session import Session
    from bci.sinks.lsl_sink import LslSink
    from bci.sinks.signal_sink import SignalSink

    bundle, report = served.bundle, served.engine_report
    decoder = _decoder(served, standby, pylsl.local_clock)
    if outputs.recorder is not None:
        outputs.recorder.describe({"Decoder": {"bundle": bundle.name, "bundle_sha256": bundle.sha256}})
    return Session(
        received.source,
        decoder,
        Identity(bundle.name, bundle.sha256, report.name, report.precision),
        settings,
        LslSink(),
        outputs.sinks,
        pylsl.local_clock,
        SignalSink(decoder.pipeline, outputs.items) if outputs.items else None,
        recorder=outputs.recorder,
        watches=(*outputs.watches, *received.watches),
    )


def _decoder(served: Served, standby: Served | None, timer: Callable[[], float]) -> Decoder:
    if standby is None:
        return served.decoder(timer)
    from bci.errors import SpecError, UsageError
    from bci.fallback import FallbackDecoder

    bundle = served.bundle
    try:
        return FallbackDecoder(bundle.pipeline.build(), served.engine, bundle.decision, timer, standby.decoder(timer))
    except SpecError as error:
        raise UsageError(str(error)) from error


def session_commands(session: Session) -> dict[str, Command]:
    """Return what ``--control`` offers for a session."""
    from bci.control import Command, Number

    return {
        "acknowledge": Command(lambda: session.command("acknowledge")),
        "mute": Command(lambda s: session.command("mute", {"seconds": s}), Number("seconds", 0.0, MAX_MUTE_S)),
        "stop": Command(lambda: session.command("stop")),
    }


def told_afterwards(args: argparse.Namespace, outputs: Outputs) -> list[str]:
    """Return where everything was written, and what became of it, for a user at the end."""
    files = (("Log", args.log), ("Events", args.events))
    return [*(f"{what}: {path}" for what, path in files if path is not None), *outputs.lines()]
