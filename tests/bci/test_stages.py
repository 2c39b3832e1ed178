"""The laws of stages, held over the whole registry: a new stage is tested by being registered and given an example."""

from __future__ import annotations

import copy
import dataclasses
import json
import typing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.signal import hilbert

from bci.errors import SignalError, SpecError
from bci.stages.base import RESIDUAL_ENERGY, Stage
from bci.stages.registry import STAGES, stage_from_dict, stage_to_dict
from tests.bci.cuts import halves, ones, random_with_zeros, split
from tests.bci.stage_examples import EXAMPLES, Example, each

EXACT = {"bandpass", "highpass", "lowpass", "notch", "filter_bank", "report_quality", "interpolate_bad", "mask_bad"}
AMPLITUDE = {"running_norm": 1e-3}
SPECTRA = {"log_mel", "stft"}
FLOAT_FIELDS = [
    (example, field.name)
    for example in {e.spec.kind: e for e in EXAMPLES}.values()
    for field in dataclasses.fields(example.spec)
    if "float" in str(field.type)
]


def test_every_registered_stage_has_an_example():
    assert {example.spec.kind for example in EXAMPLES} == set(STAGES)


@each(EXAMPLES)
@pytest.mark.parametrize("sizes", [ones, random_with_zeros, halves])
def test_output_does_not_depend_on_the_chunk_size(example, sizes):
    """A stage is a function of the stream, not of how the driver delivers it."""
    x = example.noise(1200)
    stage = example.build()
    whole = stage.process(x)
    stage.reset()
    cut = np.concatenate([stage.process(part) for part in split(x, sizes(1200))], axis=-1)
    assert whole.shape[:-1] == stage.signal_out.shape
    assert whole.shape[-1] > 0
    assert cut.dtype == whole.dtype == np.float64
    if example.spec.kind in EXACT:
        np.testing.assert_array_equal(cut, whole)
    else:
        np.testing.assert_allclose(cut, whole, rtol=1e-9, atol=1e-12 * np.abs(whole).max())


@each(EXAMPLES)
def test_the_future_changes_no_output(example):
    x = example.noise(1200)
    now = 701
    other = x.copy()
    other[..., now:] = -3.0 * example.noise(1200 - now, seed=1) + 1000.0
    y, z = example.build().process(x), example.build().process(other)
    is_past = example.build().last_input(np.arange(y.shape[-1])) < now
    np.testing.assert_array_equal(y[..., is_past], z[..., is_past])
    assert is_past.any()
    assert not np.array_equal(y, z)


@each(EXAMPLES)
def test_an_output_appears_exactly_with_its_last_input(example):
    stage = example.build()
    x = example.noise(600)
    n_seen = np.cumsum([stage.process(part).shape[-1] for part in split(x, ones(600))])
    last = stage.last_input(np.arange(n_seen[-1] + 1))
    assert np.issubdtype(last.dtype, np.integer)
    assert (np.diff(last) >= 0).all()
    np.testing.assert_array_equal(n_seen, np.searchsorted(last, np.arange(600), side="right"))


@each(EXAMPLES)
def test_a_state_goes_back_to_its_moment(example):
    x = example.noise(900)
    stage = example.build()
    stage.process(x[..., :413])
    state = stage.state
    kept = copy.deepcopy(state)
    ahead = stage.process(x[..., 413:])
    np.testing.assert_equal(state, kept)  # a copy: going on has not changed it
    for other in (stage, example.build()):
        other.state = state
        np.testing.assert_array_equal(other.process(x[..., 413:]), ahead)
    np.testing.assert_equal(state, kept)


@each(EXAMPLES)
def test_the_state_before_the_first_sample_is_a_state_too(example):
    x = example.noise(500)
    stage = example.build()
    state = stage.state
    first = stage.process(x)
    stage.state = state
    np.testing.assert_array_equal(stage.process(x), first)


@each(EXAMPLES)
def test_reset_forgets_everything(example):
    x = example.noise(700)
    stage = example.build()
    stage.process(example.noise(333, seed=7))
    stage.reset()
    np.testing.assert_array_equal(stage.process(x), example.build().process(x))


@each(EXAMPLES)
def test_input_is_untouched_and_output_is_the_callers(example):
    x = example.noise(800).astype(np.float64)
    stage, undisturbed = example.build(), example.build()
    for part in split(x, halves(800)):
        before = part.copy()
        y = stage.process(part)
        np.testing.assert_array_equal(part, before)
        np.testing.assert_array_equal(y, undisturbed.process(before))
        y[...] = np.nan  # what a caller does with the output, or later with its buffer, is not remembered
        part[...] = np.nan


