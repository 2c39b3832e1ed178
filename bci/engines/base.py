"""What every inference engine offers; concrete engines are passed in, never imported by the decoder."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Engine(Protocol):
    """What runs the network."""

    name: str
    precision: str

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return the logits, float32 (n_windows, n_classes), of windows (n_windows, *column_shape, n_columns)."""
        ...
