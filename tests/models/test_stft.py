"""The STFT front end against scipy, a loop of transforms and the streaming stage."""

from __future__ import annotations

import mne
import numpy as np
import pytest
import torch
from scipy.fft import rfft
from scipy.signal import ShortTimeFFT, get_window

from bci.chunk import Signal
from bci.errors import SpecError
from bci.stages.stft import Stft
from models.filterbank import stft_bins
from models.stft import LogStftFrontEnd

# (sfreq, n_fft, win_length, hop_length, low_hz, high_hz)
RECIPES = [
    (256.0, 256, 256, 16, 0.5, 40.0),
    (200.0, 400, 100, 25, 0.5, 20.0),
    (160.0, 64, 50, 75, 1.0, 70.0),
]
NAMES = ("n_fft", "win_length", "hop_length", "low_hz", "high_hz")


def noise(n_times=1500):
    return (20 * np.random.default_rng(0).normal(size=(2, 3, n_times))).astype(np.float32)


def expected(x, recipe, floor=1.0):
    """Return the features frame by frame and bin by bin."""
    sfreq, n_fft, win_length, hop_length, low_hz, high_hz = recipe
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win_length) / win_length)
    starts = range(0, x.shape[-1] - win_length + 1, hop_length)
    spectra = np.stack([rfft(x[..., s : s + win_length].astype(np.float64) * hann, n_fft) for s in starts], axis=-1)
    kept = [k for k in range(n_fft // 2 + 1) if low_hz <= k * sfreq / n_fft <= high_hz]
    return 10 * np.log10(np.maximum(np.abs(spectra[..., kept, :]) ** 2, floor))


def stage(recipe):
    return Stft(**dict(zip(NAMES, recipe[1:], strict=True))).build(Signal(recipe[0], ("A", "B", "C")))


@pytest.mark.parametrize("recipe", RECIPES)
def test_torch_stage_and_transforms_agree(recipe):
    x = noise()
    front = LogStftFrontEnd(*recipe, dtype=torch.float64)
    features = front(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(features, expected(x, recipe), rtol=1e-9, atol=1e-9)
    assert features.shape[2:] == (front.n_features, front.n_frames(x.shape[-1]))
    streamed = stage(recipe)
    np.testing.assert_allclose(streamed.process(x[0]), features[0], rtol=1e-9, atol=1e-9)
    assert streamed.signal_out.n_features == front.n_features
    np.testing.assert_allclose(LogStftFrontEnd(*recipe)(torch.from_numpy(x)), features, rtol=0, atol=1e-3)


def test_frames_are_those_of_scipys_short_time_transform():
    x = noise()[0, 0].astype(np.float64)
    sfreq, n_fft, win_length, hop_length, *_ = RECIPES[0]
    transform = ShortTimeFFT(get_window("hann", win_length), hop_length, sfreq, mfft=n_fft)
    n_frames, first = 1 + (len(x) - win_length) // hop_length, win_length // hop_length
    # scipy counts a slice from its centre; ours starts at the first sample, so it is half a window later
    spectra = transform.stft(np.concatenate([np.zeros(win_length // 2), x]), p0=first, p1=first + n_frames)
    features = LogStftFrontEnd(*RECIPES[0], dtype=torch.float64)(torch.from_numpy(x)[None, None])[0, 0]
    power = np.abs(spectra[1:41]) ** 2
    np.testing.assert_allclose(features, 10 * np.log10(np.maximum(power, 1.0)), rtol=1e-9, atol=1e-9)


@pytest.mark.real
def test_torch_and_stage_agree_on_a_recording(data_dir):
    raw = mne.io.read_raw(data_dir / "eegmmidb/S001R01.edf", verbose="error")
    x = (1e6 * raw.get_data(picks=[0, 1, 2], stop=round(10 * raw.info["sfreq"]))).astype(np.float32)
    recipe = (raw.info["sfreq"], 160, 160, 16, 1.0, 40.0)
    features = LogStftFrontEnd(*recipe, dtype=torch.float64)(torch.from_numpy(x)[None])[0]
    assert features.std() > 3
    np.testing.assert_allclose(stage(recipe).process(x), features, rtol=1e-9, atol=1e-9)


def test_autocast_changes_nothing():
    front, x = LogStftFrontEnd(*RECIPES[0]), torch.from_numpy(noise())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = front(x)
    torch.testing.assert_close(inside, front(x), rtol=0, atol=0)
    assert not front.state_dict()


@pytest.mark.parametrize(
    ("sfreq", "n_fft", "low_hz", "high_hz", "bins"),
    [(256.0, 256, 0.5, 40.0, (1, 41)), (250.0, 2500, 0.3, 0.7, (3, 8)), (200.0, 400, 0.0, 100.0, (0, 201))],
)
def test_bins_on_an_end_of_the_range_are_within(sfreq, n_fft, low_hz, high_hz, bins):
    assert stft_bins(sfreq, n_fft, low_hz, high_hz) == slice(*bins)


def test_ranges_without_bins_are_refused():
    with pytest.raises(ValueError, match=r"need 0 <= low_hz <= high_hz <= 128 Hz \(Nyquist\), got .*high_hz=130"):
        stft_bins(256.0, 256, 1.0, 130.0)
    with pytest.raises(ValueError, match=r"one within 1\.2 to 1\.8 Hz, got bins 1 Hz apart\. Raise n_fft"):
        stft_bins(256.0, 256, 1.2, 1.8)
    with pytest.raises(SpecError, match=r"Stft: Bins of a transform need one within 1\.2 to 1\.8 Hz"):
        Stft(256, 256, 16, 1.2, 1.8).build(Signal(256.0, ("A",)))


def test_sizes_that_do_not_fit_are_refused():
    signal = Signal(256.0, ("A",))
    with pytest.raises(SpecError, match=r"Stft needs 0 < win_length <= n_fft.*got win_length=300, n_fft=256"):
        Stft(256, 300, 16, 1.0, 40.0).build(signal)
    with pytest.raises(SpecError, match=r"Stft needs n_fft <= 1048576, got n_fft=2097152"):
        Stft(1 << 21, 256, 16, 1.0, 40.0).build(signal)
    with pytest.raises(SpecError, match=r"Stft needs a plain signal, got frames of 8 features"):
        Stft(256, 256, 16, 1.0, 40.0).build(Signal(16.0, ("A",), n_features=8))
    with pytest.raises(ValueError, match=r"LogStftFrontEnd needs 0 < win_length <= n_fft.*got .*floor=0"):
        LogStftFrontEnd(256.0, 256, 256, 16, 1.0, 40.0, floor=0.0)


def test_what_it_cannot_compute_is_refused():
    front = LogStftFrontEnd(*RECIPES[0])
    with pytest.raises(ValueError, match="at least win_length = 256 samples, got 255"):
        front(torch.zeros(1, 1, 255))
    with pytest.raises(ValueError, match=r"computes in torch.float32, but was cast to torch.float16"):
        front.half()(torch.zeros(1, 1, 300))
