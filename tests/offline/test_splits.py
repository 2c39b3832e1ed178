"""Splits by person never overlap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bci.errors import SpecError
from offline.splits import Split, inner_splits, leave_one_out

SUBJECTS = st.lists(st.text("abc123", min_size=1, max_size=4), min_size=4, max_size=12, unique=True)


@given(SUBJECTS, st.integers(1, 2))
def test_everybody_is_tested_once_and_stands_on_one_side(subjects, n_validation):
    splits = leave_one_out(subjects, n_validation)
    assert [split.test for split in splits] == [(name,) for name in subjects]
    for split in splits:
        sides = [*split.train, *split.validation, *split.test]
        assert sorted(sides) == sorted(subjects)
        assert len(split.validation) == n_validation


@given(SUBJECTS, st.integers(1, 3))
def test_inner_splits_never_see_the_outer_test_subject(subjects, n_splits):
    for outer in leave_one_out(subjects):
        inner = inner_splits(outer, n_splits)
        assert len(set(inner)) == n_splits
        for split in inner:
            assert outer.test[0] not in (*split.train, *split.validation, *split.test)


def test_a_subject_on_two_sides_is_refused():
    with pytest.raises(SpecError, match="each subject on one side, got b on two"):
        Split(("a", "b"), (), ("b",))


def test_a_split_without_learners_is_refused():
    with pytest.raises(SpecError, match="at least one subject to learn from"):
        Split((), ("a",), ("b",))


def test_two_people_are_too_few():
    with pytest.raises(SpecError, match=r"needs at least 3 subjects, got 2\. Add recordings"):
        leave_one_out(["a", "b"])


def test_more_inner_folds_than_people_are_refused():
    with pytest.raises(SpecError, match="between 1 and the 3 subjects left, got 4"):
        inner_splits(leave_one_out(["a", "b", "c", "d"])[0], 4)
