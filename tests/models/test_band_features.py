"""Powers and tangent vectors against numpy, scipy and pyriemann."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pyriemann.geometry.tangentspace import tangent_space

from models.band_features import band_power, tangent_correlation

SIZES = {"n_channels": 12, "n_times": 256, "sfreq": 128.0, "n_classes": 2, "n_bands": 3}


@pytest.fixture
def windows():
    """Correlated noise, in µV, with an offset."""
    rng = np.random.default_rng(0)
    return 100 + 10 * np.einsum("ij,bjt->bit", rng.normal(size=(12, 12)), rng.normal(size=(20, 12, 256)))


def test_powers_are_variances(windows):
    features = band_power(**SIZES).features(torch.from_numpy(windows)).numpy()
    np.testing.assert_allclose(features, np.log(windows.var(axis=-1) + 1e-2), rtol=1e-12)


@pytest.mark.parametrize("shrinkage", [0.1, 1e-3])
def test_tangent_vectors_are_those_of_pyriemann(windows, shrinkage):
    model = tangent_correlation(**SIZES, shrinkage=shrinkage)
    features = model.features(torch.from_numpy(windows)).numpy().reshape(20, 3, 10)
    for band in range(3):
        found = np.stack([np.corrcoef(window[4 * band : 4 * band + 4]) for window in windows])
        shrunk = (1 - shrinkage) * found + shrinkage * np.eye(4)
        expected = tangent_space(shrunk, np.eye(4), metric="logeuclid")
        np.testing.assert_allclose(features[:, band], expected, atol=1e-8)


def test_amplitudes_do_not_enter_tangent_vectors(windows):
    model = tangent_correlation(**SIZES)
    gains = np.geomspace(0.1, 10, 12)[:, None]
    both = [model.features(torch.from_numpy(x)) for x in (windows, gains * windows)]
    torch.testing.assert_close(*both, rtol=0, atol=1e-8)


@pytest.mark.parametrize("builder", [band_power, tangent_correlation])
def test_flat_channels_give_finite_features(builder, windows):
    flat = windows.copy()
    flat[:, 3] = 5.0
    features = builder(**SIZES).features(torch.from_numpy(flat))
    assert torch.isfinite(features).all()


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match=r"in n_bands equal groups, got 12 rows and n_bands=5\. Put a filter bank"):
        band_power(**SIZES | {"n_bands": 5})
    with pytest.raises(ValueError, match=r"needs a shrinkage from 1e-6 to below 1, got 1\."):
        tangent_correlation(**SIZES, shrinkage=1.0)


def test_wrong_fits_are_refused():
    model = band_power(**SIZES)
    with pytest.raises(ValueError, match=r"coef must have shape \(2, 12\), got \(1, 12\)"):
        model.load_classifier(np.zeros((1, 12)), np.zeros(2), np.zeros(12), np.ones(12))
