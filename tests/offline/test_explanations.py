"""Explanations of a bundle: whatever spectrum ends its pipeline, they are drawn with hertz and seconds."""

from __future__ import annotations

import json
import re

import mne
import numpy as np
import pytest
from matplotlib.axes import Axes

from bci.bundle import load_bundle
from bci.chunk import Signal
from bci.pipeline import PipelineSpec, Window
from bci.sources.recording import open_recording
from bci.stages.filters import Bandpass
from bci.stages.logmel import LogMel
from bci.stages.scale import Clip
from bci.stages.stft import Stft
from offline.explain_figures import channel_weights, draw_explanations
from offline.explain_reader import View
from offline.explanations import Explanations, explain_recording
from tests.bundles import write_random_bundle

SIGNAL = Signal(128.0, ("Fp1", "Fp2", "C3", "C4", "P3", "P4", "O1", "O2"))
FRAMES = {
    "log_mel": LogMel(n_fft=128, win_length=128, hop_length=16, n_mels=12, low_hz=2.0, high_hz=30.0),
    "stft": Stft(n_fft=128, win_length=128, hop_length=16, low_hz=1.0, high_hz=40.0),
}


@pytest.fixture
def drawn(monkeypatch):
    """Keep what is drawn: the labels of the axes and the ticks."""
    kept = []
    plain = Axes.set_yticks
    monkeypatch.setattr(
        Axes, "set_yticks", lambda self, *args, **more: kept.append(args[1]) or plain(self, *args, **more)
    )
    return kept


@pytest.mark.parametrize("kind", list(FRAMES))
def test_networks_on_any_spectrum_are_drawn_over_hertz(kind, tmp_path, drawn):
    stages = (Bandpass(1.0, 40.0), Clip(200.0), FRAMES[kind], Clip(80.0))
    pipeline = PipelineSpec(SIGNAL, stages, Window(length_s=2.0, hop_s=1.0))
    write_random_bundle(tmp_path / "bundle", SIGNAL, pipeline)
    data = np.random.default_rng(0).normal(0.0, 2e-5, (8, 20 * 128))
    info = mne.create_info(list(SIGNAL.names), 128.0, "eeg")
    mne.io.RawArray(data, info, verbose="error").save(tmp_path / "noise_raw.fif", verbose="error")
    recording = open_recording(tmp_path / "noise_raw.fif")
    found = explain_recording(load_bundle(tmp_path / "bundle"), recording, ("saliency", "grad-cam"), 4, 0)
    recording.close()
    found.write(tmp_path / "why")
    record = json.loads((tmp_path / "why" / "explanation.json").read_text())
    (view,) = record["views"]
    n = 40 if kind == "stft" else 12
    assert len(view["frequencies_hz"]) == n
    assert (view["frequencies_hz"][0], view["frequencies_hz"][-1]) == (
        (1.0, 40.0) if n == 40 else pytest.approx((3.9, 28.0), abs=1)
    )
    assert view["times_s"][-1] == pytest.approx(-63 / 128)  # the middle of a frame of 1 s
    assert drawn
    assert all(float(label) == round(float(label)) for labels in drawn for label in labels)  # whole hertz
    assert (tmp_path / "why" / "grad-cam.png").read_bytes().startswith(b"\x89PNG")


def test_features_without_frequencies_and_signals_are_drawn(tmp_path, drawn):
    rng = np.random.default_rng(0)
    view = View("", None, np.arange(-9.0, 1.0))
    features, signals = rng.normal(size=(3, 5, 10)), rng.normal(size=(3, 10))
    for name, part in (("features", features), ("signals", signals)):
        draw_explanations(
            tmp_path / f"{name}.png", name, ("a", "b", "c$"), [view], {"on": (part,)}, {"on": (part,)}, {"on": 2}
        )
        assert (tmp_path / f"{name}.png").exists()
    assert drawn[0] == ["0", "1", "2", "3", "4"]
    assert drawn[-1] == ["a", "b", r"c\$"]


def test_several_spectrograms_have_a_row_and_an_array_each(tmp_path):
    views = (
        View("context", np.arange(1.0, 5.0), np.arange(-6.0, 0.0)),
        View("centre", np.arange(1.0, 5.0), np.array([-3.0])),
    )
    parts = (np.ones((2, 4, 6)), 2 * np.ones((2, 4, 1)))
    found = Explanations(
        "why",
        ("F7-T7", "T7-P7"),
        views,
        {"on": 3},
        {"on": parts},
        {"saliency": {"on": parts}},
        {"saliency": 0.1},
        {"saliency": 0.1},
    )
    found.write(tmp_path / "why")
    with np.load(tmp_path / "why" / "saliency.npz", allow_pickle=False) as arrays:
        assert {name: arrays[name].shape for name in arrays} == {
            "class_0_view_0": (2, 4, 6),
            "class_0_view_1": (2, 4, 1),
        }
    record = json.loads((tmp_path / "why" / "explanation.json").read_text())
    assert [view["name"] for view in record["views"]] == ["context", "centre"]
    assert record["channel_shares"]["saliency"]["on"] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("value", "of_sizes", "said"),
    [
        (0.1, 0.2, r"network 0\.10; it changes with the weights\."),
        (
            0.1,
            0.6,
            r"of sizes 0\.60; its signs change with the weights, its sizes follow the input: do not read its scalp",
        ),
        (0.5, 0.5, r"network 0\.50; it hardly depends on the weights: do not read it\."),
        (None, None, r"it cannot be checked: do not read it\."),
    ],
)
def test_what_may_be_read_is_said(value, of_sizes, said):
    found = Explanations("why", (), (), {"on": 3}, {}, {}, {"saliency": value}, {"saliency": of_sizes})
    (windows, line) = found.lines()
    assert windows == "on: 3 windows"
    assert re.fullmatch(f"saliency: .*{said}.*", line)


def test_shares_add_up():
    assert channel_weights(np.array([[1.0, -1.0], [0.0, 2.0]])).tolist() == [0.5, 0.5]
    assert channel_weights(np.zeros((2, 3))).tolist() == [0.0, 0.0]
    assert channel_weights(np.ones((2, 1)), np.array([[6.0], [0.0]])).tolist() == [0.875, 0.125]
