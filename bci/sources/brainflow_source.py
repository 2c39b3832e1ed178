"""A BrainFlow board as a source: stamps in the LSL clock, losses from packet numbers, silence is no success."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from pylsl import local_clock

from bci.chunk import Signal
from bci.errors import ChannelMismatch, SpecError, StreamLost, StreamNotFound, UsageError
from bci.events import Event
from bci.sources.base import Received, StreamInfo
from bci.sources.brainflow_boards import Board, load_brainflow
from bci.sources.brainflow_settings import BoardSettings, channel_names, choose, connection, input_params
from bci.sources.packet_stamps import PacketStamps

log = logging.getLogger(__name__)

_POLL_S = 0.002  # BrainFlow has no blocking read; asking for the count costs 12 µs
_BUFFER_S = 360.0
_MAX_READ_S = 4.0  # one read takes at most this much of a backlog
_HEAP_S = 0.05  # after a long silence: so long until a heap of late samples can be told from a loss
_BATTERY_EVERY_S = 1.0
_BATTERY_REPORT_S = 60.0
_BATTERY_STEP = 1.0
_CLOCK_TRIES = 5


class BrainFlowSource:
    """EEG of one BrainFlow board.

    BrainFlow stamps a sample with the clock of this computer when the sample arrives, often several at once. Boards
    whose packet numbers are understood get stamps from these numbers (`PacketStamps`), which show each lost sample;
    the stamps of the others are those of BrainFlow, moved to the LSL clock.

    Parameters
    ----------
    settings : BoardSettings
        Which board.
    silence_s : float, default=5.0
        A board that sends nothing for so long is lost, in seconds. BrainFlow itself says nothing then.
    debug : bool, default=False
        Let BrainFlow write its own log to stderr.

    Attributes
    ----------
    board : Board
        What records; behind a playback its master.
    n_received : int
        Samples received since `open`.

    Raises
    ------
    UsageError
        If the board is unknown, or something is missing to open it.
    SpecError
        If `silence_s` is not above 0.
    """

    def __init__(self, settings: BoardSettings, silence_s: float = 5.0, debug: bool = False) -> None:
        if not silence_s > 0:
            raise SpecError(f"A board needs a longest silence above 0 s, got {silence_s:g}.")
        self._settings, self._silence_s, self._debug = settings, silence_s, debug
        self._kind, self.board = choose(settings)
        self._names = channel_names(self.board, settings.channels)
        self._shim: Any = None
        self._n_file: int | None = None
        self._battery_told = (-np.inf, np.nan)
        self._battery_asked_s = -np.inf
        self._battery = np.nan  # of the newest sample, if it is delivered with the EEG
        self.n_received = 0

    @property
    def channels_from(self) -> str:
        """Who named the channels: ``brainflow``, ``user`` or ``numbers``."""
        if self._settings.channels:
            return "user"
        return "brainflow" if self.board.named else "numbers"

    def open(self) -> StreamInfo:
        """Connect the board and start it.

        Returns
        -------
        info : StreamInfo

        Raises
        ------
        StreamNotFound
            If it does not answer.
        UsageError
            If the file to play is none of this board.
        """
        self.close()
        settings, board = self._settings, self.board
        self._n_file, longest_s = None, 0.0
        if self._kind.name == "playback_file":
            self._n_file, longest_s = _scan(settings.file, board)
        self._limit_s = self._silence_s + longest_s
        library = load_brainflow()
        (library.BoardShim.enable_dev_board_logger if self._debug else library.BoardShim.disable_board_logger)()
        try:
            self._shim = library.BoardShim(self._kind.board_id, input_params(library, self._kind, board, settings))
            self._shim.prepare_session()
            self._shim.start_stream(int(_BUFFER_S * board.sfreq))
        except library.BrainFlowError as error:
            self.close()
            raise StreamNotFound(
                f"Board {self._kind.name} must answer, BrainFlow says {_reason(error)}. Switch it on, check "
                f"{connection(settings)}, and that no other program uses it; --debug shows BrainFlow's own log."
            ) from error
        if self.channels_from == "numbers":
            log.warning("BrainFlow has no channel names for %s: they are %s … (name them)", board.name, self._names[0])
        self._stamps = PacketStamps(board.counter, board.sfreq) if board.counter is not None else None
        self._arrived_s = local_clock()
        self.n_received = 0
        n = len(self._names)
        return StreamInfo(
            name=self._kind.name if self._n_file is None else f"{board.name} (playback)",
            signal=Signal(board.sfreq, self._names),
            source_id=f"brainflow-{board.name}-{connection(settings, bare=True)}",
            types=("eeg",) * n,
            units=("uV",) * n,
            counted=self._stamps is not None,
        )

    def reopen(self, timeout_s: float, accept: Callable[[StreamInfo], None]) -> StreamInfo | None:
        """Connect the board again; None if it does not answer. BrainFlow decides how long that takes.

        Parameters
        ----------
        timeout_s : float
            How long to wait after a failure, in seconds.
        accept : callable
            Raises a `ChannelMismatch` for a stream that is another.

        Returns
        -------
        info : StreamInfo or None
        """
        try:
            info = self.open()
        except StreamNotFound as error:
            log.info("%s", error)
            time.sleep(timeout_s)
            return None
        try:
            accept(info)
        except ChannelMismatch:
            self.close()
            raise
        return info

    def read(self, timeout_s: float) -> Received:
        """Return as soon as there is a sample, at the latest after `timeout_s`.

        BrainFlow cannot wait for samples: it is asked every 2 ms.

        Parameters
        ----------
        timeout_s : float
            Longest wait, in seconds.

        Returns
        -------
        received : Received

        Raises
        ------
        StreamLost
            If nothing has come for ``silence_s``, BrainFlow fails, or the source is not open.
        """
        if self._shim is None:
            raise StreamLost(f"Board {self._kind.name} must be open to be read, got a closed one. Call open() first.")
        library = load_brainflow()
        deadline_s = local_clock() + timeout_s
        try:
            while not self._shim.get_board_data_count():
                now = local_clock()
                if self._n_file is not None and self.n_received >= self._n_file:
                    return self._received(np.empty((self.board.n_rows, 0)), now)
                if now - self._arrived_s > self._limit_s:
                    raise self._lost(f"nothing for {self._limit_s:g} s")
                if now >= deadline_s:
                    return self._received(np.empty((self.board.n_rows, 0)), now)
                time.sleep(min(_POLL_S, max(deadline_s - now, 0.0)))
            counter = self.board.counter
            if counter is not None and local_clock() - self._arrived_s > 0.5 * counter.cycle / self.board.sfreq:
                time.sleep(_HEAP_S)
            rows = self._shim.get_board_data(max(1, round(_MAX_READ_S * self.board.sfreq)))
        except library.BrainFlowError as error:
            raise self._lost(_reason(error)) from error
        self._arrived_s = local_clock()
        self.n_received += rows.shape[1]
        return self._received(rows, self._arrived_s)

    def close(self) -> None:
        """Release the board; may be called twice."""
        shim, self._shim = self._shim, None
        if shim is None:
            return
        library = load_brainflow()
        try:
            shim.release_session()  # stops the stream, too
        except library.BrainFlowError as error:
            log.debug("BrainFlow could not release %s: %s", self._kind.name, error)  # it was never prepared

    def events(self) -> list[Event]:
        """Return a ``battery`` event when the level has changed by 1, at most once a minute; for ``watches``."""
        now = local_clock()
        if self._shim is None or self.board.battery is None or now - self._battery_asked_s < _BATTERY_EVERY_S:
            return []
        self._battery_asked_s = now
        level = self._battery_level(*self.board.battery)
        told_s, told = self._battery_told
        if not np.isfinite(level) or now - told_s < _BATTERY_REPORT_S or abs(level - told) < _BATTERY_STEP:
            return []
        self._battery_told = (now, level)
        return [Event("battery", now, {"level": round(level, 1), "board": self.board.name})]

    def _battery_level(self, preset: int, row: int) -> float:
        if preset == 0:
            return self._battery
        library = load_brainflow()
        try:
            newest = self._shim.get_current_board_data(1, preset)
        except library.BrainFlowError as error:  # read() will say what has happened to the board
            log.debug("BrainFlow does not tell the battery of %s: %s", self._kind.name, error)
            return np.nan
        return float(newest[row, -1]) if newest.shape[1] else np.nan

    def _received(self, rows: np.ndarray, now: float) -> Received:
        arrivals = rows[self.board.time_row] + _unix_to_lsl()
        times = arrivals if self._stamps is None else self._stamps.stamp(rows[self.board.number_row], arrivals)
        ended = self._n_file is not None and self.n_received >= self._n_file
        if rows.shape[1] and self.board.battery is not None and self.board.battery[0] == 0:
            self._battery = float(rows[self.board.battery[1], -1])
        return Received(rows[list(self.board.rows)].astype(np.float32), times, now, ended=ended)

    def _lost(self, reason: str) -> StreamLost:
        return StreamLost(
            f"Board {self._kind.name} must go on sending, got {reason} after {self.n_received} samples. "
            "Check its battery and its distance, and connect it again."
        )


def _unix_to_lsl() -> float:
    """Return the LSL clock less the wall clock, measured in the narrowest of some tries."""
    best_s, offset_s = np.inf, 0.0
    for _ in range(_CLOCK_TRIES):
        before, wall, after = local_clock(), time.time(), local_clock()
        if after - before < best_s:
            best_s, offset_s = after - before, 0.5 * (before + after) - wall
    return offset_s


def _scan(path: str, board: Board) -> tuple[int, float]:
    """Return how many samples BrainFlow will play from a file, and the longest time between two of them."""
    n, longest_s, newest_s, width = 0, 0.0, np.inf, 0
    try:
        with open(path, "rb") as file:
            for line in file:
                values = line.split(b"\t" if b"\t" in line else b",")
                width = width or len(values)
                if len(values) == board.n_rows:
                    stamp_s = float(values[board.time_row])
                    n, longest_s, newest_s = n + 1, max(longest_s, stamp_s - newest_s), stamp_s
    except (OSError, ValueError) as error:
        raise UsageError(f"--file needs a recording by BrainFlow, cannot read {path!r}: {error}.") from error
    if n == 0:
        raise UsageError(
            f"--file needs a recording of board {board.name}, {board.n_rows} values a line, got {width} in "
            f"{os.path.basename(path)!r}. Name the board that recorded it."
        )
    return n, longest_s


def _reason(error: Exception) -> str:
    return str(error).split(":")[0]