@each(EXAMPLES)
def test_float32_and_a_strided_view_are_taken_by_value(example):
    x = example.noise(400)
    wide = np.zeros((*x.shape[:-1], 800), dtype=np.float32)
    wide[..., ::2] = x
    expected = example.build().process(x.astype(np.float64))
    np.testing.assert_allclose(example.build().process(wide[..., ::2]), expected, rtol=1e-12, atol=1e-12)


@each(EXAMPLES)
def test_declared_delay_is_the_measured_delay(example):
    """The energy of a narrow burst arrives as late as declared: within 0.1 sample and 1 %."""
    stage = example.build()
    signal = example.signal
    sigma_s = max(1.5, 5.0 / example.hz)
    t = np.arange(round(12 * sigma_s * signal.sfreq)) / signal.sfreq
    centre = t[-1] / 2
    weights = np.random.default_rng(3).uniform(0.5, 2.0, signal.shape)[..., None]
    envelope = AMPLITUDE.get(example.spec.kind, 100.0) * np.exp(-0.5 * ((t - centre) / sigma_s) ** 2)
    x = weights * envelope * np.cos(2 * np.pi * example.hz * (t - centre))
    y = stage.process(x)
    if example.spec.kind in SPECTRA:
        energy = np.maximum(10 ** (y / 10) - example.spec.floor, 0.0).sum(axis=(0, 1))
        at = stage.last_input(np.arange(y.shape[-1])) / signal.sfreq
    else:
        stage.reset()
        energy = np.abs(hilbert(y - stage.process(np.zeros_like(x)))).reshape(-1, y.shape[-1]) ** 2
        energy = energy.sum(axis=0)
        at = np.arange(y.shape[-1]) / stage.signal_out.sfreq
    measured = (at * energy).sum() / energy.sum() - centre
    declared = stage.delay_s(example.hz)
    assert measured == pytest.approx(declared, rel=0.01, abs=0.1 / signal.sfreq)


def impulse_energy(example: Example) -> tuple[Stage, np.ndarray, np.ndarray]:
    """Return a stage, the energy of its response to an impulse, and the seconds since that impulse."""
    stage = example.build()
    n_before = 620
    n_after = 600 + round(4 * stage.warmup_s * example.sfreq)
    x = example.zeros(n_before + n_after)
    rest = stage.process(x)
    weights = np.random.default_rng(4).uniform(0.5, 2.0, example.signal.shape)
    x[..., n_before] = weights * AMPLITUDE.get(example.spec.kind, 100.0)
    stage.reset()
    response = stage.process(x)
    if example.spec.kind in SPECTRA:
        energy = np.maximum(10 ** (response / 10) - example.spec.floor, 0.0)
    else:
        energy = (response - rest) ** 2
    since_s = (stage.last_input(np.arange(energy.shape[-1])) - n_before) / example.sfreq
    return stage, energy.reshape(-1, energy.shape[-1]).sum(axis=0), since_s


@each(EXAMPLES)
def test_an_impulse_is_over_after_the_warm_up(example):
    stage, energy, since_s = impulse_energy(example)
    assert energy[since_s < 0].sum() == 0
    assert energy[since_s > stage.warmup_s].sum() < 1.01 * RESIDUAL_ENERGY * energy.sum()


@each([e for e in EXAMPLES if e.spec.kind != "running_norm"])
def test_warm_up_is_not_declared_much_longer_than_it_is(example):
    stage, energy, since_s = impulse_energy(example)
    if stage.warmup_s > 2 / example.sfreq:
        assert energy[since_s > 0.5 * stage.warmup_s].sum() > RESIDUAL_ENERGY * energy.sum()


@each([e for e in EXAMPLES if e.spec.kind == "running_norm"])
def test_running_norm_has_forgotten_its_start_after_the_warm_up(example):
    """The averages fall by one time constant each: 1e-4 of the energy of a false start is left."""
    stage = example.build()
    n_samples = round(3 * stage.warmup_s * example.sfreq)
    x = 1e-3 * np.random.default_rng(5).standard_normal((*example.signal.shape, n_samples))
    y = stage.process(x)
    x[..., 0] += 1e-3
    stage.reset()
    energy = ((stage.process(x) - y) ** 2).sum(axis=tuple(range(x.ndim - 1)))[1:]
    left = energy[round(stage.warmup_s * example.sfreq) :].sum() / energy.sum()
    assert left == pytest.approx(RESIDUAL_ENERGY, rel=0.1)


