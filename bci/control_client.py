"""The other end of `bci.control`: one command to a running session or replay on this machine."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any

from bci.control import HOST
from bci.errors import BciError, SpecError
from bci.records import json_object
from bci.texts import printable

PATIENCE_S = 5.0
MAX_ANSWER_BYTES = 1 << 16
MAX_SHOWN = 500


def send_command(
    port: int, token: str, command: str, arguments: Mapping[str, float] | None = None, timeout_s: float = PATIENCE_S
) -> dict[str, Any]:
    """Send one command and return the answer.

    Parameters
    ----------
    port : int
        TCP port of the server, on this machine.
    token : str
        What the server printed at its start.
    command : str
        As in ``docs/control.md``.
    arguments : mapping of str to float or None, default=None
        Of the command.
    timeout_s : float, default=5.0
        Longest wait for the connection and for the answer, in seconds.

    Returns
    -------
    answer : dict
        Its ``ok`` is True.

    Raises
    ------
    BciError
        If nobody listens there, what listens answers otherwise, or the command is refused.
    """
    request = {"token": token, "command": command, **(arguments or {})}
    try:
        with socket.create_connection((HOST, port), timeout_s) as connection:
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline(MAX_ANSWER_BYTES)
    except OSError as error:
        raise BciError(
            f"Control needs a session or replay that listens on port {port} of this machine (--control {port}), "
            f"got: {error.strerror or error}. Look for the port in the line that it printed at its start."
        ) from error
    try:
        answer = json_object(line.decode("utf-8", "replace"), "The answer to a control request")
    except SpecError as error:
        raise BciError(f"{error} Something else than bci listens on port {port}.") from error
    if answer.get("ok") is not True:
        raise BciError(f"The command was refused: {printable(str(answer.get('error', 'no reason')), MAX_SHOWN)}")
    return answer
