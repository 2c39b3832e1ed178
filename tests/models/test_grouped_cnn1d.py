"""The grouped 1D CNN: groups stay apart, mixing joins them, time is kept in step."""

from __future__ import annotations

import pytest
import torch

from models.grouped_cnn1d import ParallelGrouped, grouped_cnn1d

SIGNAL = {"n_channels": 6, "n_times": 100, "sfreq": 64.0, "n_classes": 3}


def reached(layer, x, channel):
    """Return which channels of the output change with one of the input."""
    other = x.clone()
    other[:, channel] += 1.0
    return ((layer(other) - layer(x)).abs() > 1e-7).any(dim=(0, 2)).nonzero().flatten().tolist()


def test_groups_are_apart_and_the_mixing_joins_them():
    torch.manual_seed(0)
    block = ParallelGrouped(8, 8, (3, 6), 4).eval()
    x = torch.randn(2, 8, 20)
    for branch in block.parallel:
        assert reached(branch, x, 5) == [4, 5]
    assert reached(block, x, 5) == list(range(8))


def test_kernels_are_centred_and_a_stride_takes_every_second_sample():
    torch.manual_seed(0)
    block = ParallelGrouped(4, 4, (3, 8), 2).eval()
    x = torch.randn(1, 4, 30)
    other = x.clone()
    other[..., 15] += 1.0
    changed = ((block(other) - block(x)).abs() > 1e-7).any(dim=(0, 1)).nonzero().flatten()
    assert (changed.min(), changed.max()) == (15 - 3, 15 + 4)
    halved = ParallelGrouped(4, 6, (3, 8), 2, stride=2).eval()
    assert halved(x).shape == (1, 6, 15)
    assert halved(x[..., :29]).shape == (1, 6, 15)


def test_lengths_are_in_seconds():
    kernels = [branch[1].kernel_size[0] for branch in grouped_cnn1d(**SIGNAL).spatial[2].parallel]
    assert kernels == [3, 4, 8]  # 0.03, 0.06 and 0.12 s at 64 Hz; at least 3


def test_widths_and_windows_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"widths that n_groups divides, got \(16, 32, 32, 64, 64\) and n_groups=5"):
        grouped_cnn1d(**SIGNAL, n_groups=5)
    with pytest.raises(ValueError, match=r"4 halvings need windows of at least 16 samples, got n_times=15"):
        grouped_cnn1d(**SIGNAL | {"n_times": 15})
