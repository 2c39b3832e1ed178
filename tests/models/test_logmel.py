"""The torch front end against scipy and mel formulas written out here, on noise and on real recordings."""

import mne
import numpy as np
import pytest
import torch
from scipy.fft import rfft
from scipy.signal import ShortTimeFFT, butter, get_window, sosfilt

from bci.chunk import Signal
from bci.stages.logmel import LogMel
from models.logmel import LogMelFrontEnd
from tests.models.test_filterbank import reference_bank

# (sfreq, n_fft, win_length, hop_length, n_mels, low_hz, high_hz)
RECIPES = [
    (200.0, 512, 128, 32, 64, 0.53, 30.0),
    (200.0, 2048, 16, 4, 64, 0.53, 30.0),
    (256.0, 512, 512, 16, 64, 0.5, 40.0),
    (256.0, 256, 256, 20, 64, 0.5, 40.0),
    (128.0, 256, 256, 8, 64, 0.5, 40.0),
    (160.0, 512, 320, 10, 64, 0.5, 40.0),
]
IDS = [f"{r[1]}-{r[2]}-{r[3]}-at-{r[0]:g}Hz" for r in RECIPES]


def reference_power(x, recipe, scale="htk"):
    """Return band powers in float64, frame by frame: (..., n_mels, n_frames)."""
    sfreq, n_fft, win_length, hop_length, n_mels, low_hz, high_hz = recipe
    bank, _ = reference_bank(sfreq, n_fft, n_mels, low_hz, high_hz, scale)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win_length) / win_length)
    starts = range(0, x.shape[-1] - win_length + 1, hop_length)
    spectra = np.stack([rfft(x[..., s : s + win_length].astype(np.float64) * hann, n_fft) for s in starts], axis=-1)
    return bank @ np.abs(spectra) ** 2


def noise(n_times=2560):
    """Return two windows of three channels of pink-ish noise of about 20 µV, as float32."""
    rng = np.random.default_rng(0)
    x = sosfilt(butter(1, 0.05, output="sos"), rng.normal(size=(2, 3, n_times)), axis=-1)
    return (20 * x / x.std()).astype(np.float32)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
@pytest.mark.parametrize("recipe", RECIPES, ids=IDS)
def test_float64_equals_the_reference(recipe, scale):
    x = noise()
    front = LogMelFrontEnd(*recipe, scale=scale, dtype=torch.float64)
    expected = reference_power(x, recipe, scale)
    np.testing.assert_allclose(front.power(torch.from_numpy(x)), expected, rtol=1e-9, atol=1e-13 * expected.max())


