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


@given(SUBJECTS, st.integers(1, 4), st.integers(0, 3))
def test_inner_splits_score_everybody_once(subjects, n_splits, seed):
    """Trials are judged by all who may have a say, whatever the outer split: none of them sees the scored person."""
    for outer in leave_one_out(subjects)[:2]:
        left = sorted((*outer.train, *outer.validation))
        if n_splits > len(left) or len(left) < 2 + n_splits % 2:
            continue
        labels = {name: i % 2 for i, name in enumerate(left)}
        if n_splits == 2 and len(left) < 4:
            continue
        inner = inner_splits(labels, n_splits, seed)
        assert len(set(inner)) == n_splits
        for split in inner:
            assert sorted((*split.train, *split.validation, *split.test)) == left
            assert split.validation
        scored = [name for split in inner for name in split.test]
        assert len(scored) == len(set(scored))
        assert n_splits == 1 or sorted(scored) == left


@pytest.mark.parametrize("n_splits", [2, 3, 5])
def test_every_side_of_inner_splits_has_its_share_of_each_class(n_splits):
    labels = {f"sub-{i:02d}": int(i < 15) for i in range(30)}
    for split in inner_splits(labels, n_splits, 1):
        for side in (split.train, split.validation, split.test):
            assert abs(2 * sum(labels[name] for name in side) - len(side)) <= 2


def test_a_subject_on_two_sides_is_refused():
    with pytest.raises(SpecError, match="each subject on one side, got b on two"):
        Split(("a", "b"), (), ("b",))


def test_a_split_without_learners_is_refused():
    with pytest.raises(SpecError, match="at least one subject to learn from"):
        Split((), ("a",), ("b",))


def test_two_people_are_too_few():
    with pytest.raises(SpecError, match=r"needs at least 3 subjects, got 2\. Add recordings"):
        leave_one_out(["a", "b"])


def test_too_few_people_for_inner_folds_are_refused():
    with pytest.raises(SpecError, match="between 1 and the 3 subjects left, got 4"):
        inner_splits({"a": 0, "b": 0, "c": 1}, 4, 0)
    with pytest.raises(SpecError, match=r"Inner folds \(2\) need at least 4 subjects left, got 3\. Add people"):
        inner_splits({"a": 0, "b": 0, "c": 1}, 2, 0)
