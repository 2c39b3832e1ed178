"""The gate holds what is not a number, marks it, and hides nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bci.chunk import Signal
from bci.errors import SignalError
from bci.stages.gate import Gate
from tests.bci.cuts import ones, random_with_zeros, split

AB = Signal(256.0, ("a", "b"))
BAD = (np.nan, np.inf, -np.inf)


def reference(x):
    """Return held values and validity, one value at a time."""
    y = np.empty(x.shape)
    for row, out in zip(x, y, strict=True):
        last = 0.0
        for n, value in enumerate(row):
            last = float(value) if np.isfinite(value) else last
            out[n] = last
    return y, np.isfinite(x).all(axis=0)


def spoiled(n_samples, seed=0):
    """Return noise of which a third is not finite, from the first sample on."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, n_samples)).astype(np.float32)
    x[rng.random(x.shape) < 0.3] = rng.choice(BAD)
    x[:, :3] = np.nan
    return x


@pytest.mark.parametrize("sizes", [ones, random_with_zeros])
def test_the_last_finite_value_is_held(sizes):
    x = spoiled(500)
    gate = Gate(AB)
    parts = [gate.admit(part) for part in split(x, sizes(500))]
    y, valid = reference(x)
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts], axis=1), y)
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), valid)
    assert gate.n_held == np.count_nonzero(~np.isfinite(x))


@given(st.lists(st.tuples(*[st.sampled_from([*BAD, 1.0, -2.0, 3.0])] * 2), max_size=30), st.integers(0, 30))
def test_any_pattern_cut_anywhere(columns, cut):
    x = np.array(columns, dtype=np.float32).reshape(-1, 2).T
    gate = Gate(AB)
    parts = [gate.admit(x[:, :cut]), gate.admit(x[:, cut:])]
    y, valid = reference(x)
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts], axis=1), y)
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), valid)


def test_before_the_first_finite_value_it_holds_zero():
    y, valid = Gate(AB).admit(np.array([[np.nan, 5.0], [np.inf, np.nan]]))
    np.testing.assert_array_equal(y, [[0.0, 5.0], [0.0, 0.0]])
    assert not valid.any()


def test_reset_forgets_the_held_value_and_keeps_the_counts():
    gate = Gate(AB)
    assert not gate.any_finite
    gate.process(np.array([[5.0, np.nan], [5.0, 6.0]]))
    gate.reset()
    np.testing.assert_array_equal(gate.process(np.full((2, 1), np.nan)), [[0.0], [0.0]])
    assert gate.n_held == 3
    assert gate.any_finite


def test_state_goes_back():
    gate = Gate(AB)
    gate.process(np.array([[5.0], [6.0]]))
    state = gate.state
    gate.process(np.array([[7.0], [8.0]]))
    gate.state = state
    np.testing.assert_array_equal(gate.process(np.full((2, 1), np.nan)), [[5.0], [6.0]])


def test_input_is_untouched():
    x = spoiled(50).astype(np.float64)
    before = x.copy()
    y, _ = Gate(AB).admit(x)
    np.testing.assert_array_equal(x, before)
    assert not np.shares_memory(x, y)


@pytest.mark.parametrize("shape", [(3, 10), (10,), (2, 3, 10), (10, 2)])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(SignalError, match=r"The gate needs samples of shape \(2, n_samples\), got \("):
        Gate(AB).admit(np.zeros(shape))
