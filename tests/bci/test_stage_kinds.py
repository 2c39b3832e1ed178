"""What each kind of stage does to a signal, against independent computations, and what it refuses."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.signal import butter, iirnotch, lfilter, resample_poly, sosfilt

from bci.chunk import Signal
from bci.errors import SpecError
from bci.stages.channels import AverageReference, Bipolar, Select
from bci.stages.filters import Bandpass, FilterBank, Highpass, Lowpass, Notch
from bci.stages.gather import GatherFeatures
from bci.stages.logmel import LogMel
from bci.stages.montages import DOUBLE_BANANA, MONTAGES, TEN_TWENTY_19
from bci.stages.resample import Resample
from bci.stages.running_norm import RunningNorm
from bci.stages.scale import Clip, RobustScale, Scale

SLOW = r"to settle within 3600 s at 256 Hz, its slowest pole has a radius of (1|0\.9999).*Raise the lowest corner"
ABC = Signal(256.0, ("a", "b", "c"))
FRAMES = Signal(16.0, ("a", "b", "c"), "dB", n_features=4)


def noise(signal=ABC, n_samples=2000):
    rng = np.random.default_rng(0)
    return 20.0 * rng.standard_normal((*signal.shape, n_samples)) + 100.0 * rng.standard_normal((*signal.shape, 1))


def tone(hz, sfreq=256.0, n_samples=4000):
    return np.sin(2 * np.pi * hz * np.arange(n_samples) / sfreq)[None]


def gain(spec, hz, sfreq=256.0):
    """Return the amplitude of a tone after `spec`, once it has settled."""
    y = spec.build(Signal(sfreq, ("a",))).process(tone(hz, sfreq, round(20 * sfreq)))
    return np.sqrt(2) * y[0, y.shape[1] // 2 :].std()


def test_select_reorders_by_name():
    x = noise()
    stage = Select(("c", "a")).build(ABC)
    assert stage.signal_out.names == ("c", "a")
    np.testing.assert_array_equal(stage.process(x), x[[2, 0]])


def test_bipolar_subtracts_and_names_pairs():
    x = noise()
    stage = Bipolar(pairs=(("a", "b"), ("c", "a"))).build(ABC)
    assert stage.signal_out.names == ("a-b", "c-a")
    np.testing.assert_allclose(stage.process(x), [x[0] - x[1], x[2] - x[0]], rtol=1e-12)


def test_the_double_banana_has_four_chains_and_the_midline():
    """ACNS: left and right, temporal and parasagittal, four pairs each; then the midline."""
    assert len(DOUBLE_BANANA) == 18
    assert MONTAGES["double_banana_16"] == DOUBLE_BANANA[:16]
    assert {name for pair in DOUBLE_BANANA for name in pair} == set(TEN_TWENTY_19)
    for start in range(0, 16, 4):
        chain = DOUBLE_BANANA[start : start + 4]
        assert all(first[1] == second[0] for first, second in pairwise(chain))
        assert chain[0][0] in ("Fp1", "Fp2")
        assert chain[-1][1] in ("O1", "O2")


def test_features_are_gathered_by_name():
    x = noise(Signal(256.0, ("C3:0", "Cz:low", "C3:1", "Cz:high")))
    stage = GatherFeatures().build(Signal(256.0, ("C3:0", "Cz:low", "C3:1", "Cz:high")))
    assert (stage.signal_out.names, stage.signal_out.n_features) == (("C3", "Cz"), 2)
    np.testing.assert_array_equal(stage.process(x), [x[[0, 2]], x[[1, 3]]])
    assert GatherFeatures().build(ABC).signal_out == Signal(256.0, ("a", "b", "c"), n_features=1)


def test_features_that_cannot_be_gathered():
    with pytest.raises(SpecError, match=r"as many features of each channel, got 1 of Cz and 2 of C3\. Name channels"):
        GatherFeatures().build(Signal(256.0, ("C3:0", "C3:1", "Cz:0")))
    with pytest.raises(
        SpecError, match=r"GatherFeatures needs a plain signal, got frames of 4 features\. Leave it out"
    ):
        GatherFeatures().build(Signal(16.0, ("a",), n_features=4))
    with pytest.raises(SpecError, match=r"needs a separator of at least one character, got ''\. Use ':'"):
        GatherFeatures("").build(ABC)


def test_average_reference_leaves_no_mean():
    x = noise()
    np.testing.assert_allclose(AverageReference().build(ABC).process(x), x - x.mean(axis=0), rtol=1e-9, atol=1e-9)
    without_b = AverageReference(exclude=("b",)).build(ABC).process(x)
    np.testing.assert_allclose(without_b, x - x[[0, 2]].mean(axis=0), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("spec", "design"),
    [
        (Bandpass(1.0, 40.0), butter(4, (1.0, 40.0), "bandpass", fs=256.0, output="sos")),
        (Highpass(0.5), butter(2, 0.5, "highpass", fs=256.0, output="sos")),
        (Lowpass(40.0), butter(4, 40.0, "lowpass", fs=256.0, output="sos")),
    ],
    ids=lambda v: getattr(v, "kind", ""),
)
def test_filters_are_the_butterworth_designs(spec, design):
    """From rest, where starting from the first sample makes no difference."""
    x = noise()
    x[:, 0] = 0.0
    np.testing.assert_allclose(spec.build(ABC).process(x), sosfilt(design, x), rtol=1e-9, atol=1e-9)


def test_corners_pass_half_the_power():
    for spec, hz in [
        (Bandpass(1.0, 40.0), 1.0),
        (Bandpass(1.0, 40.0), 40.0),
        (Highpass(2.0), 2.0),
        (Lowpass(30.0), 30.0),
    ]:
        assert gain(spec, hz) == pytest.approx(np.sqrt(0.5), rel=0.01)


def test_notch_removes_the_line_and_little_else():
    b, a = iirnotch(50.0, 30.0, fs=256.0)
    x = noise()
    x[:, 0] = 0.0
    np.testing.assert_allclose(Notch(50.0).build(ABC).process(x), lfilter(b, a, x), rtol=1e-7, atol=1e-7)
    assert gain(Notch(50.0), 50.0) < 1e-3
    assert gain(Notch(50.0), 50.0 + 50.0 / 60) == pytest.approx(np.sqrt(0.5), rel=0.02)
    assert gain(Notch(50.0), 40.0) == pytest.approx(1.0, rel=0.01)


def test_a_filter_bank_is_its_band_passes_stacked():
    x = noise()
    stage = FilterBank(((1.0, 4.0), (8.0, 13.0)), order=2).build(ABC)
    bands = [Bandpass(1.0, 4.0, order=2).build(ABC), Bandpass(8.0, 13.0, order=2).build(ABC)]
    assert stage.signal_out.names == ("a@1-4", "b@1-4", "c@1-4", "a@8-13", "b@8-13", "c@8-13")
    np.testing.assert_array_equal(stage.process(x), np.concatenate([band.process(x) for band in bands]))
    assert stage.warmup_s == max(band.warmup_s for band in bands)
    assert stage.delay_s(2.0) == bands[0].delay_s(2.0)
    assert stage.delay_s(10.0) == bands[1].delay_s(10.0)


@pytest.mark.parametrize(("sfreq", "to", "up", "down"), [(250, 256, 128, 125), (1000, 200, 1, 5), (128, 256, 2, 1)])
def test_resampling_keeps_a_tone_and_shifts_it_by_the_delay(sfreq, to, up, down):
    stage = Resample(to).build(Signal(sfreq, ("a",)))
    assert stage.signal_out.sfreq == to
    y = stage.process(tone(11.0, sfreq, 4 * sfreq))[0]
    assert len(y) == -(-4 * sfreq * up // down)
    t = np.arange(len(y)) / to - stage.delay_s(11.0)
    settled = t > stage.warmup_s
    np.testing.assert_allclose(y[settled], np.sin(2 * np.pi * 11.0 * t[settled]), atol=3e-3)


def test_resampling_agrees_with_scipys_but_for_the_delay():
    """scipy's centred filter, made causal by half its length: equal where neither sees an edge."""
    x = noise(n_samples=3000)
    x[:, 0] = 0.0
    stage = Resample(128.0).build(ABC)
    expected = resample_poly(x, 1, 2, axis=-1, window=("kaiser", 5.0))
    shift = round(stage.delay_s(1.0) * 128.0)
    np.testing.assert_allclose(
        stage.process(x)[:, shift + 50 : -50], expected[:, 50 : -50 - shift], rtol=1e-9, atol=1e-9
    )


