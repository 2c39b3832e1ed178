"""Blocks of spectra and images against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.spectrum_blocks import spectrum_blocks

SHAPE = {"n_channels": 3, "n_features": 10, "n_times": 7, "sfreq": 7.0, "n_classes": 2}


def test_features_are_means_of_blocks():
    """Sizes that do not divide: 4, 3 and 3 rows, 4 and 3 columns."""
    x = 30 + np.random.default_rng(0).normal(size=(5, 3, 10, 7))
    found = spectrum_blocks(**SHAPE, n_bands=3, n_spans=2).features(torch.from_numpy(x)).numpy()
    rows, columns = np.split(np.arange(10), [4, 7]), np.split(np.arange(7), [4])
    expected = [x[:, c][:, row][:, :, column].mean(axis=(1, 2)) for c in range(3) for row in rows for column in columns]
    np.testing.assert_allclose(found, np.stack(expected, axis=1), rtol=1e-12)


def test_more_blocks_than_rows_or_columns_are_refused():
    with pytest.raises(ValueError, match=r"n_bands from 1 to 10 .* n_spans from 1 to 7 .*, got 11 and 1\. Take fewer"):
        spectrum_blocks(**SHAPE, n_bands=11)
    with pytest.raises(ValueError, match=r"got 3 and 0\. Take fewer"):
        spectrum_blocks(**SHAPE, n_bands=3, n_spans=0)
