"""Segmenters: every sample is judged, windows keep in step, and the stream can be cut anywhere."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from models.causal_segmenter import StridedAttention, causal_segmenter
from models.seizure_segmenter import seizure_segmenter

SIGNAL = {"n_channels": 3, "n_times": 150, "sfreq": 32.0, "n_classes": 2}
T = 260


def trained(model):
    """Return a model in float64 whose norms have seen data and whose weights are not those of a fresh one."""
    model = model.double().train()
    with torch.no_grad():
        for _ in range(5):
            model(30 * torch.randn(4, *model.input_shape, dtype=torch.float64))
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="module")
def causal():
    torch.manual_seed(0)
    return trained(causal_segmenter(**SIGNAL))


@pytest.fixture(scope="module")
def stream():
    return 30 * torch.randn(2, 3, T, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_every_sample_of_a_window_is_judged():
    torch.manual_seed(0)
    model = trained(seizure_segmenter(**SIGNAL))
    x = 30 * torch.randn(2, 3, 150, dtype=torch.float64)
    logits = model.segment(x)
    assert logits.shape == (2, 2, 150)
    torch.testing.assert_close(model(x), logits[..., -32:].mean(dim=-1))


def test_a_judgement_follows_its_sample():
    """A burst changes the judgement where it is most: bridges and doubled columns are not shifted."""
    torch.manual_seed(0)
    model = trained(seizure_segmenter(**SIGNAL, n_layers=0))
    x = torch.zeros(1, 3, 150, dtype=torch.float64)
    for at in (40, 97):
        burst = x.clone()
        burst[..., at] = 200.0
        changed = (model.segment(burst) - model.segment(x)).abs().sum(dim=(0, 1))
        assert abs(int(changed.argmax()) - at) <= 8


def test_windows_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"windows of at least 32 samples, got .*, n_times=31\. Use fewer widths"):
        seizure_segmenter(**SIGNAL | {"n_times": 31})
    with pytest.raises(ValueError, match=r"a kernel for each width .* got widths=\(8, 8\), kernels=\(3,\)"):
        seizure_segmenter(**SIGNAL, widths=(8, 8), kernels=(3,))


def attended(attention: StridedAttention, x: torch.Tensor) -> torch.Tensor:
    """Return what attention gives, sample by sample and head by head."""
    query, key, value = attention.project(attention.norm(x.transpose(1, 2))).chunk(3, dim=-1)
    size = query.shape[-1] // attention._n_heads
    out = torch.zeros_like(query)
    for t in range(x.shape[-1]):
        lags = [k for k in range(attention._look_back) if t - k * attention._stride >= 0]
        at = [t - k * attention._stride for k in lags]
        for h in range(attention._n_heads):
            part = slice(h * size, (h + 1) * size)
            scores = torch.einsum("bc,bkc->bk", query[:, t, part], key[:, at, part]) / math.sqrt(size)
            weights = (scores + attention.distance[h, lags]).softmax(dim=-1)
            out[:, t, part] = torch.einsum("bk,bkc->bc", weights, value[:, at, part])
    return x + attention.merge(out).transpose(1, 2)


@pytest.mark.parametrize(("look_back", "stride"), [(1, 1), (4, 1), (3, 5), (6, 4), (1, 3)])
@pytest.mark.parametrize("block", [1, 1024])
def test_strided_attention_is_attention_to_every_kth_sample(look_back, stride, block, monkeypatch):
    monkeypatch.setattr(StridedAttention, "BLOCK", block)
    torch.manual_seed(0)
    attention = StridedAttention(8, 2, look_back, stride).double()
    torch.nn.init.normal_(attention.distance)
    x = torch.randn(2, 8, 47, dtype=torch.float64)
    torch.testing.assert_close(attention(x), attended(attention, x), rtol=1e-10, atol=1e-12)


@torch.no_grad()
@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, 3, 16, 17, 90]), max_size=20))
def test_steps_give_the_logits_of_the_whole(causal, stream, sizes):
    whole, last = causal.frames(stream, causal.initial(2))
    assert whole.shape == (2, 2, T)
    assert len(last) == causal.n_states
    state, at = causal.initial(2), 0
    for size in [*sizes, T]:
        logits, state = causal.step(stream[..., at : at + size], state)
        at = min(at + size, T)
        if at:
            torch.testing.assert_close(logits, whole[..., at - 1], rtol=1e-9, atol=1e-10)
    for one, other in zip(state, last, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@torch.no_grad()
def test_the_future_changes_no_judgement_and_every_sample_counts(causal, stream):
    other = stream.clone()
    other[..., 130:] = 0.0
    before, after = (causal.frames(x, causal.initial(2))[0] for x in (stream, other))
    torch.testing.assert_close(before[..., :130], after[..., :130], rtol=0, atol=1e-11)
    assert (before[..., 130] - after[..., 130]).abs().min() > 1e-9


@torch.no_grad()
def test_a_window_is_a_stream_from_its_first_sample(causal, stream):
    whole, _ = causal.frames(stream, causal.initial(2))
    torch.testing.assert_close(causal(stream[..., :150]), whole[..., 149], rtol=1e-9, atol=1e-10)


def test_convolutions_and_attention_fit_into_the_context():
    """Measured by gradients, past the mean: nothing before the context, and most of it is used."""
    torch.manual_seed(0)
    model = trained(causal_segmenter(**SIGNAL, smooth_s=1e-3))  # the mean forgets at once
    x = (30 * torch.randn(1, 3, T, dtype=torch.float64)).requires_grad_()
    model.frames(x, model.initial(1))[0][..., -1].sum().backward()
    share = x.grad.abs().sum(dim=(0, 1)) / x.grad.abs().max()
    reached = (share > 1e-10).nonzero().flatten()  # e^-31 of the mean is left one sample later
    assert T - 1 - int(reached.min()) == model.n_behind < SIGNAL["n_times"]
    assert model.n_behind > 0.75 * SIGNAL["n_times"]


def test_a_step_costs_the_same_in_a_stream_of_any_length(causal, stream):
    counts = []
    for n in (1, 200):
        with torch.no_grad():
            _, state = causal.step(stream[..., :n], causal.initial(2))
            counter = FlopCounterMode(display=False)
            with counter:
                causal.step(stream[..., n : n + 1], state)
        counts.append((counter.get_total_flops(), [tuple(part.shape) for part in state]))
    assert counts[0] == counts[1]


def test_a_context_shorter_than_the_convolutions_is_refused():
    with pytest.raises(ValueError, match=r"see \d+ samples, the context has 60; .* Use a longer window"):
        causal_segmenter(**SIGNAL | {"n_times": 60})
    with pytest.raises(ValueError, match=r"look_back and stride of at least 1 .* got look_back=2, stride=0"):
        StridedAttention(8, 2, 2, 0)
