"""Which channels are found bad, when, and what replaces them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bci.chunk import Signal
from bci.errors import SpecError
from bci.pipeline import Pipeline, PipelineSpec, Window
from bci.stages.channels import Select
from bci.stages.filters import Highpass
from bci.stages.montages import TEN_TWENTY_19
from bci.stages.quality import InterpolateBad, MaskBad, ReportQuality
from bci.stages.quality_detector import Change
from bci.stages.quality_measures import measure
from bci.stages.resample import Resample
from tests.bci.cuts import halves, ones, random_with_zeros, split

SFREQ = 250.0
SIGNAL = Signal(SFREQ, TEN_TWENTY_19)
BAD_S, GOOD_S, LENGTH_S = 4, 12, 22  # the disturbance lasts from one to the next
C3 = TEN_TWENTY_19.index("C3")
POLICIES = [ReportQuality, InterpolateBad, MaskBad]


def brain(seconds: float = LENGTH_S, sfreq: float = SFREQ, seed: int = 0) -> np.ndarray:
    """Return a signal like EEG at some 20 µV: power falls with frequency; common and own parts; offsets of mV."""
    rng = np.random.default_rng(seed)
    n = round(seconds * sfreq)
    hz = np.fft.rfftfreq(n, 1 / sfreq)
    shape = 1.0 / np.maximum(hz, 1.0)
    white = np.fft.rfft(rng.standard_normal((20, n)), axis=1)
    pink = np.fft.irfft(white * shape, n, axis=1)
    pink *= 20.0 / pink.std(axis=1, keepdims=True)
    return 0.9 * pink[:1] + 0.44 * pink[1:] + 2000.0 * rng.standard_normal((19, 1))


def disturb(x: np.ndarray, how: str, sfreq: float = SFREQ, seed: int = 1) -> np.ndarray:
    """Return one channel's samples with a disturbance."""
    rng = np.random.default_rng(seed)
    t = np.arange(x.size) / sfreq
    centre = x.mean()
    return {
        "flat": np.full(x.size, centre),
        "railing": np.clip(x, -np.inf, np.quantile(x, 0.7)),
        "amplitude": centre + 40.0 * (x - centre),
        "line": x + 150.0 * np.sin(2 * np.pi * 50.0 * t),
        "high_frequency": x + 10.0 * np.sqrt(sfreq) * rng.standard_normal(x.size),
        "nan": np.where(rng.random(x.size) < 0.3, np.nan, x),
    }[how]


def disturbed(how: str) -> np.ndarray:
    """Return a signal with C3 disturbed from `BAD_S` to `GOOD_S`."""
    x = brain()
    part = slice(round(BAD_S * SFREQ), round(GOOD_S * SFREQ))
    x[C3, part] = disturb(x[C3, part], how)
    return x


def pipeline_of(*stages: Any, signal: Signal = SIGNAL) -> Pipeline:
    return PipelineSpec(signal, stages, Window(1.0, 0.5)).build()


def seconds(changes: list[Change]) -> list[tuple[float, str, bool]]:
    return [(change.sample / SFREQ, change.channel, change.bad) for change in changes]


@pytest.mark.parametrize("how", ["flat", "railing", "amplitude", "line", "high_frequency", "nan"])
@pytest.mark.parametrize("spec", POLICIES)
def test_a_disturbed_channel_is_found_by_its_reason_and_no_other(spec, how):
    """Bad after three hops, good after five, to the sample."""
    pipeline = pipeline_of(spec())
    pipeline.process(disturbed(how))
    changes = pipeline.changes()
    assert seconds(changes) == [(BAD_S + 3.0, "C3", True), (GOOD_S + 5.0, "C3", False)]
    assert changes[0].reasons == (how,)
    assert changes[1].reasons == ()
    assert set(changes[0].values) == set(measure(brain(1.0), None, SFREQ))
    assert pipeline.changes() == []


@pytest.mark.parametrize("spec", POLICIES)
def test_a_clean_signal_has_no_bad_channel(spec):
    for seed in range(5):
        pipeline = pipeline_of(spec())
        x = brain(60.0, seed=seed)
        np.testing.assert_array_equal(pipeline.process(x).data, x)
        assert pipeline.changes() == []


