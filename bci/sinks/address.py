"""Where a network sink sends: HOST:PORT/PATH, and what to say when its library is not installed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bci.errors import UsageError

_HOST = r"(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s:/\[\]@]+))"
_FORM = re.compile(_HOST + r"(?::(?P<port>\d{1,5}))?(?:/(?P<path>.*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """A place on the network.

    Parameters
    ----------
    host : str
        Name or number.
    port : int
        1 to 65535.
    path : str, default=""
        What follows the first slash, without slashes at its ends.
    """

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, option: str, port: int | None = None) -> Address:
    """Return the address in ``HOST:PORT/PATH``.

    Parameters
    ----------
    text : str
        An IPv6 number stands in brackets.
    option : str
        Where it was given, for the message.
    port : int or None, default=None
        Port if none is given; None demands one.

    Returns
    -------
    address : Address

    Raises
    ------
    UsageError
        If it is no address.
    """
    form = _FORM.fullmatch(text)
    number = int(form["port"]) if form and form["port"] else port
    if form is None or number is None or not 0 < number < 65536:
        wanted = "HOST:PORT, with a port from 1 to 65535" if port is None else f"HOST or HOST:PORT (default {port})"
        raise UsageError(f"{option} needs {wanted} and perhaps /PATH, got {text!r}.")
    return Address(form["v6"] or form["host"], number, (form["path"] or "").strip("/"))


def missing(option: str, package: str, extra: str) -> UsageError:
    """Return the error that names the extra with an optional library."""
    return UsageError(
        f"{option} needs {package}, which is not installed. Install it: pip install 'streaming-bci[{extra}]'."
    )
