"""The pipeline: cuts change nothing, validity and evidence stay with their columns, and settings are strict JSON."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bci.chunk import Signal
from bci.errors import SignalError, SpecError
from bci.pipeline import SCHEMA, PipelineSpec, Window, window_starts
from bci.stages.channels import AverageReference, Bipolar, Select
from bci.stages.filters import Bandpass, Highpass, Lowpass, Notch
from bci.stages.logmel import LogMel
from bci.stages.resample import Resample
from bci.stages.running_norm import RunningNorm
from bci.stages.scale import Clip, RobustScale, Scale
from tests.bci.cuts import halves, ones, random_with_zeros, split

ABC = ("a", "b", "c")


def make(sfreq, stages, length_s, hop_s, reference_hz=10.0):
    return PipelineSpec(Signal(sfreq, ABC), tuple(stages), Window(length_s, hop_s), reference_hz)


PIPELINES = {
    "nothing": make(256.0, [], 1.0, 0.25),
    "raw": make(250.0, [Notch(50.0), Bandpass(1.0, 40.0), Clip(500.0), Scale(0.01)], 2.0, 0.5, 3.0),
    "features": make(256.0, [Bandpass(0.5, 40.0), AverageReference(), LogMel(128, 128, 16, 20, 0.5, 40.0)], 2.0, 0.25),
    "up": make(128.0, [Highpass(0.5), Resample(256.0), Bipolar(pairs=(("a", "b"),))], 1.0, 0.125),
    "awkward": make(250.0, [Resample(256.0), LogMel(64, 50, 64, 8, 1.0, 60.0), RunningNorm(2.0)], 2.0, 0.25),
    "down-apart": make(1000.0, [Lowpass(80.0), Resample(200.0), LogMel(64, 10, 25, 8, 1.0, 90.0)], 1.0, 0.125),
    "down-up": make(256.0, [Resample(128.0), Select(("c",)), Resample(200.0)], 1.0, 0.5),
}
each = pytest.mark.parametrize("name", PIPELINES)


def spoiled(n_samples, seed=0):
    """Return float32 noise over an offset, with scattered and clustered NaN, and a tenth of samples filled."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((3, 1)) * 500 + 20 * rng.standard_normal((3, n_samples))).astype(np.float32)
    x[1, rng.random(n_samples) < 0.02] = np.nan
    start = n_samples // 2
    x[:, start : start + 30] = np.inf
    return x, rng.random(n_samples) < 0.1


def reference_valid(good, last):
    """Return the valid share of each column's new samples; a column without new ones shares its last."""
    shares, before = [], -1
    for sample in last:
        new = good[before + 1 : sample + 1] if sample > before else good[sample : sample + 1]
        shares.append(new.mean())
        before = sample
    return np.array(shares, dtype=np.float32)


def join(blocks):
    """Return data, validity and evidence of all blocks."""
    fields = ("data", "valid", "last_input")
    return tuple(np.concatenate([getattr(block, field) for block in blocks], axis=-1) for field in fields)


@each
@pytest.mark.parametrize("sizes", [ones, random_with_zeros, halves])
def test_cuts_change_neither_data_nor_validity_nor_evidence(name, sizes):
    x, filled = spoiled(1500)
    whole = PIPELINES[name].build().process(x, filled)
    pipeline = PIPELINES[name].build()
    parts = zip(split(x, sizes(1500)), split(filled, sizes(1500)), strict=True)
    data, valid, last = join([pipeline.process(*part) for part in parts])
    assert whole.data.shape == (*pipeline.signal_out.shape, whole.valid.size)
    np.testing.assert_allclose(data, whole.data, rtol=1e-9, atol=1e-9 * np.abs(whole.data).max())
    np.testing.assert_array_equal(valid, whole.valid)
    np.testing.assert_array_equal(last, whole.last_input)
    assert (whole.valid.dtype, whole.last_input.dtype) == (np.float32, np.int64)


@each
def test_validity_is_the_share_of_the_new_samples(name):
    x, filled = spoiled(1500)
    block = PIPELINES[name].build().process(x, filled)
    good = np.isfinite(x).all(axis=0) & ~filled
    np.testing.assert_allclose(block.valid, reference_valid(good, block.last_input), rtol=1e-6)


