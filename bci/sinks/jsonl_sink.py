"""Predictions and events as JSON Lines: one object a line, flushed at once."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import IO, Any

from bci.decision import State
from bci.decoder import Prediction
from bci.errors import UsageError
from bci.events import Event
from bci.sinks.base import Output, SessionInfo


class JsonlSink:
    """A log of a session.

    The first line is the session (``{"kind": "session", …}``), then one line for each prediction
    (``{"kind": "prediction", …}``) and event.

    Parameters
    ----------
    path : Path
        File to write when the first sample has come; one that exists is replaced then.

    Raises
    ------
    UsageError
        If the folder does not exist or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        check_log(path)
        self._path = path
        self._file: IO[str] | None = None
        self._classes: tuple[str, ...] = ()

    def open(self, info: SessionInfo) -> None:
        """Start the file with the session line."""
        self._file = self._path.open("w", buffering=1, encoding="utf-8")
        self._classes = info.classes
        self._write({"kind": "session", **dataclasses.asdict(info)})

    def prediction(self, output: Output) -> None:
        """Write one prediction with its ledger, in milliseconds."""
        ledger = {f"{stage}_ms": round(seconds * 1e3, 6) for stage, seconds in output.stages_s().items()}
        self._write(prediction_record(output.prediction, self._classes) | {"ledger": ledger})

    def event(self, event: Event) -> None:
        """Write one event."""
        self._write({"kind": event.kind, "t": event.time, **event.fields})

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, record: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(record, allow_nan=False) + "\n")


def check_log(path: Path) -> None:
    """Refuse a log that cannot be written, before anything is computed for it.

    Raises
    ------
    UsageError
        If the folder does not exist or cannot be written.
    """
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
        raise UsageError(f"The log needs a file in a folder that can be written, got {path}. Make the folder first.")


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
