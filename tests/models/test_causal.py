"""Causal layers: any cutting of a stream gives what the whole gives, and the whole is what the textbook says."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from models.causal import (
    CausalAttention,
    CausalConv1d,
    CausalConv2d,
    CausalGRU,
    CausalResidual,
    CausalSequence,
    ExponentialMean,
)

T = 60
FLAT, DEEP = (6, T), (3, 8, T)  # without the batch axis


def stack() -> CausalSequence:
    """A network of everything that takes a plain signal."""
    layers = (
        CausalConv1d(6, 8, 3),
        nn.BatchNorm1d(8),
        CausalResidual(CausalConv1d(8, 8, 3, dilation=2, groups=8), nn.SiLU(), nn.Conv1d(8, 8, 1)),
        CausalAttention(8, 2, 7),
        CausalGRU(8, 6),
        ExponentialMean(6, (0.5, 0.99)),
    )
    return CausalSequence(*layers)


LAYERS = {
    "convolution": (lambda: CausalConv1d(6, 4, 3), FLAT),
    "dilated": (lambda: CausalConv1d(6, 6, 4, dilation=5, groups=6, bias=False), FLAT),
    "one tap": (lambda: CausalConv1d(6, 4, 1), FLAT),
    "over frequency": (lambda: CausalConv2d(3, 6, (5, 3), 8, stride=2, dilation=3, groups=3), DEEP),
    "attention": (lambda: CausalAttention(6, 3, 9), FLAT),
    "attention to the present": (lambda: CausalAttention(6, 1, 1), FLAT),
    "gru": (lambda: CausalGRU(6, 5, n_layers=2), FLAT),
    "mean": (lambda: ExponentialMean(6, (0.3, 0.9, 0.999)), FLAT),
    "stack": (stack, FLAT),
}


def example(name: str, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, torch.Tensor]:
    """Return a layer in evaluation mode, without zeros among its parameters, and a batch of 3 streams."""
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    layer = make().to(dtype).eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return layer, torch.randn(3, *shape, dtype=dtype)


@torch.no_grad()
def stepped(layer, x, sizes):
    """Return the outputs of steps of these sizes, joined, and the last state."""
    state, outputs, at = layer.initial(len(x)), [], 0
    for size in [*sizes, x.shape[-1]]:
        y, state = layer.step(x[..., at : at + size], state)
        outputs.append(y)
        at = min(at + size, x.shape[-1])
    return torch.cat(outputs, dim=-1), state


SIZES = st.lists(st.sampled_from([0, 1, 1, 2, 3, 7, 20]), max_size=25)


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=25, deadline=None)
@given(sizes=SIZES)
def test_no_cutting_changes_the_output(name, sizes):
    """Also with empty pieces and single frames."""
    layer, x = example(name)
    with torch.no_grad():
        whole = layer(x)
    assert whole.shape[-1] == T
    torch.testing.assert_close(stepped(layer, x, sizes)[0], whole, rtol=0, atol=1e-12 * float(whole.abs().max()))


@pytest.mark.parametrize("name", LAYERS)
def test_no_cutting_changes_the_output_in_float32(name):
    layer, x = example(name, torch.float32)
    with torch.no_grad():
        whole = layer(x)
    limit = 1e-6 * float(whole.abs().max())
    for sizes in ([1] * T, [7, 0, 13, 1, 1, 30], [0]):
        torch.testing.assert_close(stepped(layer, x, sizes)[0], whole, rtol=0, atol=limit)


@pytest.mark.parametrize("name", LAYERS)
def test_the_future_changes_nothing(name):
    layer, x = example(name)
    other = x.clone()
    other[..., 40:] += 1.0
    with torch.no_grad():
        torch.testing.assert_close(layer(x)[..., :40], layer(other)[..., :40], rtol=0, atol=0)
        assert (layer(x)[..., 40:] - layer(other)[..., 40:]).abs().max() > 0


@pytest.mark.parametrize("name", LAYERS)
def test_a_state_is_a_snapshot(name):
    """Going on from it twice gives the same, bit by bit: nothing is written into it."""
    layer, x = example(name)
    _, kept = stepped(layer, x[..., :25], [10, 3])
    with torch.no_grad():
        once, after = layer.step(x[..., 25:31], kept)
        layer.step(x[..., 31:], after)
        again, _ = layer.step(x[..., 25:31], kept)
    assert len(kept) == layer.n_states == len(layer.initial(1))
    torch.testing.assert_close(once, again, rtol=0, atol=0)


@pytest.mark.parametrize("name", LAYERS)
def test_the_initial_state_is_a_reset(name):
    layer, x = example(name)
    stepped(layer, x + 5, [4, 9])
    torch.testing.assert_close(stepped(layer, x, [4, 9])[0], layer(x).detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_streams_of_a_batch_do_not_meet(name):
    """One stream of a batch is what it is alone, in output and state."""
    layer, x = example(name)
    together, states = stepped(layer, x, [5, 0, 20])
    alone, state = stepped(layer, x[1:2], [5, 0, 20])
    torch.testing.assert_close(alone, together[1:2], rtol=0, atol=1e-12)
    for one, all_of_them in zip(state, states, strict=True):
        torch.testing.assert_close(one, all_of_them[1:2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_a_state_keeps_no_more_than_it_needs(name):
    """After a long piece it is as large as after a short one, in memory too."""
    layer, x = example(name)
    _, state = stepped(layer, x, [])
    for before, after in zip(layer.initial(3), state, strict=True):
        assert before.shape == after.shape
        assert after.untyped_storage().nbytes() <= before.untyped_storage().nbytes()


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_reach_every_parameter(name):
    layer, x = example(name)
    layer.train()(x.requires_grad_()).square().mean().backward()
    assert x.grad.abs().max() > 0
    for key, parameter in layer.named_parameters():
        assert torch.isfinite(parameter.grad).all(), key
        # a constant added to all keys changes no attention, and one frame to attend to leaves no choice
        assert parameter.grad.abs().max() > 0 or name == "attention to the present", key


def test_convolution_is_the_textbooks():
    layer, x = example("dilated")
    padded = functional.pad(x, (15, 0))
    expected = functional.conv1d(padded, layer.weight, dilation=5, groups=6)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-14)


def test_convolution_over_frequency_is_the_textbooks():
    layer, x = example("over frequency")
    padded = functional.pad(x, (6, 0, 2, 2))
    expected = functional.conv2d(padded, layer.weight, layer.bias, stride=(2, 1), dilation=(1, 3), groups=3)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-14)
    assert layer.n_features_out == expected.shape[2]


def test_attention_is_the_textbooks():
    """Each frame by itself: softmax over the last nine, with the bias of their distance."""
    layer, x = example("attention")
    query, key, value = (part.unflatten(-1, (3, 2)) for part in layer.project(x.transpose(1, 2)).chunk(3, dim=-1))
    expected = []
    for t in range(T):
        near = slice(max(0, t - 8), t + 1)
        scores = torch.einsum("bhd,bjhd->bhj", query[:, t], key[:, near]) / 2**0.5
        scores = scores + layer.distance[:, : t - near.start + 1].flip(-1)
        expected.append(torch.einsum("bhj,bjhd->bhd", scores.softmax(dim=-1), value[:, near]).flatten(1))
    merged = layer.merge(torch.stack(expected, dim=1)).transpose(1, 2)
    torch.testing.assert_close(layer(x), merged, rtol=0, atol=1e-13)


def test_gru_is_torchs():
    layer, x = example("gru")
    torch.testing.assert_close(layer(x), layer.cells(x.transpose(1, 2))[0].transpose(1, 2), rtol=0, atol=0)


def test_means_are_weighted_averages():
    """Over more than one block of the table."""
    layer = ExponentialMean(2, (0.5, 0.995)).double()
    x = torch.randn(1, 2, 300, dtype=torch.float64)
    means = layer(x).unflatten(1, (2, 2))
    for i, decay in enumerate(layer.decays):
        for t in (0, 1, 127, 128, 299):
            weight = decay ** torch.arange(t, -1, -1, dtype=torch.float64)
            expected = (x[0, :, : t + 1] * weight).sum(dim=-1) / weight.sum()
            torch.testing.assert_close(means[0, i, :, t], expected, rtol=1e-12, atol=1e-13)
    _, state = layer.step(x, layer.initial(1))
    torch.testing.assert_close(layer.value(state), layer(x)[..., -1], rtol=1e-12, atol=0)
    assert (layer.value(layer.initial(1)) == 0).all()


def test_what_cannot_be_attended_to_is_refused():
    with pytest.raises(ValueError, match=r"n_heads divides, got look_back=0, n_channels=6, n_heads=2\."):
        CausalAttention(6, 2, 0)
    with pytest.raises(ValueError, match=r"got look_back=4, n_channels=6, n_heads=4\."):
        CausalAttention(6, 4, 4)


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_a_mean_that_never_or_only_forgets_is_refused(decay):
    with pytest.raises(ValueError, match=rf"Decays must be above 0 and below 1, got 0\.5, {decay:g}\."):
        ExponentialMean(2, (0.5, decay))
