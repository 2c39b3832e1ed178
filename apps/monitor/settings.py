"""What the window remembers from one day to the next: a small file of plain values, each of which may be missing."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from apps.monitor.options import THEMES
from bci.seizure_table import write_whole

log = logging.getLogger(__name__)

MOST_CHARS = 100_000
MOST = 1e6


@dataclass(frozen=True, slots=True)
class Settings:
    """How the user left the window.

    Parameters
    ----------
    theme : str, default="dark"
        ``dark`` or ``light``.
    geometry, layout : str, default=""
        Where the window and its panels were, as Qt says it, in hexadecimal digits; empty for the usual places.
    montage : str, default=""
        Of the traces.
    sweeps : bool, default=False
        Whether traces sweep.
    scale : float, default=0.0
        Height of a lane, in units of the signal; 0 for the usual one.
    span_s, spectrogram_span_s, curve_span_s : float, default=0.0
        Time on the screen, in seconds; 0 for the usual one.
    """

    theme: str = "dark"
    geometry: str = ""
    layout: str = ""
    montage: str = ""
    sweeps: bool = False
    scale: float = 0.0
    span_s: float = 0.0
    spectrogram_span_s: float = 0.0
    curve_span_s: float = 0.0


def settings_file() -> Path:
    """Return where they are kept: ``$XDG_CONFIG_HOME/streaming-bci/monitor.json``."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "streaming-bci" / "monitor.json"


def read_settings(path: Path) -> Settings:
    """Return what was kept; what is missing, or is no such value, is as at first."""
    try:
        with path.open(encoding="utf-8") as file:
            said = json.loads(file.read(MOST_CHARS))
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError, RecursionError) as error:
        log.warning("the settings in %s cannot be read, and are as at first: %s", path, error)
        return Settings()
    known: dict[str, Any] = {}
    for name, usual in asdict(Settings()).items():
        value: Any = said.get(name) if isinstance(said, dict) else None
        if isinstance(usual, float) and type(value) in (int, float) and 0 <= value < MOST:
            known[name] = float(value)
        elif not isinstance(usual, float) and type(value) is type(usual) and (name != "theme" or value in THEMES):
            known[name] = value
    return Settings(**known)


def write_settings(path: Path, settings: Settings) -> None:
    """Keep settings; where that is impossible a warning is logged."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(asdict(settings), indent=1) + "\n")
    except OSError as error:
        log.warning("the settings cannot be kept in %s: %s", path, error)
