"""Sensors of a real MEG recording reach the monitor's map through a replay."""

from __future__ import annotations

import numpy as np
import pylsl
import pytest

from apps.monitor.description import describe
from apps.monitor.maps import FIELD, GRADIENT, MapPanel
from bci.sources.lsl_player import lsl_player
from bci.sources.player import PlayerSettings
from bci.sources.recording import open_recording

TIMEOUT_S = 60.0


@pytest.mark.real
@pytest.mark.lsl
def test_306_real_sensors_give_a_field_map(data_dir):
    (file,) = (data_dir / "meg-eeg").glob("*sss*.fif")
    recording = open_recording(file, picks="meg")
    player = lsl_player(recording, "real-meg", "x", file.name, PlayerSettings())
    found = pylsl.resolve_byprop("name", "real-meg", 1, TIMEOUT_S)[0]
    described, factors = describe(pylsl.StreamInlet(found, recover=False).info(TIMEOUT_S))
    assert factors is None
    assert described.positions.shape == (306, 3)
    np.testing.assert_allclose(described.positions, recording.positions_mm, atol=1e-3)
    panel = MapPanel()
    panel.connect(described)
    assert set(panel.kinds) == {FIELD, GRADIENT}
    panel.choose(FIELD)
    assert len(panel.names) == 102
    assert np.ptp(panel.positions, axis=0).min() > 0.7
    panel.push(recording.read(0, 100), np.arange(100.0))
    assert panel.paint(0.0)
    assert 0 < panel.range[1] < 1e5
    del player
