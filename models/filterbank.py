"""Mel filter banks and ranges of bins, the one definition for streaming stages and torch front ends."""

from __future__ import annotations

from typing import Literal

import numpy as np

MelScale = Literal["htk", "slaney"]

# Slaney's scale: linear below 1 kHz, logarithmic above.
_SLANEY_HZ_PER_MEL = 200.0 / 3
_SLANEY_CORNER_HZ = 1000.0
_SLANEY_CORNER_MEL = _SLANEY_CORNER_HZ / _SLANEY_HZ_PER_MEL
_SLANEY_LOG_STEP = np.log(6.4) / 27.0


def hz_to_mel(hz: np.ndarray | float, scale: MelScale = "htk") -> np.ndarray:
    """Convert frequencies to mels.

    Parameters
    ----------
    hz : array_like
        Frequencies, in Hz.
    scale : {"htk", "slaney"}, default="htk"
        ``htk``: ``2595 log10(1 + hz / 700)``. ``slaney``: linear below 1 kHz, logarithmic above
        (Auditory Toolbox; librosa's default).

    Returns
    -------
    mel : ndarray of float64
        Same shape as `hz`.

    Raises
    ------
    ValueError
        If the scale is unknown.
    """
    _check_scale(scale)
    hz = np.asarray(hz, dtype=np.float64)
    if scale == "htk":
        return np.asarray(2595.0 * np.log10(1.0 + hz / 700.0))
    above = _SLANEY_CORNER_MEL + np.log(np.maximum(hz, _SLANEY_CORNER_HZ) / _SLANEY_CORNER_HZ) / _SLANEY_LOG_STEP
    return np.where(hz < _SLANEY_CORNER_HZ, hz / _SLANEY_HZ_PER_MEL, above)


def mel_to_hz(mel: np.ndarray | float, scale: MelScale = "htk") -> np.ndarray:
    """Convert mels to frequencies, the inverse of `hz_to_mel`.

    Parameters
    ----------
    mel : array_like
        Positions on the mel scale.
    scale : {"htk", "slaney"}, default="htk"
        See `hz_to_mel`.

    Returns
    -------
    hz : ndarray of float64
        Same shape as `mel`.

    Raises
    ------
    ValueError
        If the scale is unknown.
    """
    _check_scale(scale)
    mel = np.asarray(mel, dtype=np.float64)
    if scale == "htk":
        return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
    above = _SLANEY_CORNER_HZ * np.exp(_SLANEY_LOG_STEP * (np.maximum(mel, _SLANEY_CORNER_MEL) - _SLANEY_CORNER_MEL))
    return np.where(mel < _SLANEY_CORNER_MEL, mel * _SLANEY_HZ_PER_MEL, above)


