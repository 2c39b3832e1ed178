"""Causal resampling by a rational factor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import firwin

from bci.chunk import Signal
from bci.errors import SpecError
from bci.stages.base import RESIDUAL_ENERGY, Stage

BLOCK_OUTPUTS = 512  # a whole recording is done in blocks, so that memory does not grow with it


@dataclass(frozen=True, slots=True)
class Resample:
    """Polyphase resampling with a linear-phase anti-alias filter, delayed by half its length.

    Parameters
    ----------
    sfreq : float
        Rate after the stage, in Hz; its ratio to the rate before must be a fraction with terms up to 1000.
    half_length : int, default=10
        Half length of the filter in samples of the slower rate: delay against sharpness.
    """

    kind: ClassVar[str] = "resample"
    sfreq: float
    half_length: int = 10

    def build(self, signal: Signal) -> PolyphaseStage:
        """Return the running stage for `signal`."""
        if not 0 < self.sfreq < np.inf or self.half_length < 1:
            raise SpecError(
                f"Resample needs sfreq > 0 Hz and half_length >= 1, got sfreq={self.sfreq:g}, "
                f"half_length={self.half_length}."
            )
        ratio = (Fraction(self.sfreq) / Fraction(signal.sfreq)).limit_denominator(1000)
        if ratio.numerator > 1000 or abs(float(ratio) * signal.sfreq - self.sfreq) > 1e-9 * self.sfreq:
            raise SpecError(
                f"Resample needs a rational ratio with terms up to 1000, got {signal.sfreq:g} -> {self.sfreq:g} Hz. "
                f"Use {float(ratio) * signal.sfreq:.9g} Hz."
            )
        return PolyphaseStage(signal, ratio.numerator, ratio.denominator, self.half_length, self.sfreq)


class PolyphaseStage(Stage):
    """Output ``m`` is a weighted sum of the inputs up to ``floor(m * down / up)``."""

    _remembered = ("_past", "_n_in", "_n_out")

    def __init__(self, signal: Signal, up: int, down: int, half_length: int, sfreq: float) -> None:
        self._up, self._down = up, down
        slower = max(up, down)
        self._taps = np.ones(1)  # the same rate: nothing to remove, nothing to wait for
        if slower > 1:
            self._taps = firwin(2 * half_length * slower + 1, 1.0 / slower, window=("kaiser", 5.0))
        for phase in range(up):  # each output weighs its inputs to 1: else an offset ripples by 7e-4 of itself
            self._taps[phase::up] /= self._taps[phase::up].sum()
        self._reach = -(-len(self._taps) // up)  # input samples behind one output sample
        padded = np.concatenate([self._taps, np.zeros(self._reach * up - len(self._taps))])
        self._branches = np.ascontiguousarray(padded.reshape(self._reach, up).T[:, ::-1])  # the oldest sample first
        super().__init__(signal, replace(signal, sfreq=sfreq))

    @property
    def up(self) -> int:
        """Outputs for every `down` inputs."""
        return self._up

    @property
    def down(self) -> int:
        """Inputs for every `up` outputs."""
        return self._down

    def reset(self) -> None:
        """Forget the past; the next sample starts a new stream."""
        self._past: np.ndarray | None = None
        self._n_in = 0
        self._n_out = 0

    def _process(self, x: np.ndarray) -> np.ndarray:
        if x.shape[-1] == 0:
            return x
        if self._past is None:  # the first sample is taken to have stood there always
            self._past = np.repeat(x[..., :1], self._reach - 1, axis=-1)
        joined = np.concatenate([self._past, x], axis=-1)
        windows = sliding_window_view(joined, self._reach, axis=-1)  # window i ends with sample i of x
        n_done = -(-(self._n_in + x.shape[-1]) * self._up // self._down)
        y = np.empty((*x.shape[:-1], n_done - self._n_out))
        for start in range(0, y.shape[-1], BLOCK_OUTPUTS):
            at = (self._n_out + np.arange(start, min(start + BLOCK_OUTPUTS, y.shape[-1]))) * self._down
            window = windows[..., at // self._up - self._n_in, :]
            y[..., start : start + len(at)] = np.einsum("...ij,ij->...i", window, self._branches[at % self._up])
        self._n_in += x.shape[-1]
        self._n_out = n_done
        self._past = joined[..., x.shape[-1] :].copy()
        return y

    def last_input(self, n_out: np.ndarray) -> np.ndarray:
        """Return the index of the last input sample behind each output sample."""
        return n_out * self._down // self._up

    def delay_s(self, hz: float) -> float:
        """Return the delay of the linear-phase filter, the same at every frequency, in seconds."""
        return (len(self._taps) - 1) / 2 / (self._up * self.signal_in.sfreq)

    @property
    def warmup_s(self) -> float:
        """Seconds until less than 1e-4 of any impulse's energy is still to come."""
        return self._settling / (self._up * self.signal_in.sfreq)

    @cached_property
    def _settling(self) -> int:
        last = 0
        for phase in range(min(self._down, len(self._taps))):  # the taps that one input sample meets: the worst counts
            energy = np.cumsum(self._taps[phase :: self._down][::-1] ** 2)[::-1]
            n_taps = int(np.count_nonzero(energy > RESIDUAL_ENERGY * energy[0]))
            last = max(last, phase + self._down * (n_taps - 1))
        return last
