"""How good a stretch of each channel is, in numbers that do not depend on rate or offset."""

from __future__ import annotations

import numpy as np

LINE_HZ = (50.0, 60.0)
LINE_HALF_WIDTH_HZ = 2.0  # main lobe of the Hann window over one second
BRAIN_HZ = (2.0, 30.0)
HIGH_HZ = 40.0
MIN_LEVELS = 20  # a coarsely quantised, quiet channel repeats its extremes without being clipped
FEW_LEVELS_SHARE = 0.5  # and of a channel with fewer levels, this much at its extremes is clipped all the same
NORMAL_IQR = 1.349  # of a standard deviation
MEASURES = ("nan_share", "amplitude", "relative_amplitude", "rail_share", "line_share", "high_ratio")


def measure(x: np.ndarray, held: np.ndarray | None, sfreq: float) -> dict[str, np.ndarray]:
    """Measure one stretch of every channel.

    Parameters
    ----------
    x : ndarray of float64, shape (n_channels, n_samples)
        Finite samples.
    held : ndarray of bool, shape (n_channels, n_samples), or None
        True where a value is made up because none was received.
    sfreq : float
        Sampling rate, in Hz.

    Returns
    -------
    measures : dict of str to ndarray of float64, shape (n_channels,)
        ``nan_share``: held values over all. ``amplitude``: interquartile range about the straight line through the
        stretch, as the standard deviation of a normal distribution, in the signal's unit. ``relative_amplitude``: that
        over the median of all channels. ``rail_share``: samples that equal the highest or the lowest. ``line_share``:
        power within 2 Hz of 50 and 60 Hz over all power from 2 Hz. ``high_ratio``: power per Hz above 40 Hz, mains
        left out, over that from 2 to 30 Hz: 1 for white noise at any rate; 0 where the rate leaves no such band.

    References
    ----------
    The robust deviation and the ratio of high to low frequencies follow PREP (Bigdely-Shamlo et al. 2015,
    doi:10.3389/fninf.2015.00016); there they are z-scores over channels and a whole recording, with the border at
    50 Hz. Here they are ratios over one stretch: a z-score over 8 channels says little, and a focal seizure is an
    outlier by nature.
    """
    flattened = _without_trend(x)
    amplitude = _robust_deviation(flattened)
    typical = np.median(amplitude)
    line_share, high_ratio = _spectral(flattened, sfreq)
    return {
        "nan_share": np.zeros(len(x)) if held is None else held.mean(axis=1),
        "amplitude": amplitude,
        "relative_amplitude": amplitude / typical if typical > 0 else np.zeros(len(x)),
        "rail_share": _rail_share(x),
        "line_share": line_share,
        "high_ratio": high_ratio,
    }


def _without_trend(x: np.ndarray) -> np.ndarray:
    """Return `x` without its mean and slope: electrodes drift."""
    n_samples = x.shape[1]
    time = np.arange(n_samples) - (n_samples - 1) / 2
    centred = x - x.mean(axis=1, keepdims=True)
    slope = (centred * time).sum(axis=1, keepdims=True) / (time**2).sum()
    return centred - slope * time


def _robust_deviation(x: np.ndarray) -> np.ndarray:
    ordered = np.sort(x, axis=1)
    n_samples = x.shape[1]
    return (ordered[:, (3 * n_samples) // 4] - ordered[:, n_samples // 4]) / NORMAL_IQR


def _rail_share(x: np.ndarray) -> np.ndarray:
    high, low = x.max(axis=1, keepdims=True), x.min(axis=1, keepdims=True)
    share = ((x == high) | (x == low)).mean(axis=1)
    step = np.abs(np.diff(x, axis=1))
    step = np.where(step > 0, step, np.inf).min(axis=1)  # the smallest there is: about one level of the converter
    many = (high - low)[:, 0] >= MIN_LEVELS * step
    return np.where(many | (share > FEW_LEVELS_SHARE), share, 0.0)


def _spectral(x: np.ndarray, sfreq: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of the mains, and the ratio of the high to the low density."""
    n_samples = x.shape[1]
    power = np.abs(np.fft.rfft(x * np.hanning(n_samples), axis=1)) ** 2
    hz = np.fft.rfftfreq(n_samples, 1 / sfreq)
    mains = np.zeros(hz.size, dtype=bool)
    for line_hz in LINE_HZ:
        mains |= np.abs(hz - line_hz) <= LINE_HALF_WIDTH_HZ
    low = (hz >= BRAIN_HZ[0]) & (hz <= BRAIN_HZ[1])
    high = (hz >= HIGH_HZ) & ~mains
    total = power[:, hz >= BRAIN_HZ[0]].sum(axis=1)
    line_share = _ratio(power[:, mains].sum(axis=1), total)
    if not high.any():
        return line_share, np.zeros(len(x))
    return line_share, _ratio(power[:, high].mean(axis=1), power[:, low].mean(axis=1))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
