"""Splits in time: what is learnt from lies before what is scored, whatever the recordings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bci.errors import SpecError
from offline.datasets.base import Dataset
from offline.leaks import require_apart
from offline.splits import Split, k_fold, sides, split_from
from offline.temporal import part_of, temporal_splits
from tests.offline.toy_task import TRIAL, dataset, session


def recordings(counts: list[int]) -> Dataset:
    """Return recordings of one person, named against their order in time."""
    made = [
        replace(session("p", i, run=i + 1, n_trials=n), name=f"{chr(ord('z') - i)}[x]") for i, n in enumerate(counts)
    ]
    return Dataset("toy", ("quiet", "loud"), tuple(sorted(made, key=lambda s: s.name)))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(2, 4))
def test_learners_come_first_and_everything_later_is_scored_once(counts, n_folds):
    data = recordings(counts)
    if sum(counts) < n_folds + 2:
        with pytest.raises(SpecError, match="A split in time into"):
            temporal_splits(data, n_folds)
        return
    splits = temporal_splits(data, n_folds)
    assert [split.name for split in splits] == [f"p-{i + 1}" for i in range(n_folds)]
    scored = []
    for split in splits:
        require_apart(data, split)
        train, validation, test = sides(data, split)
        assert sum(len(s.stretches) for side in (train, validation, test) for s in side) <= sum(counts)
        order = [
            (s.recorded_at, stretch.start)
            for side in (train, validation, test)
            for s in side
            for stretch in s.stretches
        ]
        assert order == sorted(order)
        assert len(set(order)) == len(order)
        scored += [(s.name, stretch.start) for s in test for stretch in s.stretches]
        assert split_from({"subject": split.subject, "index": split.index, **{
            side: list(getattr(split, side)) for side in ("train", "validation", "test")
        }}) == split  # fmt: skip
    assert len(set(scored)) == len(scored)


def test_learners_cannot_read_what_comes_later():
    data = dataset(1)
    (split, *_) = temporal_splits(data, 2)
    train, _, test = sides(data, split)
    assert train[0].n_samples == 2 * TRIAL == train[0].read().shape[1]
    np.testing.assert_array_equal(train[0].read(), data.sessions[0].read(0, 2 * TRIAL))
    assert train[0].read(10, 10_000).shape[1] == 2 * TRIAL - 10
    assert test[0].read().shape == data.sessions[0].read().shape, "filters come from the past"


def test_recordings_without_a_date_have_no_order():
    data = recordings([4, 4])
    undated = replace(data, sessions=tuple(replace(s, recorded_at=None) for s in data.sessions))
    with pytest.raises(SpecError, match=r"the date of each recording of p, 0 of 2 have one; p_run-2 has none\. Use"):
        temporal_splits(undated, 2)


def test_recordings_that_began_at_once_have_no_order():
    data = recordings([4, 4, 4])
    date = data.sessions[0].recorded_at
    at_once = replace(data, sessions=(data.sessions[0], *(replace(s, recorded_at=date) for s in data.sessions[1:])))
    with pytest.raises(
        SpecError, match=r"one after the other, p_run-\d and p_run-\d both began at 2026-01-\d\d 00:00:00\. Use another"
    ):
        temporal_splits(at_once, 2)


def test_stretches_that_overlap_with_their_context_are_refused():
    data = dataset(1)
    wide = replace(data.sessions[0], stretches=tuple(replace(s, context=5) for s in data.sessions[0].stretches))
    with pytest.raises(
        SpecError, match="needs stretches that do not overlap, with their context, sub-01_run-1 has some"
    ):
        temporal_splits(replace(data, sessions=(wide,)), 2)


@pytest.mark.parametrize("text", ["sub-01_run-1", "sub-01_run-1[3:3]", "sub-01_run-1[0:9]", "other[0:1]"])
def test_a_part_that_is_not_there_is_refused(text):
    with pytest.raises(SpecError, match=r"needs a form such as name\[0:4\] within what is there"):
        part_of(dataset(1).sessions, text, cut=False)


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 5), st.integers(5, 30), st.integers(0, 1000))
def test_folds_of_people_score_everybody_once_and_share_the_classes(n_folds, n_subjects, seed):
    labels = {f"sub-{i:02d}": i % 2 for i in range(n_subjects)}
    splits = k_fold(labels, n_folds, seed)
    assert sorted(name for split in splits for name in split.test) == sorted(labels)
    for split in splits:
        assert sorted((*split.train, *split.validation, *split.test)) == sorted(labels)
        ones = sum(labels[name] for name in split.test)
        assert abs(ones - sum(labels.values()) / n_folds) < 1
        assert abs(len(split.test) - n_subjects / n_folds) < 1
    assert k_fold(labels, n_folds, seed) == splits


def test_a_fold_of_many_people_has_a_name_that_a_file_can_have():
    many = Split(("a",), (), tuple(f"a person with a long name {i}" for i in range(40)))
    other = replace(many, test=(*many.test[:-1], "somebody else"))
    assert len(many.name) < 80
    assert many.name != other.name
