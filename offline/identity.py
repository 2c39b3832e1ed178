"""What a run is, written into its folder: only the same run may go on there."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bci.errors import UsageError
from offline.checkpoint import write_atomic
from offline.config import TrainConfig, overridden
from offline.datasets.base import Dataset, Session, Stretch
from offline.processes import n_processes

FILE = "run.json"
_PACKAGES = ("streaming-bci", "torch", "numpy", "scipy", "scikit-learn", "pyriemann", "optuna")
_PLACES = ("data", "out", "features", "start_weights")
_NEWEST = (("targets", None), ("baselines", True))


def versions() -> dict[str, str]:
    """Return the versions on which the numbers of a run depend."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def settings_record(config: TrainConfig) -> dict[str, Any]:
    """Return all settings but the places of files, as JSON values; without the newest where they are not given."""
    return {
        name: value for name, value in asdict(config).items() if name not in _PLACES and (name, value) not in _NEWEST
    }


def run_record(config: TrainConfig, resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return what figures are of, as JSON values: settings, what they came to, and versions."""
    return {
        "task": config.task,
        "model": config.model,
        "window_s": config.window_s,
        "seed": config.seed,
        "settings": settings_record(config),
        "resolved": dict(resolved),
        "overridden": overridden(config),
        "processes": n_processes(),
        "versions": versions(),
    }


def session_sha256(session: Session) -> str:
    """Return the hash of what is learnt from a session: its samples, names, rate, unit and labelled stretches."""
    stretches = [_stretch(stretch) for stretch in session.stretches]
    content = [asdict(session.signal), session.subject, stretches, session.sha256]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _stretch(stretch: Stretch) -> dict[str, Any]:
    """Return a stretch as JSON values; what lies inside keeps the hash that it had before others could end there."""
    content = asdict(stretch)
    if stretch.ending is None:
        del content["ending"]
    return content


def sessions_sha256(dataset: Dataset) -> dict[str, str]:
    """Return the hash of every session, by name."""
    return {session.name: session_sha256(session) for session in dataset.sessions}


def claim(out: Path, verb: str, config: TrainConfig, resolved: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Make a folder this run's own, or recognise it as one that is to be resumed.

    Parameters
    ----------
    out : Path
        The folder.
    verb : {"run", "tune"}
        What is done.
    config : TrainConfig
        Settings.
    resolved : mapping
        What they come to: pipeline, model and training, as JSON values.
    data : mapping
        What is learnt from, as JSON values.

    Raises
    ------
    UsageError
        If the folder holds another run or something else, or cannot be written.
    """
    record = {
        "verb": verb,
        "settings": settings_record(config),
        "resolved": dict(resolved),
        "data": dict(data),
        "versions": versions(),
    }
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    file = out / FILE
    try:
        if file.is_file():
            _require_same(file, json.loads(text))
            return
        if out.exists() and (not out.is_dir() or any(_is_foreign(entry) for entry in out.iterdir())):
            if file.is_file():  # another process of this run was faster
                _require_same(file, json.loads(text))
                return
            raise UsageError(f"The results need a new or empty folder, got {out}. Choose another --out.")
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(file, text)
    except OSError as error:
        raise UsageError(
            f"The results need a folder that can be written, got {out} ({error.strerror}). Choose another --out."
        ) from error


def _is_foreign(entry: Path) -> bool:
    """Return whether a file is none that the processes of a run make at its begin."""
    return entry.name not in ("train.log", FILE) and not entry.name.startswith(f".{FILE}.")


def require_same_settings(path: Path, found: Any, needed: Mapping[str, Any]) -> None:
    """Raise if a fold was trained in another way than it would be now.

    Raises
    ------
    UsageError
        If a setting differs.
    """
    differences = list(_differences(found, json.loads(json.dumps(needed))))
    if differences:
        raise UsageError(
            f"A fold that is taken over needs the settings of this run, {path} has others: {_shown(differences)}. "
            "Use a new --out."
        )


def _require_same(file: Path, record: Any) -> None:
    try:
        found = json.loads(file.read_text())
    except ValueError as error:
        raise UsageError(f"{file} must be complete JSON, it is damaged ({error}). Use a new --out.") from error
    differences = list(_differences(found, record))
    if differences:
        raise UsageError(
            f"{file.parent} holds another run, which only the same command can take up: {_shown(differences)}. "
            "Use a new --out."
        )


def _differences(found: Any, needed: Any, name: str = "") -> Iterator[str]:
    if isinstance(found, dict) and isinstance(needed, dict):
        for key in sorted(found.keys() | needed.keys()):
            yield from _differences(found.get(key), needed.get(key), f"{name}.{key}" if name else key)
    elif found != needed:
        yield f"{name or 'settings'} needs {_short(found)}, got {_short(needed)}"


def _shown(differences: list[str]) -> str:
    more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
    return "; ".join(differences[:3]) + more


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
