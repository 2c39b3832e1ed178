"""Laws of every augmentation in the table, on raw signals and on log-mel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bci.chunk import Signal
from bci.errors import SpecError
from offline.augment.base import Batch, Draws
from offline.augment.registry import AUGMENTATIONS, augmentations, build_all

NAMES = ("C3", "C4", "Cz", "Fp1", "Fp2")
RAW = Signal(128.0, NAMES)
MEL = Signal(16.0, NAMES, "dB", 12)
SHAPES = {RAW: (5, 64), MEL: (5, 12, 40)}
CPU = torch.device("cpu")
EVERY = pytest.mark.parametrize("name", AUGMENTATIONS)
BOTH = pytest.mark.parametrize("signal", [RAW, MEL], ids=["raw", "mel"])


def batch(signal: Signal, n: int = 8, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, *SHAPES[signal])).astype(np.float32) * 5 + 20
    targets = torch.from_numpy(np.eye(3, dtype=np.float32)[np.arange(n) % 3])
    return Batch(torch.from_numpy(x), targets, torch.arange(1.0, n + 1))


def changed(
    name: str, signal: Signal, x: Batch, seed: int = 0, own: slice | None = None, n: int | None = None
) -> Batch:
    n = n or len(x.windows)
    draws = Draws(np.random.default_rng(seed), n, own or slice(0, n), CPU)
    return build_all([name], signal)(x, draws)


def assert_same(a: Batch, b: Batch) -> None:
    for one, other in ((a.windows, b.windows), (a.targets, b.targets), (a.weights, b.weights)):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@EVERY
@BOTH
def test_shape_type_and_input_stay(name, signal):
    x, untouched = batch(signal), batch(signal)
    y = changed(f"{name}:p=1", signal, x)
    assert (y.windows.shape, y.windows.dtype) == (x.windows.shape, torch.float32)
    assert torch.isfinite(y.windows).all()
    torch.testing.assert_close(y.targets.sum(dim=1), torch.ones(8))
    assert not torch.equal(y.windows, x.windows)
    assert_same(x, untouched)


@EVERY
@BOTH
def test_the_generator_decides_all(name, signal):
    x = batch(signal)
    torch.manual_seed(1)
    first = changed(f"{name}:p=1", signal, x, seed=3)
    torch.manual_seed(2)
    assert_same(first, changed(f"{name}:p=1", signal, x, seed=3))
    if name != "flip":  # it draws nothing but whether
        assert not torch.equal(first.windows, changed(f"{name}:p=1", signal, x, seed=4).windows)


@EVERY
@BOTH
def test_with_probability_0_nothing_changes(name, signal):
    x = batch(signal)
    assert_same(changed(f"{name}:p=0", signal, x), x)


@EVERY
@BOTH
@pytest.mark.parametrize("parts", [2, 4])
def test_parts_of_a_batch_get_what_the_whole_gets(name, signal, parts):
    """How many processes share a batch has no say in its augmentation."""
    x = batch(signal)
    whole = changed(name, signal, x)
    size = 8 // parts
    for i in range(parts):
        own = slice(i * size, (i + 1) * size)
        piece = Batch(x.windows[own], x.targets[own], x.weights[own])
        found = changed(name, signal, piece, own=own, n=8)
        assert_same(found, Batch(whole.windows[own], whole.targets[own], whole.weights[own]))


@settings(max_examples=20, deadline=None)
@given(st.floats(0.0, 1.0), st.integers(0, 2**32))
def test_the_share_of_changed_windows_is_p(p, seed):
    chosen = Draws(np.random.default_rng(seed), 4000, slice(0, 4000), CPU).chosen(p)
    assert abs(float(chosen.float().mean()) - p) < 0.05


def test_an_empty_list_and_none_change_nothing():
    x = batch(RAW)
    for names in ([], ["none"]):
        assert_same(build_all(names, RAW)(x, Draws(np.random.default_rng(0), 8, slice(0, 8), CPU)), x)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["blur"], "No augmentation is named 'blur'. Augmentations: flip, time_shift"),
        (["flip", "none"], "No augmentation is named 'none'"),
        (["flip", "flip:p=1"], "must be named once each, got flip and flip:p=1"),
        (["flip:p"], "flip takes numbers as in flip:p=0.5, got 'p'. Known: p"),
        (["channel_drop:most=2.5"], "channel_drop takes numbers .* got 'most=2.5'"),
        (["flip:q=1"], "The augmentation flip has unknown fields q"),
        (["flip:p=1.5"], "flip needs a probability p from 0 to 1, got 1.5"),
        (["time_shift:longest_share=0"], "time_shift needs longest_share above 0 and at most 1, got 0"),
        (["mixup:alpha=0"], "mixup needs alpha above 0, got 0"),
        (["channel_drop:most=0"], "channel_drop needs at least one channel to hide, got most=0"),
        (["random_bandpass:low_share=0.5"], "random_bandpass needs 0 < low_share < high_share <= 1 .*got 0.5, 0.25"),
    ],
)
def test_wrong_words_are_refused(names, message):
    with pytest.raises(SpecError, match=message):
        augmentations(names)
