"""What mne-lsl computes for a filter, without LSL: a model of `StreamLSL._acquire` (1.14)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.signal import sosfilt

from bci.chunk import Signal

BUFFER_S = 10.0


def mne_lsl_filter(signal: Signal, designs: Sequence[np.ndarray]) -> Callable[[np.ndarray], object]:
    """Return a function that filters the next samples in place and rolls a buffer of 10 s.

    Parameters
    ----------
    signal : Signal
        What is filtered.
    designs : sequence of ndarray
        Second-order sections of each filter.

    Returns
    -------
    process : callable
        Takes samples of shape (n_channels, n_samples); what was pulled is (n_samples, n_channels) float32.
    """
    states = [np.zeros((len(sos), 2, signal.n_channels)) for sos in designs]
    picks = np.arange(signal.n_channels)
    size = round(BUFFER_S * signal.sfreq)
    buffer, stamps = np.zeros((size, signal.n_channels), np.float32), np.zeros(size)

    def process(x: np.ndarray) -> object:
        nonlocal buffer, stamps
        data, n = np.ascontiguousarray(x.T, dtype=np.float32), x.shape[1]
        for k, sos in enumerate(designs):
            filtered, states[k] = sosfilt(sos, data[:, picks], zi=states[k], axis=0)
            data[:, picks] = filtered
        buffer = np.roll(buffer, -n, axis=0)
        stamps = np.roll(stamps, -n)
        buffer[-n:] = data
        stamps[-n:] = 0.0
        return buffer

    return process
