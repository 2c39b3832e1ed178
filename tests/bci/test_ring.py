"""The mirrored ring against a plain list of columns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bci.errors import Overflow, SignalError, SpecError
from bci.ring import Ring

shapes = st.sampled_from([(), (1,), (3,), (2, 4)])


def columns(shape, first, n):
    """Return numbered columns, different in every value."""
    size = int(np.prod(shape))
    return (np.arange(first, first + n) * size + np.arange(size).reshape(*shape, 1)).astype(np.float32)


class RingAgainstList(RuleBasedStateMachine):
    """Any sequence of pushes, releases and clears."""

    @initialize(shape=shapes, capacity=st.integers(1, 12), overflow=st.sampled_from(["overwrite", "raise"]))
    def start(self, shape, capacity, overflow):
        self.shape = shape
        self.ring = Ring(shape, capacity, overflow=overflow)
        self.n_pushed = self.n_released = self.n_lost = self.first = 0

    @rule(n=st.integers(0, 40))
    def push(self, n):
        lost = max(0, self.n_pushed + n - self.ring.capacity - self.n_released)
        if lost and self.ring.overflow == "raise":
            with pytest.raises(Overflow, match=f"{lost} more came than were released. Read faster or make it larger"):
                self.ring.push(columns(self.shape, self.first + self.n_pushed, n))
            return
        self.ring.push(columns(self.shape, self.first + self.n_pushed, n))
        self.n_pushed += n
        self.n_lost += lost
        self.n_released += lost

    @rule(n_total=st.integers(-3, 100))
    def release(self, n_total):
        self.ring.release(n_total)
        self.n_released = max(self.n_released, min(n_total, self.n_pushed))

    @rule()
    def clear(self):
        self.ring.clear()
        self.first += self.n_pushed
        self.n_pushed = self.n_released = 0

    @invariant()
    def every_view_holds_the_newest_columns(self):
        if not hasattr(self, "ring"):
            return
        assert (self.ring.n_pushed, self.ring.n_lost) == (self.n_pushed, self.n_lost)
        end = self.first + self.n_pushed
        n_held = min(self.n_pushed, self.ring.capacity)
        for n in range(n_held + 1):
            view = self.ring.newest(n)
            np.testing.assert_array_equal(view, columns(self.shape, end - n, n))
            assert view.base is not None  # a view: nothing was copied
        with pytest.raises(SpecError, match=f"The ring holds {n_held} columns, {n_held + 1} were asked for. Wait for"):
            self.ring.newest(n_held + 1)


TestRingAgainstList = RingAgainstList.TestCase


@given(st.lists(st.integers(0, 30), max_size=20), st.integers(1, 20))
def test_how_columns_are_cut_does_not_matter(sizes, capacity):
    cut, whole = Ring((2,), capacity), Ring((2,), capacity)
    for start, size in zip(np.cumsum([0, *sizes]), sizes, strict=False):
        cut.push(columns((2,), int(start), size))
    whole.push(columns((2,), 0, sum(sizes)))
    n = min(capacity, sum(sizes))
    np.testing.assert_array_equal(cut.newest(n), whole.newest(n))
    assert cut.n_lost == whole.n_lost == max(0, sum(sizes) - capacity)


def test_a_window_is_a_view_of_one_store_wherever_the_seam_is():
    ring = Ring((3,), 10)
    whole = None
    for first in range(0, 60, 7):
        ring.push(columns((3,), first, 7))
        view = ring.newest(7)
        whole = view if whole is None else whole
        assert np.shares_memory(view, ring.newest(1))
        assert view.base is whole.base
        assert all(row.flags.c_contiguous for row in view)


def test_later_pushes_change_a_view():
    ring = Ring((), 4)
    ring.push(np.arange(4))
    view = ring.newest(4)
    ring.push(np.arange(4, 8))
    np.testing.assert_array_equal(view, [4, 5, 6, 7])


def test_pushed_columns_are_copied():
    ring = Ring((), 4)
    x = np.arange(3.0)
    ring.push(x)
    x[:] = -1
    np.testing.assert_array_equal(ring.newest(3), [0, 1, 2])


def test_a_refused_push_writes_nothing():
    ring = Ring((), 4, overflow="raise")
    ring.push(np.arange(3))
    with pytest.raises(Overflow, match="The ring holds 4 columns and 1 more came than were released"):
        ring.push(np.arange(10, 12))
    np.testing.assert_array_equal(ring.newest(3), [0, 1, 2])
    ring.release(1)
    ring.push(np.arange(10, 12))
    np.testing.assert_array_equal(ring.newest(4), [1, 2, 10, 11])
    assert ring.n_lost == 0


def test_clear_keeps_the_count_of_lost_columns():
    ring = Ring((), 2)
    ring.push(np.arange(5))
    ring.clear()
    assert (ring.n_pushed, ring.n_lost) == (0, 3)
    ring.push(np.arange(2))
    assert ring.n_lost == 3


def test_the_type_of_values_is_kept():
    ring = Ring((2,), 5, dtype=np.float64)
    ring.push(np.full((2, 3), 1 / 3))
    assert ring.newest(3).dtype == np.float64
    assert ring.newest(1)[0, 0] == 1 / 3


@pytest.mark.parametrize("shape", [(5,), (1, 5), (3, 2, 5), (2, 5)])
def test_columns_of_another_shape_are_refused_rather_than_spread(shape):
    with pytest.raises(SignalError, match=r"ring needs columns of shape \(3,\) \(time last\), got an array of shape"):
        Ring((3,), 10).push(np.zeros(shape))


def test_a_column_of_no_dimension_is_refused_without_time():
    with pytest.raises(SignalError, match=r"needs columns of shape \(\) \(time last\), got an array of shape \(\)"):
        Ring((), 10).push(np.float32(1))


def test_wrong_settings_are_refused():
    with pytest.raises(SpecError, match="A ring needs a capacity of at least 1 column, got 0"):
        Ring((2,), 0)
    with pytest.raises(SpecError, match="overflow policy is 'overwrite' or 'raise', got 'block'"):
        Ring((2,), 1, overflow="block")
    with pytest.raises(SpecError, match="The ring holds 0 columns, -1 were asked for"):
        Ring((2,), 1).newest(-1)
