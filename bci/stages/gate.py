"""The gate before every pipeline: nothing that is not a number passes, and nothing is hidden."""

from __future__ import annotations

import numpy as np

from bci.chunk import Signal
from bci.errors import SignalError
from bci.stages.base import Stage


class Gate(Stage):
    """Hold each channel's last finite value where a sample is NaN or infinite.

    Before a channel's first finite value it holds 0. A column is valid when all its channels were finite.

    Parameters
    ----------
    signal : Signal
        What passes.

    Attributes
    ----------
    n_held : int
        Values replaced since the start; a reset keeps the count.
    any_finite : bool
        Whether a finite value has ever come; a reset keeps it.
    """

    _remembered = ("_last",)

    def __init__(self, signal: Signal) -> None:
        self.n_held = 0
        self.any_finite = False
        super().__init__(signal, signal)

    def reset(self) -> None:
        """Forget the held values; the next sample starts a new stream."""
        self._last = np.zeros(self.signal_in.n_channels)

    def process(self, x: np.ndarray) -> np.ndarray:
        """Return finite values; see `admit`."""
        return self.admit(x)[0]

    def admit(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return finite values and which columns were finite.

        Parameters
        ----------
        x : ndarray, shape (n_channels, n_samples)
            Samples that directly follow the previous call's.

        Returns
        -------
        y : ndarray of float64, shape (n_channels, n_samples)
        valid : ndarray of bool, shape (n_samples,)

        Raises
        ------
        SignalError
            If the number of channels does not fit.
        """
        if x.ndim != 2 or len(x) != self.signal_in.n_channels:
            raise SignalError(
                f"The gate needs samples of shape ({self.signal_in.n_channels}, n_samples), got {x.shape}."
            )
        y = x.astype(np.float64)
        n_samples = y.shape[1]
        if n_samples == 0:
            return y, np.ones(0, dtype=bool)
        finite = np.isfinite(y)
        valid = np.asarray(finite.all(axis=0))
        self.any_finite = self.any_finite or bool(finite.any())
        if not valid.all():
            self.n_held += int(finite.size - np.count_nonzero(finite))
            source = np.maximum.accumulate(np.where(finite, np.arange(n_samples), -1), axis=1)
            held = np.take_along_axis(y, np.maximum(source, 0), axis=1)
            y = np.where(source >= 0, held, self._last[:, None])
        self._last = y[:, -1].copy()
        return y, valid
