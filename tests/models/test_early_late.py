"""Two-part networks: the parts together are the network, and the cut is where it must be."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from models.early_late import plan_edge
from models.mel_cnn import mel_cnn, mel_cnn_reference

SHAPE = {"n_channels": 5, "n_features": 16, "sfreq": 16.0, "n_classes": 3}


@given(st.integers(0, 3), st.integers(1, 3), st.integers(8, 60), st.integers(1, 20))
def test_the_cut_of_a_convolution_is_where_outputs_begin_to_see_late_columns(half, stride, n_total, n_last):
    n_known = n_total - n_last
    kernel = 2 * half + 1
    seen = nn.functional.conv1d(
        torch.cat((torch.zeros(1, 1, max(n_known, 0)), torch.ones(1, 1, n_total - max(n_known, 0))), -1),
        torch.ones(1, 1, kernel),
        stride=stride,
        padding=half,
    )[0, 0]
    n_early = int((seen == 0).sum())
    try:
        plan = plan_edge(n_known, n_total, kernel, stride)
    except ValueError:
        assert n_early * stride < half or n_early == 0
        return
    assert (plan.n_early, plan.n_out, plan.start) == (n_early, len(seen), n_early * stride - half)


@pytest.mark.parametrize("builder", [mel_cnn, mel_cnn_reference])
@pytest.mark.parametrize(("n_times", "n_last"), [(129, 1), (129, 4), (64, 16), (65, 7), (90, 30)])
def test_the_parts_together_are_the_network(builder, n_times, n_last):
    torch.manual_seed(n_times)
    model = builder(n_times=n_times, **SHAPE).double()
    for module in model.modules():  # fresh statistics are zeros and ones and would hide a wrong place
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    model.eval()
    early, late = model.parts(n_last)
    x = 30 + 20 * torch.randn(3, 5, 16, n_times, dtype=torch.float64)
    with torch.inference_mode():
        logits = late(x[..., -n_last:], *early(x[..., :-n_last]))
        torch.testing.assert_close(logits, model(x), rtol=1e-12, atol=1e-12)


def test_a_network_that_cannot_begin_says_so():
    with pytest.raises(ValueError, match=r"needs more than 2 known columns to begin early, got 1 of 129\. Leave fewer"):
        mel_cnn(n_times=129, **SHAPE).parts(128)
