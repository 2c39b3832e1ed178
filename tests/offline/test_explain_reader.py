"""What networks read of a window: a rhythm stands where its hertz and seconds say, and maps come back to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bci.chunk import Signal
from bci.pipeline import PipelineSpec, Window
from bci.stages.gather import GatherFeatures
from bci.stages.logmel import LogMel
from bci.stages.scale import Scale
from bci.stages.stft import Stft
from models.registry import ModelSpec, build
from offline.explain import explain, randomised
from offline.explain_maps import n_merges, spread
from offline.explain_reader import View, open_network, pipeline_view, spectra

SFREQ, N_TIMES, BURST_HZ, BURST_S = 64.0, 512, 10.0, -4.0
RAW = {"n_channels": 4, "n_times": N_TIMES, "sfreq": SFREQ, "n_classes": 2}
ON_SIGNALS = {
    "cwt_network": ModelSpec("cwt_network", RAW | {"high_hz": 30.0}),
    "image_network": ModelSpec("image_network", RAW | {"high_hz": 30.0, "side": 32}),
    "picture_network": ModelSpec("picture_network", RAW | {"high_hz": 30.0, "side": 96}),
    "double_mel_mixnet": ModelSpec("double_mel_mixnet", RAW | {"n_bands": 16, "chain": 2}),
}
WINDOW = View("", None, (np.arange(N_TIMES) - N_TIMES + 1) / SFREQ)
each = pytest.mark.parametrize("name", list(ON_SIGNALS))


def noise(n=4, seed=0):
    return np.random.default_rng(seed).normal(0.0, 20.0, (n, 4, N_TIMES)).astype(np.float32)


def burst():
    """Channel 1 holds a burst of 10 Hz in the middle of the window, everything else is faint noise."""
    t = WINDOW.times_s
    x = 0.01 * noise(1)
    x[0, 1] += 100 * np.sin(2 * np.pi * BURST_HZ * t) * np.exp(-0.5 * ((t - BURST_S) / 0.2) ** 2)
    return x


def reader_of(name):
    return open_network(randomised(lambda: build(ON_SIGNALS[name]), noise(), 0))


@each
def test_the_opened_network_is_the_network(name):
    network = randomised(lambda: build(ON_SIGNALS[name]), noise(), 0)
    reader, x = open_network(network), torch.from_numpy(noise())
    with torch.no_grad():
        torch.testing.assert_close(reader.inner(reader.image(*reader.parts(x))), network(x), rtol=0, atol=0)


@each
def test_a_burst_stands_at_its_hertz_and_seconds(name):
    reader = reader_of(name)
    views, parts = reader.views(WINDOW), spectra(reader, burst())
    assert len(views) == len(parts) == {"picture_network": 3, "double_mel_mixnet": 2}.get(name, 1)
    for view, part in zip(views, parts, strict=True):
        assert part.shape[-2:] == (len(view.freqs_hz), len(view.times_s))
        channel, row, column = np.unravel_index(part[0].argmax(), part[0].shape)
        assert channel == 1
        if view.name != "centre":  # frames of 80 ms do not tell 10 Hz from 2 Hz
            assert view.freqs_hz[row] == pytest.approx(BURST_HZ, abs=1.6)
        assert view.times_s[column] == pytest.approx(BURST_S, abs=0.2)


@each
def test_maps_come_back_to_where_the_image_shows_a_part(name):
    reader = reader_of(name)
    silent = tuple(torch.zeros(1, *part.shape[1:]) for part in spectra(reader, noise(1)))
    for j, part in enumerate(silent):
        _, _, n_rows, n_columns = part.shape
        # frames of the double mel's context that the network reads stand near its ends
        rows, columns = slice(n_rows // 4, n_rows // 4 + 6), slice(n_columns // 8, n_columns // 8 + 6)
        lit = [other.clone() for other in silent]
        lit[j][:, 1, rows, columns] = 1.0
        with torch.no_grad():
            image = reader.image(*lit)
        (found,) = reader.over(image, silent)[j]
        at = np.unravel_index(int(found.argmax()), found.shape)
        assert at[0] == 1
        assert rows.start <= at[1] < rows.stop
        assert columns.start <= at[2] < columns.stop


def test_frames_that_give_way_have_no_share():
    reader = reader_of("double_mel_mixnet")
    parts = tuple(torch.from_numpy(part) for part in spectra(reader, noise(1)))
    wide, sharp = parts[0].shape[-1], parts[1].shape[-1]
    image = reader.image(*parts)
    context, centre = reader.over(torch.ones(1, *image.shape[-2:]), parts)
    assert context.shape == (1, 16, wide)
    assert centre.shape == (1, 16, sharp)
    assert int((context == 0).sum()) == 16 * (wide - (image.shape[-1] - sharp))
    assert centre.min() == 1


@each
@pytest.mark.parametrize("method", ["saliency", "grad-cam"])
def test_networks_on_signals_are_explained_over_their_spectrograms(name, method):
    network = randomised(lambda: build(ON_SIGNALS[name]), noise(), 0)
    parts = spectra(open_network(network), noise(2))
    found = [explain(network, noise(2), np.full(2, k), method) for k in (0, 1)]
    for j, part in enumerate(parts):
        expected = part.shape if method == "saliency" or name in ("picture_network", "double_mel_mixnet") else None
        assert found[0][j].shape == (expected or (2, *part.shape[-2:]))
    assert sum(float(np.ptp(part)) for both in found for part in both) > 0


def test_the_attention_of_an_inner_vit_is_rolled_out_over_the_spectrogram():
    network = randomised(lambda: build(ON_SIGNALS["image_network"]), noise(), 0)
    ((part,), (found,)) = (
        spectra(open_network(network), noise(2)),
        explain(network, noise(2), np.zeros(2, int), "roll-out"),
    )
    assert found.shape == (2, *part.shape[-2:])
    assert found.min() >= 0
    assert np.ptp(found) > 0


FRAMES = {
    "log_mel": LogMel(n_fft=64, win_length=64, hop_length=8, n_mels=12, low_hz=2.0, high_hz=30.0),
    "stft": Stft(n_fft=64, win_length=64, hop_length=8, low_hz=2.0, high_hz=30.0),
}


@pytest.mark.parametrize("kind", list(FRAMES))
def test_a_burst_stands_at_its_hertz_and_seconds_in_a_pipeline(kind):
    signal = Signal(SFREQ, ("a", "b", "c", "d"))
    pipeline = PipelineSpec(signal, (Scale(1.0), FRAMES[kind], Scale(2.0)), Window(7.0, 0.125)).build()
    frames = pipeline.process(burst()[0]).data[..., -pipeline.window_frames :]
    view = pipeline_view(pipeline)
    channel, row, column = np.unravel_index(frames.argmax(), frames.shape)
    assert channel == 1
    assert view.freqs_hz[row] == pytest.approx(BURST_HZ, abs=1.3)
    assert view.times_s[column] == pytest.approx(BURST_S, abs=0.15)


def test_features_of_no_known_frequency_have_none():
    signal = Signal(SFREQ, ("C3:0", "C3:1", "C4:0", "C4:1"))
    view = pipeline_view(PipelineSpec(signal, (GatherFeatures(),), Window(1.0, 0.125)).build())
    assert view.freqs_hz is None
    assert view.times_s[[0, -1]].tolist() == pytest.approx([-63 / 64, 0.0])


SPECTRAL = {"n_channels": 3, "n_features": 24, "n_times": 25, "sfreq": 16.0, "n_classes": 2}


@pytest.mark.parametrize("name", ["vit", "swin"])
def test_a_token_covers_its_own_patches(name):
    """25 frames are continued with zeros before the first: patches end with the window."""
    network = build(ModelSpec(name, SPECTRAL)).eval()
    merges = n_merges(network)
    side = network.patches.kernel_size[0] * 2**merges
    n_before = -25 % network.patches.kernel_size[0]
    n_rows, n_columns = -(-24 // side), -(-(25 + n_before) // side)
    for i in range(n_rows):
        for j in range(n_columns):
            maps = torch.zeros(1, n_rows, n_columns)
            maps[0, i, j] = 1.0
            (over,) = spread(network, maps, merges)
            assert over.shape == (24, 25)
            row, column = np.unravel_index(int(over.argmax()), over.shape)
            assert (row // side, (column + n_before) // side) == (i, j)


def test_stacked_channels_are_told_apart():
    network = build(ModelSpec("mixnet_stacked", SPECTRAL)).eval()
    for channel in range(3):
        maps = torch.zeros(1, 9, 4)
        maps[0, 3 * channel + 1, 2] = 1.0
        (over,) = spread(network, maps)
        assert over.shape == (3, 24, 25)
        assert np.unravel_index(int(over.argmax()), over.shape)[0] == channel


def test_networks_of_one_class_of_windows_are_explained_in_full():
    """More windows than fit one batch come back in order."""
    network = randomised(lambda: build(ON_SIGNALS["cwt_network"]), noise(), 0)
    x = noise(19)
    (whole,) = explain(network, x, np.zeros(19, int), "saliency")
    (last,) = explain(network, x[17:], np.zeros(2, int), "saliency")
    np.testing.assert_allclose(whole[17:], last, rtol=1e-4, atol=1e-9)
