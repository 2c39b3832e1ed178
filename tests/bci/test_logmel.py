"""The streaming log-mel against the torch front end and against formulas written out here, on noise and recordings."""

from functools import cache

import mne
import numpy as np
import pytest
import torch
from scipy.fft import rfft
from scipy.signal import ShortTimeFFT, butter, get_window, sosfilt

from bci.chunk import Signal
from bci.stages.filters import Bandpass
from bci.stages.logmel import LogMel
from bci.stages.spectrum import BLOCK_VALUES
from models.logmel import LogMelFrontEnd
from tests.bci.cuts import ones, random_with_zeros, split

RECIPES = {
    "context": (200.0, LogMel(512, 128, 32, 64, 0.53, 30.0)),
    "centre": (200.0, LogMel(2048, 16, 4, 64, 0.53, 30.0)),
    "workload": (256.0, LogMel(512, 512, 16, 64, 0.5, 40.0)),
    "fast": (256.0, LogMel(256, 256, 20, 64, 0.5, 40.0)),
    "slaney": (256.0, LogMel(512, 512, 16, 40, 0.5, 100.0, scale="slaney", norm="slaney")),
    "apart": (160.0, LogMel(128, 100, 150, 20, 0.5, 70.0)),
}
RECORDINGS = {
    200.0: "icu-background/epoch-1_start-00000s_eeg.edf",
    256.0: "ssvep/sub-01_run-1_raw.fif",
    160.0: "eegmmidb/S001R01.edf",
}
each_recipe = pytest.mark.parametrize("recipe", RECIPES)


def mel(hz, scale):
    """HTK's formula, or Slaney's with its corner at 1 kHz, which no EEG reaches."""
    return 2595 * np.log10(1 + hz / 700) if scale == "htk" else 3 * hz / 200


def hertz(mels, scale):
    return 700 * (10 ** (mels / 2595) - 1) if scale == "htk" else 200 * mels / 3


