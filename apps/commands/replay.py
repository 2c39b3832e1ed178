"""`bci replay`: publish a recording over LSL as if it were being recorded now."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from apps.control import add_control_option, controlled

if TYPE_CHECKING:
    from bci.control import Command
    from bci.sources.player import Player

HELP = "publish a recording over LSL as if it were being recorded now"

_STATUS_EVERY_S = 0.25
_SWITCH_INTERVAL_S = (
    0.0005  # the file is read in a second thread: it must not hold the interpreter while a chunk is due
)


_LONGEST_S = 1e9
_SPEEDS = (1e-3, 1e3)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `bci replay`."""
    parser.add_argument("file", type=Path, help="any recording that MNE reads (.fif, .edf, .bdf, .vhdr, .set, …)")
    parser.add_argument("--name", help="name of the LSL stream (default: the file's name without its ending)")
    parser.add_argument("--chunk-size", type=int, default=8, metavar="N", help="samples per chunk (default 8)")
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="times the recorded speed (default 1)")
    parser.add_argument("--loop", action="store_true", help="start again at the end")
    parser.add_argument("--wait", action="store_true", help="start when a consumer connects")
    parser.add_argument("--start", type=float, default=0.0, metavar="S", help="first second to play (default 0)")
    parser.add_argument("--stop", type=float, metavar="S", help="second to stop at (default: the end)")
    parser.add_argument(
        "--linger",
        type=float,
        default=10.0,
        metavar="S",
        help="seconds that the stream stays after the end while a consumer is connected (default 10)",
    )
    parser.add_argument("--picks", help="eeg, meg, all, or channel names joined by commas (default: EEG, else MEG)")
    add_control_option(parser, "pause, resume, seek, speed, stop")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND:ARGS",
        help="inject a fault; may be given several times. docs/reliability.md lists them: drop:0.01, stall:20,3, …",
    )
    parser.add_argument("--fault-seed", type=int, default=0, metavar="N", help="of the random faults (default 0)")
    parser.add_argument("--fault-log", type=Path, metavar="FILE", help="write what was injected as JSON Lines")
    parser.add_argument("--unit", help="unit of channels for which the file states none, for example uV")
    parser.add_argument(
        "--like",
        metavar="BUNDLE",
        help="bring the file to a bundle's channels (usual spellings) and rate (causal resampling)",
    )


def run(args: argparse.Namespace) -> int:
    """Replay the file until its end or a signal."""
    from apps.adapt import adapted
    from apps.liblsl import quiet_liblsl
    from bci.errors import SpecError, UsageError
    from bci.sources.faults import parse_fault
    from bci.sources.faulty_outlets import FaultSettings
    from bci.sources.lsl_player import recording_player
    from bci.sources.player import PlayerSettings
    from bci.sources.recording import open_recording

    if not args.fault and args.fault_log is not None:
        raise UsageError("--fault-log needs a --fault whose effects it can hold, got none. Name one or leave it out.")
    if args.fault_seed < 0:
        raise UsageError(f"--fault-seed needs a number of at least 0, got {args.fault_seed}.")
    quiet_liblsl()
    try:
        faults = FaultSettings(tuple(map(parse_fault, args.fault)), args.fault_seed, args.fault_log)
    except SpecError as error:
        raise UsageError(str(error)) from error
    recording = adapted(open_recording(args.file, unit=args.unit, picks=args.picks), args.like)
    name = args.name or args.file.stem
    try:
        settings = PlayerSettings(
            chunk_size=args.chunk_size,
            speed=args.speed,
            loop=args.loop,
            wait=args.wait,
            start_s=args.start,
            stop_s=args.stop,
            linger_s=args.linger,
        )
        player = recording_player(recording, name, settings, faults)
    except SpecError as error:
        raise UsageError(str(error)) from error
    with controlled(args.control, player_commands(player)):
        play(player, name, recording.signal.sfreq)
    recording.close()
    return 0


def player_commands(player: Player) -> dict[str, Command]:
    """Return what ``--control`` offers for a replay."""
    from bci.control import Command, Number

    return {
        "pause": Command(player.pause),
        "resume": Command(player.resume),
        "seek": Command(player.seek, Number("seconds", 0.0, _LONGEST_S)),
        "speed": Command(player.set_speed, Number("x", *_SPEEDS)),
        "stop": Command(player.stop),
    }


def play(player: Player, name: str, sfreq: float) -> None:
    """Run a player until its end, or until SIGINT or SIGTERM; show one status line on a terminal."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in previous:
        signal.signal(number, lambda *_: player.stop())
    finished = threading.Event()
    status = threading.Thread(target=_show, args=(player, name, sfreq, finished), daemon=True)
    status.start()
    try:
        player.run()
    finally:
        finished.set()
        status.join()
        for number, handler in previous.items():
            signal.signal(number, handler)
    print(f"replayed {player.n_sent} samples ({player.n_sent / sfreq:.1f} s) as {name!r}")


def _show(player: Player, name: str, sfreq: float, finished: threading.Event) -> None:
    if not sys.stdout.isatty():
        return
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    with console.status("") as line:
        while not finished.wait(_STATUS_EVERY_S):
            at_s = player.position / sfreq
            line.update(f"{escape(name)}: {player.state} at {at_s:.1f} s, {player.n_sent} samples sent")
