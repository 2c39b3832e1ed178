"""Minimum and maximum per column: no spike is lost and no chunk size matters; the image is that of a full repaint."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.monitor.draw import Lanes, TraceImage
from apps.monitor.history import History
from apps.monitor.raster import MinMaxRaster
from bci.errors import SpecError

SFREQ, SPAN_S, WIDTH = 256.0, 2.5, 40  # 16 samples a column, exact in binary
COLOURS = np.array([0xFFAA0000, 0xFF00AA00, 0xFF0000AA], np.uint32)
BACKGROUND = 0xFF101010


def recording(seed, n, n_channels=3):
    rng = np.random.default_rng(seed)
    data = rng.normal(0, 20, (n_channels, n)).astype(np.float32)
    data[rng.random(data.shape) < 0.02] = np.nan
    return data, 100.0 + np.arange(n) / SFREQ


def pieces(n, cuts):
    edges = [0, *sorted(cut % (n + 1) for cut in cuts), n]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def pushed(data, stamps, cuts=(), width=WIDTH, span_s=SPAN_S, sfreq=SFREQ):
    raster = MinMaxRaster(len(data), width, span_s, sfreq)
    for part in pieces(len(stamps), cuts):
        raster.push(data[:, part], stamps[part])
    return raster


def lanes(height=90):
    return Lanes(height, 100.0, np.zeros(3, np.float32))


@settings(deadline=None, max_examples=60)
@given(
    at=st.integers(0, 379), channel=st.integers(0, 2), sign=st.sampled_from((-1, 1)), cuts=st.lists(st.integers(0, 400))
)
def test_a_spike_of_one_sample_is_never_lost(at, channel, sign, cuts):
    data, stamps = recording(1, 400)
    data[channel, at] = sign * 5000
    raster = pushed(data, stamps, cuts)
    first, mins, maxs = raster.columns(0)
    column = int((stamps[at] - stamps[0]) / raster.column_s) - first
    extreme = maxs if sign > 0 else mins
    assert extreme[channel, column] == sign * 5000
    assert (np.abs(np.nan_to_num(extreme)) == 5000).sum() == 1


@settings(deadline=None, max_examples=60)
@given(
    cuts=st.lists(st.integers(0, 900)),
    gap=st.sampled_from((0.0, 0.015, 0.3, 1.9, 5.0, -0.4, -3.0)),
    width=st.sampled_from((7, 40, 640)),
)
def test_columns_do_not_depend_on_the_cut(cuts, gap, width):
    """Also with gaps, jumps back, and more columns than samples."""
    data, stamps = recording(2, 900)
    stamps[500:] += gap
    whole, cut = pushed(data, stamps, width=width), pushed(data, stamps, cuts, width=width)
    assert (whole.n_columns, whole.origin_s) == (cut.n_columns, cut.origin_s)
    for one, other in zip(whole.columns(0), cut.columns(0), strict=True):
        np.testing.assert_array_equal(one, other)


def test_columns_hold_the_extremes_of_their_samples():
    data, stamps = recording(3, 1000)
    raster = pushed(data, stamps, [77, 500])
    first, mins, maxs = raster.columns(0)
    assert raster.n_columns - first == WIDTH + 1
    for k in range(mins.shape[1]):
        part = data[:, (first + k) * 16 : (first + k + 1) * 16]
        np.testing.assert_array_equal(mins[:, k], np.fmin.reduce(part, axis=1))
        np.testing.assert_array_equal(maxs[:, k], np.fmax.reduce(part, axis=1))
    assert raster.time_of(raster.column_of(103.3)) == pytest.approx(103.3)


def test_a_gap_leaves_empty_columns_and_a_slow_signal_none():
    data, stamps = recording(4, 400)
    stamps[200:] += 0.5
    _, mins, _ = pushed(np.nan_to_num(data), stamps).columns(0)
    assert np.isnan(mins).all(axis=0).sum() == 7
    slow = pushed(np.arange(20.0)[None], 5 + np.arange(20) / 10, width=200, sfreq=10.0)
    _, mins, maxs = slow.columns(0)
    np.testing.assert_allclose(mins[0], maxs[0])
    assert np.diff(mins[0]).min() >= 0
    assert np.diff(mins[0]).max() < 0.2


def test_infinite_and_huge_values_pass_and_stamps_that_are_no_numbers_do_not():
    data = np.array([[1.0, np.inf, 1e300, -1e6, 2.0, 3.0]])
    stamps = np.array([0.0, 0.1, 0.2, np.nan, 0.3, 0.5])
    raster = pushed(data, stamps, width=20, sfreq=10.0)
    _, _, maxs = raster.columns(0)
    assert np.isinf(maxs[0]).sum() == 2
    assert np.nanmin(maxs[np.isfinite(maxs)]) >= 1
    assert raster.n_columns == 4


def test_a_clock_that_goes_back_begins_anew():
    data, stamps = recording(5, 600)
    stamps[300:] -= 50
    raster = pushed(data, stamps)
    assert raster.generation == 1
    assert raster.origin_s == stamps[300]


@settings(deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(0, 900), max_size=12), gap=st.sampled_from((0.0, 0.4)))
def test_the_image_is_that_of_a_full_repaint(cuts, gap):
    data, stamps = recording(6, 900)
    stamps[450:] += gap
    raster, image = MinMaxRaster(3, WIDTH, SPAN_S, SFREQ), TraceImage(WIDTH, 90)
    image.clear(BACKGROUND)
    n_painted = 0
    for part in pieces(900, cuts):
        raster.push(data[:, part], stamps[part])
        n_painted += image.paint(raster, lanes(), COLOURS, BACKGROUND)
    full = TraceImage(WIDTH, 90)
    full.clear(BACKGROUND)
    full.paint(raster, lanes(), COLOURS, BACKGROUND)
    np.testing.assert_array_equal(image.pixels, full.pixels)
    assert image.head == full.head == raster.n_columns % WIDTH
    assert n_painted <= raster.n_columns


def test_only_new_columns_are_touched():
    data, stamps = recording(7, 300)
    raster, image = pushed(data[:, :200], stamps[:200]), TraceImage(WIDTH, 90)
    image.clear(BACKGROUND)
    image.paint(raster, lanes(), COLOURS, BACKGROUND)
    image.pixels[:] = 7
    before = raster.n_columns
    raster.push(data[:, 200:250], stamps[200:250])
    assert image.paint(raster, lanes(), COLOURS, BACKGROUND) == raster.n_columns - before == 3
    assert (image.pixels != 7).any(axis=0).sum() == 3
    assert image.paint(raster, lanes(), COLOURS, BACKGROUND) == 0


def test_lines_are_connected_and_extremes_are_cut_at_the_lane():
    """A step is one vertical line; 1e6 µV does not cover the other channels."""
    data = np.zeros((3, 400), np.float32)
    data[0, 160:] = 40
    data[2, 320:325] = 1e6
    raster, image = pushed(data, np.arange(400) / SFREQ), TraceImage(WIDTH, 90)
    image.clear(BACKGROUND)
    image.paint(raster, lanes(), COLOURS, BACKGROUND)
    rows = [np.flatnonzero(image.pixels[:, x] == COLOURS[0]) for x in range(raster.n_columns)]
    assert all(len(row) for row in rows)
    assert rows[9].tolist() == [15]
    assert rows[10].tolist() == list(range(3, 16))
    assert rows[11].tolist() == [3]
    spike = np.flatnonzero(image.pixels[:, 20] == COLOURS[2])
    assert spike.min() == 75 - 45
    assert (image.pixels[:, 20] == COLOURS[0]).any()


def test_nan_is_empty():
    raster, image = pushed(np.full((3, 150), np.nan, np.float32), np.arange(150) / SFREQ), TraceImage(WIDTH, 90)
    image.clear(BACKGROUND)
    assert image.paint(raster, lanes(), COLOURS, BACKGROUND) == 9
    assert (image.pixels == BACKGROUND).all()


@settings(deadline=None, max_examples=40)
@given(cuts=st.lists(st.integers(0, 700), max_size=10), n=st.integers(0, 500))
def test_history_keeps_the_newest(cuts, n):
    data, stamps = recording(8, 700)
    history = History(3, SFREQ, 400 / SFREQ)
    for part in pieces(700, cuts):
        history.push(data[:, part], stamps[part])
    assert len(history) == 400
    kept, at = history.newest(n)
    n = min(n, 400)
    np.testing.assert_array_equal(kept, data[:, 700 - n :])
    np.testing.assert_array_equal(at, stamps[700 - n :])
    then = history.before(stamps[500], 50)
    np.testing.assert_array_equal(then[0], data[:, 451:501])
    np.testing.assert_array_equal(then[1], stamps[451:501])
    assert (history.oldest_s, history.newest_s) == (stamps[300], stamps[699])


def test_history_is_bounded_at_any_rate():
    history = History(300, 1e6)
    assert history._data.nbytes <= 128 << 20
    assert len(History(19, 256.0)._stamps) == 1800 * 256
    empty = History(2, 0.0)
    assert len(empty._stamps) == 60 * 256
    assert math.isnan(empty.oldest_s)
    assert math.isnan(empty.newest_s)
    assert empty.before(1.0, 5)[0].shape == (2, 0)


@pytest.mark.parametrize("bad", [(0, 10, 1.0), (1, 0, 1.0), (1, 10, 0.0), (1, 10, math.inf)])
def test_a_raster_without_extent_is_refused(bad):
    with pytest.raises(SpecError, match="needs at least one channel and one column and a span above 0 s, got"):
        MinMaxRaster(*bad, 250.0)


def test_other_channels_are_refused():
    with pytest.raises(SpecError, match=r"needs samples of shape \(3, 5\), got \(2, 5\)\. Make a new one"):
        MinMaxRaster(3, 10, 1.0, 100.0).push(np.zeros((2, 5)), np.arange(5.0))


def test_an_image_without_pixels_is_refused():
    with pytest.raises(SpecError, match="needs at least one pixel, got 0 by 5"):
        TraceImage(0, 5)