def test_resampling_down_stops_aliases():
    assert gain(Resample(200.0), 85.0, 1000.0) == pytest.approx(1.0, abs=0.05)
    assert gain(Resample(200.0), 125.0, 1000.0) < 3e-3
    assert gain(Resample(200.0), 190.0, 1000.0) < 3e-3  # would appear at 10 Hz


def test_resampling_to_the_same_rate_changes_nothing():
    x = noise()
    stage = Resample(256.0).build(ABC)
    np.testing.assert_array_equal(stage.process(x), x)
    assert stage.delay_s(10.0) == stage.warmup_s == 0.0


def test_scale_multiplies_and_renames_the_unit():
    x = noise()
    assert Scale(2.0).build(ABC).signal_out.unit == "uV"
    stage = Scale(1e-3, "mV").build(ABC)
    assert stage.signal_out.unit == "mV"
    np.testing.assert_allclose(stage.process(x), x / 1000.0, rtol=1e-12)


def test_clip_limits_both_signs():
    np.testing.assert_array_equal(
        Clip(5.0).build(ABC).process(np.array([[-9.0, 1.0], [9.0, 5.0], [0.0, -5.0]])), [[-5, 1], [5, 5], [0, -5]]
    )


@pytest.mark.parametrize("signal", [ABC, FRAMES], ids=["samples", "frames"])
def test_robust_scale_centres_and_scales_what_it_was_fitted_to(signal):
    x = noise(signal)
    unfitted = RobustScale()
    spec = unfitted.fit(x)
    assert spec.fitted
    assert not unfitted.fitted
    stage = spec.build(signal)
    low, middle, high = np.percentile(stage.process(x).reshape(3, -1), (25, 50, 75), axis=1)
    np.testing.assert_allclose(middle, 0.0, atol=1e-12)
    np.testing.assert_allclose(high - low, 1.0)
    assert stage.signal_out.unit == "iqr"


