"""Windows that are longer than what is labelled lie around it, inside its context; shorter ones lie inside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bci.chunk import Signal
from bci.errors import SpecError
from bci.pipeline import PipelineSpec, Window
from bci.stages.filters import Bandpass
from bci.stages.logmel import LogMel
from offline.datasets.base import Session, Stretch
from offline.windows import require_windows, session_windows

SIGNAL = Signal(200.0, ("Fp1", "F7"))
SEGMENT = Stretch(4000, 6000, 0, (1.0,), context=4000)
MEL = LogMel(n_fft=512, win_length=512, hop_length=16, n_mels=32, low_hz=0.5, high_hz=40.0)


def _session(*stretches):
    data = np.random.default_rng(0).standard_normal((2, 12_000)).astype(np.float32)

    def read(start=0, stop=None):
        return data[:, start:stop]

    return Session("a", "a", Path("a"), SIGNAL, 12_000, stretches, read)


@pytest.mark.parametrize("length_s", [0.5, 10.0, 10.5, 30.0, 49.5, 50.0])
def test_starts_are_those_of_the_stretch(length_s):
    """Without features a column is a sample: the rule of the stretch itself."""
    spec = PipelineSpec(SIGNAL, (Bandpass(1.0, 40.0),), Window(length_s, 0.25), 10.0)
    windows = session_windows(spec.build(), _session(SEGMENT, Stretch(5800, 6200, 0, context=4800)))
    n = round(length_s * 200)
    assert (windows.first[0], windows.last[0]) == SEGMENT.starts(n)
    require_windows(spec, [_session(SEGMENT)])


def test_windows_of_frames_see_the_segment_and_nothing_else():
    n_frames = 1 + (10_000 - 512) // 16
    spec = PipelineSpec(SIGNAL, (Bandpass(1.0, 40.0), MEL), Window(n_frames * 16 / 200, 0.24), 10.0)
    windows = session_windows(spec.build(), _session(SEGMENT, Stretch(4400, 6400, 0, context=4000)))
    np.testing.assert_array_equal(windows.first, [0, 25])  # 400 samples are 25 frames
    np.testing.assert_array_equal(windows.last, [0, 25])


def test_a_window_longer_than_the_context_is_refused():
    spec = PipelineSpec(SIGNAL, (Bandpass(1.0, 40.0),), Window(50.5, 0.25), 10.0)
    with pytest.raises(SpecError, match=r"window of 50\.5 s must fit into every labelled stretch, a has one of 50 s"):
        session_windows(spec.build(), _session(SEGMENT))
