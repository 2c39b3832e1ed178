"""What stands before and behind the network, for engines that compute it too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, eq=False)
class Ends:
    """A log-mel spectrum before the network, and the temperature of the softmax behind it.

    Parameters
    ----------
    temperature : float, default=1.0
        Divides the logits before the softmax.
    spectrum : Module or None, default=None
        Makes columns of windows of the signal; None leaves that to the pipeline.
    signals : ndarray of float32, shape (n_windows, n_channels, n_samples), or None, default=None
        The signals behind the example windows; given with a spectrum.
    """

    temperature: float = 1.0
    spectrum: nn.Module | None = None
    signals: np.ndarray | None = None

    def windows(self, columns: np.ndarray) -> np.ndarray:
        """Return example windows as the engine takes them: `columns`, or the signals behind them."""
        return columns if self.signals is None else self.signals


NO_SPECTRUM = Ends()
"""Only the softmax."""
