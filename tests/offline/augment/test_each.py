"""What each augmentation does, on windows where it can be told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bci.chunk import Signal
from bci.errors import SpecError
from offline.augment.base import Batch, Draws
from offline.augment.masks import ChannelDrop, CutOut, WindowMask
from offline.augment.mixup import Mixup
from offline.augment.signal_changes import AmplitudeJitter, LeftRightFlip, RandomBandpass, TimeShift

CPU = torch.device("cpu")
SEEDS = st.integers(0, 2**32)


def draws(n: int, seed: int = 0) -> Draws:
    return Draws(np.random.default_rng(seed), n, slice(0, n), CPU)


def batch(x: torch.Tensor) -> Batch:
    return Batch(x, torch.eye(len(x)), torch.ones(len(x)))


def apply(spec, signal: Signal, x: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return spec.build(signal)(batch(x), draws(len(x), seed)).windows


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("C3", "C4", "Cz", "Fp1", "Fp2"), [1, 0, 2, 4, 3]),
        (("Fp1-F7", "Fp2-F8", "Fz-Cz"), [1, 0, 2]),
        (("O1@5-45", "O2@5-45", "O1@11-45", "O2@11-45"), [1, 0, 3, 2]),
        (("EEG T3", "EEG T4", "EKG1"), [1, 0, 2]),
        (("AF3", "FC5", "AF4", "FC6"), [2, 3, 0, 1]),
        (("FFC1h", "FFC2h"), [1, 0]),
        (("F9", "F10"), [1, 0]),
    ],
)
def test_a_flip_exchanges_left_and_right(names, order):
    x = torch.arange(float(len(names))).reshape(1, -1, 1).expand(1, -1, 4).contiguous()
    flip = LeftRightFlip(1.0)
    once = apply(flip, Signal(64.0, names), x)
    assert once[0, :, 0].tolist() == order
    torch.testing.assert_close(apply(flip, Signal(64.0, names), once), x)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("C3", "Cz"), r"mirror image of every electrode, missing: C4 \(of C3\)"),
        (("Cz", "MEG0113"), "needs electrodes named left and right, such as C3 and C4, got Cz, MEG0113"),
    ],
)
def test_a_flip_needs_both_sides(names, message):
    with pytest.raises(SpecError, match=message):
        LeftRightFlip().build(Signal(64.0, names))


@given(SEEDS)
def test_mixup_blends_windows_and_targets_alike(seed):
    x = torch.arange(6.0).reshape(6, 1, 1)
    mixed = Mixup(1.0, 1.0).build(Signal(64.0, ("C3",)))(batch(x), draws(6, seed))
    # targets are one-hot: the blend of the window numbers follows from them
    torch.testing.assert_close(mixed.windows[:, 0, 0], mixed.targets @ torch.arange(6.0))
    assert (mixed.targets.diagonal() >= 0.5).all(), "a window stays the larger part of its blend"
    for i in range(6):
        assert mixed.targets[i].nonzero().flatten().tolist() in ([i], sorted([i, i ^ 1]))


def test_an_odd_window_stays_without_partner():
    x = torch.arange(3.0).reshape(3, 1, 1)
    assert apply(Mixup(1.0, 1.0), Signal(64.0, ("C3",)), x)[2].item() == 2.0


@given(SEEDS)
def test_a_box_is_hidden(seed):
    x = torch.ones(2, 3, 10, 20)
    hidden = apply(CutOut(1.0, 0.5), Signal(4.0, ("a", "b", "c"), "dB", 10), x, seed) == 0
    for window in hidden:
        assert (window == window[0]).all(), "the same in every channel"
        rows, columns = window[0].any(dim=1).nonzero().flatten(), window[0].any(dim=0).nonzero().flatten()
        assert window[0].sum() == len(rows) * len(columns)
        assert 1 <= len(rows) <= 5
        assert 1 <= len(columns) <= 10
        assert rows[-1] - rows[0] + 1 == len(rows)


@given(SEEDS)
def test_a_stretch_of_time_is_hidden_in_all_channels(seed):
    hidden = apply(WindowMask(1.0, 0.25), Signal(64.0, ("a", "b")), torch.ones(3, 2, 40), seed) == 0
    for window in hidden:
        at = window[0].nonzero().flatten()
        assert (window[0] == window[1]).all()
        assert 1 <= len(at) <= 10
        assert at[-1] - at[0] + 1 == len(at)


@given(SEEDS)
def test_whole_channels_are_dropped_and_one_stays(seed):
    hidden = apply(ChannelDrop(1.0, 9), Signal(64.0, ("a", "b", "c")), torch.ones(8, 3, 5), seed) == 0
    assert (hidden.all(dim=2) == hidden.any(dim=2)).all()
    assert set(hidden[:, :, 0].sum(dim=1).tolist()) <= {1, 2}


def test_a_single_channel_cannot_be_dropped():
    with pytest.raises(SpecError, match="channel_drop needs at least 2 channels, got 1"):
        ChannelDrop().build(Signal(64.0, ("C3",)))


@given(SEEDS)
def test_a_shift_moves_and_mirrors(seed):
    x = torch.arange(50.0).reshape(1, 1, 50)
    y = apply(TimeShift(1.0, 0.2), Signal(64.0, ("C3",)), x, seed)[0, 0]
    by = int(y[25] - 25)
    assert abs(by) <= 10
    at = np.abs(np.arange(50) + by)
    np.testing.assert_array_equal(y.numpy(), np.where(at > 49, 98 - at, at))


def test_a_band_of_a_signal_stays_and_the_rest_is_lowered():
    t = torch.arange(512) / 256.0
    sines = [torch.sin(2 * np.pi * hz * t) for hz in (0.5, 16.0, 127.0)]
    spec = RandomBandpass(1.0, 1, 0.05, 0.25, 8)
    gains = []
    for seed in range(200):
        found = [apply(spec, Signal(256.0, ("C3",)), sine.expand(1, 1, -1), seed) for sine in sines]
        gains.append([float(y.std() / s.std()) for y, s in zip(found, sines, strict=True)])
    low, middle, high = np.array(gains).T
    assert np.median(low) < 0.1, "below most lower corners, which lie between 0 and 6.4 Hz"
    assert middle.min() > 0.99, "inside every band"
    assert np.median(high) < 0.5, "above every upper corner, which lie between 32 and 128 Hz"
    assert max(low.max(), high.max()) <= 1.001


def test_features_outside_the_band_are_lowered_to_the_floor_at_most():
    x = torch.full((64, 2, 20, 3), 30.0)
    x[:, :, 0] = 4.0
    y = apply(RandomBandpass(1.0, 2, 0.2, 0.5, depth_db=10.0), Signal(8.0, ("a", "b"), "dB", 20), x)
    assert (y[:, :, 5:10] == 30.0).all()
    assert set(y[:, :, 1:].unique().tolist()) == {20.0, 30.0}
    assert set(y[:, :, 0].unique().tolist()) <= {0.0, 4.0}


def test_gains_have_the_spread_they_should():
    x = torch.full((4000, 2, 1), 10.0)
    gain_db = 20 * torch.log10(apply(AmplitudeJitter(1.0, 3.0), Signal(64.0, ("a", "b")), x)[..., 0] / 10)
    assert float(gain_db.std()) == pytest.approx(3.0, rel=0.05)
    assert float(torch.corrcoef(gain_db.T)[0, 1]) == pytest.approx(0.5, abs=0.05)
    in_db = apply(AmplitudeJitter(1.0, 3.0), Signal(8.0, ("a", "b"), "dB", 1), x[..., None])
    torch.testing.assert_close(in_db[..., 0, 0] - 10, gain_db, rtol=1e-3, atol=1e-3)
