"""Predictions and events as OSC messages over UDP; the layout is in ``docs/outputs.md``."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

from bci.errors import SpecError, UsageError
from bci.events import Event
from bci.sinks.address import Address, missing
from bci.sinks.base import Output, SessionInfo
from bci.sinks.jsonl_sink import session_record

DEFAULT_PREFIX = "bci"
MAX_PACKET_BYTES = 65_507  # the most that UDP carries
_PREFIX = re.compile(r"[\w.\-]+(/[\w.\-]+)*", re.ASCII)


class OscSink:
    """Send ``/PREFIX/session``, ``/PREFIX/prediction`` and ``/PREFIX/event`` to one address.

    UDP has no answer: whether somebody listens is not known. Looking up the host and sending may wait, so put a
    `QueuedSink` before it.

    Parameters
    ----------
    address : Address
        Receiver; its path is the prefix, ``bci`` if empty.

    Raises
    ------
    UsageError
        If the prefix is no OSC address, or python-osc is not installed.

    References
    ----------
    .. [1] M. Wright, "The Open Sound Control 1.0 Specification", 2002, https://opensoundcontrol.stanford.edu/spec-1_0.html
    """

    def __init__(self, address: Address) -> None:
        prefix = address.path or DEFAULT_PREFIX
        if not _PREFIX.fullmatch(prefix):
            raise UsageError(
                f"--osc needs a prefix of letters, digits, '_', '.', '-' and '/', got {prefix!r}. "
                "Write for example 127.0.0.1:9000/bci."
            )
        try:
            from pythonosc.osc_message_builder import OscMessageBuilder
        except ImportError as error:
            raise missing("--osc", "python-osc", "outputs") from error
        self._message = OscMessageBuilder
        self._address, self._prefix = address, prefix
        self._socket: socket.socket | None = None
        self._target: Any = None
        self._session: tuple[tuple[str, Any], ...] = ()

    def open(self, info: SessionInfo) -> None:
        """Look up the host and send the session.

        Raises
        ------
        OSError
            If the host has no address.
        SpecError
            If the description is too long for UDP.
        """
        found = socket.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, self._target = found[0]
        if self._socket is None:
            self._socket = socket.socket(family, kind, protocol)
        classes = tuple(("s", name) for name in info.classes)
        self._session = (("s", json.dumps(session_record(info), allow_nan=False)), *classes)
        self._send("session", *self._session)

    def prediction(self, output: Output) -> None:
        """Send one prediction.

        Raises
        ------
        OSError
            If the network does not take it.
        """
        p = output.prediction
        compute_ms = (output.computed_s - output.received_s) * 1e3
        probabilities = (("f", value) for value in p.probabilities.tolist())
        self._send(
            "prediction",
            ("d", p.time),
            ("h", p.index),
            ("i", int(p.state)),
            ("f", p.level),
            ("f", p.quality),
            ("f", compute_ms),
            *probabilities,
        )

    def event(self, event: Event) -> None:
        """Send one event; before a ``status`` the session once more, for who has come later.

        Raises
        ------
        OSError
            If the network does not take it.
        SpecError
            If it is too long for UDP.
        """
        if event.kind == "status":
            self._send("session", *self._session)
        self._send("event", ("s", event.kind), ("d", event.time), ("s", event.to_json()))

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, name: str, *arguments: tuple[str, Any]) -> None:
        message = self._message(f"/{self._prefix}/{name}")
        for kind, value in arguments:
            message.add_arg(value, kind)
        packet = message.build().dgram
        if len(packet) > MAX_PACKET_BYTES:
            raise SpecError(
                f"An OSC message must fit into a UDP packet of {MAX_PACKET_BYTES} bytes, got {len(packet)} "
                f"for {name}. Take another output for it."
            )
        if self._socket is not None:
            self._socket.sendto(packet, self._target)
