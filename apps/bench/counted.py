"""A signal whose every sample can be proven, and an engine that tells its seizure by power: to rehearse faults."""

from __future__ import annotations

import numpy as np

from bci.chunk import Signal
from bci.decision import AlarmSpec, DecisionSpec
from bci.sources.base import Annotation

SFREQ = 256.0
EEG = Signal(SFREQ, ("C3", "Cz", "C4"))
COUNTER = "count"
SENT = Signal(SFREQ, (*EEG.names, COUNTER))
NOISE_UV, RHYTHM_UV, RHYTHM_HZ = 10.0, 120.0, 5.0
SEIZURE_POWER = 2.8  # log10 µV²: between the noise and the rhythm
DECISION = DecisionSpec(
    ("background", "seizure"),
    smoothing_s=1.0,
    alarm=AlarmSpec("seizure", on_threshold=0.6, off_threshold=0.4, k=3, n=4),
)
_BLOCK = 256  # noise is made in blocks of a seed each: a stretch is the same however it is read


class CountedFeed:
    """Noise in three channels, a strong rhythm in them during the seizure; a fourth channel counts the samples.

    Parameters
    ----------
    seconds : float
        Length; counts up to 2 ** 24 (18 h) are exact in float32.
    seizure : tuple of float or None, default=None
        Onset and end, in seconds.
    """

    signal = SENT
    types: tuple[str, ...] = ("eeg",) * 4
    units: tuple[str, ...] = ("uV",) * 4
    gaps: tuple[tuple[int, int], ...] = ()
    seekable = True

    def __init__(self, seconds: float, seizure: tuple[float, float] | None = None) -> None:
        self.n_samples = round(seconds * SFREQ)
        self._seizure = seizure
        self.annotations: tuple[Annotation, ...] = ()
        if seizure is not None:
            self.annotations = (Annotation(seizure[0], seizure[1] - seizure[0], "seizure"),)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return float32 samples of shape (4, stop - start)."""
        blocks = [
            np.random.default_rng(block).normal(0.0, NOISE_UV, (EEG.n_channels, _BLOCK))
            for block in range(start // _BLOCK, -(-stop // _BLOCK))
        ]
        skipped = start % _BLOCK
        noise = np.concatenate([np.empty((EEG.n_channels, 0)), *blocks], axis=1)[:, skipped : skipped + stop - start]
        t = np.arange(start, stop) / SFREQ
        if self._seizure is not None:
            inside = (t >= self._seizure[0]) & (t < self._seizure[1])
            noise = noise + RHYTHM_UV * np.sin(2 * np.pi * RHYTHM_HZ * t) * inside
        return np.concatenate([noise, np.arange(start, stop)[None]]).astype(np.float32)


class PowerEngine:
    """Tells the rhythm from the noise by power: an alarm means a seizure, or an artefact that got through.

    Attributes
    ----------
    peak_uv : float
        Largest magnitude in the window that came last.
    """

    name, precision = "power", "fp64"
    peak_uv = 0.0

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Return the logits of windows of shape (n_windows, …, n_samples)."""
        self.peak_uv = float(np.abs(batch[-1]).max())
        variances = batch.astype(np.float64).var(axis=-1).reshape(len(batch), -1)
        power = np.log10(np.maximum(variances.mean(axis=-1), 1e-9))
        return np.stack([np.zeros_like(power), 6.0 * (power - SEIZURE_POWER)], axis=-1).astype(np.float32)
