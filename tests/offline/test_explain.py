"""Explanations find what a network was made to look at, add up, and change with its weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bci.errors import UsageError
from models.registry import ModelSpec, build
from offline.explain import METHODS, explain, randomised, similarity

SHAPE = (4, 24, 32)
NUMBERS = {"n_channels": 4, "n_features": 24, "n_times": 32, "sfreq": 16.0, "n_classes": 2}


class Corner(nn.Module):
    """Class 1 is the power of channel 2, features 4 to 7, times 20 to 27; nothing else counts."""

    input_shape = SHAPE

    def forward(self, x):
        power = x[:, 2, 4:8, 20:28].pow(2).mean(dim=(1, 2))
        return torch.stack((torch.zeros_like(power), power), dim=1)


def windows(n=5, seed=0):
    return np.random.default_rng(seed).normal(30.0, 10.0, (n, *SHAPE)).astype(np.float32)


def calibrated(name):
    """Return a network whose norms know the windows, and whose classifier does not begin with zeros."""
    network = build(ModelSpec(name, NUMBERS))
    nn.init.normal_(list(network.parameters())[-2])
    with torch.no_grad():
        for _ in range(30):
            network(torch.from_numpy(windows(8)))
    return network


def network_of(name, seed=0):
    return randomised(lambda: calibrated(name), seed)


@pytest.mark.parametrize("method", ["saliency", "integrated-gradients"])
def test_only_what_the_network_looks_at_is_named(method):
    found = explain(Corner(), windows(), np.ones(5, np.int64), method)
    inside = np.zeros(SHAPE, bool)
    inside[2, 4:8, 20:28] = True
    assert np.abs(found[:, inside]).min() > 0
    assert np.abs(found[:, ~inside]).max() == 0


def test_integrated_gradients_add_up_to_the_difference_of_the_logits():
    network, x = network_of("mel_cnn"), windows()
    classes = np.array([0, 1, 1, 0, 1])
    found = explain(network, x, classes, "integrated-gradients")
    with torch.no_grad():
        at = network(torch.from_numpy(x)).numpy()[np.arange(5), classes]
        base = network(torch.from_numpy(x).mean(dim=0, keepdim=True)).numpy()[0, classes]
    np.testing.assert_allclose(found.reshape(5, -1).sum(axis=1), at - base, atol=0.05 * np.abs(at - base).max() + 1e-3)


@pytest.mark.parametrize("name", ["mel_cnn", "mixnet", "vit", "swin"])
def test_grad_cam_maps_lie_over_the_window(name):
    network = network_of(name)
    found = sum(explain(network, windows(2), np.full(2, k), "grad-cam") for k in (0, 1))
    assert found.shape == (2, 24, 32)
    assert found.min() >= 0
    assert np.ptp(found) > 0


def test_grad_cam_finds_where_a_convolution_fires():
    class Blob(nn.Module):
        input_shape = (1, 16, 16)

        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(1, 1, 3, padding=1, bias=False)
            nn.init.ones_(self.convolution.weight)

        def forward(self, x):
            return torch.stack((self.convolution(x).mean(dim=(1, 2, 3)), torch.zeros(len(x))), dim=1)

    x = np.zeros((1, 1, 16, 16), np.float32)
    x[0, 0, 3, 12] = 1.0
    (found,) = explain(Blob(), x, np.zeros(1, np.int64), "grad-cam")
    assert np.unravel_index(found.argmax(), found.shape) in [(i, j) for i in (2, 3, 4) for j in (11, 12, 13)]
    assert found[8:].max() == 0


def test_roll_out_of_a_network_that_attends_to_one_patch_finds_it():
    network = network_of("vit")
    rows, columns = network.grid
    found = explain(network, windows(), np.zeros(5, np.int64), "roll-out")
    assert found.shape == (5, 24, 32)
    for block in network.encoder.blocks:  # every token looks at patch (1, 2) only
        block.attention.softmax = OneToken(1 + 1 * columns + 2)
    (found, *_) = explain(network, windows(), np.zeros(5, np.int64), "roll-out")
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert (row * rows // 24, column * columns // 32) == (1, 2)


class OneToken(nn.Module):
    def __init__(self, token):
        super().__init__()
        self.token = token

    def forward(self, scores):
        attention = torch.zeros_like(scores)
        attention[..., self.token] = 1.0
        return attention


@pytest.mark.parametrize("method", ["saliency", "integrated-gradients", "grad-cam"])
def test_an_explanation_changes_with_the_weights(method):
    network, x = network_of("mel_cnn"), windows()
    classes = np.ones(5, np.int64)
    other, same = network_of("mel_cnn", 1), network_of("mel_cnn")
    found = explain(network, x, classes, method)
    assert similarity(found, explain(same, x, classes, method)) == pytest.approx(1.0)
    assert similarity(found, explain(other, x, classes, method)) < 0.9


def test_similarity_of_a_constant_is_none():
    assert similarity(np.ones((2, 5)), np.arange(10.0).reshape(2, 5)) == 0.0


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match=r"no method 'magic' of explanation\. Methods: integrated-gradients, saliency"):
        explain(Corner(), windows(), np.zeros(5, np.int64), "magic")
    with pytest.raises(UsageError, match=r"Grad-CAM needs a network with two-dimensional convolutions .* got Corner"):
        explain(Corner(), windows(), np.zeros(5, np.int64), "grad-cam")
    with pytest.raises(UsageError, match=r"Roll-out needs a network whose tokens .* got Corner"):
        explain(Corner(), windows(), np.zeros(5, np.int64), "roll-out")
    assert len(METHODS) == 4