def test_float64_equals_scipys_short_time_transform():
    x = noise()[0, 0].astype(np.float64)
    sfreq, n_fft, win_length, hop_length, *band = RECIPES[0]
    transform = ShortTimeFFT(get_window("hann", win_length), hop_length, sfreq, mfft=n_fft)
    n_frames = 1 + (len(x) - win_length) // hop_length
    # scipy counts a slice from its centre; ours starts at the first sample, so it is half a window later
    shifted = np.concatenate([np.zeros(win_length // 2), x])
    spectra = transform.stft(shifted, p0=0, p1=n_frames + win_length // hop_length)
    first = win_length // hop_length
    bank, _ = reference_bank(sfreq, n_fft, *band, "htk")
    expected = bank @ np.abs(spectra[:, first : first + n_frames]) ** 2
    front = LogMelFrontEnd(*RECIPES[0], dtype=torch.float64)
    power = front.power(torch.from_numpy(x)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(power, expected, rtol=1e-9, atol=1e-13 * expected.max())


def assert_float32_is_close(x, recipe):
    """Hold the float32 front end to its tolerances, in power and in features."""
    front = LogMelFrontEnd(*recipe)
    expected = reference_power(x, recipe)
    error = np.abs(front.power(torch.from_numpy(x)).numpy() - expected)
    assert (error <= 1e-5 * expected + 1e-6 * expected.max(axis=-2, keepdims=True)).all()
    features = front(torch.from_numpy(x))
    assert features.dtype == torch.float32
    np.testing.assert_allclose(features, 10 * np.log10(np.maximum(expected, front.floor)), rtol=0, atol=1e-3)


@pytest.mark.parametrize("recipe", RECIPES, ids=IDS)
def test_float32_on_noise(recipe):
    assert_float32_is_close(noise(), recipe)


@pytest.mark.real
@pytest.mark.parametrize("recipe", RECIPES, ids=IDS)
@pytest.mark.parametrize("pattern", ["icu-background/*.edf", "eegmmidb/S001R01.edf", "ssvep/*raw.fif"])
def test_float32_on_recordings(pattern, recipe, data_dir):
    raw = mne.io.read_raw(min(data_dir.glob(pattern)), verbose="error")
    sfreq = raw.info["sfreq"]
    x = 1e6 * raw.get_data(picks=slice(0, 8), stop=round(20 * sfreq))
    sections = butter(4, (0.5, 40), "bandpass", fs=sfreq, output="sos")
    filtered = sosfilt(sections, x - x[:, :1], axis=-1)[None, :, -round(10 * sfreq) :]
    assert_float32_is_close(filtered.astype(np.float32), (sfreq, *recipe[1:]))


@pytest.mark.parametrize("recipe", RECIPES, ids=IDS)
def test_float64_equals_the_streaming_stage(recipe):
    """Training and serving see the same features."""
    x = noise()[0]
    names = ("n_fft", "win_length", "hop_length", "n_mels", "low_hz", "high_hz")
    stage = LogMel(**dict(zip(names, recipe[1:], strict=True))).build(Signal(recipe[0], ("A", "B", "C")))
    features = LogMelFrontEnd(*recipe, dtype=torch.float64)(torch.from_numpy(x)[None])[0]
    np.testing.assert_allclose(features, stage.process(x), rtol=1e-9, atol=1e-9)


def test_a_frame_sees_its_own_samples_only():
    """Frame j starts at j * hop and ends win_length later; the last samples without a whole frame are unused."""
    front = LogMelFrontEnd(256.0, 512, 64, 16, 16, 1.0, 40.0, dtype=torch.float64)
    x = torch.from_numpy(noise(256 + 15))[:1].double()
    before = front(x)
    assert before.shape == (1, 3, 16, 1 + (271 - 64) // 16)
    x[..., 100] += 1000.0
    changed = (front(x) != before).any(dim=2).any(dim=1)[0].nonzero().flatten().tolist()
    assert changed == [3, 4, 5, 6]  # starts 48 to 96; a periodic Hann window is 0 at its first sample only


def test_floor_is_absolute():
    front = LogMelFrontEnd(256.0, 512, 512, 16, 64, 0.5, 40.0, floor=4.0)
    silent = front(torch.zeros(1, 1, 600))
    loud = front(torch.cat([torch.zeros(1, 1, 600), 1e4 * torch.randn(1, 1, 600)]))
    torch.testing.assert_close(silent, torch.full_like(silent, 10 * np.log10(4.0)))
    torch.testing.assert_close(loud[:1], silent)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_nothing(dtype):
    front = LogMelFrontEnd(*RECIPES[2])
    x = torch.from_numpy(noise())
    with torch.autocast("cpu", dtype=dtype):
        inside = front(x)
    torch.testing.assert_close(inside, front(x), rtol=0, atol=0)
    assert inside.dtype == torch.float32


def test_it_exports():
    front = LogMelFrontEnd(*RECIPES[2])
    x = torch.from_numpy(noise())
    torch.testing.assert_close(torch.export.export(front, (x,)).module()(x), front(x))


def test_it_has_no_state():
    assert not LogMelFrontEnd(*RECIPES[0]).state_dict()


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match=r"needs 0 < win_length <= n_fft.*got win_length=513, n_fft=512"):
        LogMelFrontEnd(256.0, 512, 513, 16, 64, 0.5, 40.0)
    with pytest.raises(ValueError, match=r"floor > 0, got .* floor=0"):
        LogMelFrontEnd(256.0, 512, 512, 16, 64, 0.5, 40.0, floor=0.0)


def test_a_window_shorter_than_a_frame_is_refused():
    with pytest.raises(ValueError, match="at least win_length = 128 samples, got 127"):
        LogMelFrontEnd(*RECIPES[0])(torch.zeros(1, 1, 127))


def test_casting_the_front_end_is_refused():
    with pytest.raises(
        ValueError, match=r"computes in torch.float32, but was cast to torch.float16\. Cast the network"
    ):
        LogMelFrontEnd(*RECIPES[0]).half()(torch.zeros(1, 1, 200))
