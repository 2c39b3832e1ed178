"""Values that no amplifier gives are found wherever samples are read."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from bci.chunk import Signal
from bci.errors import RecordingError
from offline.datasets.check import check_dataset, readable
from offline.datasets.plausible import Guarded, require_plausible
from offline.datasets.shared import learners_of_one_class
from tests.offline.toy_task import dataset

MICROVOLTS = Signal(100.0, ("C3", "C4"))
VALUES = Signal(100.0, ("C3", "C4"), unit="value")
REFUSED = [(MICROVOLTS, 1.1e7), (MICROVOLTS, -7e35), (MICROVOLTS, -np.inf), (VALUES, np.nan), (VALUES, 2e30)]


@pytest.mark.parametrize(("signal", "value"), REFUSED)
def test_values_beyond_the_bound_are_refused_with_their_place(signal, value):
    data = np.zeros((2, 10), np.float32)
    data[1, 4:] = value
    with pytest.raises(
        RecordingError, match=rf"a\.edf, channel C4, sample 104: a {signal.unit} must be a number up to"
    ):
        require_plausible("a.edf", signal, data, 100)


@pytest.mark.parametrize(("signal", "value"), [(MICROVOLTS, 4.5e6), (MICROVOLTS, np.nan), (VALUES, -1e20)])
def test_values_that_may_be_are_accepted(signal, value):
    require_plausible("a.edf", signal, np.full((2, 3), value, np.float32))
    require_plausible("a.edf", signal, np.zeros((2, 0)))


def test_a_value_is_found_among_what_was_not_recorded():
    data = np.full((2, 10), np.nan, np.float32)
    data[0, 7] = -2e7
    with pytest.raises(RecordingError, match=r"a\.edf, channel C3, sample 7: a uV must be .*, got -2e\+07\. Fetch"):
        require_plausible("a.edf", MICROVOLTS, data)


@pytest.mark.parametrize("signal", [MICROVOLTS, VALUES])
def test_a_recording_is_not_copied_to_be_checked(signal):
    data = np.zeros((2, 1 << 20), np.float32)
    require_plausible("a.edf", signal, data)  # so that what numpy loads once does not count
    tracemalloc.start()
    try:
        require_plausible("a.edf", signal, data)
        assert tracemalloc.get_traced_memory()[1] < data.nbytes / 10
    finally:
        tracemalloc.stop()


def spoiled(start=0, stop=None):
    data = np.ones((2, 512), np.float32)
    data[0, 300] = 1e20
    return data[:, start:stop]


def test_a_recording_with_one_is_left_out_of_any_archive():
    clean = dataset(3)
    first = replace(clean.sessions[0], read=spoiled)
    data = replace(clean, sessions=(first, *clean.sessions[1:]))
    left = readable(data)
    assert [s.name for s in left.sessions] == ["sub-02_run-1", "sub-03_run-1"]
    (problem,) = left.problems
    assert problem.text.startswith("sub-01_run-1, channel C3, sample 300: a uV must be a number up to 1e+07 in size")
    assert check_dataset(data).problems == left.problems
    with pytest.raises(RecordingError, match="sample 300"):
        Guarded(first)(290, 310)
    np.testing.assert_array_equal(Guarded(first)(0, 300), spoiled(0, 300))


def test_the_check_names_parts_whose_learners_know_one_class():
    clean = dataset(4)
    loud = [replace(s, stretches=s.stretches[1::2], part=f"fold-{i}") for i, s in enumerate(clean.sessions)]
    loud[0] = replace(loud[0], stretches=clean.sessions[0].stretches)
    data = replace(clean, sessions=tuple(loud))
    reasons = [problem.reason for problem in learners_of_one_class(data)]
    assert [reason[:62] for reason in reasons] == [
        "A fold needs learners of at least two classes, fold sub-01 has",
        "A fold needs learners of at least two classes, fold sub-04 has",
    ]
    assert [problem.reason for problem in check_dataset(data).problems] == reasons
    assert not learners_of_one_class(clean)