def test_running_norm_is_its_recursion():
    """Sample by sample, in plain arithmetic: the mean starts at the first sample, the variance is bias-corrected."""
    x = noise(n_samples=400)
    keep = np.exp(-1.0 / (0.5 * 256.0))
    mean, variance, weight = x[:, 0].copy(), np.zeros(3), 1.0
    expected = np.empty_like(x)
    for n in range(x.shape[1]):
        mean = keep * mean + (1 - keep) * x[:, n]
        variance = keep * variance + (1 - keep) * (x[:, n] - mean) ** 2
        weight *= keep
        expected[:, n] = (x[:, n] - mean) / np.sqrt(variance / (1 - weight) + 0.01**2)
    stage = RunningNorm(0.5, min_std=0.01).build(ABC)
    np.testing.assert_allclose(stage.process(x), expected, rtol=1e-9, atol=1e-11)
    assert stage.signal_out.unit == "z"


def test_running_norm_makes_stationary_noise_standard():
    y = RunningNorm(2.0).build(ABC).process(noise(n_samples=20_000))[:, 5000:]
    np.testing.assert_allclose(y.std(axis=1), 1.0, rtol=0.03)
    np.testing.assert_allclose(y.mean(axis=1), 0.0, atol=0.05)


def test_running_norm_of_a_flat_channel_is_zero():
    np.testing.assert_allclose(RunningNorm(1.0).build(ABC).process(np.full((3, 500), 4187.3)), 0.0, atol=1e-6)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Select(("a", "x")), r"Select needs channels x\. The signal has: a, b, c"),
        (Select(("a", "a")), "Channel names must differ, got repeated: a"),
        (Select(()), "needs at least one channel name, got none"),
        (Bipolar(), r"Bipolar needs channels Fp1, F7, .*\. The signal has: a, b, c"),
        (Bipolar("banana"), "needs a known montage, got 'banana'. Known: double_banana, double_banana_16"),
        (AverageReference(("x",)), "AverageReference needs channels x"),
        (AverageReference(("a", "b", "c")), "at least one channel in the mean, got all of them in exclude"),
        (
            Bandpass(1, 130),
            r"0 < low_hz < high_hz < 128 Hz \(Nyquist\) and 1 <= order <= 20, got low_hz=1, high_hz=130",
        ),
        (Bandpass(0, 30), "got low_hz=0"),
        (Bandpass(30, 10), "got low_hz=30, high_hz=10"),
        (Bandpass(1, 30, order=0), "got low_hz=1, high_hz=30, order=0"),
        (Highpass(128), r"Highpass needs 0 < low_hz < 128 Hz \(Nyquist\) and 1 <= order <= 20, got low_hz=128"),
        (Highpass(1, order=0), "got low_hz=1, order=0"),
        (Lowpass(0), r"Lowpass needs 0 < high_hz < 128 Hz \(Nyquist\) and 1 <= order <= 20, got high_hz=0"),
        (Notch(150), r"Notch needs 0 < freq_hz < 128 Hz \(Nyquist\) and 1 <= order <= 20, got freq_hz=150"),
        (Bandpass(1, 30, order=100_000), r"1 <= order <= 20, got low_hz=1, high_hz=30, order=100000"),
        (Lowpass(40, order=21), r"1 <= order <= 20, got high_hz=40, order=21"),
        (Bandpass(1e-9, 30), SLOW),
        (Highpass(1e-9), SLOW),
        (Highpass(1e-300), SLOW),
        (Lowpass(1e-7), SLOW),
        (Notch(50, quality=1e12), SLOW),
        (FilterBank(((1, 4), (10, 10.00001))), SLOW),
        (Notch(50, quality=0), "Notch needs quality > 0, got 0"),
        (FilterBank(()), "FilterBank needs at least one band .*, got none"),
        (FilterBank(((1, 4), (8, 200))), "got low_hz=8, high_hz=200"),
        (FilterBank(((1, 4), (1, 4))), "Channel names must differ, got repeated: a@1-4"),
        (Resample(0), "Resample needs sfreq > 0 Hz and half_length >= 1, got sfreq=0, half_length=10"),
        (Resample(100, half_length=0), "got sfreq=100, half_length=0"),
        (Resample(100.123), r"rational ratio with terms up to 1000, got 256 -> 100\.123 Hz\. Use 100\.\d+ Hz"),
        (Resample(300_000), "rational ratio with terms up to 1000, got 256 -> 300000 Hz"),
        (Scale(np.nan), "Scale needs a finite factor, got nan"),
        (Clip(0), "Clip needs limit > 0 uV, got 0"),
        (RobustScale(), r"RobustScale must be fitted before it runs\. Call fit with the training split"),
        (RobustScale((0.0,), (1.0,)), r"was fitted to 1 channels, the signal has 3\. Fit it again"),
        (RobustScale((0.0, 0.0, 0.0), (1.0, 0.0, 1.0)), r"finite numbers and spreads above 0, got .*Fit it again"),
        (RunningNorm(0.001), r"tau_s of at least one sample \(0\.00390625 s\) and min_std > 0, got tau_s=0\.001"),
        (RunningNorm(1.0, min_std=0.0), "got tau_s=1, min_std=0"),
        (
            LogMel(256, 257, 16, 8, 1, 40),
            r"LogMel needs .* floor > 0 uV\^2, got win_length=257, n_fft=256",
        ),
        (LogMel(2**34, 256, 16, 8, 1, 40), r"LogMel needs n_fft <= 1048576, .* got n_fft=17179869184, n_mels=8"),
        (
            LogMel(256, 256, 16, 257, 1, 40),
            r"n_mels <= n_fft and n_mels \* n_fft <= 33554432, got n_fft=256, n_mels=257",
        ),
        (LogMel(2**20, 256, 16, 33, 1, 40), "got n_fft=1048576, n_mels=33"),
        (LogMel(256, 256, 0, 8, 1, 40), "got win_length=256, n_fft=256, hop_length=0"),
        (LogMel(256, 256, 16, 8, 1, 40, floor=0), "hop_length=16, floor=0"),
        (LogMel(256, 256, 16, 8, 1, 140), r"LogMel: .*high_hz <= 128 Hz \(Nyquist\), got low_hz=1, high_hz=140"),
        (
            LogMel(256, 256, 16, 2, 10.1, 10.9),
            r"FFT within 10\.1 to 10\.9 Hz, got bins 1 Hz apart\. Raise n_fft",
        ),
    ],
    ids=lambda v: v.kind if hasattr(v, "kind") else "",
)
def test_settings_that_do_not_fit_are_refused(spec, message):
    with pytest.raises(SpecError, match=message):
        spec.build(ABC)


