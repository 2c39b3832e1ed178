"""The options that say where a stream is recorded, and what that becomes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from apps.session_options import read_clock

if TYPE_CHECKING:
    from bci.recorder import Recorder

_NAMES = ("subject", "session", "task")


def add_name_options(parser: argparse._ActionsContainer) -> None:
    """Add ``--subject``, ``--session`` and ``--task``."""
    parser.add_argument("--subject", metavar="NAME", help="who is recorded: letters and digits (default: unknown)")
    parser.add_argument("--session", metavar="NAME", help="which visit: letters and digits (default: none)")
    parser.add_argument("--task", metavar="NAME", help="what is done: letters and digits (default: live)")


def add_record_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--record`` and the names of the files."""
    options = parser.add_argument_group("recording")
    options.add_argument(
        "--record", type=Path, metavar="DIR", help="record the stream as received, with predictions and events"
    )
    add_name_options(options)


def build_recorder(args: argparse.Namespace) -> Recorder | None:
    """Return the recorder that ``--record`` asks for; None without it.

    Raises
    ------
    UsageError
        If the folder cannot be written, or a name is not allowed or given without a folder.
    """
    if args.record is not None:
        return recorder_in(args.record, args)
    given = [name for name in _NAMES if getattr(args, name) is not None]
    if given:
        from bci.errors import UsageError

        raise UsageError(f"--{given[0]} names a recording, which needs --record DIR, got none. Add it.")
    return None


def recorder_in(folder: Path, args: argparse.Namespace) -> Recorder:
    """Return a recorder with the names and tolerances that the options give; nothing is written yet.

    Raises
    ------
    UsageError
        If the folder cannot be written, a name is not allowed, or the file of ``--config`` does not fit.
    """
    from pylsl import local_clock

    from bci.recorder import Recorder, RecorderSettings, RecordingName

    given = {name: getattr(args, name) for name in _NAMES if getattr(args, name) is not None}
    settings = RecorderSettings() if args.config is None else RecorderSettings(clock=read_clock(args.config))
    return Recorder(folder, RecordingName(**given), local_clock, settings)


def recorded_lines(recorder: Recorder) -> tuple[str, ...]:
    """Return what became of a recording, for a user at the end."""
    done = recorder.recorded()
    if not done.paths:
        return ("Recorded: nothing.",)
    missed = f", {done.n_missed} received samples are missing" if done.n_missed else ""
    return (*(f"Recording: {path}" for path in done.paths), f"Recorded: {done.n_written} samples{missed}.")
