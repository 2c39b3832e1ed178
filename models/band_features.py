"""Linear classifiers on band powers and on correlations between channels: what a network has to beat."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from models.closed_form import ClosedForm, electrodes
from models.limits import check_table

FLOOR = 1e-2
"""Added to band powers before the logarithm, in unit squared: a flat channel stays finite."""
_ROOTS = 5
_EXACT = 1e-12


class BandClassifier(ClosedForm):
    """A linear layer on fixed features of band-passed signals.

    Parameters
    ----------
    front : BandPower or BandCorrelation
        Features; nothing in it is trained.
    n_channels, n_bands : int
        Electrodes, and band-passed copies of them. The filter bank runs before the model, causally, in the pipeline.
    n_times : int
        Samples of a window.
    n_classes : int
        Number of logits.
    """

    def __init__(
        self, front: BandPower | BandCorrelation, n_channels: int, n_bands: int, n_times: int, n_classes: int
    ) -> None:
        n_features = n_bands * front.n_features
        check_table(n_features * n_classes, "A classifier of band features")
        super().__init__(n_features, n_classes)
        self.input_shape = (n_bands * n_channels, n_times)
        self.n_bands = n_bands
        self.n_channels = n_channels
        self.front = front

    def features(self, x: Tensor) -> Tensor:
        """Return what the linear layer reads, float64 (batch, n_features), band by band."""
        rows = x.to(torch.float64).reshape(x.shape[0], self.n_bands, self.n_channels, x.shape[-1])
        return self.front(rows - torch.mean(rows, dim=-1, keepdim=True)).flatten(1)


class BandPower(nn.Module):
    """Logarithm of the variance of every row.

    Parameters
    ----------
    n_channels : int
        Rows of a band.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.n_features = n_channels

    def forward(self, rows: Tensor) -> Tensor:
        """Turn rows (batch, bands, channels, time) without mean into features (batch, bands, channels)."""
        return torch.log(torch.mean(rows * rows, dim=-1) + FLOOR)


class BandCorrelation(nn.Module):
    """Matrix logarithm of the correlations between the channels of a band: log-Euclidean tangent vectors.

    Amplitudes do not enter. The logarithm is made of products of matrices only, so that every exporter takes it: five
    square roots by Newton–Schulz iterations, then the series.

    Parameters
    ----------
    n_channels : int
        Rows of a band.
    shrinkage : float
        Share of the identity in the correlations; it bounds their eigenvalues away from 0.

    Raises
    ------
    ValueError
        If the share is not between 0 and 1.

    References
    ----------
    Arsigny et al. (2006), doi:10.1002/mrm.20965 (log-Euclidean metric). Higham (2008), Functions of Matrices, sections
    6.3 and 11.5, doi:10.1137/1.9780898717778.
    """

    eye: Tensor
    upper: Tensor
    weights: Tensor

    def __init__(self, n_channels: int, shrinkage: float) -> None:
        super().__init__()
        if not 1e-6 <= shrinkage < 1:
            raise ValueError(f"BandCorrelation needs a shrinkage from 1e-6 to below 1, got {shrinkage:g}.")
        self.n_channels = n_channels
        self.shrinkage = shrinkage
        rows, columns = np.triu_indices(n_channels)
        self.n_features = len(rows)
        self.register_buffer("eye", torch.eye(n_channels, dtype=torch.float64), persistent=False)
        self.register_buffer("upper", torch.from_numpy(rows * n_channels + columns), persistent=False)
        # off-diagonals stand for two entries, so that norms are kept
        weights = torch.from_numpy(np.where(rows == columns, 1.0, math.sqrt(2.0)))
        self.register_buffer("weights", weights, persistent=False)
        lowest = shrinkage / n_channels
        self._steps = tuple(_root_steps(lowest ** (0.5**k)) for k in range(_ROOTS))
        self._n_terms = _series_terms(1 - lowest ** (0.5**_ROOTS))

    def forward(self, rows: Tensor) -> Tensor:
        """Turn rows (batch, bands, channels, time) without mean into features (batch, bands, n_features)."""
        logarithm = self._log(self.correlations(rows))
        return logarithm.flatten(-2)[..., self.upper] * self.weights

    def correlations(self, rows: Tensor) -> Tensor:
        """Return the shrunk correlations (batch, bands, channels, channels); a flat channel has none with any."""
        power = torch.mean(rows * rows, dim=-1, keepdim=True)
        unit = rows / torch.sqrt(power + 1e-12)
        found = unit @ unit.transpose(-1, -2) / rows.shape[-1]
        return (1 - self.shrinkage) * found + self.shrinkage * self.eye

    def _log(self, matrix: Tensor) -> Tensor:
        """Return the logarithm of matrices with eigenvalues between the shrinkage and `n_channels`."""
        root = matrix / self.n_channels
        for n_steps in self._steps:
            root = self._square_root(root, n_steps)
        rest = self.eye - root
        total = rest / self._n_terms
        for k in range(self._n_terms - 1, 0, -1):
            total = rest @ (total + self.eye / k)
        return math.log(self.n_channels) * self.eye - 2.0**_ROOTS * total

    def _square_root(self, matrix: Tensor, n_steps: int) -> Tensor:
        y, z = matrix, self.eye.expand_as(matrix)
        for _ in range(n_steps):
            t = 1.5 * self.eye - 0.5 * (z @ y)
            y, z = y @ t, t @ z
        return y


