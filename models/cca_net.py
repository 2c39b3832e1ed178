"""A network that does what filter-bank canonical correlation does, with references and weights that are learnt."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class WindowWhitening(nn.Module):
    """Whiten the channels of each window by the inverse square root of their covariance.

    Newton–Schulz iterations: products of matrices only, so that every exporter takes it.

    Parameters
    ----------
    shrinkage : float, default=1e-3
        Added to the diagonal, relative to the mean variance of the channels.
    n_iterations : int, default=14
        Enough for condition numbers up to about ``1 / shrinkage``.

    References
    ----------
    Higham (2008), Functions of Matrices, section 6.3, doi:10.1137/1.9780898717778.
    """

    def __init__(self, shrinkage: float = 1e-3, n_iterations: int = 14) -> None:
        super().__init__()
        self.shrinkage = shrinkage
        self.n_iterations = n_iterations

    def forward(self, x: Tensor) -> Tensor:
        """Whiten (batch, n_channels, n_times): each window gets zero mean and nearly unit covariance."""
        x = x - torch.mean(x, dim=-1, keepdim=True)
        n = x.shape[1]
        covariance = x @ x.transpose(1, 2) / x.shape[-1]
        eye = torch.eye(n, dtype=x.dtype, device=x.device)
        # the trace bounds the largest eigenvalue: after division all lie in (0, 1], where the iterations converge
        trace = torch.sum(covariance * eye, dim=(1, 2)).reshape(-1, 1, 1).clamp(min=1e-12)
        y = (covariance / trace + self.shrinkage / n * eye) / (1 + self.shrinkage)
        z = eye.expand(x.shape[0], n, n)
        for _ in range(self.n_iterations):
            t = 1.5 * eye - 0.5 * (z @ y)
            y, z = y @ t, t @ z
        return (z / torch.sqrt(trace * (1 + self.shrinkage))) @ x


class CcaNet(nn.Module):
    """Canonical correlation with learnt references in several bands, and a linear classifier.

    Each band is whitened within the window and projected on the references of each group (at the start: sine and
    cosine of a frequency and its harmonics). The singular values of the projection are then the canonical
    correlations; the square roots of a smooth maximum and of the sum of their squares go to the classifier. The
    spatial filter is thus found anew in each window, which is what lets the network pass from person to person.

    Parameters
    ----------
    n_channels, n_times : int
        Shape of a window; the bands are stacked along channels, band by band.
    sfreq : float
        Sampling rate, in Hz.
    n_classes : int
        Number of logits.
    n_bands : int
        Bands in the input; divides `n_channels`.
    freqs : tuple of float
        One group of references each, in Hz.
    n_harmonics : int, default=3
        References per group: sine and cosine of so many multiples of its frequency.
    dropout : float, default=0.1
        On the features of the classifier.

    Raises
    ------
    ValueError
        If the bands do not divide the channels or a harmonic reaches the Nyquist frequency.

    References
    ----------
    Chen et al. (2015), doi:10.1088/1741-2560/12/4/046008, for filter-bank CCA; there the references are fixed and
    the scores are weighted by a formula.
    """

    def __init__(
        self,
        n_channels: int,
        n_times: int,
        sfreq: float,
        n_classes: int,
        n_bands: int,
        freqs: tuple[float, ...],
        n_harmonics: int = 3,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if n_bands < 1 or n_channels % n_bands:
            raise ValueError(
                f"CcaNet needs n_bands that divide n_channels, got n_bands={n_bands}, n_channels={n_channels}."
            )
        highest = max(freqs, default=0.0) * n_harmonics
        if not 0 < highest < sfreq / 2:
            raise ValueError(
                f"CcaNet needs harmonics between 0 and {sfreq / 2:g} Hz (Nyquist), got {highest:g} Hz. "
                "Use fewer harmonics."
            )
        self.input_shape = (n_channels, n_times)
        self.n_bands = n_bands
        self.n_groups = len(freqs)
        self.n_references = 2 * n_harmonics
        self.whiten = WindowWhitening()
        t = torch.arange(n_times, dtype=torch.float64) / sfreq
        hz = torch.tensor([f * h for f in freqs for h in range(1, n_harmonics + 1)], dtype=torch.float64)
        phase = 2 * math.pi * hz[:, None] * t
        waves = torch.stack([torch.sin(phase), torch.cos(phase)], dim=1).reshape(-1, n_times)
        waves = waves / torch.linalg.norm(waves, dim=1, keepdim=True) * math.sqrt(n_times)
        self.references = nn.Parameter(waves.to(torch.float32))
        n_features = 2 * n_bands * self.n_groups
        self.head = nn.Sequential(nn.BatchNorm1d(n_features), nn.Dropout(dropout), nn.Linear(n_features, n_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Classify windows.

        Parameters
        ----------
        x : Tensor, shape (batch, n_channels, n_times)
            Filter-bank signals, in any unit.

        Returns
        -------
        logits : Tensor, shape (batch, n_classes)
        """
        n, n_channels, n_times = x.shape
        whitened = self.whiten(x.reshape(n * self.n_bands, n_channels // self.n_bands, n_times))
        projected = whitened @ self.references.T / n_times
        by_group = projected.reshape(n * self.n_bands, -1, self.n_groups, self.n_references).permute(0, 2, 3, 1)
        gram = by_group @ by_group.transpose(-1, -2)
        eye = torch.eye(self.n_references, dtype=x.dtype, device=x.device)
        total = torch.sum(gram * eye, dim=(-2, -1)).clamp(min=1e-9)
        power = gram / total[..., None, None]
        for _ in range(3):
            power = power @ power
        # the eighth root of the trace of the eighth power: nearly the largest eigenvalue, and smooth
        largest = total * torch.exp(torch.log(torch.sum(power * eye, dim=(-2, -1)).clamp(min=1e-20)) / 8)
        features = torch.sqrt(torch.cat([largest.reshape(n, -1), total.reshape(n, -1)], dim=1))
        return self.head(features)


def cca_net(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    n_bands: int,
    freqs: tuple[float, ...],
    n_harmonics: int = 3,
    dropout: float = 0.1,
) -> nn.Module:
    """Build a canonical-correlation network; see `CcaNet` for the parameters.

    For 16 rows (2 bands of 8 electrodes), 256 samples, 3 frequencies and 4 classes: 4,684 parameters.
    """
    return CcaNet(n_channels, n_times, sfreq, n_classes, n_bands, freqs, n_harmonics, dropout)
