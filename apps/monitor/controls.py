"""Commands to the session and the replay, sent from a thread, so that a window never waits for an answer."""

from __future__ import annotations

import queue
import threading
from collections import deque
from dataclasses import dataclass

from bci.control_client import send_command
from bci.errors import BciError
from bci.texts import printable

MAX_WAITING = 16
MAX_ANSWERS = 16
PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A control port on this machine.

    Parameters
    ----------
    port : int
        TCP port.
    token : str
        What the other side printed.
    """

    port: int
    token: str


class Controls:
    """Sends commands one after another; what came of them is read with `answers`.

    Parameters
    ----------
    session, replay : Endpoint or None, default=None
        Where commands go; None: there is nobody to command.
    """

    def __init__(self, session: Endpoint | None = None, replay: Endpoint | None = None) -> None:
        self._session, self._replay = session, replay
        self._waiting: queue.Queue[tuple[Endpoint, str, dict[str, float]] | None] = queue.Queue(MAX_WAITING)
        self._answers: deque[str] = deque(maxlen=MAX_ANSWERS)
        self._thread = threading.Thread(target=self._work, name="monitor-controls", daemon=True)
        self._thread.start()

    @property
    def can_control(self) -> bool:
        """Whether the session takes commands."""
        return self._session is not None

    @property
    def can_replay(self) -> bool:
        """Whether there is a replay that takes commands."""
        return self._replay is not None

    def connect(self, session: Endpoint | None = None, replay: Endpoint | None = None) -> None:
        """Take another session or replay, where one is given."""
        self._session, self._replay = session or self._session, replay or self._replay

    def acknowledge(self) -> None:
        """Silence the running alarm and release its latch."""
        self._put(self._session, "acknowledge", {}, "--control")

    def mute(self, seconds: float) -> None:
        """Silence alarms and faults; 0 ends a mute."""
        self._put(self._session, "mute", {"seconds": seconds}, "--control")

    def pause(self) -> None:
        """Pause the replay."""
        self._put(self._replay, "pause", {}, "--replay-control")

    def resume(self) -> None:
        """Go on with the replay."""
        self._put(self._replay, "resume", {}, "--replay-control")

    def seek(self, seconds: float) -> None:
        """Go on with the replay from there, in seconds of the recording."""
        self._put(self._replay, "seek", {"seconds": seconds}, "--replay-control")

    def speed(self, x: float) -> None:
        """Change the speed of the replay."""
        self._put(self._replay, "speed", {"x": x}, "--replay-control")

    def answers(self) -> list[str]:
        """Return what came of the commands since the last call, one printable line each."""
        return [self._answers.popleft() for _ in range(len(self._answers))]

    def close(self) -> None:
        """End the thread, after what is being sent; may be called twice."""
        if self._thread.is_alive():
            while not self._waiting.empty():  # nobody waits for these any more
                self._waiting.get()
            self._waiting.put(None)
            self._thread.join()

    def _put(self, endpoint: Endpoint | None, command: str, arguments: dict[str, float], option: str) -> None:
        if endpoint is None:
            self._answers.append(f"{command} needs a control port, got none. Start with {option} PORT.")
            return
        try:
            self._waiting.put_nowait((endpoint, command, arguments))
        except queue.Full:
            self._answers.append(f"{command} was not sent: {MAX_WAITING} commands wait for an answer.")

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            endpoint, command, arguments = item
            try:
                send_command(endpoint.port, endpoint.token, command, arguments, PATIENCE_S)
                said = "".join(f" {value:g}" for value in arguments.values())
                self._answers.append(f"{command}{said}: accepted")
            except BciError as error:
                self._answers.append(printable(f"{command}: {error}", 300))
