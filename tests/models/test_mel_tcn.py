"""The mel TCN: a stream cut anyhow gives the logits of the whole, and the context costs nothing."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from models.mel_tcn import FORGOTTEN, mel_tcn

REFERENCE = {"n_channels": 19, "n_times": 129, "sfreq": 16.0, "n_classes": 2, "n_features": 64}
SMALL = {"n_channels": 4, "n_times": 40, "sfreq": 16.0, "n_classes": 3, "n_features": 12}
T = 300


def network(dtype: torch.dtype = torch.float64):
    """Return a small network whose norms have seen data, and two streams of log-mel frames."""
    torch.manual_seed(0)
    model = mel_tcn(**SMALL, dropout=0.0).to(dtype)
    x = 30 + 20 * torch.randn(2, 4, 12, T, dtype=dtype)
    with torch.no_grad():
        for _ in range(20):
            model.train()(x)
    return model.eval(), x


@torch.no_grad()
def cut_logits(model, x, sizes):
    """Return the logits after each step, and the number of frames until then."""
    state, logits, at, ends = model.initial(len(x)), [], 0, []
    for size in [*sizes, T]:
        row, state = model.step(x[..., at : at + size], state)
        at = min(at + size, T)
        logits.append(row)
        ends.append(at)
    return torch.stack(logits, dim=-1), ends


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, 3, 9, 40, 150]), max_size=30))
def test_steps_give_the_logits_of_the_whole(sizes):
    model, x = network()
    with torch.no_grad():
        whole, _ = model.frames(x, model.initial(2))
    logits, ends = cut_logits(model, x, sizes)
    seen = [i for i, end in enumerate(ends) if end]
    expected = whole[..., [ends[i] - 1 for i in seen]]
    torch.testing.assert_close(logits[..., seen], expected, rtol=0, atol=1e-12 * float(whole.abs().max()))


def test_steps_give_the_logits_of_the_whole_in_float32():
    model, x = network(torch.float32)
    with torch.no_grad():
        whole, _ = model.frames(x, model.initial(2))
    logits, _ = cut_logits(model, x, [1] * (T - 1))
    torch.testing.assert_close(logits, whole, rtol=0, atol=1e-6 * float(whole.abs().max()))


def test_a_window_is_a_stream_from_its_first_frame():
    model, x = network()
    with torch.no_grad():
        whole, _ = model.frames(x, model.initial(2))
        torch.testing.assert_close(model(x[..., :40]), whole[..., 39], rtol=0, atol=1e-13)


def test_what_is_older_than_the_context_has_next_to_no_weight():
    """A frame as old as the context weighs 1 % of the present one, in the longer mean; nothing in the shorter."""
    short, long = mel_tcn(**SMALL).means.decays
    assert long ** SMALL["n_times"] == pytest.approx(FORGOTTEN)
    assert short ** SMALL["sfreq"] == pytest.approx(torch.exp(torch.tensor(-1.0)).item())


def test_a_long_context_costs_what_a_short_one_does():
    """Parameters, work of a step and size of the state are the same at 10 s and 600 s."""
    sizes = []
    for n_times in (129, 9569):
        model = mel_tcn(**REFERENCE | {"n_times": n_times}).eval()
        counter = FlopCounterMode(display=False)
        state = model.initial(1)
        with counter, torch.no_grad():
            model.step(torch.randn(1, 19, 64, 1), state)
        parameters = sum(p.numel() for p in model.parameters())
        sizes.append((parameters, counter.get_total_flops(), sum(part.numel() for part in state)))
    assert sizes[0] == sizes[1]


def test_documented_work_is_true():
    model = mel_tcn(**REFERENCE).eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model.step(torch.randn(1, 19, 64, 1), model.initial(1))
    documented = re.search(r"([\d.]+) MFLOP", mel_tcn.__doc__)
    assert float(documented.group(1)) == pytest.approx(counter.get_total_flops() / 1e6, abs=0.005)


def test_a_context_shorter_than_the_convolutions_is_refused():
    with pytest.raises(ValueError, match=r"see 21 frames, the context has 20\. Use a longer window\."):
        mel_tcn(**SMALL | {"n_times": 20})
