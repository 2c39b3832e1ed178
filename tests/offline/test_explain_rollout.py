"""Roll-out is the derivative of a network in which tokens do nothing but attend and merge."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from bci.errors import UsageError
from models.registry import ModelSpec, build
from models.swin import PatchMerge, SwinBlock
from offline.explain import explain
from offline.explain_rollout import roll_out, windowed

NUMBERS = {"n_channels": 2, "n_features": 26, "n_times": 21, "sfreq": 16.0, "n_classes": 2}


class OnlyAttention(nn.Module):
    """Half of every token is what it attends to, by scores that no content changes."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def forward(self, x, bias):
        weights = self.attention.softmax(3.0 * bias)
        return 0.5 * weights.mean(dim=1) @ x + 0.5 * x


class OnlyMean(PatchMerge):
    """Every token is the mean of those that it was made of."""

    def forward(self, x):
        mean = functional.avg_pool2d(x.permute(0, 3, 1, 2), 2, ceil_mode=True, count_include_pad=False)
        return mean.permute(0, 2, 3, 1)


def mixing_swin(seed=0):
    """Return a Swin whose tokens are only mixed, with random attention: 7 by 6 tokens, then 4 by 3, then 2 by 2."""
    torch.manual_seed(seed)
    network = build(ModelSpec("swin", NUMBERS)).eval()
    for i, stage in enumerate(network.stages):
        if isinstance(stage, SwinBlock):
            nn.init.normal_(stage.distance)
            stage.block = OnlyAttention(stage.block.attention)
        else:
            network.stages[i] = OnlyMean(4)
    network.norm = nn.Identity()
    network.dropout = nn.Identity()
    network.head = nn.Linear(24, 2)
    return network


def test_shares_of_swin_are_the_derivative_of_its_mean_token():
    """Windows, shifts, padding, merging of odd sides: all are followed exactly."""
    network = mixing_swin()
    attention = []
    for stage in network.stages:
        if isinstance(stage, SwinBlock):
            stage.block.attention.softmax.register_forward_hook(lambda _m, _a, y: attention.append(y.mean(dim=1)))
    tokens = torch.randn(2, 7, 6, 24, requires_grad=True)
    mean = network.stages(tokens).mean(dim=(1, 2))
    (expected,) = torch.autograd.grad(mean[:, 0].sum(), tokens)
    found = windowed(network, [weights.detach() for weights in attention])
    assert found.shape == (2, 7, 6)
    torch.testing.assert_close(found, expected[..., 0])
    torch.testing.assert_close(found.sum(dim=(1, 2)), torch.ones(2))


def test_even_attention_gives_every_patch_the_same():
    network = mixing_swin()
    for stage in network.stages:
        if isinstance(stage, SwinBlock):
            nn.init.zeros_(stage.distance)
    found = roll_out(network, torch.randn(2, 2, 26, 21))
    torch.testing.assert_close(found, torch.full((2, 7, 6), 1 / 42))


def test_a_patch_that_all_of_its_window_attend_to_stands_out():
    network = build(ModelSpec("swin", NUMBERS)).eval()
    first = next(stage for stage in network.stages if isinstance(stage, SwinBlock))
    first.block.attention.softmax = OneToken(6)  # of 4 by 4: row 1, column 2
    found = roll_out(network, torch.randn(1, 2, 26, 21))
    top = found[0, :4, :4]
    assert np.unravel_index(int(top.argmax()), top.shape) == (1, 2)
    assert float(top.max()) > 3 * float(top.median())


def test_roll_out_of_a_vit_that_attends_to_one_patch_finds_it():
    network = build(ModelSpec("vit", NUMBERS | {"n_features": 24, "n_times": 32})).eval()
    _, columns = network.grid
    x = torch.randn(5, 2, 24, 32)
    for block in network.encoder.blocks:  # every token looks at patch (1, 2) only
        block.attention.softmax = OneToken(1 + 1 * columns + 2)
    (found,) = explain(network, x.numpy(), np.zeros(5, np.int64), "roll-out")
    assert found.shape == (5, 24, 32)
    row, column = np.unravel_index(found[0].argmax(), found[0].shape)
    assert (row // 8, column // 8) == (1, 2)
    shares = roll_out(network, x)
    torch.testing.assert_close(shares.sum(dim=(1, 2)), torch.full((5,), 1 - 0.5 ** len(network.encoder.blocks)))


class OneToken(nn.Module):
    def __init__(self, token):
        super().__init__()
        self.token = token

    def forward(self, scores):
        attention = torch.zeros_like(scores)
        attention[..., self.token] = 1.0
        return attention


def test_networks_without_patches_that_attend_are_refused():
    network = build(ModelSpec("mel_cnn", NUMBERS)).eval()
    with pytest.raises(UsageError, match=r"Roll-out needs a network whose tokens are patches .* got MelCNN\. Use"):
        roll_out(network, torch.randn(1, 2, 26, 21))
