"""Which board a user means, and how it is connected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bci.errors import UsageError
from bci.sources.brainflow_boards import Board, find_board

OPTIONS = {
    "serial_port": "--serial-port",
    "mac": "--mac",
    "serial_number": "--serial-number",
    "ip": "--ip",
    "ip_port": "--ip-port",
    "other_info": "--other-info",
    "file": "--file",
    "master_board": "--master-board",
}
"""Fields of `BoardSettings` that say how to connect → options of the command line."""

_MAX_TEXT = 4096
_MAX_PORT = 65535
_MAX_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class BoardSettings:
    """Which board, and how it is connected.

    Parameters
    ----------
    board : str
        Name for `find_board`.
    serial_port, mac, serial_number, ip, other_info : str, default=""
        As BrainFlow takes them; what a board needs is listed by ``bci boards``.
    ip_port : int, default=0
        TCP or UDP port.
    file : str, default=""
        Recording by BrainFlow, of that board, that is played instead.
    master_board : str, default=""
        Board behind ``playback_file`` and ``streaming``.
    timeout_s : int, default=0
        How long BrainFlow looks for the board, in seconds; 0 leaves that to BrainFlow.
    channels : tuple of str, default=()
        Names of the EEG channels, in the order of the board; empty takes those that BrainFlow knows.

    Raises
    ------
    UsageError
        If a text or a number cannot be.
    """

    board: str
    serial_port: str = ""
    mac: str = ""
    serial_number: str = ""
    ip: str = ""
    ip_port: int = 0
    other_info: str = ""
    file: str = ""
    master_board: str = ""
    timeout_s: int = 0
    channels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field, option in OPTIONS.items():
            text = str(getattr(self, field))
            if len(text) > _MAX_TEXT or not text.isprintable():
                raise UsageError(f"{option} needs printable text of at most {_MAX_TEXT} characters, got {text[:20]!r}…")
        if not 0 <= self.ip_port <= _MAX_PORT:
            raise UsageError(f"--ip-port must be within 0 and {_MAX_PORT}, got {self.ip_port}.")
        if not 0 <= self.timeout_s <= _MAX_TIMEOUT_S:
            raise UsageError(f"--board-timeout must be within 0 and {_MAX_TIMEOUT_S} s, got {self.timeout_s}.")


def choose(settings: BoardSettings) -> tuple[Board, Board]:
    """Return the board to open, and the one whose data it delivers.

    Raises
    ------
    UsageError
        If a board is unknown or has no EEG, or something is missing to open it.
    """
    board = kind = find_board(settings.board)
    if settings.file and kind.name not in ("playback_file", "streaming"):
        kind = find_board("playback_file")
    else:
        missing = [OPTIONS[field] for field in kind.needs if not getattr(settings, field)]
        if missing:
            raise UsageError(
                f"--board {kind.name} needs {' and '.join(missing)}, got none. `bci boards` lists what each needs."
            )
        if "master_board" in kind.needs:
            board = find_board(settings.master_board)
    if not board.rows:
        raise UsageError(f"--board needs a board with EEG channels, {board.name} has none. `bci boards` lists all.")
    return kind, board


def channel_names(board: Board, given: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the EEG channels: those of the user, or else of the board.

    Raises
    ------
    UsageError
        If there are too few or too many, or one comes twice.
    """
    if not given:
        return board.channels
    if len(given) != len(board.rows) or len(set(given)) != len(given) or not all(map(_fits, given)):
        raise UsageError(
            f"--channel-names needs {len(board.rows)} different, printable names for board {board.name}, got "
            f"{len(given)}: {', '.join(given)!r}. Name them in the order of its inputs."
        )
    return given


def _fits(name: str) -> bool:
    return name != "" and name.isprintable()


def input_params(library: Any, kind: Board, board: Board, settings: BoardSettings) -> Any:
    """Return the settings as BrainFlow takes them."""
    params = library.BrainFlowInputParams()
    params.serial_port, params.mac_address = settings.serial_port, settings.mac
    params.serial_number, params.other_info = settings.serial_number, settings.other_info
    params.ip_address, params.ip_port = settings.ip, settings.ip_port
    params.timeout = settings.timeout_s
    if kind is not board:
        params.master_board, params.file = board.board_id, settings.file
    return params


def connection(settings: BoardSettings, bare: bool = False) -> str:
    """Return how the board is connected, for a message or an identifier."""
    given = [(option, getattr(settings, field)) for field, option in OPTIONS.items() if getattr(settings, field)]
    if bare:
        return ",".join(str(value) for _, value in given) or "any"
    return " and ".join(f"{option} {value}" for option, value in given) or "its connection"