@each(EXAMPLES)
def test_an_offset_makes_no_transient(example):
    """A stream that starts at 20 mV is treated as if it had always been there."""
    stage = example.build()
    x = example.zeros(1500) + 20_000.0
    y = stage.process(x)
    tolerance = 1e-7 * np.abs(y[..., -1:]).max() + 1e-4  # of the output's unit; the input is 2e4
    assert np.abs(y - y[..., -1:]).max() < tolerance
    if example.spec.kind in ("bandpass", "highpass", "filter_bank", "running_norm"):
        assert np.abs(y).max() < 1e-3
    if example.spec.kind in ("resample", "lowpass", "notch"):
        np.testing.assert_allclose(y, 20_000.0, rtol=1e-9)


@each(EXAMPLES)
def test_settings_survive_json(example):
    record = json.loads(json.dumps(stage_to_dict(example.spec), allow_nan=False))
    assert record["kind"] == example.spec.kind
    again = stage_from_dict(record)
    assert again == example.spec
    assert hash(again) == hash(example.spec)
    assert json.dumps(stage_to_dict(again)) == json.dumps(stage_to_dict(example.spec))


@each(EXAMPLES)
def test_settings_do_not_change(example):
    name = next((field.name for field in dataclasses.fields(example.spec)), "kind")
    with pytest.raises(AttributeError):  # FrozenInstanceError is one
        setattr(example.spec, name, None)


@each(EXAMPLES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused_and_leave_no_trace(example, bad):
    x = example.noise(300)
    stage, clean = example.build(), example.build()
    stage.process(x)
    clean.process(x)
    spoiled = x.copy()
    spoiled.reshape(-1)[[5, -1]] = bad, -bad
    with pytest.raises(SignalError, match=r"needs finite samples, got NaN or infinity. Put a Gate before the stages"):
        stage.process(spoiled)
    np.testing.assert_array_equal(stage.process(x), clean.process(x))


@each(EXAMPLES)
def test_wrong_shapes_are_refused(example):
    stage = example.build()
    shape = example.signal.shape
    for wrong in [(*shape[:-1], shape[-1] + 1, 10), (10, *shape), (2, *shape, 10), (10,)]:
        with pytest.raises(SignalError, match=r"needs columns of shape .* \(time last\), got an array of shape"):
            stage.process(np.zeros(wrong))


@each(EXAMPLES)
def test_a_foreign_state_is_refused(example):
    stage = example.build()
    with pytest.raises(SignalError, match=r"needs a state .*, got \['foreign'\]. Take it from the same kind of stage"):
        stage.state = {"foreign": 1}


@pytest.mark.parametrize(("example", "field"), FLOAT_FIELDS, ids=lambda v: v if isinstance(v, str) else v.spec.kind)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_settings_that_are_no_numbers_are_refused(example, field, bad):
    """JSON refuses them by itself; a spec made in code must not slip through."""

    def spoil(value: Any) -> Any:
        return tuple(spoil(v) for v in value) if isinstance(value, tuple) else bad

    spec = replace(example.spec, **{field: spoil(getattr(example.spec, field))})
    with pytest.raises(SpecError, match="got"):
        spec.build(example.signal)
    with pytest.raises(SpecError, match=f"{field} must be"):
        stage_to_dict(spec)


@each(EXAMPLES)
def test_settings_have_the_types_that_they_declare(example):
    hints = typing.get_type_hints(type(example.spec))
    for field in dataclasses.fields(example.spec):
        record = stage_to_dict(example.spec)
        record[field.name] = {"no": "such thing"}
        with pytest.raises(SpecError, match=f"stage '{example.spec.kind}': {field.name} must be"):
            stage_from_dict(record)
        if hints[field.name] in (int, float):
            record[field.name] = True  # in Python a bool is an int; in JSON it is not
            with pytest.raises(SpecError, match=f"{field.name} must be {hints[field.name].__name__}, got True"):
                stage_from_dict(record)


def test_an_unknown_kind_is_refused_with_the_choices():
    with pytest.raises(SpecError, match=r"needs a known kind, got 'lowpas'. Known: select, bipolar, .*log_mel"):
        stage_from_dict({"kind": "lowpas", "high_hz": 40.0})
    with pytest.raises(SpecError, match="needs a known kind, got None"):
        stage_from_dict({"high_hz": 40.0})
    with pytest.raises(SpecError, match=r"needs a known kind, got \['select'\]"):
        stage_from_dict(["select"])  # type: ignore[arg-type]
