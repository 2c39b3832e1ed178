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
