"""Morlet power against MNE's wavelets and transform."""

from __future__ import annotations

import mne
import numpy as np
import pytest
import torch
from mne.time_frequency import morlet as mne_morlet
from mne.time_frequency import tfr_array_morlet

from models.cwt import MorletFrontEnd, morlet


def noise(n_times=1000):
    return (20 * np.random.default_rng(0).normal(size=(2, 3, n_times))).astype(np.float32)


def power_of_mne(x, sfreq, front, n_cycles):
    """Return MNE's power at the frames, (batch, n_channels, n_features, n_frames), as a density."""
    power = tfr_array_morlet(
        x.astype(np.float64), sfreq, np.array(front.freqs_hz), n_cycles, zero_mean=True, output="power", verbose="error"
    )
    return power[..., :: front.hop_length] / sfreq


@pytest.mark.parametrize(("sfreq", "hz", "n_cycles"), [(256.0, 10.0, 5.0), (200.0, 1.3, 2.0), (160.0, 40.0, 7.0)])
def test_wavelets_are_those_of_mne(sfreq, hz, n_cycles):
    (expected,) = mne_morlet(sfreq, [hz], n_cycles, zero_mean=True)
    np.testing.assert_allclose(morlet(sfreq, hz, n_cycles), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("sfreq", "hop_length", "n_cycles"), [(128.0, 1, 3.0), (200.0, 7, 5.0)])
def test_power_is_that_of_mne(sfreq, hop_length, n_cycles):
    x = noise()
    front = MorletFrontEnd(sfreq, 4.0, 40.0, 6, hop_length, n_cycles, floor=1e-12, dtype=torch.float64)
    expected = power_of_mne(x, sfreq, front, n_cycles)
    features = front(torch.from_numpy(x)).numpy()
    assert features.shape[2:] == (6, front.n_frames(1000))
    np.testing.assert_allclose(10 ** (features / 10), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.real
def test_power_is_that_of_mne_on_a_recording(data_dir):
    raw = mne.io.read_raw(data_dir / "eegmmidb/S001R01.edf", verbose="error")
    x = (1e6 * raw.get_data(picks=[0, 20], stop=round(10 * raw.info["sfreq"]))).astype(np.float32)[None]
    front = MorletFrontEnd(raw.info["sfreq"], 4.0, 40.0, 8, 16)
    expected = 10 * np.log10(np.maximum(power_of_mne(x, raw.info["sfreq"], front, 5.0), front.floor))
    assert expected.std() > 3
    np.testing.assert_allclose(front(torch.from_numpy(x)), expected, rtol=0, atol=1e-3)


def test_white_noise_has_its_density_at_every_frequency():
    sfreq, std = 250.0, 3.0
    x = torch.from_numpy(np.random.default_rng(1).normal(0.0, std, (1, 8, 20_000)))
    front = MorletFrontEnd(sfreq, 5.0, 50.0, 5, 10, dtype=torch.float64)
    density = (10 ** (front(x) / 10))[..., 100:-100].mean(dim=(0, 1, 3))
    np.testing.assert_allclose(density, 2 * std**2 / sfreq, rtol=0.1)


def test_a_frame_stands_at_its_sample():
    front = MorletFrontEnd(128.0, 8.0, 30.0, 4, 8, dtype=torch.float64)
    x = torch.zeros(1, 1, 400, dtype=torch.float64)
    x[..., 160] = 1000.0
    assert (front(x)[0, 0].argmax(dim=-1) == 160 // 8).all()


def test_silence_stands_at_the_floor_whatever_is_beside_it():
    front = MorletFrontEnd(128.0, 8.0, 30.0, 4, 8, floor=0.1)
    x = torch.zeros(2, 2, 300)
    x[1, 1] = 100 * torch.randn(300)
    features = front(x)
    torch.testing.assert_close(features[0], torch.full_like(features[0], -10.0))
    torch.testing.assert_close(features[1, 0], features[0, 0])


def test_autocast_changes_nothing():
    front, x = MorletFrontEnd(128.0, 8.0, 30.0, 4, 8), torch.from_numpy(noise())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = front(x)
    torch.testing.assert_close(inside, front(x), rtol=0, atol=0)
    assert not front.state_dict()


@pytest.mark.parametrize(
    "wrong",
    [
        {"low_hz": 0.0},
        {"high_hz": 64.0},
        {"low_hz": 31.0},
        {"n_features": 0},
        {"hop_length": 0},
        {"n_cycles": 0.0},
        {"floor": 0.0},
    ],
)
def test_settings_that_do_not_fit_are_refused(wrong):
    settings = {"low_hz": 8.0, "high_hz": 30.0, "n_features": 4, "hop_length": 8} | wrong
    with pytest.raises(ValueError, match=r"needs 0 < low_hz <= high_hz < 64 Hz \(Nyquist\).*, got low_hz="):
        MorletFrontEnd(128.0, **settings)


def test_casting_is_refused():
    with pytest.raises(ValueError, match=r"MorletFrontEnd computes in torch.float32, but was cast to torch.float16"):
        MorletFrontEnd(128.0, 8.0, 30.0, 4, 8).half()(torch.zeros(1, 1, 300))
