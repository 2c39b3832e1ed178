"""Other classes and shorter stretches of the same recordings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bci.chunk import Signal
from bci.errors import UsageError
from offline.datasets.base import Dataset, Session, Stretch
from offline.labels import cut_up, regrouped

SIX = ("seizure", "lpd", "gpd", "lrda", "grda", "other")


def archive(*stretches: Stretch) -> Dataset:
    session = Session("a", "p", None, Signal(10.0, ("C3",)), 10_000, stretches, lambda start=0, stop=None: np.zeros(1))
    return Dataset("six", SIX, (session,))


FULL = archive(*[Stretch(100 * i, 100 * i + 50, i, tuple(float(i == k) + 1 for k in range(6))) for i in range(6)])


def test_two_and_three_classes_come_from_six():
    two = regrouped(FULL, ["seizure", "none=lpd+gpd+lrda+grda+other"])
    assert two.classes == ("seizure", "none")
    assert [s.label for s in two.sessions[0].stretches] == [0, 1, 1, 1, 1, 1]
    assert [s.votes for s in two.sessions[0].stretches][:2] == [(2.0, 5.0), (1.0, 6.0)]
    three = regrouped(FULL, ["periodic=lpd+gpd", "rhythmic=lrda+grda", "seizure"])
    assert [s.label for s in three.sessions[0].stretches] == [2, 0, 0, 1, 1]
    assert three.sessions[0].stretches[0].votes == (2.0, 2.0, 2.0)
    assert regrouped(FULL, list(SIX)) == FULL


def test_a_recording_without_a_class_is_left_out():
    assert regrouped(archive(Stretch(0, 10, 5)), ["seizure", "lpd"]).sessions == ()


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["seizure", "tumour"], "made of those of the task, seizure, .*; got tumour"),
        (["seizure"], "at least two different names, .* got seizure"),
        (["a=seizure+lpd", "b=lpd"], "each class of the task in one of them at most"),
        (["a=seizure", "a=lpd"], "at least two different names"),
    ],
)
def test_impossible_classes_are_refused(classes, message):
    with pytest.raises(UsageError, match=message):
        regrouped(FULL, classes)


@given(st.integers(1, 400), st.integers(1, 60))
def test_pieces_cover_the_stretch_once(length, n):
    (session,) = cut_up(archive(Stretch(7, 7 + length, 3, context=2)), n / 10).sessions
    pieces = session.stretches
    assert [p.start for p in pieces[1:]] == [p.stop for p in pieces[:-1]]
    assert (pieces[0].start, pieces[-1].stop) == (7, 7 + length)
    assert all(n <= p.stop - p.start < 2 * n or len(pieces) == 1 for p in pieces)
    assert {(p.label, p.context) for p in pieces} == {(3, 2)}


def test_a_piece_is_whole_samples():
    with pytest.raises(UsageError, match=r"Pieces of stretches: piece_s .*0\.25"):
        cut_up(FULL, 0.25)
