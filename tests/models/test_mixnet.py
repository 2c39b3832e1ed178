"""Blocks of MixNet and Inception: each branch is what it says."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from models.inception_transformer import InceptionBlock, inception_transformer
from models.mixnet import MixBlock, MixedConv, SqueezeExcite, mixnet, mixnet_stacked


def test_channels_are_divided_among_the_kernels():
    torch.manual_seed(0)
    conv = MixedConv(7, (3, 5, 7))
    assert conv.sizes == [3, 2, 2]
    x = torch.randn(2, 7, 9, 12)
    y = conv(x)
    assert y.shape == x.shape
    start = 0
    for part, size, kernel in zip(conv.parts, conv.sizes, (3, 5, 7), strict=True):
        for i in range(size):  # depthwise: a channel of the output sees the same channel of the input alone
            alone = functional.conv2d(x[:, start + i, None], part.weight[i, None], padding=kernel // 2)
            torch.testing.assert_close(y[:, start + i], alone[:, 0])
        start += size


def test_a_stride_takes_every_second_place():
    torch.manual_seed(0)
    plain, strided = MixedConv(4, (3, 5)), MixedConv(4, (3, 5), stride=2)
    strided.load_state_dict(plain.state_dict())
    x = torch.randn(1, 4, 9, 12)
    torch.testing.assert_close(strided(x), plain(x)[..., ::2, ::2])


def test_excitation_scales_channels_by_their_means():
    torch.manual_seed(0)
    excite = SqueezeExcite(6, 2)
    x = torch.randn(2, 6, 4, 5)
    first, _, second, _ = excite.weigh
    hidden = functional.silu(x.mean(dim=(2, 3)) @ first.weight[:, :, 0, 0].T + first.bias)
    weights = torch.sigmoid(hidden @ second.weight[:, :, 0, 0].T + second.bias)
    torch.testing.assert_close(excite(x), x * weights[:, :, None, None])


@pytest.mark.parametrize(("n_out", "stride", "added"), [(8, 1, True), (8, 2, False), (12, 1, False)])
def test_blocks_are_residual_where_shapes_allow(n_out, stride, added):
    block = MixBlock(8, n_out, (3, 5), stride).eval()
    x = torch.randn(2, 8, 6, 10)
    torch.testing.assert_close(block(x), block.layers(x) + (x if added else 0.0))


def test_position_in_frequency_matters():
    """The same rhythm some bands higher gives other logits, although everything is pooled at the end."""
    for builder in (mixnet, mixnet_stacked, inception_transformer):
        torch.manual_seed(0)
        model = builder(n_channels=3, n_times=32, sfreq=16.0, n_classes=2, n_features=32, dropout=0.0)
        x = torch.full((2, 3, 32, 32), 20.0)
        x[0, :, 4:6] = 50.0
        x[1, :, 20:22] = 50.0
        low, high = model(x)
        assert (low - high).abs().max() > 1e-3, builder.__name__


def test_inception_joins_four_views():
    torch.manual_seed(0)
    block = InceptionBlock(5, 12).eval()
    x = torch.randn(2, 5, 8, 9)
    y = block(x)
    assert y.shape == (2, 12, 8, 9)
    torch.testing.assert_close(y[:, :3], block.branches[0](x))
    mean = functional.avg_pool2d(x, 3, 1, 1)
    torch.testing.assert_close(y[:, 9:], block.branches[3][1](mean))
    reach = torch.zeros_like(x)
    reach[0, :, 4, 1] = 1.0
    changed = (block.branches[2](x + reach) - block.branches[2](x)).abs().sum(dim=(0, 1)) > 1e-7
    assert changed[1:8, :5].all()
    assert not changed[:, 5:].any()
    assert not changed[0].any()


def test_inception_widths_are_multiples_of_four():
    with pytest.raises(ValueError, match=r"n_out as a multiple of 4, got 10\. Round it"):
        InceptionBlock(5, 10)
