"""What the user chose for the monitor's window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

THEMES = ("dark", "light")


@dataclass(frozen=True, slots=True)
class MonitorOptions:
    """Settings of the window.

    Parameters
    ----------
    title : str, default="bci monitor"
        Printable.
    theme : str, default="dark"
        ``dark`` or ``light``.
    screenshot : Path or None, default=None
        PNG that is written after `after_s`; then the window closes.
    after_s : float, default=5.0
        In seconds.
    settings : Path or None, default=None
        File in which the window keeps how it was left; None keeps nothing.
    """

    title: str = "bci monitor"
    theme: str = "dark"
    screenshot: Path | None = None
    after_s: float = 5.0
    settings: Path | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """What the user chose to watch.

    Parameters
    ----------
    stream : str
        Name of the stream that is decoded; empty if the prediction stream says it.
    predictions : str
        Name of the prediction stream; empty takes that of the stream.
    bundle : Path or None
        Model that a session is started with; None attaches to one that runs.
    """

    stream: str
    predictions: str
    bundle: Path | None
