"""Whether what a session said is what offline scoring says of the same samples."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bci.decision import State
from bci.decoder import Prediction
from bci.errors import RecordingError

LIMIT = 1e-5
"""Largest difference between probabilities that count as the same: another block size changes the last bits."""


@dataclass(frozen=True, slots=True)
class Logged:
    """Predictions of a session's log.

    Parameters
    ----------
    bundle_sha256 : str or None
        Hash of the model, if the log tells it.
    last_sample : ndarray of int64, shape (n,)
        Number of the newest sample that each prediction saw, counted from the session's first.
    probabilities : ndarray of float64, shape (n, n_classes)
        NaN where the log has null.
    states : tuple of str
        Names of `State` in lower case.
    """

    bundle_sha256: str | None
    last_sample: np.ndarray
    probabilities: np.ndarray
    states: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two ways of decoding agree, one prediction by one.

    Parameters
    ----------
    n_live, n_offline : int
        Predictions of the session, and of offline scoring.
    n_common : int
        Those of the same sample.
    n_states : int
        Common ones in another state.
    difference : float
        Largest difference between probabilities of common ones; infinite where only one of the two is a number.
    """

    n_live: int
    n_offline: int
    n_common: int
    n_states: int
    difference: float

    @property
    def holds(self) -> bool:
        """Whether every prediction has its counterpart in the same state, and no probability differs by more."""
        everything = self.n_live == self.n_offline == self.n_common
        return everything and self.n_states == 0 and self.difference <= LIMIT

    def __str__(self) -> str:
        """Return one line."""
        return (
            f"{'Live equals offline' if self.holds else 'Live differs from offline'}: {self.n_live} predictions of the "
            f"session, {self.n_offline} of the file, {self.n_common} at the same sample, {self.n_states} of these in "
            f"another state; probabilities differ by {self.difference:.2g} at most (limit {LIMIT:g})."
        )


def read_predictions(path: Path, classes: Sequence[str]) -> Logged:
    """Read the predictions of a log in JSON Lines.

    Parameters
    ----------
    path : Path
        Written by ``bci run --log``, ``bci run --record`` or ``bci decode --log``; its last line may be cut.
    classes : sequence of str
        Names in logit order.

    Returns
    -------
    logged : Logged

    Raises
    ------
    RecordingError
        If the file cannot be read, has no predictions, or a line is no prediction of these classes.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise RecordingError(f"A log must be a file that can be read, got {path}: {reason}.") from error
    sha256: str | None = None
    rows: list[tuple[int, list[float], str]] = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            if record["kind"] == "session":
                sha256 = str(record["bundle_sha256"])
            elif record["kind"] == "prediction":
                rows.append(_row(record, classes))
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            if number == len(lines) and isinstance(error, json.JSONDecodeError):
                break  # the session was killed while it wrote
            raise RecordingError(
                f"A log must have a session, prediction or event with the classes {', '.join(classes)} in each line, "
                f"got line {number} of {path.name}. Is it of another model?"
            ) from error
    if not rows:
        raise RecordingError(f"A log must hold at least one prediction, got none in {path.name}.")
    samples, probabilities, states = zip(*rows, strict=True)
    return Logged(sha256, np.array(samples, np.int64), np.array(probabilities, np.float64), states)


def compare(logged: Logged, predictions: Sequence[Prediction]) -> Agreement:
    """Compare a session with offline scoring of the samples that it saw, from the session's first sample on.

    Parameters
    ----------
    logged : Logged
        Of the session.
    predictions : sequence of Prediction
        Of the recording.

    Returns
    -------
    agreement : Agreement
    """
    offline = np.array([p.last_sample for p in predictions])
    common, mine, others = np.intersect1d(logged.last_sample, offline, return_indices=True)
    states = [State(predictions[i].state).name.lower() for i in others]
    found = logged.probabilities[mine]
    wanted = np.array([predictions[i].probabilities for i in others]).reshape(found.shape)
    gap = np.where(np.isnan(found) & np.isnan(wanted), 0.0, np.abs(found - wanted))
    return Agreement(
        n_live=len(logged.last_sample),
        n_offline=len(predictions),
        n_common=len(common),
        n_states=sum(logged.states[i] != state for i, state in zip(mine, states, strict=True)),
        difference=float(np.nan_to_num(gap, nan=np.inf).max(initial=0.0)),
    )


def _row(record: dict[str, Any], classes: Sequence[str]) -> tuple[int, list[float], str]:
    given = record["probabilities"]
    if set(given) != set(classes):
        raise KeyError("probabilities")
    values = [math.nan if given[name] is None else float(given[name]) for name in classes]
    return int(record["last_sample"]), values, str(record["state"])
