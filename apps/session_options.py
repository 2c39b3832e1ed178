"""The options of a session about lost streams, overload, tolerances of the clock, the rule of alarms, and budgets."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bci.budget import BudgetSpec
    from bci.clock import ClockSpec
    from bci.serving import Served
    from bci.session import SessionSettings

MAX_CONFIG_BYTES = 1 << 20
TABLES = ("clock", "alarm", "budget")


def add_session_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--reconnect``, ``--on-mismatch``, ``--overload`` and ``--config``."""
    options = parser.add_argument_group("lost streams, overload and gaps")
    add_return_options(options)
    options.add_argument(
        "--overload",
        choices=("newest", "all"),
        default="newest",
        help="if there is no time for all windows: compute the newest (default), or all of them, ever later",
    )
    add_config_option(options)


def add_return_options(options: argparse._ActionsContainer) -> None:
    """Add ``--reconnect`` and ``--on-mismatch``."""
    options.add_argument(
        "--reconnect", type=float, metavar="S", help="longest wait for a lost stream (default: no end; 0: none)"
    )
    options.add_argument(
        "--on-mismatch",
        choices=("stop", "wait"),
        default="stop",
        help="if another stream comes back: end with an error (default), or go on waiting",
    )


def add_config_option(options: argparse._ActionsContainer) -> None:
    """Add ``--config``."""
    options.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML file with tolerances for gaps in its table [clock], the model's rule for alarms in [alarm], "
        "and (bci run) what predictions may take in [budget]",
    )


@dataclass(frozen=True, slots=True)
class Choices:
    """Settings of a session by name, as the options have them; what is not there has its default.

    Parameters
    ----------
    settings : mapping of str to Any
        Keywords of `bci.session.SessionSettings`.
    alarm : mapping of str to Any, default={}
        Fields of `bci.alarm.AlarmSpec` that are other than the model's.
    """

    settings: dict[str, Any]
    alarm: dict[str, Any] = field(default_factory=dict)

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

    def adjust(self, served: Served) -> Served:
        """Return `served` with alarms as the user wants them.

        Raises
        ------
        UsageError
            If they do not fit the model.
        """
        return with_alarm(served, self.alarm)


def session_choices(args: argparse.Namespace) -> Choices:
    """Return what the options and the file of ``--config`` say.

    Raises
    ------
    UsageError
        If the file cannot be read, or has a table or key that is unknown or of a wrong type.
    """
    settings = {"reconnect_s": args.reconnect, "on_mismatch": args.on_mismatch, "overload": args.overload}
    if args.config is None:
        return Choices(settings)
    tables = {"clock": read_clock(args.config), "budget": read_budget(args.config)}
    return Choices(settings | tables, read_alarm(args.config))


def read_clock(file: Path) -> ClockSpec:
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
    from bci.clock import ClockSpec

    return _read_record(file, "clock", ClockSpec)


def read_budget(file: Path) -> BudgetSpec:
    """Return what predictions may take: the table ``[budget]`` of a TOML file, fields of `bci.budget.BudgetSpec`.

    Raises
    ------
    UsageError
        If the file cannot be read, or the table does not hold together.
    """
    from bci.budget import BudgetSpec

    return _read_record(file, "budget", BudgetSpec)


def _read_record(file: Path, table: str, kind: type) -> Any:
    from bci.errors import SpecError, UsageError
    from bci.records import record_from_dict

    try:
        return record_from_dict(kind, read_tables(file).get(table, {}), f"[{table}]")
    except SpecError as error:
        raise UsageError(f"{file}: {error}") from error


def read_alarm(file: Path) -> dict[str, Any]:
    """Return the table ``[alarm]`` of a TOML file: fields of `bci.alarm.AlarmSpec` but ``label``, which is the model's.

    Raises
    ------
    UsageError
        If the file cannot be read, or has a table or key that is unknown.
    """
    import dataclasses

    from bci.alarm import AlarmSpec
    from bci.errors import UsageError

    table = read_tables(file).get("alarm", {})
    known = [item.name for item in dataclasses.fields(AlarmSpec) if item.name != "label"]
    unknown = sorted(set(table) - set(known)) if isinstance(table, dict) else [repr(table)]
    if unknown:
        raise UsageError(f"{file}: [alarm] needs some of {', '.join(known)}, got {', '.join(unknown)}.")
    return dict(table)


def with_alarm(served: Served, changes: dict[str, Any]) -> Served:
    """Return `served` with another rule for its alarm.

    Parameters
    ----------
    served : Served
        Model and engine.
    changes : mapping of str to Any
        From `read_alarm`.

    Returns
    -------
    served : Served

    Raises
    ------
    UsageError
        If the model has no alarm, or the rule does not hold together.
    """
    from bci.alarm import AlarmSpec
    from bci.errors import SpecError, UsageError
    from bci.records import record_from_dict, record_to_dict

    decision = served.bundle.decision
    if not changes:
        return served
    if decision.alarm is None:
        raise UsageError(
            f"[alarm] of --config needs a model that raises alarms, got {served.bundle.name}, which has none. "
            "Leave the table out."
        )
    try:
        alarm = record_from_dict(AlarmSpec, record_to_dict(decision.alarm) | changes, "[alarm]")
    except SpecError as error:
        raise UsageError(str(error)) from error
    return replace(served, bundle=replace(served.bundle, decision=replace(decision, alarm=alarm)))


def read_tables(file: Path) -> dict[str, Any]:
    """Return what a TOML file says, by table.

    Raises
    ------
    UsageError
        If the file cannot be read, or has an unknown table.
    """
    import tomllib

    from bci.errors import UsageError

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
        known = ", ".join(f"[{table}]" for table in TABLES)
        raise UsageError(f"--config needs tables out of {known}, got {', '.join(map(repr, unknown))} in {file}.")
    return content