@each
@settings(deadline=None, max_examples=25)
@given(st.data())
def test_any_cut_and_any_pattern_of_bad_samples(name, data):
    """Validity and evidence, sample-exact, for what no one thought of."""
    n_samples = data.draw(st.integers(1, 300))
    bad = np.array(data.draw(st.lists(st.booleans(), min_size=n_samples, max_size=n_samples)))
    cuts = sorted(data.draw(st.lists(st.integers(0, n_samples), max_size=12)))
    x = np.random.default_rng(0).standard_normal((3, n_samples)).astype(np.float32)
    x[data.draw(st.integers(0, 2)), bad] = np.nan
    pipeline = PIPELINES[name].build()
    sizes = np.diff([0, *cuts, n_samples]).tolist()
    out, valid, last = join([pipeline.process(part) for part in split(x, sizes)])
    whole = PIPELINES[name].build().process(x)
    np.testing.assert_allclose(out, whole.data, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(last, whole.last_input)
    np.testing.assert_array_equal(valid, whole.valid)
    np.testing.assert_allclose(valid, reference_valid(~bad, last), rtol=1e-6)
    if last.size and (np.diff(last) > 0).all():  # each sample up to the last evidence counts once
        counts = np.diff([-1, *last])
        assert (valid * counts).sum() == pytest.approx((~bad[: last[-1] + 1]).sum())


@each
def test_one_bad_sample_marks_exactly_the_columns_that_it_is_new_in(name):
    x = np.zeros((3, 1500), np.float32)
    x[2, 700] = np.nan
    block = PIPELINES[name].build().process(x)
    first = np.concatenate([[0], np.minimum(block.last_input[:-1] + 1, block.last_input[1:])])
    np.testing.assert_array_equal(block.valid < 1, (first <= 700) & (block.last_input >= 700))
    assert (block.valid < 1).any()


@each
def test_bad_samples_are_held_and_data_stay_finite(name):
    x, _ = spoiled(1500)
    pipeline = PIPELINES[name].build()
    assert np.isfinite(pipeline.process(x).data).all()
    assert pipeline.gate.n_held == np.count_nonzero(~np.isfinite(x))


@each
def test_columns_appear_with_their_evidence(name):
    """As soon as the last sample behind a column is there, so is the column, and never before."""
    x, _ = spoiled(700)
    pipeline = PIPELINES[name].build()
    for n, part in enumerate(split(x, ones(700))):
        assert (pipeline.process(part).last_input == n).all()
    n_columns = np.count_nonzero(pipeline.last_input(np.arange(2000)) < 700)
    assert PIPELINES[name].build().process(x).valid.size == n_columns


@each
def test_the_future_changes_nothing(name):
    x, _ = spoiled(1200)
    other = x.copy()
    other[:, 801:] = np.float32(1e4)
    one, two = PIPELINES[name].build().process(x), PIPELINES[name].build().process(other)
    is_past = one.last_input <= 800
    np.testing.assert_array_equal(one.data[..., is_past], two.data[..., is_past])
    np.testing.assert_array_equal(one.valid[is_past], two.valid[is_past])


@each
def test_state_goes_back_and_over(name):
    x, filled = spoiled(1200)
    pipeline = PIPELINES[name].build()
    pipeline.process(x[:, :503], filled[:503])
    state = pipeline.state
    expected = pipeline.process(x[:, 503:], filled[503:])
    for other in (pipeline, PIPELINES[name].build()):
        other.state = state
        block = other.process(x[:, 503:], filled[503:])
        np.testing.assert_array_equal(block.data, expected.data)
        np.testing.assert_array_equal(block.valid, expected.valid)
        np.testing.assert_array_equal(block.last_input, expected.last_input)


@each
def test_reset_starts_a_new_stream_and_a_new_grid(name):
    x, filled = spoiled(1200)
    pipeline = PIPELINES[name].build()
    pipeline.process(x[:, :777], filled[:777])
    pipeline.reset()
    again, fresh = pipeline.process(x, filled), PIPELINES[name].build().process(x, filled)
    for field in ("data", "valid", "last_input"):
        np.testing.assert_array_equal(getattr(again, field), getattr(fresh, field))


def test_input_and_flags_are_untouched():
    x, filled = spoiled(500)
    before = x.copy(), filled.copy()
    PIPELINES["features"].build().process(x, filled)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(filled, before[1])


def test_a_pipeline_is_its_stages_in_order():
    spec = PIPELINES["raw"]
    x, _ = spoiled(600)
    x = np.nan_to_num(x, nan=0.0, posinf=0.0)
    expected = x
    for stage in spec.stages:
        expected = stage.build(spec.signal).process(expected)
    np.testing.assert_array_equal(spec.build().process(x).data, expected)


def test_delay_and_warm_up_are_summed_over_the_stages():
    spec = PIPELINES["raw"]
    pipeline = spec.build()
    assert pipeline.delay_s() == pytest.approx(sum(stage.delay_s(3.0) for stage in pipeline.stages))
    assert pipeline.delay_s(20.0) == pytest.approx(sum(stage.delay_s(20.0) for stage in pipeline.stages))
    assert pipeline.warmup_s == pytest.approx(sum(stage.warmup_s for stage in pipeline.stages))


def test_the_delay_of_a_chain_is_the_measured_one():
    """A burst through filter, resampling and log-mel: its energy arrives as late as declared."""
    spec = make(250.0, [Bandpass(1.0, 40.0), Resample(200.0), LogMel(128, 128, 4, 40, 0.5, 60.0, 1e-6)], 1.0, 0.1)
    pipeline = spec.build()
    t = np.arange(5000) / 250.0
    envelope = 100 * np.exp(-0.5 * ((t - 10) / 1.0) ** 2)
    block = pipeline.process(np.tile(envelope * np.cos(2 * np.pi * 10 * t), (3, 1)))
    energy = (10 ** (block.data / 10)).sum(axis=(0, 1))
    measured = (block.last_input / 250.0 * energy).sum() / energy.sum() - 10
    assert measured == pytest.approx(pipeline.delay_s(10.0), abs=1 / 250)


def test_windows_are_counted_in_columns():
    pipeline = PIPELINES["features"].build()
    assert (pipeline.window_frames, pipeline.hop_frames) == (32, 4)
    np.testing.assert_array_equal(window_starts(41, pipeline), [0, 4, 8])
    np.testing.assert_array_equal(window_starts(32, pipeline), [0])
    assert window_starts(31, pipeline).size == 0


def test_a_timer_fills_the_ledger_of_stages():
    pipeline = PIPELINES["raw"].build()
    ticks = iter(range(100))
    pipeline.process(np.zeros((3, 8), np.float32), timer=lambda: float(next(ticks)))
    np.testing.assert_array_equal(pipeline.stage_s, [1, 1, 1, 1, 1])  # gate and four stages


def test_a_hop_that_is_no_whole_number_of_columns_is_refused():
    mel = LogMel(512, 512, 16, 64, 0.5, 40.0)
    with pytest.raises(SpecError, match=r"The hop of predictions must be .* at 16 Hz, got 0\.1 s .* Use 0\.125 s"):
        make(256.0, [mel], 10.0, 0.1).build()
    with pytest.raises(SpecError, match=r"The window length must be a whole number of samples at 16 Hz, got 10\.03 s"):
        make(256.0, [mel], 10.03, 0.25).build()


@pytest.mark.parametrize(("length_s", "hop_s"), [(0.0, 0.25), (1.0, 0.0), (-1.0, 0.25), (1.0, -0.25)])
def test_an_empty_window_is_refused(length_s, hop_s):
    with pytest.raises(SpecError, match=r"window and its hop need at least one column of 0\.00390625 s, got length_s="):
        make(256.0, [], length_s, hop_s).build()


def test_a_stage_is_checked_against_the_signal_that_reaches_it():
    with pytest.raises(SpecError, match=r"high_hz < 50 Hz \(Nyquist\)"):
        make(256.0, [Resample(100.0), Bandpass(1.0, 60.0)], 1.0, 0.25).build()
    with pytest.raises(SpecError, match=r"Select needs channels a\. The signal has: a-b"):
        make(256.0, [Bipolar(pairs=(("a", "b"),)), Select(("a",))], 1.0, 0.25).build()


def test_wrong_shapes_are_refused():
    with pytest.raises(SignalError, match=r"The gate needs samples of shape \(3, n_samples\), got \(2, 10\)"):
        PIPELINES["raw"].build().process(np.zeros((2, 10)))


@pytest.mark.parametrize("reference_hz", [0.0, -1.0, np.nan, np.inf])
def test_a_reference_frequency_that_is_none_is_refused(reference_hz):
    with pytest.raises(SpecError, match="A pipeline needs reference_hz > 0 Hz to declare its delay, got"):
        make(256.0, [], 1.0, 0.25, reference_hz)


def test_a_pipeline_starts_from_samples():
    with pytest.raises(SpecError, match="A pipeline starts from a plain signal, got frames of 4 features"):
        PipelineSpec(Signal(16.0, ABC, "dB", n_features=4), (), Window(1.0, 0.25))


@each
def test_settings_survive_json(name):
    spec = PIPELINES[name]
    again = PipelineSpec.from_json(spec.to_json())
    assert again == spec
    assert again.to_json() == spec.to_json()
    assert again.sha256() == spec.sha256()


def test_fitted_numbers_survive_to_the_last_bit():
    scale = RobustScale((0.1, 1 / 3, np.nextafter(2.0, 3.0)), (1e-300, np.pi, 7.0))
    spec = make(256.0, [scale], 1.0, 0.25)
    assert PipelineSpec.from_json(spec.to_json()).stages[0] == scale


def test_the_hash_is_that_of_the_values():
    """The same on every machine and in every version; integers and floats of one value are one."""
    spec = make(256.0, [Bandpass(1.0, 40.0), LogMel(512, 512, 16, 64, 0.5, 40.0)], 10.0, 0.25, 3.0)
    assert spec.sha256() == "9593a91dce84099136287ebbf3e63b0734bc952c7b79b186c784f593bb9e0699"
    whole = PipelineSpec(Signal(256, ABC), (Bandpass(1, 40), LogMel(512, 512, 16, 64, 0.5, 40)), Window(10, 0.25), 3)
    assert whole.sha256() == spec.sha256()
    assert make(256.0, [Bandpass(1.0, 40.5)], 10.0, 0.25, 3.0).sha256() != spec.sha256()


def changed(**fields):
    """Return the JSON of a good pipeline with fields replaced; None removes one."""
    record = json.loads(PIPELINES["raw"].to_json()) | fields
    return json.dumps({key: value for key, value in record.items() if value is not None})


GOOD_SIGNAL = {"sfreq": 250.0, "names": ["a"], "unit": "uV", "n_features": None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "A pipeline needs JSON, got a syntax error"),
        ("[]", "A pipeline needs a JSON object, got list"),
        (changed(stages=None), "the fields reference_hz, schema, signal, stages, window, got reference_hz, schema"),
        (changed(extra=1), "A pipeline needs the fields .*, got extra, reference_hz"),
        (changed(stages={"kind": "notch"}), "A pipeline needs the fields"),
        (changed(schema=SCHEMA + 1), r"A pipeline needs schema 1, got 2\. Use the toolkit version that wrote it"),
        (changed(schema=True), "A pipeline needs schema 1, got True"),
        (changed(schema=1.0), r"A pipeline needs schema 1, got 1\.0"),
        (changed(schema="1"), "A pipeline needs schema 1, got '1'"),
        (changed(reference_hz="3"), "reference_hz must be a number, got '3'"),
        (changed(reference_hz=True), "reference_hz must be a number, got True"),
        (changed(reference_hz=10**400), "reference_hz must be a number, got 1000"),
        (changed(reference_hz=float("nan")), "A pipeline needs reference_hz > 0 Hz to declare its delay, got nan"),
        (changed(reference_hz=float("inf")), "reference_hz must be a number, got inf"),
        (changed(stages=[{"kind": "notched"}]), "A stage needs a known kind, got 'notched'. Known: select"),
        (changed(stages=[{"freq_hz": 50.0}]), "A stage needs a known kind, got None"),
        (changed(stages=[3]), "A stage needs a known kind, got 3"),
        (changed(stages=[{"kind": "notch"}]), "stage 'notch' lacks freq_hz"),
        (
            changed(stages=[{"kind": "notch", "freq_hz": 50.0, "q": 3}]),
            r"'notch' has unknown fields q\. Known: freq_hz",
        ),
        (changed(stages=[{"kind": "notch", "freq_hz": True}]), "stage 'notch': freq_hz must be float, got True"),
        (changed(stages=[{"kind": "notch", "freq_hz": float("nan")}]), "stage 'notch': freq_hz must be float, got nan"),
        (changed(stages=[{"kind": "highpass", "low_hz": 1, "order": 2.0}]), r"order must be int, got 2\.0"),
        (changed(window={"length_s": 1.0}), "window lacks hop_s"),
        (changed(window=[1.0, 0.25]), "window needs a JSON object, got list"),
        (changed(window={"length_s": 1.0, "hop_s": "0.25"}), "window: hop_s must be float, got '0.25'"),
        (changed(signal=GOOD_SIGNAL | {"sfreq": -1.0}), "A signal needs a sampling rate above 0 Hz, got -1"),
        (changed(signal=GOOD_SIGNAL | {"names": ["a", "a"]}), "Channel names must differ, got repeated: a"),
        (changed(signal=GOOD_SIGNAL | {"names": "abc"}), "signal: names must be .*, got 'abc'"),
        (changed(signal={"sfreq": 250.0}), "signal lacks names"),
    ],
)
def test_json_that_is_not_exactly_a_pipeline_is_refused(text, message):
    with pytest.raises(SpecError, match=message):
        PipelineSpec.from_json(text)