def mel_filterbank(
    sfreq: float,
    n_fft: int,
    n_mels: int,
    low_hz: float,
    high_hz: float,
    scale: MelScale = "htk",
    norm: Literal["slaney"] | None = None,
) -> np.ndarray:
    """Return triangular filters, evenly spaced in mel, as weights of FFT bins.

    The triangles are straight in Hz between mel-spaced corners, as in torchaudio's ``melscale_fbanks`` and librosa.
    A triangle that is narrower than the FFT's bin spacing can fall between two bins; its row is then all
    zero and its feature is constant. That is legal (a zero-padded FFT of a short window avoids it);
    `empty_filters` lists such rows.

    Parameters
    ----------
    sfreq : float
        Sampling rate, in Hz.
    n_fft : int
        Length of the FFT, in samples.
    n_mels : int
        Number of filters.
    low_hz, high_hz : float
        Lower corner of the first and upper corner of the last triangle, in Hz.
    scale : {"htk", "slaney"}, default="htk"
        See `hz_to_mel`.
    norm : {None, "slaney"}, default=None
        None: triangles of height 1. ``slaney``: triangles of area 1 Hz.

    Returns
    -------
    bank : ndarray of float64, shape (n_mels, n_fft // 2 + 1)

    Raises
    ------
    ValueError
        If the range does not fit below Nyquist, a size is not positive, or `scale` or `norm` is unknown.
    """
    _check_scale(scale)
    if norm not in (None, "slaney"):
        raise ValueError(f"norm must be None or 'slaney', got {norm!r}.")
    if n_fft < 2 or n_mels < 1:
        raise ValueError(f"A mel filter bank needs n_fft >= 2 and n_mels >= 1, got n_fft={n_fft}, n_mels={n_mels}.")
    nyquist = sfreq / 2
    if not 0 <= low_hz < high_hz <= nyquist:
        raise ValueError(
            f"A mel filter bank needs 0 <= low_hz < high_hz <= {nyquist:g} Hz (Nyquist), "
            f"got low_hz={low_hz:g}, high_hz={high_hz:g}. Lower high_hz or use a higher sampling rate."
        )
    low_mel, high_mel = hz_to_mel(np.array([low_hz, high_hz]), scale)
    corners = mel_to_hz(np.linspace(low_mel, high_mel, n_mels + 2), scale)
    bins = np.arange(n_fft // 2 + 1) * (sfreq / n_fft)
    width = np.diff(corners)
    rising = (bins - corners[:-2, None]) / width[:-1, None]
    falling = (corners[2:, None] - bins) / width[1:, None]
    bank = np.maximum(0.0, np.minimum(rising, falling))
    if norm == "slaney":
        bank *= (2.0 / (corners[2:] - corners[:-2]))[:, None]
    return bank


def mel_centres(n_mels: int, low_hz: float, high_hz: float, scale: MelScale = "htk") -> np.ndarray:
    """Return where the filters of `mel_filterbank` have their peaks, in Hz, shape (n_mels,)."""
    low, high = (float(hz_to_mel(hz, scale)) for hz in (low_hz, high_hz))
    return mel_to_hz(np.linspace(low, high, n_mels + 2)[1:-1], scale)


def empty_filters(bank: np.ndarray) -> np.ndarray:
    """Return the indices of filters that fall between two FFT bins.

    Parameters
    ----------
    bank : ndarray, shape (n_mels, n_bins)
        A filter bank from `mel_filterbank`.

    Returns
    -------
    rows : ndarray of int64
        Rows without any weight; empty if every filter sees at least one bin.
    """
    return np.flatnonzero(~(bank > 0).any(axis=1))


def stft_bins(sfreq: float, n_fft: int, low_hz: float, high_hz: float) -> slice:
    """Return the bins of a transform within a range.

    Parameters
    ----------
    sfreq : float
        Sampling rate, in Hz.
    n_fft : int
        Length of the FFT, in samples.
    low_hz, high_hz : float
        Ends of the range, in Hz; a bin that stands on one is within.

    Returns
    -------
    bins : slice

    Raises
    ------
    ValueError
        If the range does not fit below Nyquist or holds no bin.
    """
    if not 0 <= low_hz <= high_hz <= sfreq / 2:
        raise ValueError(
            f"Bins of a transform need 0 <= low_hz <= high_hz <= {sfreq / 2:g} Hz (Nyquist), "
            f"got low_hz={low_hz:g}, high_hz={high_hz:g}. Lower high_hz or use a higher sampling rate."
        )
    spacing = sfreq / n_fft
    # a hundred-millionth of a bin: 0.1 Hz bins at 0.3 Hz must not fall out by rounding
    first, last = int(np.ceil(low_hz / spacing - 1e-8)), int(np.floor(high_hz / spacing + 1e-8))
    if last < first:
        raise ValueError(
            f"Bins of a transform need one within {low_hz:g} to {high_hz:g} Hz, got bins {spacing:g} Hz apart. "
            "Raise n_fft or widen the range."
        )
    return slice(first, last + 1)


def hann(n: int) -> np.ndarray:
    """Return the periodic Hann window of `n` points, float64: that of `scipy.signal.get_window`, without scipy."""
    return np.ones(1) if n == 1 else 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, n + 1))[:-1]


def _check_scale(scale: str) -> None:
    if scale not in ("htk", "slaney"):
        raise ValueError(f"scale must be 'htk' or 'slaney', got {scale!r}.")
