"""The canonical-correlation network."""

import numpy as np
import pytest
import torch

from models.cca_net import CcaNet, WindowWhitening
from models.registry import ModelSpec, build

SIZES = {"n_channels": 8, "n_times": 256, "sfreq": 256.0, "n_classes": 3, "n_bands": 2, "freqs": (13.0, 17.0)}


def test_whitening_leaves_no_covariance():
    rng = np.random.default_rng(0)
    x = torch.from_numpy((rng.standard_normal((3, 6, 6)) @ rng.standard_normal((3, 6, 500))).astype(np.float32))
    white = WindowWhitening(shrinkage=1e-6, n_iterations=30)(100 * x + 5)
    covariance = white @ white.mT / white.shape[-1]
    torch.testing.assert_close(covariance, torch.eye(6).expand(3, 6, 6), rtol=0, atol=5e-3)


def test_features_start_as_canonical_correlations():
    """Before training: the largest canonical correlation of each band with each group, found by QR and SVD."""
    network = CcaNet(**SIZES)
    network.whiten.shrinkage = 1e-6
    network.whiten.n_iterations = 30
    features = []
    network.head[0].register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    x = np.random.default_rng(1).standard_normal((4, 8, 256))
    x += 1.5 * np.sin(2 * np.pi * 13 * np.arange(256) / 256) * np.arange(1, 9)[:, None] / 8
    network.eval()(torch.from_numpy(x.astype(np.float32)))
    largest = features[0][:, :4].detach().numpy().reshape(4, 2, 2)
    for window in range(4):
        for band in range(2):
            rows = x[window, 4 * band : 4 * band + 4]
            q = np.linalg.qr((rows - rows.mean(axis=1, keepdims=True)).T)[0]
            for group in range(2):
                waves = network.references.detach().numpy()[6 * group : 6 * group + 6]
                correlation = np.linalg.svd(q.T @ np.linalg.qr(waves.T)[0], compute_uv=False)[0]
                # the smooth maximum lies a little above the largest
                assert correlation - 0.01 <= largest[window, band, group] <= correlation * 1.25 + 0.01


def test_the_unit_does_not_matter():
    network = build(ModelSpec("cca_net", SIZES)).eval()
    x = torch.randn(2, 8, 256, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(1000 * x), network(x), rtol=1e-3, atol=1e-4)


def test_a_flat_window_gives_finite_logits():
    assert torch.isfinite(build(ModelSpec("cca_net", SIZES)).eval()(torch.zeros(2, 8, 256))).all()


def test_bands_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="n_bands that divide n_channels, got n_bands=3, n_channels=8"):
        build(ModelSpec("cca_net", SIZES | {"n_bands": 3}))


def test_harmonics_above_nyquist_are_refused():
    with pytest.raises(ValueError, match=r"between 0 and 128 Hz \(Nyquist\), got 150 Hz"):
        build(ModelSpec("cca_net", SIZES | {"freqs": (50.0,)}))