@pytest.mark.parametrize("spec", POLICIES)
@pytest.mark.parametrize("sizes", [ones, halves, random_with_zeros])
def test_changes_samples_and_validity_do_not_depend_on_the_cut(spec, sizes):
    """Bit for bit: decisions fall at hops that are counted from the reset, never at the border of a chunk."""
    x = np.concatenate([disturbed("nan"), disturbed("line")[::-1]], axis=1)
    whole = pipeline_of(spec())
    expected = whole.process(x)
    cut = pipeline_of(spec())
    blocks, changes = [], []
    for part in split(x, sizes(x.shape[1])):
        blocks.append(cut.process(part))
        changes += cut.changes()
    assert changes == whole.changes()
    assert len(changes) == 4
    np.testing.assert_array_equal(np.concatenate([b.data for b in blocks], axis=1), expected.data)
    np.testing.assert_array_equal(np.concatenate([b.valid for b in blocks]), expected.valid)


def test_a_channel_at_the_limit_does_not_flicker():
    """Bad in every second hop: never three in a row, so never bad; and once bad, never good."""
    x = brain(40.0)
    n = round(SFREQ)
    for start in range(0, x.shape[1], 2 * n):
        x[C3, start : start + n] = disturb(x[C3, start : start + n], "flat")
    pipeline = pipeline_of(ReportQuality())
    pipeline.process(x)
    assert pipeline.changes() == []
    assert (pipeline.bad_channels, pipeline.doubtful_channels) == ((), ())
    pipeline.reset()
    pipeline.process(x[:, : 39 * n])
    assert (pipeline.bad_channels, pipeline.doubtful_channels) == ((), ("C3",))
    pipeline.reset()
    pipeline.process(x)
    x[C3, : 4 * n] = x[C3, 0]
    pipeline.reset()
    pipeline.process(x)
    assert seconds(pipeline.changes()) == [(3.0, "C3", True)]
    assert pipeline.bad_channels == ("C3",)


def test_reporting_changes_no_sample_and_no_validity():
    x = disturbed("nan")
    plain, reporting = pipeline_of().process(x), pipeline_of(ReportQuality()).process(x)
    np.testing.assert_array_equal(plain.data, reporting.data)
    np.testing.assert_array_equal(plain.valid, reporting.valid)


@pytest.mark.parametrize("spec", [InterpolateBad, MaskBad])
def test_a_replaced_channel_makes_no_sample_invalid(spec):
    """A dead electrode of 19 sends NaN: without repair nothing would be valid again."""
    x = brain()
    x[C3, 1000:] = np.nan
    assert not pipeline_of().process(x).valid[1000:].any()
    valid = pipeline_of(spec()).process(x).valid
    np.testing.assert_array_equal(valid, np.repeat([1, 0, 1], [1000, 3 * 250, 22 * 250 - 1750]))


@pytest.mark.parametrize("spec", POLICIES)
def test_below_the_least_number_of_good_channels_nothing_is_valid(spec):
    x = brain()
    x[:4, 1000:] = 0.0
    few = pipeline_of(spec(min_valid_channels=16)).process(x).valid
    np.testing.assert_array_equal(few, np.repeat([1, 0], [1750, 22 * 250 - 1750]))
    assert pipeline_of(spec(min_valid_channels=15)).process(x).valid.all()


@pytest.mark.parametrize("spec", [InterpolateBad, MaskBad])
def test_without_any_good_channel_nothing_is_valid_and_all_is_finite(spec):
    x = brain()
    x[:, 1000:] = 5.0
    block = pipeline_of(spec()).process(x)
    assert not block.valid[1750:].any()
    assert np.isfinite(block.data).all()
    assert np.ptp(block.data[:, 1750:], axis=1).max() == 0


def test_a_replaced_channel_goes_on_at_its_level():
    """The offsets differ by mV: a step of that size would ring in the filters that follow."""
    x = disturbed("railing")
    for spec in (InterpolateBad(), MaskBad()):
        y = pipeline_of(spec).process(x).data
        at = round((BAD_S + 3) * SFREQ)
        assert np.abs(y[C3, at : at + 250] - np.median(x[C3, at - 250 : at])).max() < 120.0
        np.testing.assert_array_equal(y[C3, at + 2500 :], x[C3, at + 2500 :])
    mask = pipeline_of(MaskBad()).process(x).data[C3, at : round(GOOD_S * SFREQ)]
    assert (mask == np.median(x[C3, at - 250 : at])).all()


def test_an_interpolated_channel_is_closer_to_the_truth_than_a_masked_one():
    truth, x = brain(), disturbed("line")
    part = slice(round((BAD_S + 4) * SFREQ), round(GOOD_S * SFREQ))
    error = {}
    for spec in (InterpolateBad(), MaskBad(), ReportQuality()):
        difference = pipeline_of(spec).process(x).data[C3, part] - truth[C3, part]
        error[spec.kind] = difference.std()
    assert error["interpolate_bad"] < 0.8 * error["mask_bad"] < error["report_quality"]


