"""The golden run: a bundle's own acceptance test notices every change that matters."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bci.chunk import Signal
from bci.decision import AlarmSpec, DecisionSpec
from bci.errors import ParityError, SchemaError
from bci.golden import LOGIT_LIMITS, compare, record, require
from bci.pipeline import PipelineSpec, Window
from bci.stages.filters import Bandpass
from bci.stages.scale import Scale
from tests.bundles import mel_pipeline, noise

SIGNAL = Signal(128.0, ("C3", "Cz", "C4"))
PIPELINE = mel_pipeline(SIGNAL)
DECISION = DecisionSpec(("a", "b"), smoothing_s=1.0, alarm=AlarmSpec("b", 0.6, 0.4))
N_SAMPLES = 640


class Linear:
    """A network of two fixed projections, with an error on demand."""

    name = "linear"

    def __init__(self, error=0.0, precision="fp32", gain=0.05):
        self.error, self.precision, self.gain = error, precision, gain

    def __call__(self, batch):
        flat = batch.reshape(len(batch), -1)
        weights = np.sin(np.arange(flat.shape[1]))
        logits = self.gain * np.stack([flat @ weights, flat @ weights[::-1]], axis=1)
        return (logits + self.error * np.array([1.0, -1.0])).astype(np.float32)


def run(engine=None, sizes=(8,) * 80, data=None, pipeline=PIPELINE):
    data = noise(SIGNAL, N_SAMPLES / 128.0) if data is None else data
    return record(pipeline, DECISION, engine or Linear(), data, np.array(sizes))


def test_a_run_reproduces_itself():
    golden = run()
    report = compare(golden, PIPELINE, DECISION, Linear())
    assert report.passed
    assert report.n_predictions == len(golden["logits"]) > 5
    assert (report.logit_error, report.probability_error, report.same_class) == (0.0, 0.0, True)
    assert report.feature_error < 1e-7  # kept as float32
    assert require(report, "x") is None


def test_what_is_kept_has_one_form():
    golden = run(sizes=[640])
    assert {key: str(value.dtype) for key, value in golden.items()} == {
        "input": "float32",
        "chunk_sizes": "int64",
        "features": "float32",
        "logits": "float32",
        "probabilities": "float64",
        "last_sample": "int64",
    }


def test_the_cut_is_part_of_the_run_but_not_of_the_result():
    other = run(sizes=[0, 1, 600, 39, 0])
    np.testing.assert_allclose(other["logits"], run()["logits"], rtol=1e-5, atol=1e-6)
    assert compare(other, PIPELINE, DECISION, Linear()).passed


def test_a_change_of_the_filter_is_found():
    changed = dataclasses.replace(PIPELINE, stages=(Bandpass(1.1, 40.0), *PIPELINE.stages[1:]))
    report = compare(run(), changed, DECISION, Linear())
    assert not report.passed
    assert report.feature_error > 1e-4
    with pytest.raises(
        ParityError, match=r"x does not reproduce its golden run: features differ by .* \(limit 1e-06\)"
    ):
        require(report, "x")


def test_a_change_of_the_network_is_found():
    golden = run()
    scale = np.abs(golden["logits"]).max()
    report = compare(golden, PIPELINE, DECISION, Linear(error=2e-4 * scale))
    assert report.feature_error <= report.feature_limit
    assert report.logit_error == pytest.approx(2e-4, rel=0.05)
    with pytest.raises(
        ParityError, match=r"logits by 2\.\d+e-04 \(limit 1e-04\), same classes: yes\. Use another engine"
    ):
        require(report, "x")


def test_a_class_that_changes_clearly_is_found():
    with pytest.raises(ParityError, match="same classes: no"):
        require(compare(run(), PIPELINE, DECISION, Linear(gain=-0.05)), "x")


@pytest.mark.parametrize("precision", LOGIT_LIMITS)
def test_the_limit_goes_with_the_precision(precision):
    golden = run()
    scale = max(1.0, np.abs(golden["logits"]).max())
    assert compare(golden, PIPELINE, DECISION, Linear(0.9 * LOGIT_LIMITS[precision] * scale, precision)).passed
    assert not compare(golden, PIPELINE, DECISION, Linear(1.2 * LOGIT_LIMITS[precision] * scale, precision)).passed


def test_a_network_that_is_not_a_number_does_not_pass():
    report = compare(run(), PIPELINE, DECISION, Linear(gain=float("nan")))
    assert not report.passed
    with pytest.raises(ParityError, match="logits by nan"):
        require(report, "x")


def test_missing_samples_are_part_of_a_run():
    data = noise(SIGNAL, N_SAMPLES / 128.0)
    data[1, 200:220] = np.nan
    assert compare(run(data=data), PIPELINE, DECISION, Linear()).passed


def test_a_constant_input_can_be_compared():
    plain = PipelineSpec(SIGNAL, (Scale(1.0),), Window(1.0, 0.5))
    golden = run(data=np.zeros((3, N_SAMPLES), np.float32), pipeline=plain)
    assert compare(golden, plain, DECISION, Linear()).passed


def test_too_short_a_stretch_makes_no_golden_run():
    with pytest.raises(SchemaError, match=r"needs at least one prediction, 100 samples gave none\. Use a longer"):
        run(sizes=[100], data=noise(SIGNAL, 100 / 128.0))


@pytest.mark.parametrize("key", ["input", "chunk_sizes", "features", "logits", "probabilities", "last_sample"])
def test_an_incomplete_golden_run_is_refused(key):
    golden = run()
    del golden[key]
    with pytest.raises(SchemaError, match=rf"golden\.safetensors lacks {key}\. Train the bundle again"):
        compare(golden, PIPELINE, DECISION, Linear())


@pytest.mark.parametrize(
    "change",
    [
        {"input": np.zeros((2, N_SAMPLES), np.float32)},
        {"input": np.zeros(N_SAMPLES, np.float32)},
        {"input": np.zeros((3, N_SAMPLES - 1), np.float32)},
        {"chunk_sizes": np.array([641, -1])},
        {"chunk_sizes": np.array([640.0])},
        {"chunk_sizes": np.array([[640]])},
        {"chunk_sizes": np.array(640)},
    ],
    ids=lambda change: str([(k, v.shape, str(v.dtype)) for k, v in change.items()]),
)
def test_an_input_that_does_not_fit_is_refused(change):
    with pytest.raises(SchemaError, match=r"golden\.safetensors needs input of shape \(3, sum of chunk_sizes\), got"):
        compare(run() | change, PIPELINE, DECISION, Linear())


@pytest.mark.parametrize("key", ["features", "logits", "probabilities", "last_sample"])
@pytest.mark.parametrize(
    "cut", [lambda x: x[:-1], lambda x: x[..., None], lambda x: x[:0]], ids=["less", "deep", "none"]
)
def test_outputs_of_another_shape_are_refused(key, cut):
    golden = run()
    golden[key] = cut(golden[key])
    with pytest.raises(SchemaError, match=r"golden\.safetensors needs features of shape .* one row of 2 outputs"):
        compare(golden, PIPELINE, DECISION, Linear())


def test_predictions_at_other_samples_are_refused_with_the_numbers():
    golden = run()
    golden["last_sample"] = golden["last_sample"] + 1
    with pytest.raises(ParityError, match=r"golden run predicts at samples \[\d+ \d+ \d+\]…, this one at \[\d+"):
        compare(golden, PIPELINE, DECISION, Linear())
