"""Spectrograms as images: sizes against torch's interpolation, planes and tiles against loops."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from models.images import Resized, Tiled, stacked_image


@pytest.mark.parametrize("size", [(100, 100), (224, 224), (7, 5), (1, 1)])
def test_resizing_is_torchs_bilinear_interpolation(size):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 40, 33)
    expected = functional.interpolate(x, size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(Resized(40, 33, *size)(x), expected, rtol=1e-5, atol=1e-5)


def test_resizing_to_the_same_size_changes_nothing():
    x = torch.randn(2, 40, 33)
    torch.testing.assert_close(Resized(40, 33, 40, 33)(x), x, rtol=0, atol=0)
    single = torch.randn(2, 1, 4)
    torch.testing.assert_close(Resized(1, 4, 3, 4)(single), single.expand(2, 3, 4))


def test_planes_are_the_channel_less_others_and_less_neighbours():
    torch.manual_seed(0)
    x = torch.randn(2, 4, 3, 5)
    near = ((1,), (0, 2), (1, 3), ())
    image = stacked_image(4, near)(x)
    assert image.shape == (2, 3, 12, 5)
    for i in range(4):
        rows = slice(3 * i, 3 * i + 3)
        others = torch.stack([x[:, k] for k in range(4) if k != i]).mean(dim=0)
        beside = torch.stack([x[:, k] for k in near[i]]).mean(dim=0) if near[i] else 0.0
        torch.testing.assert_close(image[:, 0, rows], x[:, i])
        torch.testing.assert_close(image[:, 1, rows], x[:, i] - others)
        torch.testing.assert_close(image[:, 2, rows], x[:, i] - beside)


def test_neighbours_are_those_before_and_after_unless_said():
    x = torch.randn(1, 3, 2, 4)
    torch.testing.assert_close(stacked_image(3)(x), stacked_image(3, ((1,), (0, 2), (1,)))(x))
    torch.testing.assert_close(stacked_image(1)(x[:, :1]), x[:, :1].expand(1, 3, 2, 4))


@pytest.mark.parametrize("near", [((1,),), ((1,), (0,), (3,)), ((1,), (0,), (-1,))])
def test_neighbours_that_do_not_fit_are_refused(near):
    with pytest.raises(ValueError, match=r"neighbours for each of 3 channels, by index, got .* Give one tuple"):
        stacked_image(3, near)


def test_tiles_stand_row_by_row_with_a_border():
    torch.manual_seed(0)
    x = torch.randn(2, 5, 4, 6)
    tiled = Tiled(5, 4, 6, border=2)
    picture = tiled(x)
    assert picture.shape == (2, tiled.height, tiled.width) == (2, 2 * 8, 3 * 10)
    expected = torch.zeros_like(picture)
    for i in range(5):
        top, left = 8 * (i // 3) + 2, 10 * (i % 3) + 2
        expected[:, top : top + 4, left : left + 6] = x[:, i]
    torch.testing.assert_close(picture, expected, rtol=0, atol=0)
    torch.testing.assert_close(tiled.cut(picture), x, rtol=0, atol=0)


def test_tiles_without_a_border_are_cut_apart_too():
    x = torch.randn(2, 3, 4, 6)
    tiled = Tiled(3, 4, 6, border=0)
    torch.testing.assert_close(tiled.cut(tiled(x)), x, rtol=0, atol=0)