def reference_bank(sfreq, spec):
    """Return the bank by its definition, one weight at a time."""
    low, high = mel(spec.low_hz, spec.scale), mel(spec.high_hz, spec.scale)
    corners = [hertz(low + i * (high - low) / (spec.n_mels + 1), spec.scale) for i in range(spec.n_mels + 2)]
    bank = np.zeros((spec.n_mels, spec.n_fft // 2 + 1))
    for band, (left, peak, right) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
        for k in range(bank.shape[1]):
            hz = k * sfreq / spec.n_fft
            if left < hz <= peak:
                bank[band, k] = (hz - left) / (peak - left)
            elif peak < hz < right:
                bank[band, k] = (right - hz) / (right - peak)
        if spec.norm == "slaney":
            bank[band] *= 2 / (right - left)
    return bank


def reference_power(x, sfreq, spec):
    """Return the power in each band, frame by frame: (n_channels, n_mels, n_frames)."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(spec.win_length) / spec.win_length)
    starts = range(0, x.shape[-1] - spec.win_length + 1, spec.hop_length)
    spectra = np.stack([rfft(x[:, s : s + spec.win_length] * hann, spec.n_fft) for s in starts], axis=-1)
    return reference_bank(sfreq, spec) @ np.abs(spectra) ** 2


def decibel(power, spec):
    return 10 * np.log10(np.maximum(power, spec.floor))


def noise(n_times=2560):
    """Return three channels of falling spectrum, 20 µV, as float32."""
    x = sosfilt(butter(1, 0.05, output="sos"), np.random.default_rng(0).standard_normal((3, n_times)))
    return (20 * x / x.std()).astype(np.float32)


@cache
def recording(path, sfreq):
    """Return 20 s of four channels in µV, band-passed by our own stage, as float32."""
    with mne.utils.use_log_level("error"):
        raw = mne.io.read_raw(path, preload=False, verbose="error")
    assert raw.info["sfreq"] == sfreq
    x = raw.get_data(picks=[0, 1, 2, 3], start=int(10 * sfreq), stop=int(32 * sfreq)) * 1e6
    if path.parent.name == "ssvep":
        x = x * 1e-3  # this data set's amplitudes are a thousandfold
    y = Bandpass(0.5, min(45.0, 0.45 * sfreq)).build(Signal(sfreq, ("1", "2", "3", "4"))).process(x.astype(np.float32))
    return y[:, int(2 * sfreq) :].astype(np.float32)


def run(spec, sfreq, x, sizes=None):
    stage = spec.build(Signal(sfreq, tuple(str(i) for i in range(len(x)))))
    return np.concatenate([stage.process(part) for part in split(x, sizes or [x.shape[-1]])], axis=-1)


def front_end(spec, sfreq, dtype):
    return LogMelFrontEnd(
        sfreq, spec.n_fft, spec.win_length, spec.hop_length, spec.n_mels, spec.low_hz, spec.high_hz, spec.floor,
        spec.scale, spec.norm, dtype,
    )  # fmt: skip


def assert_three_agree(x, sfreq, spec):
    """Streaming, torch and reference: 1e-9 in float64, and the tolerances of float32."""
    power = reference_power(x.astype(np.float64), sfreq, spec)
    expected = decibel(power, spec)
    stage = run(spec, sfreq, x, random_with_zeros(x.shape[-1]))
    assert stage.shape == expected.shape
    # atol: a feature near 0 dB has a power near the floor, and its own digits are those of the power
    tolerance = {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(stage, expected, **tolerance)
    batch = torch.from_numpy(x)[None]
    np.testing.assert_allclose(front_end(spec, sfreq, torch.float64)(batch)[0], stage, **tolerance)
    single = front_end(spec, sfreq, torch.float32)
    error = np.abs(single.power(batch)[0].numpy() - power)
    assert (error <= 1e-5 * power + 1e-6 * power.max(axis=-2, keepdims=True)).all()
    np.testing.assert_allclose(single(batch)[0], stage, rtol=0, atol=1e-3)


@each_recipe
def test_stage_torch_and_reference_agree_on_noise(recipe):
    sfreq, spec = RECIPES[recipe]
    assert_three_agree(noise(), sfreq, spec)


@pytest.mark.real
@each_recipe
def test_stage_torch_and_reference_agree_on_recordings(recipe, data_dir):
    sfreq, spec = RECIPES[recipe]
    x = recording(data_dir / RECORDINGS[sfreq], sfreq)
    assert 1 < x.std() < 500  # µV
    assert_three_agree(x, sfreq, spec)


@each_recipe
def test_powers_before_the_logarithm_agree_to_1e_9(recipe):
    """With a floor far below everything, the features hold the power to all digits."""
    sfreq, spec = RECIPES[recipe]
    x = noise().astype(np.float64)
    power = reference_power(x, sfreq, spec)
    tiny = LogMel(*(getattr(spec, n) for n in spec.__slots__ if n not in ("floor", "scale", "norm")), floor=1e-200,
                  scale=spec.scale, norm=spec.norm)  # fmt: skip
    streamed = 10 ** (run(tiny, sfreq, x) / 10)
    np.testing.assert_allclose(streamed, power, rtol=1e-9, atol=1e-13 * power.max())


def test_frames_are_those_of_scipys_short_time_transform():
    sfreq, spec = RECIPES["context"]
    x = noise()[0].astype(np.float64)
    transform = ShortTimeFFT(get_window("hann", spec.win_length), spec.hop_length, sfreq, mfft=spec.n_fft)
    # scipy's slice p is centred at p * hop: ours starts there, so a shift by half a window makes them one
    shift = spec.win_length // 2
    n_frames = 1 + (len(x) - spec.win_length) // spec.hop_length
    first = spec.win_length // spec.hop_length
    spectra = transform.stft(np.concatenate([np.zeros(shift), x]), p0=first, p1=first + n_frames)
    power = reference_bank(sfreq, spec) @ np.abs(spectra) ** 2
    np.testing.assert_allclose(run(spec, sfreq, x[None])[0], decibel(power, spec), rtol=1e-9, atol=1e-9)


@each_recipe
def test_a_frame_sees_its_window_and_nothing_later(recipe):
    """Padding to `n_fft` stands at the end: no sample after ``win_length`` is waited for, none before is used."""
    sfreq, spec = RECIPES[recipe]
    x = noise()
    y = run(spec, sfreq, x)
    j = 3
    start, stop = j * spec.hop_length, j * spec.hop_length + spec.win_length
    alone = run(spec, sfreq, x[:, start:stop])
    assert alone.shape[-1] == 1
    np.testing.assert_allclose(alone[..., 0], y[..., j], rtol=1e-12, atol=1e-12)
    assert run(spec, sfreq, x[:, start : stop - 1]).shape[-1] == 0


def test_long_streams_are_cut_into_blocks_without_a_seam():
    sfreq, spec = RECIPES["fast"]
    n_block = BLOCK_VALUES // (3 * 256)  # three channels, frames of 256
    x = noise(20 * (2 * n_block + 7) + 256)
    whole = run(spec, sfreq, x)
    assert whole.shape[-1] > 2 * n_block
    np.testing.assert_allclose(run(spec, sfreq, x, ones(x.shape[-1])), whole, rtol=1e-12, atol=1e-12)


def test_memory_does_not_grow_with_the_stream():
    sfreq, spec = RECIPES["workload"]
    stage = spec.build(Signal(sfreq, ("a",)))
    for _ in range(100):
        stage.process(np.ones((1, 97)))
    assert stage.state["_tail"].shape[-1] < spec.win_length


def test_silence_stands_at_the_floor_and_a_tone_in_its_band():
    sfreq, spec = RECIPES["workload"]
    silence = run(spec, sfreq, np.zeros((1, 600)))
    np.testing.assert_array_equal(silence, 0.0)  # 10 log10(1 µV²)
    y = run(spec, sfreq, 50 * np.sin(2 * np.pi * 10 * np.arange(1000) / sfreq)[None])[0, :, 0]
    corners = np.linspace(mel(spec.low_hz, "htk"), mel(spec.high_hz, "htk"), spec.n_mels + 2)
    assert abs(hertz(corners[1 + y.argmax()], "htk") - 10) < 0.7


def test_the_signal_out_says_what_a_frame_is():
    sfreq, spec = RECIPES["workload"]
    out = spec.build(Signal(sfreq, ("a", "b"))).signal_out
    assert (out.sfreq, out.names, out.unit, out.n_features, out.shape) == (16.0, ("a", "b"), "dB", 64, (2, 64))
