"""Columns have the class of the samples that they are made of, at every rate, and windows read nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bci.chunk import Signal
from bci.pipeline import PipelineSpec, Window
from bci.stages.logmel import LogMel
from bci.stages.resample import Resample
from offline.column_classes import column_classes, earliest_starts
from offline.datasets.base import Session, Stretch
from offline.windows import WindowSet, cut_sessions, session_windows

SIGNAL = Signal(256.0, ("Cz",))
STAGES = {
    "plain": (),
    "half": (Resample(128.0),),
    "quarter": (Resample(64.0),),
    "more": (Resample(300.0),),
    "mel": (LogMel(128, 128, 16, 8, 5.0, 45.0),),
}
N = 5120
STRETCHES = (
    Stretch(0, 600, 0),
    Stretch(600, 1000, 0),
    Stretch(1000, 2203, 1, ending=512),
    Stretch(2203, 3001, 0),
    Stretch(3100, N, 1),
)
"""Two pieces of background, a seizure, background; then a gap that must not be read, and another seizure."""


def marks(stretches: tuple[Stretch, ...] = STRETCHES) -> np.ndarray:
    """Return the class of every sample, -1 outside."""
    found = np.full(N, -1)
    for stretch in stretches:
        found[stretch.start : stretch.stop] = stretch.label
    return found


def session(stretches: tuple[Stretch, ...] = STRETCHES, lead: int = 0) -> Session:
    """Return a recording of its own marks, so many samples early; the gap has those of what follows it."""
    marker = marks(stretches)
    marker[3001:3100] = 1
    early = np.concatenate([marker[lead:], np.full(lead, marker[-1])]).astype(np.float32)[None]
    read = early.__getitem__
    return Session(
        "s", "s", Path("s"), SIGNAL, N, stretches, lambda start=0, stop=None: read((slice(None), slice(start, stop)))
    )


@pytest.mark.parametrize("name", [name for name in STAGES if name != "mel"])
def test_classes_line_up_with_a_channel_that_carries_them(name):
    """The channel leads by the declared delay of the filter, as windows are late by it; one column off is wrong."""
    spec = PipelineSpec(SIGNAL, STAGES[name], Window(1.0, 1.0))
    lead = round(sum(stage.delay_s(3.0) for stage in spec.build().stages) * SIGNAL.sfreq)
    windows = session_windows(spec.build(), session(lead=lead), every_column=True)
    shown = windows.data[0] > 0.5
    wrong = []
    for shift in (-1, 0, 1):
        classes = np.roll(windows.classes, shift)[1:-1]
        wrong.append(int(((shown[1:-1] != classes) & (classes >= 0)).sum()))
    assert wrong[1] == 0
    assert min(wrong[0], wrong[2]) > 0


@settings(max_examples=40, deadline=None)
@given(st.data())
@pytest.mark.parametrize("name", STAGES)
def test_a_column_is_judged_if_all_its_samples_are_of_one_class(name, data):
    cuts = sorted(data.draw(st.sets(st.integers(0, N), min_size=2, max_size=12)))
    labels = data.draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=len(cuts), max_size=len(cuts)))
    stretches = tuple(Stretch(a, b, k) for a, b, k in zip(cuts, cuts[1:], labels, strict=False) if k >= 0)
    pipeline = PipelineSpec(SIGNAL, STAGES[name], Window(1.0, 1.0)).build()
    last_input = pipeline.last_input(np.arange(round(N * pipeline.signal_out.sfreq / 256)))
    last_input = last_input[last_input < N]
    classes, wanted = column_classes(last_input, stretches), marks(stretches)
    assert classes.dtype == np.int8
    for column, last in zip(classes, last_input, strict=True):
        own = set(wanted[last - last_input[0] : last + 1].tolist())
        assert column == (own.pop() if len(own) == 1 else -1)


@pytest.mark.parametrize("name", STAGES)
def test_a_window_ends_in_its_stretch_and_begins_in_those_right_before(name):
    spec = PipelineSpec(SIGNAL, STAGES[name], Window(1.0, 0.25))
    pipeline, recording = spec.build(), session()
    plain, every = (session_windows(pipeline, recording, every_column=flag) for flag in (False, True))
    np.testing.assert_array_equal(plain.data, every.data)
    for part in ("last", "labels", "scored"):
        np.testing.assert_array_equal(getattr(plain, part), getattr(every, part))
    assert plain.classes is None
    assert (every.first <= plain.first).all()
    span = int(pipeline.last_input(np.array([0]))[0])
    begins = pipeline.last_input(every.first) - span
    ends = pipeline.last_input(every.first + pipeline.window_frames - 1)
    hop = 256 / pipeline.signal_out.sfreq
    for stretch, begin, end in zip(recording.stretches, begins, ends, strict=True):
        run = 0 if stretch.start < 3100 else 3100
        assert run <= begin
        assert stretch.start <= end < stretch.start + hop or begin < run + hop


def test_nothing_is_read_between_stretches_that_do_not_touch():
    """In a split in time, the gap belongs to another side."""
    starts = earliest_starts(np.arange(N), 256, STRETCHES)
    assert starts.tolist() == [0, 345, 745, 1948, 3100]
    assert earliest_starts(np.arange(N), 256, STRETCHES[2:]).tolist() == [1000, 1948, 3100]


def test_the_mean_counts_are_those_of_all_windows():
    windows = cut_sessions(PipelineSpec(SIGNAL, (Resample(64.0),), Window(1.5, 1.0)), [session()] * 2, None, True)
    expected = []
    for i, (first, last) in enumerate(zip(windows.first, windows.last, strict=True)):
        starts = np.arange(first, last + 1)
        classes = windows.classes(np.full(len(starts), i), starts)
        assert classes.shape == (len(starts), 96)
        expected.append([(classes == label).sum(axis=1).mean() for label in (0, 1)])
    np.testing.assert_allclose(windows.mean_counts(2), expected, rtol=1e-12)
    assert expected[2][0] > 1, "a window that ends in the seizure holds background"
    assert expected[3][1] > 1, "and one that ends behind it holds the seizure"


def test_a_set_knows_classes_only_if_all_its_sessions_do():
    spec = PipelineSpec(SIGNAL, (), Window(1.0, 1.0))
    parts = [session_windows(spec.build(), session(), every_column=flag) for flag in (True, False)]
    assert [WindowSet(some, 256).has_classes for some in (parts[:1], parts[1:], parts)] == [True, False, False]
