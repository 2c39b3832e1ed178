"""Predictions and events as JSON Lines: one object a line, flushed at once."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any, NoReturn

from bci.decision import State
from bci.decoder import Prediction
from bci.errors import UsageError
from bci.events import Event
from bci.recorder_files import RecordFile, json_lines
from bci.sinks.base import Output, SessionInfo

MAX_HELD_S = 10.0  # of predictions without a valid sample; a session that has none at all fails before
MAX_HELD = 1000


class JsonlSink:
    """A log of a session.

    The first line is the session (``{"kind": "session", …}``), then one line for each prediction
    (``{"kind": "prediction", …}``) and event. The file appears with the first prediction that saw a valid sample, after
    `MAX_HELD_S` or `MAX_HELD` lines without one, or when the session ends in order: one that fails for want of a finite
    sample leaves none. Writing may fail with an `OSError`; then the line is not in the file, and can be tried again.

    Parameters
    ----------
    path : Path
        File to write.
    overwrite : bool, default=False
        Whether a file that exists is replaced when the new one appears.

    Raises
    ------
    UsageError
        If the folder does not exist or cannot be written, or the file exists and must not be replaced.
    """

    def __init__(self, path: Path, overwrite: bool = False) -> None:
        check_log(path)
        if path.exists() and not overwrite:
            _refuse_existing(path)
        self._path, self._overwrite = path, overwrite
        self._file: RecordFile | None = None
        self._held: list[bytes] | None = None  # lines that wait for the file
        self._first_s: float | None = None
        self._classes: tuple[str, ...] = ()

    def open(self, info: SessionInfo) -> None:
        """Begin with the session line, in memory."""
        self._held, self._classes = [], info.classes
        self._write(session_record(info))

    def prediction(self, output: Output) -> None:
        """Write one prediction with its ledger, in milliseconds.

        Raises
        ------
        UsageError
            If this is the moment to start the file, and another program has made it meanwhile.
        """
        time_s = output.prediction.time
        self._first_s = time_s if self._first_s is None else self._first_s
        if output.prediction.quality > 0 or time_s - self._first_s > MAX_HELD_S:
            self._start()
        self._write(output_record(output, self._classes))

    def event(self, event: Event) -> None:
        """Write one event.

        Raises
        ------
        UsageError
            As `prediction`.
        """
        if event.kind == "ended":
            self._start()
        self._write({"kind": event.kind, "t": event.time, **event.fields})

    def close(self) -> None:
        """Close the file; what still waits for one is dropped."""
        self._held = None
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, record: dict[str, Any]) -> None:
        line = json_lines([record])
        if self._held is not None and len(self._held) >= MAX_HELD:
            self._start()
        if self._held is not None:
            self._held.append(line)
        elif self._file is not None:
            self._file.add(line)

    def _start(self) -> None:
        """Make the file and write what has waited for it; what fails can be tried again."""
        if self._held is None:
            return
        if self._file is None:
            try:
                self._file = RecordFile(self._path, self._overwrite)
            except FileExistsError:
                _refuse_existing(self._path)
        self._file.add(b"".join(self._held))
        self._held = None


def check_log(path: Path, what: str = "log") -> None:
    """Refuse a file that cannot be written, before anything is computed for it.

    Raises
    ------
    UsageError
        If the folder does not exist or cannot be written.
    """
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
        raise UsageError(f"The {what} needs a file in a folder that can be written, got {path}. Make the folder first.")


def _refuse_existing(path: Path) -> NoReturn:
    raise UsageError(
        f"The log needs a file that does not exist yet, got {path}. Take another name or pass --overwrite."
    )


def session_record(info: SessionInfo) -> dict[str, Any]:
    """Return the line of a session as JSON values."""
    return {"kind": "session", **dataclasses.asdict(info)}


def output_record(output: Output, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return the line of a prediction with its ledger, in milliseconds, as JSON values."""
    ledger = {f"{stage}_ms": round(seconds * 1e3, 6) for stage, seconds in output.stages_s().items()}
    return prediction_record(output.prediction, classes) | {"ledger": ledger}


def prediction_record(prediction: Prediction, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return the line of a prediction as JSON values; live and offline logs share it.

    Probabilities of a network that overflowed are null: JSON has no NaN.
    """
    probabilities = [p if math.isfinite(p) else None for p in prediction.probabilities.tolist()]
    return {
        "kind": "prediction",
        "index": prediction.index,
        "last_sample": prediction.last_sample,
        "t": prediction.time,
        "probabilities": dict(zip(classes, probabilities, strict=True)),
        "quality": prediction.quality,
        "state": State(prediction.state).name.lower(),
        "level": prediction.level,
    }