def band_power(n_channels: int, n_times: int, sfreq: float, n_classes: int, n_bands: int) -> nn.Module:
    """Build a linear classifier of log band powers; see `BandClassifier`.

    For 24 rows (3 bands of 8 electrodes) and 4 classes: 100 parameters, beside the fitted scaling.

    Parameters
    ----------
    n_channels : int
        Rows of a window, ``n_bands`` times the number of electrodes.
    n_times : int
        Samples of a window.
    sfreq : float
        Sampling rate, in Hz; not used.
    n_classes, n_bands : int
        Logits, and bands.

    Raises
    ------
    ValueError
        If the rows do not divide by the bands.
    """
    n = electrodes(n_channels, n_bands)
    return BandClassifier(BandPower(n), n, n_bands, n_times, n_classes)


def tangent_correlation(
    n_channels: int, n_times: int, sfreq: float, n_classes: int, n_bands: int, shrinkage: float = 0.1
) -> nn.Module:
    """Build a linear classifier of log-Euclidean tangent vectors; see `BandCorrelation` and `BandClassifier`.

    For 24 rows (3 bands of 8 electrodes) and 4 classes: 436 parameters, beside the fitted scaling.

    Parameters
    ----------
    n_channels : int
        Rows of a window, ``n_bands`` times the number of electrodes.
    n_times : int
        Samples of a window.
    sfreq : float
        Sampling rate, in Hz; not used.
    n_classes, n_bands : int
        Logits, and bands.
    shrinkage : float, default=0.1
        Share of the identity in the correlations.

    Raises
    ------
    ValueError
        If the rows do not divide by the bands, or the shrinkage is out of range.
    """
    n = electrodes(n_channels, n_bands)
    check_table(float(n) * n, "A matrix of correlations")
    return BandClassifier(BandCorrelation(n, shrinkage), n, n_bands, n_times, n_classes)


def _root_steps(lowest: float) -> int:
    """Return the Newton–Schulz iterations after which the square root of numbers from `lowest` to 1 is exact."""
    error, n = lowest, 0
    while 1 - error > _EXACT:
        error, n = error * (3 - error) ** 2 / 4, n + 1
    return n


def _series_terms(largest: float) -> int:
    """Return the terms of ``-log(1 - x)`` that numbers up to `largest` need."""
    n = 1
    while largest ** (n + 1) / (n + 1) > _EXACT:
        n += 1
    return n
