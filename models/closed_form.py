"""Linear classifiers of fixed features of band-passed signals, with numbers that are found outside of torch."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn


class ClosedForm(nn.Module, ABC):
    """A scaling and a linear layer on features in which nothing is trained.

    Parameters
    ----------
    n_features, n_classes : int
        What the layer reads, and its logits.

    Notes
    -----
    Training fits it outside of torch: `load_classifier` with the coefficients found on `features`. Before that the
    classifier is zero.
    """

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("feature_mean", torch.zeros(n_features, dtype=torch.float64))
        self.register_buffer("feature_scale", torch.ones(n_features, dtype=torch.float64))
        self.head = nn.Linear(n_features, n_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Return what the linear layer reads, before its scaling.

        Parameters
        ----------
        x : Tensor, shape (batch, n_bands * n_channels, n_times)
            As `forward`.

        Returns
        -------
        features : Tensor of float64, shape (batch, n_features)
        """

    def forward(self, x: Tensor) -> Tensor:
        """Classify windows.

        Parameters
        ----------
        x : Tensor, shape (batch, n_bands * n_channels, n_times)
            Band-passed signals, band by band: all channels of band 0, then all of band 1.

        Returns
        -------
        logits : Tensor of float32, shape (batch, n_classes)
        """
        scaled = (self.features(x) - self.feature_mean) / self.feature_scale
        return self.head(scaled.to(self.head.weight.dtype))

    @torch.no_grad()
    def load_classifier(self, coef: np.ndarray, intercept: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> None:
        """Set the linear layer and the scaling of its features.

        Parameters
        ----------
        coef : ndarray, shape (n_classes, n_features)
            Weights. scikit-learn's single row for two classes is the second row, under a row of zeros.
        intercept : ndarray, shape (n_classes,)
            Constants.
        mean, scale : ndarray, shape (n_features,)
            The layer reads ``(features - mean) / scale``.

        Raises
        ------
        ValueError
            If a shape differs.
        """
        numbers = {"coef": coef, "intercept": intercept, "mean": mean, "scale": scale}
        tensors = (self.head.weight, self.head.bias, self.feature_mean, self.feature_scale)
        fitted = [checked_fit(*given, tensor) for given, tensor in zip(numbers.items(), tensors, strict=True)]
        for tensor, values in zip(tensors, fitted, strict=True):
            tensor.copy_(values)


def checked_fit(name: str, values: np.ndarray, tensor: Tensor) -> Tensor:
    """Return fitted numbers in float64, where the tensor is that they are for.

    Raises
    ------
    ValueError
        If it has another shape.
    """
    if values.shape != tensor.shape:
        raise ValueError(f"{name} must have shape {tuple(tensor.shape)}, got {values.shape}.")
    return torch.as_tensor(values, dtype=torch.float64, device=tensor.device)


def electrodes(n_channels: int, n_bands: int) -> int:
    """Return the rows of a band.

    Parameters
    ----------
    n_channels : int
        Rows of a window, ``n_bands`` times the number of electrodes.
    n_bands : int
        Band-passed copies of the electrodes.

    Raises
    ------
    ValueError
        If the rows do not divide by the bands.
    """
    if n_bands < 1 or n_channels % n_bands:
        raise ValueError(
            f"Band features need n_channels (rows of a window) in n_bands equal groups, got {n_channels} rows and "
            f"n_bands={n_bands}. Put a filter bank of {n_bands} bands before them or change n_bands."
        )
    return n_channels // n_bands
