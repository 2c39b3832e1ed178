"""The classical classifier of steady-state responses: tangent space, canonical correlations, one linear layer."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from models.closed_form import ClosedForm, checked_fit, electrodes


class TangentCcaClassifier(ClosedForm):
    """Extended-covariance tangent vectors and filter-bank CCA scores under a linear classifier.

    Parameters
    ----------
    n_channels, n_bands : int
        Electrodes, and band-passed copies of them. The filter bank runs before the model, causally, in the pipeline.
    n_times : int
        Samples of a window.
    sfreq : float
        Sampling rate, in Hz.
    n_classes : int
        Number of logits.
    freqs : tuple of float
        Stimulation frequencies, in Hz.
    tangent_bands, cca_bands : tuple of int or None, default=None
        Bands that each part uses, counted from 0. None takes all, ``()`` switches the part off.
    n_harmonics : int, default=3
        Harmonics in the sine and cosine references, the fundamental included.

    Raises
    ------
    ValueError
        If both parts are off, or a band or a harmonic is out of range.

    Notes
    -----
    Training fits it outside of torch: `load_reference` with the mean of `covariances`, then `load_classifier`. All
    fitted numbers are in the state dict. Before that the reference is the identity.

    Features are computed in float64: the logarithm of a covariance of overlapping bands needs it. A flat
    window gives finite features.

    References
    ----------
    Chen et al. (2015), doi:10.1088/1741-2560/12/4/046008 (FBCCA). Kalunga et al. (2016),
    doi:10.1016/j.neucom.2016.01.007 (extended covariance). Chen, Wiesel, Eldar & Hero (2010),
    doi:10.1109/TSP.2010.2053029 (shrinkage). Where Chen et al. (2015) take the largest weighted sum
    over bands, a fitted layer reads every band and frequency.
    """

    eager_only = "eigendecompositions have no ONNX operator"

    whitening: Tensor
    references: Tensor

    def __init__(
        self,
        n_channels: int,
        n_bands: int,
        n_times: int,
        sfreq: float,
        n_classes: int,
        freqs: tuple[float, ...],
        tangent_bands: tuple[int, ...] | None = None,
        cca_bands: tuple[int, ...] | None = None,
        n_harmonics: int = 3,
    ) -> None:
        every = tuple(range(n_bands))
        tangent = every if tangent_bands is None else tuple(tangent_bands)
        cca = every if cca_bands is None else tuple(cca_bands)
        _check(tangent, cca, n_bands, sfreq, freqs, n_harmonics)
        n_tangent = len(tangent) * n_channels
        super().__init__(n_tangent * (n_tangent + 1) // 2 + len(freqs) * len(cca), n_classes)
        self.tangent_bands, self.cca_bands = tangent, cca
        self.input_shape = (n_bands * n_channels, n_times)
        self.n_bands = n_bands
        self.n_channels = n_channels
        self.register_buffer("whitening", torch.eye(n_tangent, dtype=torch.float64))
        self.register_buffer("references", _references(n_times, sfreq, freqs, n_harmonics), persistent=False)

    def features(self, x: Tensor) -> Tensor:
        """Return what the linear layer reads, float64 (batch, n_features).

        Tangent vectors at the reference come first, then CCA scores: band by band, frequencies within.
        """
        parts = []
        if self.tangent_bands:
            parts.append(_upper(_log(self.whitening @ self.covariances(x) @ self.whitening)))
        if self.cca_bands:
            parts.append(self._scores(self._bands(x, self.cca_bands)))
        return torch.cat(parts, dim=1)

    def covariances(self, x: Tensor) -> Tensor:
        """Return the covariance of all tangent bands' channels, shrunk towards its mean eigenvalue window by window.

        Parameters
        ----------
        x : Tensor, shape (batch, n_bands * n_channels, n_times)
            As `forward`.

        Returns
        -------
        covariances : Tensor of float64, shape (batch, n_tangent, n_tangent)
            ``n_tangent = len(tangent_bands) * n_channels``, in unit squared.
        """
        stacked = self._bands(x, self.tangent_bands).flatten(1, 2)
        n, n_times = stacked.shape[-2:]
        covariance = stacked @ stacked.mT / n_times
        mean = _mean_diagonal(covariance)
        alpha = covariance.square().mean(dim=(-2, -1), keepdim=True)
        spread = (n_times + 1) * (alpha - mean.square() / n)
        part = torch.where(spread > 0, (alpha + mean.square()) / spread, 1.0).clamp(max=1.0)
        identity = torch.eye(n, dtype=covariance.dtype, device=covariance.device)
        return (1 - part) * covariance + part * mean * identity

    def load_reference(self, reference: np.ndarray) -> None:
        """Set the matrix at which tangent vectors are taken.

        Parameters
        ----------
        reference : ndarray, shape (n_tangent, n_tangent)
            Mean of the training set's `covariances`; symmetric, positive definite.

        Raises
        ------
        ValueError
            If the shape differs or the matrix is not positive definite.
        """
        matrix = checked_fit("reference", reference, self.whitening)
        values, vectors = torch.linalg.eigh(matrix)
        if values.numel() and values[0] <= 0:
            raise ValueError(
                f"reference must be positive definite, got smallest eigenvalue {values[0].item():.3g}. "
                "Leave out recordings with flat channels."
            )
        self.whitening.copy_((vectors * values.rsqrt()) @ vectors.mT)

    def _bands(self, x: Tensor, bands: tuple[int, ...]) -> Tensor:
        """Return (batch, bands, channels, time) in float64, each row without its mean."""
        rows = x.to(torch.float64).unflatten(1, (self.n_bands, self.n_channels))[:, list(bands)]
        return rows - rows.mean(dim=-1, keepdim=True)

    def _scores(self, rows: Tensor) -> Tensor:
        """Return squared canonical correlations of (batch, bands, channels, time) with each frequency's references."""
        gram = rows @ rows.mT
        # rank-deficient rows (average reference, flat electrode) must not correlate by rounding error
        ridge = 1e-9 * _mean_diagonal(gram) + 1e-12
        factor = torch.linalg.cholesky(gram + ridge * torch.eye(self.n_channels, dtype=gram.dtype, device=gram.device))
        projected = torch.linalg.solve_triangular(
            factor[:, :, None], rows[:, :, None] @ self.references, upper=False
        )  # (batch, bands, freqs, channels, 2 harmonics)
        return torch.linalg.matrix_norm(projected, ord=2).square().flatten(1)


