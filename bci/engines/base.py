"""What every inference engine offers; concrete engines are passed in, never imported by the decoder."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np


class Engine(Protocol):
    """What runs the network."""

    name: str
    precision: str

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return the logits, float32 (n_windows, n_classes), of windows (n_windows, *column_shape, n_columns)."""
        ...


@runtime_checkable
class TwoStepEngine(Engine, Protocol):
    """An engine that can begin a window before its last columns have come; `__call__` does both steps."""

    n_late: int
    """Columns that the first step does without."""

    def early(self, batch: np.ndarray) -> Any:
        """Begin with all but the last `n_late` columns of `batch`, and return what `late` takes."""
        ...

    def late(self, batch: np.ndarray, kept: Any) -> np.ndarray:
        """Return the logits from the last `n_late` columns of `batch` and what `early` kept of the others."""
        ...


@runtime_checkable
class StatefulEngine(Protocol):
    """What runs a network with state: it sees each column once, and what it remembers is a value that is handed on."""

    name: str
    precision: str

    def initial(self, n_streams: int = 1) -> Any:
        """Return the state of `n_streams` streams before their first column."""
        ...

    def step(self, columns: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """Return the logits, float32 (n_streams, n_classes), after one column (n_streams, *column_shape, 1) more.

        The state after it comes with them; the one before is not changed.
        """
        ...

    def along(self, columns: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Return the logits, float32 (n_columns, n_classes), after each column of (*column_shape, n_columns).

        For recordings. The state is what the call before returned, for the columns that directly follow; None begins a
        stream. It is no state of `step`.
        """
        ...


@runtime_checkable
class WarmEngine(Engine, Protocol):
    """An engine whose device slows down when nothing is asked of it: a GPU lowers its clocks after seconds."""

    def keep_warm(self) -> None:
        """Do what keeps the device fast, in no more time than a call.

        The session calls it from the thread that calls the engine, whenever there has been no prediction for 0.15 s: at
        least every 0.4 s while a stream is silent. No later result depends on it.
        """
        ...


class NewestWindow(Protocol):
    """Where one stream puts its columns, or samples, for an engine that reads them there."""

    n_pushed: int
    """Columns since it was made or cleared."""

    def clear(self) -> None:
        """Forget the stream."""

    def push(self, columns: np.ndarray) -> None:
        """Append columns, shape (*column_shape, n)."""

    def outcome(self) -> tuple[np.ndarray, np.ndarray]:
        """Return logits, float32, and probabilities, float64 (n_classes,), of the newest window."""
        ...


@runtime_checkable
class EndToEndEngine(Engine, Protocol):
    """An engine that computes what stands before and behind the network, too."""

    takes_signal: bool
    """Whether windows are of the signal before the pipeline's last spectrum, (n_windows, n_channels, n_samples)."""

    temperature: float
    """Divides the logits before the softmax."""

    def outcomes(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits, float32, and probabilities, float64, each (n_windows, n_classes)."""
        ...


@runtime_checkable
class RingEngine(EndToEndEngine, Protocol):
    """An engine that reads the newest window of a stream where the stream puts it."""

    def ring(self, shape: tuple[int, ...]) -> NewestWindow:
        """Return memory for windows of one stream, of this shape, (*column_shape, n_columns)."""
        ...
