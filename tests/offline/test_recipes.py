"""Every model sees the same stretch of raw signal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bci.chunk import Signal
from bci.errors import UsageError
from bci.stages.scale import RobustScale
from offline.recipes import RECIPES, recipe

SIGNAL = Signal(256.0, ("Oz", "O1"))
FITTED = RobustScale((0.0, 0.0), (1.0, 1.0))


@pytest.mark.parametrize("window_s", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("model", RECIPES["ssvep"])
def test_a_window_sees_no_more_than_it_says(model, window_s):
    """And not much less: one column more would see too much."""
    spec = recipe("ssvep", model).pipeline(SIGNAL, window_s, 0.25)
    stages = tuple(FITTED if isinstance(stage, RobustScale) else stage for stage in spec.stages)
    pipeline = replace(spec, stages=stages).build()
    n = pipeline.window_frames
    last, following = pipeline.last_input(np.array([n - 1, n]))
    assert last < window_s * 256 <= following


def test_a_window_shorter_than_a_frame_is_refused():
    with pytest.raises(UsageError, match=r"window_s must be at least 1 s for this model, got 0\.5"):
        recipe("ssvep", "mel_cnn").pipeline(SIGNAL, 0.5, 0.25)
