"""`bci monitor`: watch a session in a window; the decoder goes on whatever becomes of the window."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from apps.commands.control import find_token
from apps.engine_options import add_engine_options

if TYPE_CHECKING:
    from apps.monitor.controls import Controls, Endpoint
    from apps.monitor.feed import Feed
    from apps.monitor.model import MonitorModel
    from apps.monitor.options import MonitorOptions, Start

THEMES = ("dark", "light")
NEEDED = ("PySide6", "pyqtgraph")
SCREENS = ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY")
DEMO_S = 600.0
SUFFIX = "-pred"


@dataclass(frozen=True, slots=True)
class Watched:
    """What a window is shown of.

    Parameters
    ----------
    model : MonitorModel
    feed : Feed
    controls : Controls
    """

    model: MonitorModel
    feed: Feed
    controls: Controls


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci monitor`."""
    parser.add_argument("--stream", metavar="NAME", help="stream that is decoded (default: what the predictions say)")
    parser.add_argument("--predictions", metavar="NAME", help="prediction stream (default: {stream}-pred)")
    parser.add_argument("--model", metavar="BUNDLE", help="start bci run with this model on --stream, and end it again")
    parser.add_argument("--demo", action="store_true", help="start a simulated patient and bci run with seizure-demo")
    parser.add_argument(
        "--bundles", type=Path, default=Path(), metavar="FOLDER",
        help="where the start dialog looks for models, besides the shipped ones (default: here)",
    )  # fmt: skip
    parser.add_argument("--theme", choices=THEMES, help="dark or light (default: as it was left; dark at first)")
    parser.add_argument(
        "--screenshot", type=Path, metavar="FILE", help="write the window as PNG after --after, and end"
    )
    parser.add_argument("--after", type=float, default=10.0, metavar="S", help="seconds until the screenshot (10)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file of --screenshot")
    control = parser.add_argument_group("control ports (of a session or replay that others have started)")
    control.add_argument("--control", type=int, metavar="PORT", help="that bci run --control printed")
    control.add_argument("--token-file", type=Path, metavar="FILE", help="file with its token, or the line that has it")
    control.add_argument("--replay-control", type=int, metavar="PORT", help="that bci replay --control printed")
    control.add_argument("--replay-token-file", type=Path, metavar="FILE", help="likewise")
    add_engine_options(parser)