def test_weights_are_made_again_only_when_the_set_changes(monkeypatch):
    made = []

    def counted(weigh):
        return lambda bad: made.append(tuple(np.flatnonzero(bad))) or weigh(bad)

    stage = InterpolateBad().build(SIGNAL)
    monkeypatch.setattr(stage, "_weigh", counted(stage._weigh))
    x = disturbed("flat")
    x[0, round(6 * SFREQ) :] = 0.0
    for part in split(x, random_with_zeros(x.shape[1])):
        stage.process(part)
    assert made == [(C3,), (0, C3), (0,)]


@pytest.mark.parametrize("sfreq", [128.0, 160.0, 200.0, 256.0, 512.0, 1000.0])
def test_measures_hardly_depend_on_the_rate(sfreq):
    x = brain(1.0, sfreq)
    x[0] = disturb(x[0], "high_frequency", sfreq)
    x[1] = disturb(x[1], "line", sfreq)
    measures = measure(x, None, sfreq)
    assert measures["high_ratio"][0] > 0.5
    assert measures["line_share"][1] > 0.9
    assert measures["high_ratio"][2:].max() < 0.2
    assert measures["line_share"][2:].max() < 0.1
    assert (measures["amplitude"][2:] < 60).all()


def test_measures_of_known_signals():
    rng = np.random.default_rng(0)
    t = np.arange(1000) / 1000.0
    noise = rng.standard_normal(1000)
    x = np.stack([7.0 * noise, 300.0 * t, np.sin(2 * np.pi * 60 * t), np.clip(noise, -0.5, 0.5), np.zeros(1000)])
    held = np.zeros((5, 1000), dtype=bool)
    held[4, :250] = True
    measures = measure(x, held, 1000.0)
    assert measures["amplitude"][0] == pytest.approx(7.0, rel=0.1)
    np.testing.assert_allclose(measures["amplitude"][[1, 4]], 0.0, atol=1e-9)
    assert measures["high_ratio"][0] == pytest.approx(1.0, rel=0.3)
    assert measures["line_share"][2] > 0.999
    assert measures["rail_share"][3] == pytest.approx((np.abs(noise) >= 0.5).mean())
    assert measures["rail_share"][0] == 0.002
    np.testing.assert_array_equal(measures["nan_share"], [0, 0, 0, 0, 0.25])


def test_a_quiet_channel_of_a_coarse_converter_is_not_railing():
    """With 0.5 µV a level, 2 µV of EEG reach the same extreme again and again."""
    x = np.round(np.random.default_rng(0).standard_normal((1, 256)) * 2.0) / 2.0
    assert (x == x.max()).mean() + (x == x.min()).mean() > 0
    assert measure(x, None, 256.0)["rail_share"][0] == 0
    assert measure(np.sign(x) * 1e5, None, 256.0)["rail_share"][0] > 0.5  # from rail to rail


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ReportQuality(hop_s=0.1), r"hop_s of at least 0.25 s, .* got hop_s=0.1"),
        (MaskBad(bad_after=0), r"bad_after and good_after of at least 1, got .*bad_after=0"),
        (InterpolateBad(good_after=0), "good_after=0"),
        (ReportQuality(max_line_share=-0.5), "got max_line_share=-0.5"),
        (ReportQuality(min_valid_channels=20), r"min_valid_channels of at most 19, .* got 20"),
        (ReportQuality(hop_s=0.3333), "The hop of channel quality must be a whole number of samples"),
    ],
)
def test_limits_that_cannot_be_are_refused(spec, message):
    with pytest.raises(SpecError, match=message):
        spec.build(SIGNAL)


def test_features_are_refused():
    with pytest.raises(SpecError, match=r"needs a plain signal, got frames of 4 features. Put it first"):
        ReportQuality().build(Signal(16.0, ("a",), n_features=4))


def test_interpolation_needs_places():
    with pytest.raises(SpecError, match=r"needs the places of all channels .* got EKG, X1. Rename"):
        InterpolateBad().build(Signal(SFREQ, ("Fp1", "EKG", "EEG T7-REF", "X1")))


@pytest.mark.parametrize(
    "stages",
    [
        (ReportQuality(), MaskBad()),
        (Select(("C3", "Cz")), ReportQuality()),
        (Resample(125.0), ReportQuality()),
    ],
)
def test_quality_is_judged_once_and_on_the_raw_channels(stages):
    with pytest.raises(SpecError, match=r"judges channel quality once, on all channels .* at 250 Hz, got \d such"):
        pipeline_of(*stages)


def test_quality_may_stand_behind_a_filter():
    pipeline = pipeline_of(Highpass(0.5), ReportQuality())
    pipeline.process(disturbed("line"))
    assert [change.channel for change in pipeline.changes()] == ["C3", "C3"]
