"""The boards that BrainFlow knows: what they record, how they are connected, how they number packets."""

from __future__ import annotations

import difflib
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

from bci.errors import UsageError
from bci.sources.packet_stamps import PacketCounter

_BYTE = PacketCounter(256)
_DAISY = PacketCounter(256, step=2)  # one sample of 16 channels per two packets
_MUSE = PacketCounter(65536, n_rows=12)
_COUNTERS = {
    "synthetic": _BYTE,
    "cyton": _BYTE,
    "cyton_wifi": _BYTE,
    "cyton_daisy": _DAISY,
    "cyton_daisy_wifi": _DAISY,
    "freeeeg32": _BYTE,
    "freeeeg128": _BYTE,
    "neuropawn_knight": _BYTE,
    "neuropawn_knight_imu": _BYTE,
    "muse_2": _MUSE,
    "muse_s": _MUSE,
    "muse_2016": _MUSE,
}
"""Boards whose packet numbers come from the device; those of the others are unknown, or counted by BrainFlow itself."""

_SERIAL = {
    *("cyton", "cyton_daisy", "ganglion", "freeeeg32", "freeeeg128", "brainbit_bled", "ironbci_32", "shimmer3"),
    *("muse_s_bled", "muse_2_bled", "muse_2016_bled", "neuropawn_knight", "neuropawn_knight_imu"),
}
_WIFI = {"cyton_wifi", "cyton_daisy_wifi", "ganglion_wifi", "ntl_wifi"}
_REPLAYING = {"playback_file": ("master_board", "file"), "streaming": ("master_board", "ip", "ip_port")}
_BLUETOOTH = {
    *("ganglion_native", "muse_2", "muse_s", "muse_2016", "muse_s_athena", "brainalive", "aavaa_v3", "brainbit"),
    *("callibri_eeg", "callibri_emg", "callibri_ecg", "enophone", "explore_4_chan", "explore_8_chan"),
    *("explore_plus_8_chan", "explore_plus_32_chan"),
}


@dataclass(frozen=True, slots=True)
class Board:
    """One kind of board.

    Parameters
    ----------
    name : str
        As users write it: BrainFlow's name in lower case without ``BOARD``.
    board_id : int
        BrainFlow's number.
    sfreq : float
        Rate of the EEG, in Hz; 0 if it has none.
    rows : tuple of int
        Rows of the EEG channels in what BrainFlow delivers.
    channels : tuple of str
        Names of the EEG channels.
    named : bool
        Whether BrainFlow has names for them; else they are ``EEG1``, ``EEG2``, ….
    needs : tuple of str
        Fields of `BoardSettings` without which it cannot be opened.
    bluetooth : bool
        Whether the computer's own Bluetooth is used; ``mac`` or ``serial_number`` choose among several.
    counter : PacketCounter or None
        How it numbers packets; None if that is not known.
    battery : tuple of int and int, or None
        Preset and row of the battery level.
    n_rows, number_row, time_row : int
        Of what BrainFlow delivers: rows, row of the packet number and of the time stamp.
    """

    name: str
    board_id: int
    sfreq: float
    rows: tuple[int, ...]
    channels: tuple[str, ...]
    named: bool
    needs: tuple[str, ...]
    bluetooth: bool
    counter: PacketCounter | None
    battery: tuple[int, int] | None
    n_rows: int
    number_row: int
    time_row: int


@cache
def load_brainflow() -> Any:
    """Return BrainFlow's ``board_shim`` with its library loaded."""
    with warnings.catch_warnings():
        # BrainFlow falls back to pkg_resources to find its library, which warns of its own end
        warnings.filterwarnings("ignore", message=".*pkg_resources", category=UserWarning)
        warnings.filterwarnings("ignore", message=".*pkg_resources", category=DeprecationWarning)
        from brainflow import board_shim

        board_shim.BoardControllerDLL.get_instance()
    return board_shim


@cache
def boards() -> tuple[Board, ...]:
    """Return all boards, in the order of BrainFlow's numbers."""
    ids = load_brainflow().BoardIds
    return tuple(_describe(_plain(member.name), member.value) for member in ids if member is not ids.NO_BOARD)


def find_board(name: str) -> Board:
    """Return the board of that name, whatever its case.

    Parameters
    ----------
    name : str
        ``cyton``, ``CYTON_BOARD``, ``muse-2``, or BrainFlow's number.

    Raises
    ------
    UsageError
        If there is none.
    """
    known = {board.name: board for board in boards()}
    wanted = _plain(name)
    for board in known.values():
        if name.strip() == str(board.board_id):
            return board
    if wanted not in known:
        close = difflib.get_close_matches(wanted, known, n=4, cutoff=0.5)
        hint = f"Did you mean {', '.join(close)}? " if close else ""
        raise UsageError(f"--board needs the name of a board, got {name!r}. {hint}`bci boards` lists all.")
    return known[wanted]


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_").replace("_board", "")


def _describe(name: str, board_id: int) -> Board:
    shim = load_brainflow().BoardShim
    presets = {preset: shim.get_board_descr(board_id, preset) for preset in shim.get_board_presets(board_id)}
    main = presets[0]
    rows = tuple(main.get("eeg_channels", ()))
    given = tuple(text.strip() for text in main["eeg_names"].split(",")) if "eeg_names" in main else ()
    named = len(given) == len(rows) == len(set(given)) and bool(rows)
    batteries = [
        (preset, presets[preset]["battery_channel"])
        for preset in sorted(presets)
        if "battery_channel" in presets[preset]
    ]
    return Board(
        name=name,
        board_id=board_id,
        sfreq=float(main.get("sampling_rate", 0)) if rows else 0.0,
        rows=rows,
        channels=given if named else tuple(f"EEG{i + 1}" for i in range(len(rows))),
        named=named,
        needs=_needs(name),
        bluetooth=name in _BLUETOOTH,
        counter=_COUNTERS.get(name),
        battery=batteries[0] if batteries else None,
        n_rows=main.get("num_rows", 0),
        number_row=main.get("package_num_channel", 0),
        time_row=main.get("timestamp_channel", 0),
    )


def _needs(name: str) -> tuple[str, ...]:
    if name in _SERIAL:
        return ("serial_port",)
    return ("ip", "ip_port") if name in _WIFI else _REPLAYING.get(name, ())
