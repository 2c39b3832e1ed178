"""Sections by scipy's loop alone give the bits of `scipy.signal.sosfilt`."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from bci.stages import sections
from bci.stages.sections import filter_sections


@pytest.fixture(params=["loop", "sosfilt"])
def way(request, monkeypatch):
    if request.param == "sosfilt":  # as with a scipy that lacks the loop
        monkeypatch.setattr(sections, "_sosfilt", None)
    else:
        assert sections._sosfilt is not None


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("shape", [(3, 50), (2, 3, 50), (50,), (1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_are_those_of_scipy(shape, dtype):
    rng = np.random.default_rng(0)
    sos = np.ascontiguousarray(butter(4, (1.0, 40.0), "band", fs=256, output="sos"))
    x = rng.standard_normal(shape).astype(dtype)
    state = rng.standard_normal((*shape[:-1], len(sos), 2))
    given = state.copy(), x.copy()
    y, after = filter_sections(sos, x, state)
    expected, zi = sosfilt(sos, x.astype(np.float64), axis=-1, zi=np.moveaxis(state, -2, 0))
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(after, np.moveaxis(zi, 0, -2))
    np.testing.assert_array_equal(state, given[0])
    np.testing.assert_array_equal(x, given[1])


@pytest.mark.usefixtures("way")
def test_rows_that_are_not_contiguous():
    rng = np.random.default_rng(1)
    sos = np.ascontiguousarray(butter(2, 30.0, fs=256, output="sos"))
    x = rng.standard_normal((40, 5)).T[:, ::2]
    y, _ = filter_sections(sos, x, np.zeros((5, len(sos), 2)))
    np.testing.assert_array_equal(y, sosfilt(sos, x, axis=-1))
