"""Explanations of a bundle: whatever spectrum ends its pipeline, they are drawn with hertz and seconds."""

from __future__ import annotations

import json
import re

import mne
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bci.bundle import load_bundle
from bci.chunk import Signal
from bci.errors import UsageError
from bci.pipeline import PipelineSpec, Window
from bci.sources.recording import open_recording
from bci.stages.filters import Bandpass
from bci.stages.logmel import LogMel
from bci.stages.scale import Clip
from bci.stages.stft import Stft
from offline.explain_figures import Row, draw_explanations, resolution
from offline.explain_reader import View
from offline.explanations import (
    ClassMean,
    Explained,
    Explanations,
    check_classes,
    explain_windows,
    file_mean,
    recording_windows,
    total,
)
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
    bundle = load_bundle(tmp_path / "bundle")
    windows = recording_windows(bundle, recording, 4)
    recording.close()
    found = explain_windows(bundle, "noise", [windows], ("saliency", "grad-cam"), 0)
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


def texts_of(monkeypatch):
    """Keep the figures that are made."""
    kept = []
    plain = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **more: kept.append(self) or plain(self, *args, **more))
    return kept


def row(mean, attribution, view, shares=None):
    return Row("on: 1 window", view, mean, attribution, np.ones(len(mean)) if shares is None else shares)


def test_features_without_frequencies_and_signals_are_drawn(tmp_path, drawn):
    rng = np.random.default_rng(0)
    view = View("", None, np.arange(-9.0, 1.0))
    features, signals = rng.normal(size=(3, 5, 10)), rng.normal(size=(3, 10))
    for name, part in (("features", features), ("signals", signals)):
        draw_explanations(tmp_path / f"{name}.png", name, ("a", "b", "c$"), [row(part, part, view)], None)
        assert (tmp_path / f"{name}.png").exists()
    assert drawn[0] == ["0", "1", "2", "3", "4"]
    assert drawn[-1] == [r"c\$", "b", "a"]  # bars: three channels are too few for a scalp


def test_a_map_lies_over_the_spectrogram_and_every_panel_says_what_it_is(tmp_path, monkeypatch):
    figures = texts_of(monkeypatch)
    view = View("", np.arange(1.0, 13.0), np.arange(-9.0, 1.0))
    one_place = np.zeros((12, 10))
    one_place[2:5, 3:6] = 1.0
    given = row(np.ones((8, 12, 10)), one_place, view, np.arange(8.0))
    draw_explanations(tmp_path / "map.png", "why", SIGNAL.names, [given], (3, 2))
    left, middle, right = figures[0].axes[:3]
    spectrogram, overlay = left.images
    assert np.array_equal(overlay.get_array(), one_place)
    assert (np.asarray(overlay.get_alpha()) > 0).sum() == 9  # the rest shows the spectrogram
    assert np.asarray(spectrogram.get_array()).max() == 1
    assert left.collections  # the line
    assert left.get_title() == "on: 1 window\nmean input (gray) under the attribution; line: its largest tenth"
    assert middle.get_title() == "attribution by itself\n(map of 3 × 2 cells, spread)"
    assert right.get_title() == "channels: size of the gradient\ninside the map"
    assert [text.get_text() for text in right.texts] == ["O2", "O1", "P4"]  # the largest shares, where they are
    assert (left.get_xlabel(), left.get_ylabel()) == ("time before the prediction (s)", "frequency (Hz)")


def test_what_has_no_line_or_no_share_says_so(tmp_path, monkeypatch):
    figures = texts_of(monkeypatch)
    view = View("", np.arange(1.0, 13.0), np.arange(-9.0, 1.0))
    even = row(np.ones((8, 12, 10)), np.ones((12, 10)), view, np.zeros(8))
    draw_explanations(tmp_path / "even.png", "why", SIGNAL.names, [even], (3, 2))
    left, _, right = figures[0].axes[:3]
    assert "line" not in left.get_title()
    assert not left.collections
    assert [text.get_text() for text in right.texts] == ["nothing to share"]


def test_maps_over_an_image_of_all_channels_are_not_taken_for_finer():
    assert resolution((4, 4), True) == "map of 4 × 4 cells over the image of all channels, spread"
    assert resolution((4, 4), False) == "map of 4 × 4 cells, spread"


def mean_of(parts, n_windows=3, n_files=1, predicted=True):
    return ClassMean(n_windows, n_files, predicted, parts)


def said_by(value, of_sizes, of_channels):
    return Explained({"on": (np.ones((2, 3)),)}, {"on": (np.ones(2),)}, None, value, of_sizes, of_channels)


