"""Control: commands for a running session or replay from this machine, over a loopback TCP connection."""

from __future__ import annotations

import contextlib
import hmac
import json
import secrets
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from bci.errors import BciError, SpecError, UsageError
from bci.records import json_object

HOST = "127.0.0.1"
MAX_LINE_BYTES = 4096
DRAINED_BYTES = 1 << 20
MAX_CLIENTS = 8
TOKEN_WITHIN_S = 10.0  # who has not shown the token by then has to go
TOKEN_BYTES = 24


@dataclass(frozen=True, slots=True)
class Number:
    """The one argument of a command.

    Parameters
    ----------
    name : str
        Key in the request.
    low, high : float
        Smallest and largest value.
    """

    name: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Command:
    """What a request can ask for.

    Parameters
    ----------
    act : callable
        Called in the server's thread, with the argument if there is one; must not wait. A `BciError` becomes the
        answer.
    argument : Number or None, default=None
        What it needs.
    """

    act: Callable[..., None]
    argument: Number | None = None


@dataclass(slots=True)
class _Client:
    since_s: float
    known: bool = False
    received: bytearray = field(default_factory=bytearray)


class ControlServer:
    """Context manager that answers requests, one JSON object a line, in a thread of its own.

    Only this machine can connect, and only who knows `token` is heard. ``docs/control.md`` has the protocol.

    Parameters
    ----------
    commands : mapping of str to Command
        By name.
    port : int
        TCP port; 0 takes a free one.
    clock : callable, default=time.monotonic
        Seconds, for the time that a stranger may stay.

    Attributes
    ----------
    port : int
        The port taken.
    token : str
        Drawn at random for this server.

    Raises
    ------
    UsageError
        If the port is not one or is taken.
    """

    def __init__(self, commands: Mapping[str, Command], port: int, clock: Callable[[], float] = time.monotonic) -> None:
        if not 0 <= port <= 65535:
            raise UsageError(f"--control needs a port from 0 (any free one) to 65535, got {port}.")
        self.token = _draw_token()
        self._token = self.token.encode()
        self._commands, self._clock = commands, clock
        self._clients: dict[socket.socket, _Client] = {}
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # a port whose last connections are still closing is free
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((HOST, port))
            self._listener.listen(MAX_CLIENTS)
        except OSError as error:
            self._listener.close()
            raise UsageError(
                f"--control needs a port that is free, got {port}: {error.strerror}. Name another, or 0 for any."
            ) from error
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)

    def __enter__(self) -> ControlServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wake.send(b"\0")
        self._thread.join()
        for connection in list(self._clients):
            self._drop(connection)
        self._selector.close()
        for end in (self._listener, self._wake, self._woken):
            end.close()

    def describe(self) -> str:
        """Return the line that tells a user how to connect."""
        return f"control: {HOST}:{self.port} token {self.token}"

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select(self._patience_s()):
                if key.fileobj is self._woken:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket):
                    self._read(key.fileobj)
            for connection, client in list(self._clients.items()):
                if not client.known and self._clock() - client.since_s >= TOKEN_WITHIN_S:
                    self._drop(connection)

    def _patience_s(self) -> float | None:
        """Return how long the oldest stranger may still stay, in seconds."""
        strangers = [client.since_s for client in self._clients.values() if not client.known]
        return max(0.0, min(strangers) + TOKEN_WITHIN_S - self._clock()) if strangers else None

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it has gone again
            return
        connection.setblocking(False)
        self._clients[connection] = _Client(self._clock())
        self._selector.register(connection, selectors.EVENT_READ)
        if len(self._clients) > MAX_CLIENTS:
            self._refuse(connection, f"Control serves at most {MAX_CLIENTS} connections, got one more. Close one.")

    def _read(self, connection: socket.socket) -> None:
        client = self._clients[connection]
        try:
            data = connection.recv(MAX_LINE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        client.received += data
        while connection in self._clients and b"\n" in client.received:
            line, _, rest = bytes(client.received).partition(b"\n")
            client.received = bytearray(rest)
            self._answer(connection, client, line)
        if connection in self._clients and len(client.received) > MAX_LINE_BYTES:
            self._refuse(connection, f"Control needs lines of at most {MAX_LINE_BYTES} bytes, got a longer one.")

    def _answer(self, connection: socket.socket, client: _Client, line: bytes) -> None:
        try:
            request = self._admit(line)
        except SpecError as error:
            self._refuse(connection, str(error))
            return
        client.known = True
        try:
            self._obey(request)
        except BciError as error:
            self._send(connection, {"ok": False, "error": str(error)})
        else:
            self._send(connection, {"ok": True})

    def _admit(self, line: bytes) -> dict[str, Any]:
        """Return a request without its token, which must be right."""
        if len(line) > MAX_LINE_BYTES:
            raise SpecError(f"Control needs lines of at most {MAX_LINE_BYTES} bytes, got {len(line)}.")
        request = json_object(line.decode("utf-8", "replace"), "A control request")
        token = request.pop("token", None)
        # surrogatepass: JSON can spell text that UTF-8 cannot, and a stranger must not end the thread with it
        if not isinstance(token, str) or not hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self._token):
            raise SpecError("Control needs the token printed at start, got another or none. Copy it from there.")
        return request

    def _obey(self, request: dict[str, Any]) -> None:
        name = request.pop("command", None)
        command = self._commands.get(name) if isinstance(name, str) else None
        if command is None:
            raise SpecError(f"Control needs a command out of {', '.join(self._commands)}, got {_spelled(name)}.")
        number = command.argument
        wanted = {number.name} if number else set()
        if set(request) != wanted:
            raise SpecError(
                f"{name} needs {', '.join(wanted) or 'no argument'}, got {_spelled(sorted(request) or None)}. "
                "Write token, command and its argument, and nothing else."
            )
        if number is None:
            command.act()
            return
        value = request[number.name]
        # bool is an int in Python, and NaN fails every comparison
        if isinstance(value, bool) or not isinstance(value, int | float) or not number.low <= value <= number.high:
            raise SpecError(
                f"{name} needs {number.name} as a number from {number.low:g} to {number.high:g}, got {_spelled(value)}."
            )
        command.act(float(value))

    def _refuse(self, connection: socket.socket, message: str) -> None:
        self._send(connection, {"ok": False, "error": message})
        if connection in self._clients:
            with contextlib.suppress(OSError):  # closing over unread bytes would take the answer back
                connection.recv(DRAINED_BYTES)
            self._drop(connection)

    def _send(self, connection: socket.socket, answer: dict[str, Any]) -> None:
        try:
            connection.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:  # gone, or it reads nothing: nobody waits for it
            self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        del self._clients[connection]
        self._selector.unregister(connection)
        connection.close()


def _draw_token() -> str:
    """Return a token that no command line takes for an option."""
    while (token := secrets.token_urlsafe(TOKEN_BYTES)).startswith("-"):
        pass
    return token


def _spelled(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
