"""The gate before every pipeline: nothing that is not a number passes, and nothing is hidden."""

from __future__ import annotations

import itertools

import numpy as np

from bci.chunk import Chunk, Signal
from bci.errors import SignalError
from bci.events import Event
from bci.stages.base import Stage

SAME_RUN_S = 0.1  # a flickering electrode must not flood the event stream


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
    finite : ndarray of bool, shape (n_channels, n_samples), or None
        Which values of the last call were finite; None if all were.
    """

    _remembered = ("_last",)

    def __init__(self, signal: Signal) -> None:
        self.n_held = 0
        self.any_finite = False
        self.finite: np.ndarray | None = None
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
        self.finite = None
        if n_samples == 0:
            return y, np.ones(0, dtype=bool)
        finite = np.isfinite(y)
        if finite.all():
            self.any_finite = True
            self._last = y[:, -1].copy()
            return y, np.ones(n_samples, dtype=bool)
        self.any_finite = self.any_finite or bool(finite.any())
        self.finite = finite
        self.n_held += int(finite.size - np.count_nonzero(finite))
        source = np.maximum.accumulate(np.where(finite, np.arange(n_samples), -1), axis=1)
        held = np.take_along_axis(y, np.maximum(source, 0), axis=1)
        y = np.where(source >= 0, held, self._last[:, None])
        self._last = y[:, -1].copy()
        return y, np.asarray(finite.all(axis=0))


class InvalidRuns:
    """Find where the samples of a stream stop being finite, and where all are again.

    Runs with less than `SAME_RUN_S` of finite samples between them are one.

    Parameters
    ----------
    sfreq : float
        Rate of the samples, in Hz.
    """

    def __init__(self, sfreq: float) -> None:
        self._n_same = max(1, round(SAME_RUN_S * sfreq))
        self._n_invalid = 0  # samples of the running one
        self._n_finite = 0  # finite samples that have come since
        self._end = (0, 0.0)  # number and time of the first of these

    def take(self, chunk: Chunk) -> list[Event]:
        """Return the ``invalid`` and ``valid`` events of the next samples; filled ones, which never came, do not count.

        Parameters
        ----------
        chunk : Chunk
            Samples after the chunk of the previous call.

        Returns
        -------
        events : list of Event
        """
        if chunk.n_samples == 0 or chunk.filled is not None:
            return []
        finite = np.isfinite(chunk.data)
        if not self._n_invalid and finite.all():
            return []
        invalid = ~finite.all(axis=0)
        events: list[Event] = []
        changes = np.flatnonzero(np.diff(invalid)) + 1
        for start, stop in itertools.pairwise([0, *changes.tolist(), chunk.n_samples]):
            sample, time_s = chunk.first_sample + start, float(chunk.times[start])
            if invalid[start]:
                if not self._n_invalid:
                    events.append(Event("invalid", time_s, {"sample": sample}))
                self._n_invalid += stop - start
                self._n_finite = 0
            elif self._n_invalid:
                if not self._n_finite:
                    self._end = (sample, time_s)
                self._n_finite += stop - start
                if self._n_finite >= self._n_same:
                    sample, time_s = self._end
                    events.append(Event("valid", time_s, {"sample": sample, "n_samples": self._n_invalid}))
                    self._n_invalid = self._n_finite = 0
        return events