def test_slow_filters_that_settle_within_the_hour_are_built():
    assert 10 < Bandpass(0.003, 30).build(ABC).warmup_s < 600
    assert Bandpass(8, 13, order=20).build(ABC).warmup_s < 10


def test_bands_without_a_bin_are_named(caplog):
    """Their features would be constant without a word."""
    stage = LogMel(128, 128, 16, 64, 0.5, 40).build(ABC)
    (record,) = caplog.records
    empty = [int(i) for i in record.args[0].split(", ")]
    y = stage.process(noise())
    assert (y[:, empty] == 0.0).all()
    assert "hold no bin of the FFT (2 Hz apart) and stay at the floor; raise n_fft" in record.getMessage()
    caplog.clear()
    LogMel(512, 256, 16, 64, 0.5, 40).build(ABC)
    assert not caplog.records


def test_resample_names_a_rate_that_works():
    """The remedy in the message is one."""
    with pytest.raises(SpecError, match=r"Use \S+ Hz") as caught:
        Resample(99.99999).build(ABC)
    rate = float(str(caught.value).split("Use ")[1].split(" Hz")[0])
    assert Resample(rate).build(ABC).signal_out.sfreq == rate


def test_log_mel_of_frames_is_refused():
    with pytest.raises(SpecError, match="LogMel needs a plain signal, got frames of 4 features"):
        LogMel(8, 8, 4, 2, 1, 7).build(FRAMES)


def test_robust_scale_refuses_a_flat_channel():
    x = noise()
    x[1] = 7.0
    with pytest.raises(SpecError, match=r"channels that vary, got an interquartile range of 0 in channel 1\. Drop"):
        RobustScale().fit(x)
