"""Networks that make their own spectrograms: what reaches the inner network, for every transform."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bci.chunk import Signal
from bci.stages.scale import Clip, Scale
from models.raw import RawFrontEnd
from models.registry import ModelSpec, build
from models.spectrogram_network import SPECTROGRAMS, cwt_network, image_network, picture_network, spectrogram

SIGNAL = {"n_channels": 3, "n_times": 256, "sfreq": 128.0, "n_classes": 2}


def reaches(model, x):
    """Return what the inner network is given."""
    seen = []
    handle = model.network.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    model.eval()(x)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("kind", SPECTROGRAMS)
def test_front_ends_have_one_interface_and_one_level(kind):
    """White noise stands at the level of its short-time power, whichever transform; mel sums bins."""
    torch.manual_seed(0)
    front = spectrogram(kind, 128.0, 4.0, 40.0, 12, 1.0, 0.125)
    x = 5 * torch.randn(4, 3, 1280)
    features = front(x)
    assert features.shape == (4, 3, front.n_features, front.n_frames(1280))
    power = (10 ** (features[..., 10:-10] / 10)).mean(dim=(0, 1, 3))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(128) / 128)
    bins = front.bank.sum(dim=1) if kind == "mel" else torch.ones(front.n_features)
    expected = 25 * float((hann**2).sum()) * bins
    np.testing.assert_allclose(power, expected, rtol=0.35)


def test_an_unknown_transform_is_refused():
    with pytest.raises(ValueError, match=r"A spectrogram is one of mel, stft, cwt, got 'dct'"):
        spectrogram("dct", 128.0, 4.0, 40.0, 12, 1.0, 0.125)
    with pytest.raises(ValueError, match=r"at least one of the spectrograms mel, stft, cwt, got none"):
        image_network(**SIGNAL, spectrograms=())


def test_wavelets_reach_the_network_as_they_are():
    x = 20 * torch.randn(2, 3, 256)
    model = cwt_network(**SIGNAL, n_freqs=10, hop_s=0.125)
    front = spectrogram("cwt", 128.0, 2.0, 40.0, 10, 1.0, 0.125)
    assert model.network.input_shape == (3, 10, 16)
    torch.testing.assert_close(reaches(model, x), front(x))


def test_images_have_a_plane_for_each_channel_and_transform():
    x = 20 * torch.randn(2, 3, 256)
    model = image_network(**SIGNAL, spectrograms=("stft", "mel"), side=50, n_freqs=16)
    planes = reaches(model, x)
    assert planes.shape == (2, 6, 50, 50)
    for i, kind in enumerate(("stft", "mel")):
        expected = torch.nn.functional.interpolate(
            spectrogram(kind, 128.0, 1.0, 40.0, 16, 1.0, 0.0625)(x), (50, 50), mode="bilinear"
        )
        torch.testing.assert_close(planes[:, 3 * i : 3 * i + 3], expected, rtol=1e-4, atol=1e-3)


def test_pictures_have_a_plane_for_each_transform():
    x = 20 * torch.randn(2, 3, 256)
    model = picture_network(**SIGNAL, side=224, n_freqs=16)
    planes = reaches(model, x)
    assert planes.shape == (2, 3, 224, 224)
    assert all(planes[0, i].std() > 1 for i in range(3))
    quiet = x.clone()
    quiet[:, 1] = 0.0  # the second of two by two tiles is the upper right one
    changed = (reaches(model, quiet) != planes).any(dim=1).any(dim=0)
    assert changed[:112, 112:].any()
    assert not changed[:112, :100].any()
    assert not changed[124:].any()


def test_a_window_shorter_than_a_frame_is_one_frame():
    assert image_network(**SIGNAL | {"n_times": 60}, side=20)(torch.randn(1, 3, 60)).shape == (1, 2)


def test_a_network_on_signals_is_refused():
    with pytest.raises(ValueError, match=r"needs to take n_features, model 'eegnet' takes signals"):
        build(ModelSpec("image_network", SIGNAL | {"network": "eegnet"}))


def test_raw_signals_are_what_the_stages_give():
    x = 900 * np.random.default_rng(0).standard_normal((3, 200))
    signal = Signal(128.0, ("a", "b", "c"))
    streamed = Scale(1 / 32).build(signal).process(Clip(1024.0).build(signal).process(x))
    front = RawFrontEnd()
    np.testing.assert_allclose(front(torch.from_numpy(x)[None])[0], streamed, rtol=1e-12)
    assert front.n_frames(200) == 200
    assert front.n_features is None


@pytest.mark.parametrize(("limit", "scale"), [(0.0, 1.0), (1.0, 0.0), (float("nan"), 1.0)])
def test_raw_scaling_is_positive(limit, scale):
    with pytest.raises(ValueError, match=r"needs limit and scale above 0, got limit="):
        RawFrontEnd(limit, scale)