def test_several_spectrograms_have_a_row_and_an_array_each(tmp_path):
    views = (
        View("context", np.arange(1.0, 5.0), np.arange(-6.0, 0.0)),
        View("centre", np.arange(1.0, 5.0), np.array([-3.0])),
    )
    parts = (np.ones((2, 4, 6)), 2 * np.ones((2, 4, 1)))
    shares = (np.array([0.5, 0.25]), np.array([0.0, 0.25]))
    method = Explained({"on": parts}, {"on": shares}, None, 0.1, 0.1, 0.1)
    found = Explanations("why", ("F7-T7", "T7-P7"), views, {"on": mean_of(parts)}, {"saliency": method})
    found.write(tmp_path / "why")
    with np.load(tmp_path / "why" / "saliency.npz", allow_pickle=False) as arrays:
        assert {name: arrays[name].shape for name in arrays} == {
            "class_0_view_0": (2, 4, 6),
            "class_0_view_1": (2, 4, 1),
        }
    record = json.loads((tmp_path / "why" / "explanation.json").read_text())
    assert [view["name"] for view in record["views"]] == ["context", "centre"]
    assert record["channel_shares"]["saliency"]["on"] == [0.5, 0.5]
    assert record["channel_shares_of"]["saliency"] == "size of the attribution"


@pytest.mark.parametrize(
    ("value", "of_sizes", "of_channels", "said"),
    [
        (0.1, 0.2, 0.3, r"network 0\.10, of channels 0\.30; it changes with the weights\."),
        (
            0.1,
            0.6,
            0.1,
            r"of sizes 0\.60; its signs change with the weights, .* follow the input: do not read its scalp",
        ),
        (0.1, 0.2, 0.6, r"of channels 0\.60; it changes with the weights, its channels hardly: do not read its scalp"),
        (0.1, 0.2, None, r"Its channels cannot be checked: do not read its scalp map\."),
        (0.5, 0.5, 0.1, r"network 0\.50; it hardly depends on the weights: do not read it\."),
        (None, None, None, r"it cannot be checked: do not read it\."),
    ],
)
def test_what_may_be_read_is_said(value, of_sizes, of_channels, said):
    means = {"on": mean_of((), 1), "off": mean_of((), 5, 2, predicted=False)}
    found = Explanations("why", (), (), means, {"saliency": said_by(value, of_sizes, of_channels)}, ("never",))
    *windows, line = found.lines()
    assert windows == [
        "on: mean of 1 window predicted so, of 1 file.",
        "off: mean of all 5 windows of 2 files; each file weighs the same.",
        "never: no window is predicted so; --class explains the evidence for it.",
    ]
    assert re.fullmatch(f"saliency: one for every value; .*{said}.*", line)


def test_each_file_weighs_the_same():
    (found,) = file_mean((np.array([1.0, 1.0, 1.0, 5.0, 100.0]),), np.array([0, 0, 0, 2, -1]))
    assert found == 3.0


def test_evidence_for_a_class_is_that_of_all_windows(tmp_path):
    pipeline = PipelineSpec(SIGNAL, (Bandpass(1.0, 40.0), FRAMES["log_mel"]), Window(length_s=2.0, hop_s=1.0))
    write_random_bundle(tmp_path / "bundle", SIGNAL, pipeline)
    bundle = load_bundle(tmp_path / "bundle")
    running = pipeline.build()
    shape = (8, 12, running.window_frames)
    files = [np.random.default_rng(k).normal(30.0, 5.0, (n, *shape)).astype(np.float32) for k, n in ((0, 3), (1, 1))]
    first, second = bundle.decision.classes[:2]
    both = explain_windows(bundle, "two", files, ("saliency", "integrated-gradients"), 0, (first, second))
    assert [(mean.n_windows, mean.n_files, mean.predicted) for mean in both.classes.values()] == [(4, 2, False)] * 2
    assert both.absent == ()
    (seen,) = both.classes[first].spectra
    np.testing.assert_allclose(seen, (files[0].mean(axis=0) + files[1][0]) / 2, rtol=1e-5)
    one = explain_windows(bundle, "two", files, ("integrated-gradients",), 0, (second,))
    for a, b in zip(*(e.methods["integrated-gradients"].attributions[second] for e in (both, one)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)
    predicted = explain_windows(bundle, "two", files, ("saliency",), 0)
    assert sum(mean.n_windows for mean in predicted.classes.values()) == 4
    assert set(predicted.classes) | set(predicted.absent) == set(bundle.decision.classes)
    with pytest.raises(UsageError, match=rf"There is no class 'x' in this bundle\. Classes: {first}, {second}"):
        check_classes(bundle, ("x",))


def test_shares_add_up():
    assert total(np.array([2.0, 2.0])).tolist() == [0.5, 0.5]
    assert total(np.zeros(2)).tolist() == [0.0, 0.0]
    assert total(np.array([1.0, 1.0]), np.array([6.0, 0.0])).tolist() == [0.875, 0.125]
