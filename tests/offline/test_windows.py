"""Windows lie inside their stretch, whatever the pipeline does to the rate; fitted stages see training people only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bci.chunk import Signal
from bci.errors import SpecError
from bci.pipeline import PipelineSpec, Window
from bci.stages.filters import Bandpass
from bci.stages.logmel import LogMel
from bci.stages.resample import Resample
from bci.stages.scale import RobustScale
from offline.datasets.base import Session, Stretch
from offline.feature_cache import FeatureCache
from offline.fit import fit_stages
from offline.windows import SessionWindows, WindowSet, cut_sessions, require_windows, session_windows

SIGNAL = Signal(256.0, ("Oz", "O1"))
STAGES = {
    "plain": (),
    "filtered": (Bandpass(5.0, 40.0),),
    "half rate": (Resample(128.0),),
    "mel": (LogMel(128, 128, 16, 8, 5.0, 45.0),),
}


def session(seed: int = 0, scale: float = 10.0) -> Session:
    """Return 20 s of noise with two stretches."""
    data = (scale * np.random.default_rng(seed).standard_normal((2, 20 * 256))).astype(np.float32)
    stretches = (Stretch(1000, 2203, 0), Stretch(3001, 4500, 1))
    return Session(f"s{seed}", f"sub-{seed}", Path("none"), SIGNAL, data.shape[1], stretches, lambda: data)


@pytest.mark.parametrize("name", STAGES)
def test_windows_lie_inside_their_stretch(name):
    """No sample that a window covers lies before the stretch or after it, and one column more would not fit."""
    pipeline = PipelineSpec(SIGNAL, STAGES[name], Window(2.0, 0.25)).build()
    recording = session()
    windows = session_windows(pipeline, recording)
    span = int(pipeline.last_input(np.array([0]))[0])
    hop = round(256 / pipeline.signal_out.sfreq)
    for stretch, first, last in zip(recording.stretches, windows.first, windows.last, strict=True):
        begin = pipeline.last_input(np.array([first]))[0] - span
        end = pipeline.last_input(np.array([last + pipeline.window_frames - 1]))[0]
        assert stretch.start <= begin < stretch.start + hop
        assert stretch.stop - hop <= end + 1 <= stretch.stop


def test_a_window_is_the_stretch_of_columns_that_it_names():
    windows = session_windows(PipelineSpec(SIGNAL, (), Window(1.0, 1.0)).build(), session())
    both = WindowSet([windows], 256)
    (cut,) = both.batches(both.scored)
    np.testing.assert_array_equal(cut[1], session().read()[:, 3001 : 3001 + 256])
    assert cut.dtype == np.float32


def test_batches_are_the_windows_of_each_round_in_turn_a_few_at_a_time():
    windows = session_windows(PipelineSpec(SIGNAL, (), Window(1.0, 1.0)).build(), session())
    both = WindowSet([windows], 256)
    starts = np.stack([both.first, both.last, both.first + 7])
    batches = list(both.batches(starts, 4))
    assert [len(batch) for batch in batches] == [4, 2]
    expected = [session().read()[:, start : start + 256] for start in starts.ravel()]
    np.testing.assert_array_equal(np.concatenate(batches), np.stack(expected))


def test_random_starts_cover_the_stretch_and_nothing_else():
    windows = cut_sessions(PipelineSpec(SIGNAL, (), Window(4.0, 1.0)), [session()])
    starts = windows.random_starts(np.zeros(5000, dtype=np.int64), np.random.default_rng(0))
    assert starts.min() == 1000
    assert starts.max() == 2203 - 1024


def test_a_window_longer_than_a_stretch_is_refused():
    with pytest.raises(SpecError, match=r"window of 5 s must fit into every labelled stretch, s0 has one of 4\.6"):
        session_windows(PipelineSpec(SIGNAL, (), Window(5.0, 1.0)).build(), session())


def test_fitted_stages_depend_on_the_sessions_they_are_given():
    spec = PipelineSpec(SIGNAL, (Bandpass(5.0, 40.0), RobustScale()), Window(1.0, 1.0))
    fitted = fit_stages(spec, [session(0), session(1)])
    assert fitted == fit_stages(spec, [session(0), session(1)])
    assert fitted != fit_stages(spec, [session(0), session(2)])
    (scale,) = [stage for stage in fitted.stages if isinstance(stage, RobustScale)]
    assert scale.fitted
    assert fit_stages(fitted, [session(2)]) == fitted
    assert replace(fitted, stages=spec.stages) == spec


def test_missing_samples_are_found_in_the_windows_that_cover_them():
    recording = session()
    data = recording.read().copy()
    data[0, 3100] = np.nan
    spoiled = replace(recording, read=lambda: data)
    spec = PipelineSpec(SIGNAL, (Bandpass(5.0, 40.0),), Window(1.0, 1.0))
    assert cut_sessions(spec, [recording, spoiled]).n_incomplete() == 1


def test_a_check_of_the_windows_reads_nothing():
    def read():
        pytest.fail("no sample is needed")

    unread = replace(session(), read=read)
    require_windows(PipelineSpec(SIGNAL, (), Window(4.5, 1.0)), [unread])
    with pytest.raises(SpecError, match=r"window of 5 s must fit into every labelled stretch"):
        require_windows(PipelineSpec(SIGNAL, (), Window(5.0, 1.0)), [unread])


def test_a_window_longer_than_its_stretch_contains_it_and_stays_in_its_context():
    """Votes for the centre 10 s of 50 s: the window may move as far as the context lets it."""
    labelled = Stretch(400, 500, 1, votes=(1.0, 3.0), context=200)
    recording = replace(session(), n_samples=1000, stretches=(labelled,), read=lambda: np.zeros((2, 1000), np.float32))
    windows = session_windows(PipelineSpec(SIGNAL, (), Window(300 / 256, 1.0)).build(), recording)
    # of 300 samples: from 200 to 500 up to 400 to 700
    assert (windows.first.tolist(), windows.last.tolist(), windows.scored.tolist()) == ([200], [400], [300])
    np.testing.assert_array_equal(windows.votes, [[1.0, 3.0]])
    whole = session_windows(PipelineSpec(SIGNAL, (), Window(500 / 256, 1.0)).build(), recording)
    assert (whole.first.tolist(), whole.last.tolist()) == ([200], [200])
    with pytest.raises(SpecError, match=r"must fit into every labelled stretch, .* has one of 1\.95"):
        session_windows(PipelineSpec(SIGNAL, (), Window(501 / 256, 1.0)).build(), recording)


@pytest.mark.parametrize("name", STAGES)
def test_windows_out_of_a_cache_are_those_that_are_computed(name, tmp_path):
    spec = PipelineSpec(SIGNAL, STAGES[name], Window(2.0, 0.25))
    recording = whole_read(session())
    cache = FeatureCache(tmp_path)
    computed = cut_sessions(spec, [recording])
    for _ in range(2):  # made, then found
        kept = cut_sessions(spec, [recording], cache)
        ((ours,), (theirs,)) = kept.batches(kept.scored), computed.batches(computed.scored)
        np.testing.assert_array_equal(ours, theirs)
        assert (kept.last.tolist(), kept.n_incomplete()) == (computed.last.tolist(), computed.n_incomplete())
        assert isinstance(kept._sessions[0].data, np.memmap), "it does not take memory"
    assert len(list(tmp_path.iterdir())) == 1


def whole_read(recording: Session) -> Session:
    """Return the recording with a `read` that takes bounds."""
    data = recording.read()
    return replace(recording, read=lambda start=0, stop=None: data[:, start:stop])


def test_votes_of_some_sessions_are_none_of_others():
    data, at = np.zeros((1, 8), np.float32), np.array([0])
    voted = SessionWindows(data, at, at, np.array([1]), votes=np.array([[0.0, 2.0]]))
    plain = SessionWindows(data, at, at, np.array([0]))
    np.testing.assert_array_equal(WindowSet([plain, voted], 4).votes, [[0.0, 0.0], [0.0, 2.0]])
    assert WindowSet([plain, plain], 4).votes is None
