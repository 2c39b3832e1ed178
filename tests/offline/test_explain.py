"""Explanations find what a network was made to look at, add up, and change with its weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bci.errors import UsageError
from models.registry import ModelSpec, build
from offline.explain import METHODS, channel_shares, explain, map_cells, randomised, similarity
from offline.explanations import SAME

SHAPE = (4, 24, 32)
NUMBERS = {"n_channels": 4, "n_features": 24, "n_times": 32, "sfreq": 16.0, "n_classes": 2}
ON_SIGNALS = {"n_channels": 4, "n_times": 256, "sfreq": 64.0, "n_classes": 2, "high_hz": 30.0}


class Corner(nn.Module):
    """Class 1 is the power of channel 2, features 4 to 7, times 20 to 27; nothing else counts."""

    input_shape = SHAPE

    def forward(self, x):
        power = x[:, 2, 4:8, 20:28].pow(2).mean(dim=(1, 2))
        return torch.stack((torch.zeros_like(power), power), dim=1)


def windows(n=5, seed=0):
    return np.random.default_rng(seed).normal(30.0, 10.0, (n, *SHAPE)).astype(np.float32)


def signals(n=5, seed=0):
    return np.random.default_rng(seed).normal(0.0, 20.0, (n, 4, 256)).astype(np.float32)


def network_of(name, seed=0):
    return randomised(lambda: build(ModelSpec(name, NUMBERS)), windows(8), seed)


@pytest.mark.parametrize("method", ["saliency", "integrated-gradients"])
def test_only_what_the_network_looks_at_is_named(method):
    (found,) = explain(Corner(), windows(), np.ones(5, np.int64), method)
    inside = np.zeros(SHAPE, bool)
    inside[2, 4:8, 20:28] = True
    assert np.abs(found[:, inside]).min() > 0
    assert np.abs(found[:, ~inside]).max() == 0


def test_integrated_gradients_add_up_to_the_difference_of_the_logits():
    network, x = network_of("mel_cnn"), windows()
    classes = np.array([0, 1, 1, 0, 1])
    (found,) = explain(network, x, classes, "integrated-gradients")
    with torch.no_grad():
        at = network(torch.from_numpy(x)).numpy()[np.arange(5), classes]
        base = network(torch.from_numpy(x).mean(dim=0, keepdim=True)).numpy()[0, classes]
    np.testing.assert_allclose(found.reshape(5, -1).sum(axis=1), at - base, atol=0.05 * np.abs(at - base).max() + 1e-3)


@pytest.mark.parametrize("name", ["mel_cnn", "mixnet", "vit", "swin", "transformer_cnn", "inception_transformer"])
def test_grad_cam_maps_lie_over_the_window(name):
    network = network_of(name)
    found = sum(explain(network, windows(2), np.full(2, k), "grad-cam")[0] for k in (0, 1))
    assert found.shape == (2, 24, 32)
    assert found.min() >= 0
    assert np.ptp(found, axis=1).max() > 0  # frequencies are told apart
    assert np.ptp(found, axis=2).max() > 0  # times too


def test_grad_cam_of_stacked_channels_tells_them_apart():
    network = network_of("mixnet_stacked")
    found = sum(explain(network, windows(2), np.full(2, k), "grad-cam")[0] for k in (0, 1))
    assert found.shape == (2, *SHAPE)
    assert np.ptp(found.mean(axis=(2, 3)), axis=1).min() > 0


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
    ((found,),) = explain(Blob(), x, np.zeros(1, np.int64), "grad-cam")
    assert np.unravel_index(found.argmax(), found.shape) in [(i, j) for i in (2, 3, 4) for j in (11, 12, 13)]
    assert found[8:].max() == 0


def test_token_grad_cam_of_swin_is_what_its_last_tokens_add_to_the_logit():
    """The head reads the mean of the tokens: the map is the positive part of each one's share in the logit."""
    network, x = network_of("swin"), windows(1)
    tokens = []
    network.norm.register_forward_hook(lambda _module, _args, output: tokens.append(output.detach()))
    ((found,),) = explain(network, x, np.ones(1, np.int64), "grad-cam")
    shares = (tokens[-1][0] @ network.head.weight[1] / tokens[-1][0, ..., 0].numel()).clamp_min(0).detach()
    assert shares.shape == (2, 2)  # of 16 features and 16 frames each
    np.testing.assert_allclose(found[[0, 0, 23, 23], [0, 31, 0, 31]][[0, 1]], shares.numpy()[0], rtol=1e-4, atol=1e-7)
    assert found.max() <= float(shares.max()) * 1.0001


@pytest.mark.parametrize("name", ["mel_cnn", "vit", "swin", "cwt_network"])
def test_explanations_change_with_the_weights(name):
    spec = ModelSpec(name, ON_SIGNALS if name == "cwt_network" else NUMBERS)
    x = signals() if name == "cwt_network" else windows()
    network, same, other = (randomised(lambda: build(spec), x, seed) for seed in (0, 0, 1))
    classes = np.ones(5, np.int64)
    for method in METHODS if name in ("vit", "swin") else METHODS[:3]:
        found = explain(network, x, classes, method)
        assert similarity(found, explain(same, x, classes, method)) == pytest.approx(1.0)
        assert similarity(found, explain(other, x, classes, method)) < SAME, method


