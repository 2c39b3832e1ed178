"""`bci bench monitor` counts real windows, ours and a peer's, and refuses what cannot be counted."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pylsl
import pytest

from apps import cli
from apps.monitor import measured
from bci.errors import StreamNotFound


@pytest.mark.qt
@pytest.mark.lsl
def test_windows_are_counted_over_lsl(tmp_path):
    out = tmp_path / "monitor.json"
    options = ["--no-alone", "--channels", "4", "--rate", "100", "--span", "2", "--settle", "0.5", "--duration", "1"]
    assert cli.main(["bench", "monitor", *options, "--json", str(out), "--assert", "fps>0.5"]) == 0
    rows = json.loads(out.read_text())["rows"]
    expected = ["bci monitor, 4 ch", "pyqtgraph, all curves anew, 4 ch", "mne-lsl viewer, 4 ch"]
    assert [row["label"] for row in rows] == expected
    assert all(row["fps"] > 0 and row["core_percent"] > 0 and row["memory_MB"] > 20 for row in rows)


def test_the_slope_is_that_of_the_best_line():
    x, y = np.random.default_rng(0).normal(size=(2, 30))
    assert measured.slope(list(zip(x, y, strict=True))) == pytest.approx(np.polyfit(x, y, 1)[0])
    assert measured.slope([(1.0, 2.0)]) == 0.0


def test_a_stream_that_is_not_there_is_said(monkeypatch):
    monkeypatch.setattr(pylsl, "resolve_byprop", lambda *_: [])
    with pytest.raises(StreamNotFound, match=r"The benchmark needs its own stream 'x' within 20 s, got none\."):
        measured._inlet(measured.Screen("x", 1, 1.0, 1.0, 0.0, 1.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--settle", "-1"], "--settle must be at least 0 s, got -1"),
        (["--settle", "inf"], "--settle must be at least 0 s, got inf"),
    ],
)
def test_wrong_options_are_refused(options, message, capsys):
    assert cli.main(["bench", "monitor", *options]) == 2
    assert message in capsys.readouterr().err


def test_without_qt_one_line_says_what_to_install(monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "PySide6" else found(name))
    assert cli.main(["bench", "monitor"]) == 2
    assert "bci bench monitor needs PySide6: pip install 'streaming-bci[monitor]'" in capsys.readouterr().err