def tangent_cca(
    n_channels: int,
    n_times: int,
    sfreq: float,
    n_classes: int,
    n_bands: int,
    freqs: tuple[float, ...],
    tangent_bands: tuple[int, ...] | None = None,
    cca_bands: tuple[int, ...] | None = None,
    n_harmonics: int = 3,
) -> nn.Module:
    """Build the classical baseline.

    For 24 rows (3 bands of 8 electrodes), 3 frequencies and 4 classes: 1,240 parameters, beside the fitted reference
    and scaling.

    Parameters
    ----------
    n_channels : int
        Rows of a window, ``n_bands`` times the number of electrodes.
    n_times, sfreq, n_classes, n_bands, freqs, tangent_bands, cca_bands, n_harmonics
        See `TangentCcaClassifier`.

    Raises
    ------
    ValueError
        If the rows do not divide by the bands, or as `TangentCcaClassifier`.
    """
    return TangentCcaClassifier(
        electrodes(n_channels, n_bands),
        n_bands,
        n_times,
        sfreq,
        n_classes,
        freqs,
        tangent_bands=tangent_bands,
        cca_bands=cca_bands,
        n_harmonics=n_harmonics,
    )


def _check(
    tangent_bands: tuple[int, ...],
    cca_bands: tuple[int, ...],
    n_bands: int,
    sfreq: float,
    freqs: tuple[float, ...],
    n_harmonics: int,
) -> None:
    if not (tangent_bands or cca_bands):
        raise ValueError("TangentCcaClassifier needs bands for at least one part, got tangent_bands=cca_bands=().")
    wrong = sorted({b for b in tangent_bands + cca_bands if not 0 <= b < n_bands})
    if wrong:
        raise ValueError(f"Bands must be 0 to {n_bands - 1} (n_bands={n_bands}), got {wrong}.")
    if cca_bands and not (freqs and n_harmonics >= 1 and min(freqs) > 0 and max(freqs) * n_harmonics < sfreq / 2):
        raise ValueError(
            f"CCA references need frequencies above 0 Hz whose {n_harmonics} harmonics stay below {sfreq / 2:g} Hz "
            f"(Nyquist), got freqs={tuple(freqs)}. Lower n_harmonics."
        )


def _references(n_times: int, sfreq: float, freqs: tuple[float, ...], n_harmonics: int) -> Tensor:
    """Return an orthonormal basis of each frequency's sines and cosines, (freqs, n_times, 2 harmonics)."""
    phase = 2 * np.pi * np.arange(n_times) / sfreq * np.arange(1, n_harmonics + 1)[:, None]
    bases = []
    for hz in freqs:
        rows = np.concatenate([np.sin(hz * phase), np.cos(hz * phase)])
        bases.append(np.linalg.qr((rows - rows.mean(axis=1, keepdims=True)).T)[0])
    return torch.from_numpy(np.stack(bases)) if bases else torch.empty(0, n_times, 2 * n_harmonics, dtype=torch.float64)


def _mean_diagonal(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1).mean(dim=-1)[..., None, None]


def _log(matrix: Tensor) -> Tensor:
    """Return the logarithm of symmetric positive matrices."""
    values, vectors = torch.linalg.eigh(matrix)
    # a flat window has eigenvalues of 0 (or a little below, by rounding)
    return (vectors * values.clamp(min=1e-23).log()[..., None, :]) @ vectors.mT


def _upper(matrix: Tensor) -> Tensor:
    """Return the upper triangle row by row, off-diagonals times sqrt(2), so that norms are kept."""
    n = matrix.shape[-1]
    rows, columns = torch.triu_indices(n, n, device=matrix.device)
    return matrix[..., rows, columns] * torch.where(rows == columns, 1.0, math.sqrt(2.0)).to(matrix.dtype)
