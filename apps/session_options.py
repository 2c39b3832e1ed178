"""The options of a session about streams that are lost, overload, and tolerances of the clock."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bci.session import SessionSettings

MAX_CONFIG_BYTES = 1 << 20
TABLES = ("clock",)


def add_session_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--reconnect``, ``--on-mismatch``, ``--overload`` and ``--config``."""
    options = parser.add_argument_group("lost streams, overload and gaps")
    options.add_argument(
        "--reconnect", type=float, metavar="S", help="longest wait for a lost stream (default: no end; 0: none)"
    )
    options.add_argument(
        "--on-mismatch",
        choices=("stop", "wait"),
        default="stop",
        help="if another stream comes back: end with an error (default), or go on waiting",
    )
    options.add_argument(
        "--overload",
        choices=("newest", "all"),
        default="newest",
        help="if there is no time for all windows: compute the newest (default), or all of them, ever later",
    )
    options.add_argument("--config", type=Path, metavar="FILE", help="TOML file with tolerances in its table [clock]")


@dataclass(frozen=True, slots=True)
class Choices:
    """Settings of a session by name, as the options have them; what is not there has its default.

    Parameters
    ----------
    settings : mapping of str to Any
        Keywords of `bci.session.SessionSettings`.
    """

    settings: dict[str, Any]

    def build(self, name: str, **others: Any) -> SessionSettings:
        """Return the settings of a session whose predictions are called `name`.

        Raises
        ------
        UsageError
            If they do not fit.
        """
        from bci.errors import SpecError, UsageError
        from bci.session import SessionSettings

        try:
            return SessionSettings(name, **others, **self.settings)
        except SpecError as error:
            raise UsageError(str(error)) from error


def session_choices(args: argparse.Namespace) -> Choices:
    """Return what the options and the file of ``--config`` say.

    Raises
    ------
    UsageError
        If the file cannot be read, or has a table or key that is unknown or of a wrong type.
    """
    settings = {"reconnect_s": args.reconnect, "on_mismatch": args.on_mismatch, "overload": args.overload}
    if args.config is not None:
        settings["clock"] = read_clock(args.config)
    return Choices(settings)


def read_clock(file: Path) -> Any:
    """Return the tolerances in the table ``[clock]`` of a TOML file.

    Parameters
    ----------
    file : Path
        Keys are the fields of `bci.clock.ClockSpec`; what is not there has its default.

    Returns
    -------
    clock : ClockSpec

    Raises
    ------
    UsageError
        If the file cannot be read, or has a table or key that is unknown or of a wrong type.
    """
    import tomllib

    from bci.clock import ClockSpec
    from bci.errors import SpecError, UsageError
    from bci.records import record_from_dict

    try:
        with file.open("rb") as opened:
            text = opened.read(MAX_CONFIG_BYTES + 1)
        if len(text) > MAX_CONFIG_BYTES:
            raise UsageError(f"--config needs a file of at most 1 MiB, got a larger one: {file}.")
        content = tomllib.loads(text.decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"--config needs a TOML file that can be read, got {file}: {error}.") from error
    unknown = sorted(set(content) - set(TABLES))
    if unknown:
        raise UsageError(f"--config needs the table [clock] alone, got {', '.join(map(repr, unknown))} in {file}.")
    try:
        clock = record_from_dict(ClockSpec, content.get("clock", {}), "[clock]")
    except SpecError as error:
        raise UsageError(f"{file}: {error}") from error
    return clock
