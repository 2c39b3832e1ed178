"""The mel CNN: size of the reference workload, scaling, pooling."""

import pytest
import torch
from torch import nn

from models.layers import GeMPool
from models.mel_cnn import ScaledMix, mel_cnn, mel_cnn_reference

REFERENCE = {"n_channels": 19, "n_times": 129, "sfreq": 16.0, "n_classes": 2, "n_features": 64}


def count_flop(model: nn.Module) -> int:
    """Return two operations for each multiply-add of convolutions and linear layers, for one window."""
    total = 0

    def count(module, inputs, output):
        nonlocal total
        if isinstance(module, nn.Conv2d | nn.Linear):
            total += 2 * output.numel() * module.weight[0].numel()

    handles = [module.register_forward_hook(count) for module in model.modules()]
    model.eval()(torch.randn(1, *model.input_shape))
    for handle in handles:
        handle.remove()
    return total


@pytest.mark.parametrize(("builder", "mflop"), [(mel_cnn, 14.5), (mel_cnn_reference, 47.1)])
def test_documented_work_is_true(builder, mflop):
    assert count_flop(builder(**REFERENCE)) / 1e6 == pytest.approx(mflop, abs=0.05)
    assert f"{mflop} MFLOP" in builder.__doc__


def test_reference_is_as_large_as_the_benchmark_asks():
    model = mel_cnn_reference(**REFERENCE)
    assert sum(p.numel() for p in model.parameters()) >= 75_000
    assert count_flop(model) >= 35e6


def test_scaling_in_the_weights_is_scaling_of_the_input():
    torch.manual_seed(0)
    mix = ScaledMix(19, 16, offset=30.0, scale=20.0).double()
    x = 30 + 20 * torch.randn(2, 19, 64, 9, dtype=torch.float64)
    expected = nn.functional.conv2d((x - 30) / 20, mix.weight)
    torch.testing.assert_close(mix(x), expected, rtol=1e-10, atol=1e-10)


def test_position_in_frequency_matters():
    """The same rhythm some bands higher gives other logits."""
    torch.manual_seed(0)
    model = mel_cnn(**REFERENCE, dropout=0.0)  # in training mode: fresh running statistics would shrink everything
    x = torch.full((2, 19, 64, 129), 20.0)
    x[0, :, 16:20] = 50.0
    x[1, :, 40:44] = 50.0
    low, high = model(x)
    assert (low - high).abs().max() > 0.1


@pytest.mark.parametrize("p", [1.0, 3.0, 6.5])
def test_gem_is_the_generalised_mean(p):
    x = torch.rand(2, 5, 4, 7, dtype=torch.float64) + 0.1
    pooled = GeMPool(p).double()(x)
    torch.testing.assert_close(pooled, x.pow(p).mean(dim=(2, 3)).pow(1 / p), rtol=1e-10, atol=0)


def test_gem_stays_finite():
    """Negative inputs, an exponent trained below 1, and their gradients."""
    pool = GeMPool(0.2)
    x = torch.full((1, 2, 3, 3), -5.0, requires_grad=True)
    pool(x).sum().backward()
    assert torch.isfinite(x.grad).all()
    torch.testing.assert_close(pool(x), torch.full((1, 2), 1e-3))