def test_what_shows_the_input_alone_is_not_taken_for_an_explanation():
    x = windows()
    assert similarity((x,), (2.0 * x + 1.0,)) > SAME


@pytest.mark.parametrize("method", ["saliency", "grad-cam"])
def test_channels_have_the_share_that_the_network_reads(method):
    """Channel 2 alone speaks, whether the attribution knows channels or is a map of all."""

    class OnlyTwo(nn.Module):
        input_shape = SHAPE

        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(4, 1, 3, padding=1, bias=False)
            nn.init.zeros_(self.convolution.weight)
            nn.init.ones_(self.convolution.weight[:, 2])

        def forward(self, x):
            return torch.stack((torch.zeros(len(x)), self.convolution(x).mean(dim=(1, 2, 3))), dim=1)

    found = explain(OnlyTwo(), windows(), np.ones(5, np.int64), method)
    assert found[0].ndim == (3 if method == "grad-cam" else 4)
    (shares,) = channel_shares(OnlyTwo(), windows(), np.ones(5, np.int64), found)
    np.testing.assert_allclose(shares, np.tile([0.0, 0.0, 1.0, 0.0], (5, 1)))


def test_channels_count_inside_the_map_only():
    """Channels 0 and 1 are read early and late: a map that is late leaves channel 1 alone."""

    class Halves(nn.Module):
        input_shape = SHAPE

        def forward(self, x):
            late = x[:, 0, :, :16].mean(dim=(1, 2)) + 3 * x[:, 1, :, 16:].mean(dim=(1, 2))
            return torch.stack((torch.zeros(len(x)), late), dim=1)

    classes, late = np.ones(20, np.int64), np.zeros((20, 24, 32), np.float32)
    late[:, :, 16:] = 1.0
    (shares,) = channel_shares(Halves(), windows(20), classes, (late,))
    np.testing.assert_allclose(shares, np.tile([0.0, 1.0, 0.0, 0.0], (20, 1)))
    (shares,) = channel_shares(Halves(), windows(20), classes, (np.ones_like(late),))
    np.testing.assert_allclose(shares, np.tile([0.25, 0.75, 0.0, 0.0], (20, 1)), rtol=1e-6)
    (nothing,) = channel_shares(Halves(), windows(20), classes, (np.zeros_like(late),))
    assert not nothing.any()


@pytest.mark.parametrize(
    ("name", "method", "cells"),
    [
        ("swin", "grad-cam", (2, 2)),
        ("swin", "roll-out", (6, 8)),
        ("vit", "roll-out", (3, 4)),
        ("vit", "saliency", None),
    ],
)
def test_the_cells_of_a_map_are_counted(name, method, cells):
    assert map_cells(network_of(name), windows(2), method) == cells


def test_a_randomised_network_is_alive():
    """A fresh MixNet in evaluation mode gives every window the same: its norms have seen nothing."""
    (found,) = explain(network_of("mixnet"), windows(2), np.zeros(2, np.int64), "saliency")
    assert found.max() > 0
    fresh = build(ModelSpec("mixnet", NUMBERS)).eval()
    (nothing,) = explain(fresh, windows(2), np.zeros(2, np.int64), "saliency")
    assert nothing.max() < 1e-3 * found.max()


def test_a_classifier_that_begins_with_zeros_is_randomised_too():
    def begun():
        head = nn.Linear(6, 2)
        nn.init.zeros_(head.weight)
        return head

    assert randomised(begun, np.zeros((1, 6), np.float32), 0).weight.abs().min() > 0


def test_a_constant_cannot_be_compared():
    constant, ramp = (np.ones((2, 5)),), (np.tile(np.arange(5.0), (2, 1)),)
    assert similarity(constant, ramp) is None
    assert similarity(ramp, constant) is None
    half = (np.stack([np.ones(5), np.arange(5.0)]),)
    assert similarity(half, ramp) == pytest.approx(1.0)


def test_what_no_network_of_the_structure_reads_is_left_out():
    """A picture that reads single pixels of large spectrograms: the others are 0 whatever the weights."""
    rng = np.random.default_rng(0)
    one, other = np.zeros((2, 5, 400)), np.zeros((2, 5, 400))
    one[..., ::10], other[..., ::10] = rng.random((2, 2, 5, 40))
    assert abs(similarity((one,), (other,))) < SAME
    assert similarity((np.zeros((2, 5)),), (np.zeros((2, 5)),)) is None


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match=r"no method 'magic' of explanation\. Methods: integrated-gradients, saliency"):
        explain(Corner(), windows(), np.zeros(5, np.int64), "magic")
    with pytest.raises(UsageError, match=r"Grad-CAM needs a network with two-dimensional convolutions .* got Corner"):
        explain(Corner(), windows(), np.zeros(5, np.int64), "grad-cam")
    with pytest.raises(UsageError, match=r"Roll-out needs a network whose tokens .* got Corner"):
        explain(Corner(), windows(), np.zeros(5, np.int64), "roll-out")
    assert len(METHODS) == 4
