"""What every stage is: a function of the stream that remembers only its own state."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Protocol

import numpy as np

from bci.chunk import Signal
from bci.errors import SignalError

RESIDUAL_ENERGY = 1e-4
"""A stage has settled when this share of the energy of its impulse response is still to come."""


class StageSpec(Protocol):
    """Settings of a stage: a frozen dataclass with units in its field names."""

    kind: ClassVar[str]

    def build(self, signal: Signal) -> Stage:
        """Check the settings against `signal` and return the running stage."""
        ...


class Stage:
    """A causal function of a stream, one call for each stretch of samples.

    Subclasses implement `_process` and `reset`, and list the attributes that make up their memory in
    ``_remembered``. Nothing may depend on where the stream is cut.

    Parameters
    ----------
    signal_in, signal_out : Signal
        Description of the columns that enter and leave.
    """

    _remembered: ClassVar[tuple[str, ...]] = ()

    def __init__(self, signal_in: Signal, signal_out: Signal) -> None:
        self.signal_in = signal_in
        self.signal_out = signal_out
        self.reset()

    def reset(self) -> None:
        """Forget the past; the next sample starts a new stream."""

    def process(self, x: np.ndarray) -> np.ndarray:
        """Process the next columns of the stream.

        Parameters
        ----------
        x : ndarray, shape (*signal_in.shape, n_samples)
            Columns that directly follow the previous call's. ``n_samples`` may be 0.

        Returns
        -------
        y : ndarray of float64, shape (*signal_out.shape, n_out)
            Columns that became complete; possibly none.

        Raises
        ------
        SignalError
            If the shape does not fit or a value is not finite.
        """
        if x.shape[:-1] != self.signal_in.shape:
            raise SignalError(
                f"{type(self).__name__} needs columns of shape {self.signal_in.shape} (time last), "
                f"got an array of shape {x.shape}."
            )
        if not np.isfinite(x).all():
            raise SignalError(
                f"{type(self).__name__} needs finite samples, got NaN or infinity. Put a Gate before the stages."
            )
        return self._process(np.asarray(x, dtype=np.float64))

    def _process(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    @property
    def state(self) -> dict[str, Any]:
        """Copy of everything remembered; assign it to go back to that moment."""
        return {name: copy.deepcopy(getattr(self, name)) for name in self._remembered}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        if set(state) != set(self._remembered):
            raise SignalError(
                f"{type(self).__name__} needs a state with {sorted(self._remembered)}, got {sorted(state)}. "
                "Take it from the same kind of stage."
            )
        for name, value in state.items():
            setattr(self, name, copy.deepcopy(value))

    def delay_s(self, hz: float) -> float:
        """Return how far the output lags behind the input at `hz`, in seconds."""
        return 0.0

    @property
    def warmup_s(self) -> float:
        """Seconds until less than 1e-4 of an impulse's energy is still to come."""
        return 0.0

    def last_input(self, n_out: np.ndarray) -> np.ndarray:
        """Return the index of the last input column behind each output column.

        Parameters
        ----------
        n_out : ndarray of int64
            Output indices, counted from the last reset.

        Returns
        -------
        n_in : ndarray of int64
        """
        return n_out