def run(args: argparse.Namespace) -> int:
    """Show the window until it is closed."""
    from apps.liblsl import quiet_liblsl
    from apps.monitor.options import Start

    check_arguments(args)
    check_qt()
    quiet_liblsl()
    options = window_options(args)
    if args.demo:
        return _demo(args, options)
    if args.stream or args.predictions:
        start: Start | None = Start(args.stream or "", args.predictions or "", Path(args.model) if args.model else None)
    else:
        from apps.monitor.show import choose_start

        start = choose_start(options, (args.bundles,))
    return 0 if start is None else _show(args, options, start, args.model)


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse options that do not go together.

    Raises
    ------
    UsageError
        If there are such.
    """
    from bci.errors import UsageError
    from bci.texts import printable

    if args.demo and (args.stream or args.predictions or args.model):
        raise UsageError("--demo needs no --stream, --predictions or --model, got one. Leave out one of them.")
    if args.model and not args.stream:
        raise UsageError("--model needs --stream NAME, which bci run is to decode, got none. `bci streams` lists them.")
    if not 0 < args.after < math.inf:
        raise UsageError(f"--after must be above 0 s, got {args.after:g}.")
    for option, port in (("--control", args.control), ("--replay-control", args.replay_control)):
        if port is not None and not 1 <= port <= 65535:
            raise UsageError(f"{option} needs a port from 1 to 65535, got {port}.")
    if not args.bundles.is_dir():
        raise UsageError(f"--bundles needs a folder, got {printable(str(args.bundles))}.")
    path = args.screenshot
    if path is None:
        return
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"--screenshot needs a file in a folder that can be written, got {path}.")
    if path.exists() and not args.overwrite:
        raise UsageError(f"--screenshot needs a file that does not exist yet, got {path}. Pass --overwrite.")


def window_options(args: argparse.Namespace) -> MonitorOptions:
    """Return what the window is told; one that is made for a picture neither reads nor keeps how it was left."""
    from apps.monitor.options import MonitorOptions
    from apps.monitor.settings import read_settings, settings_file

    if args.screenshot is not None:
        return MonitorOptions(theme=args.theme or THEMES[0], screenshot=args.screenshot, after_s=args.after)
    kept = settings_file()
    return MonitorOptions(theme=args.theme or read_settings(kept).theme, settings=kept)


def check_qt() -> None:
    """Refuse to go on without the packages that draw, or a screen to draw on: Qt would abort.

    Raises
    ------
    BciError
        If one is missing; says what to do.
    """
    from bci.errors import BciError

    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise BciError(
            f"bci monitor needs {' and '.join(NEEDED)}, got no {' and no '.join(missing)}. "
            "Install them with: pip install 'streaming-bci[monitor]'"
        )
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in SCREENS):
        raise BciError(
            "bci monitor needs a screen, got neither DISPLAY nor WAYLAND_DISPLAY. "
            "Start it on a desktop, or with QT_QPA_PLATFORM=offscreen and --screenshot."
        )


@contextlib.contextmanager
def watching(
    start: Start, run_arguments: list[str] | None, session: Endpoint | None = None, replay: Endpoint | None = None
) -> Iterator[Watched]:
    """Read the streams of a session inside the block, and start it before if there are arguments for `bci run`.

    Parameters
    ----------
    start : Start
        What to watch.
    run_arguments : list of str or None
        Of `bci run`; None attaches to a session that runs.
    session, replay : Endpoint or None, default=None
        Control ports of others.
    """
    import time

    import pylsl

    from apps.monitor.controls import Controls
    from apps.monitor.decoder_process import DecoderProcess
    from apps.monitor.feed import Feed
    from apps.monitor.model import MonitorModel

    name = start.predictions or start.stream.rpartition("=")[2] + SUFFIX
    with contextlib.ExitStack() as stack:
        controls = Controls(session, replay)
        stack.callback(controls.close)
        ended = None
        if run_arguments is not None:
            child = DecoderProcess([*run_arguments, "--out", name], lambda found: controls.connect(session=found))
            stack.callback(child.close)
            ended = child.ended
        model = MonitorModel(pylsl.local_clock, time.time() - pylsl.local_clock(), name)
        feed = Feed(name, None if "=" in start.stream else start.stream or None, ended)
        stack.callback(feed.close)
        yield Watched(model, feed, controls)


def publishable(bundle: Path) -> str:
    """Return what `bci run --publish` can publish with a bundle."""
    from bci.bundle import load_bundle
    from bci.decoder import n_plain_stages

    pipeline = load_bundle(bundle).pipeline.build()
    return "signal,features" if n_plain_stages(pipeline) < len(pipeline.stages) else "signal"


def _show(args: argparse.Namespace, options: MonitorOptions, start: Start, model: str | None) -> int:
    from apps.monitor.show import run_window
    from bci.bundle import find_bundle

    bundle = find_bundle(model) if model else start.bundle
    arguments = None
    if bundle is not None:
        arguments = [
            *("--stream", start.stream, "--model", str(bundle), "--publish", publishable(bundle)),
            *("--engine", args.engine, "--precision", args.precision, *(["--remeasure"] if args.remeasure else [])),
            *(["--reconnect", "0", "--timeout", f"{DEMO_S:g}"] if args.demo else []),
        ]
    session = _endpoint(args.control, args.token_file)
    replay = _endpoint(args.replay_control, args.replay_token_file)
    with watching(start, arguments, session, replay) as watched:
        return run_window(watched.model, watched.feed, watched.controls, options)


def _demo(args: argparse.Namespace, options: MonitorOptions) -> int:
    from apps.commands.demo import DEFAULT_SEED, MODEL, sender
    from apps.monitor.options import Start
    from bci.bundle import SHIPPED
    from bci.sources.simulated_patient import PatientSpec

    stream = f"demo-patient-{os.getpid()}"
    with sender(stream, PatientSpec(DEFAULT_SEED, duration_s=DEMO_S)):
        return _show(args, options, Start(stream, "", SHIPPED / MODEL), None)


def _endpoint(port: int | None, token_file: Path | None) -> Endpoint | None:
    """Return a control port with its token, from the file or the environment."""
    from apps.monitor.controls import Endpoint

    return None if port is None else Endpoint(port, find_token(None, token_file))
