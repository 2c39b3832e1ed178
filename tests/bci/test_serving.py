"""Serving: a name becomes a decoder that has proven itself, or a refusal."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

import bci.bundle
import bci.serving
from bci.chunk import Chunk, Signal
from bci.decoder import Ledger
from bci.errors import ParityError, SchemaError
from bci.pipeline import window_starts
from bci.serving import MAX_EXAMPLES, examine, golden_windows, serve, windows_at
from tests.bundles import noise, raw_pipeline, write_random_bundle

SIGNAL = Signal(128.0, ("C3", "Cz", "C4"))


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module", params=["mel", "raw"])
def bundle(request, tmp_path_factory):
    pipeline = raw_pipeline(SIGNAL) if request.param == "raw" else None
    return write_random_bundle(tmp_path_factory.mktemp("served") / "tiny", SIGNAL, pipeline)


@pytest.mark.parametrize("engine", ["auto", "onnx", "eager"])
def test_a_served_bundle_has_reproduced_its_golden_run(bundle, engine):
    served = serve(str(bundle.path), engine)
    assert served.bundle == bundle
    assert served.engine.name == served.engine_report.name == ("eager" if engine == "eager" else "onnx")
    assert served.golden_report.passed
    assert served.engine_report.parity_error < 1e-5


def test_a_shipped_bundle_is_served_by_name(bundle, monkeypatch, tmp_path):
    monkeypatch.setattr(bci.bundle, "SHIPPED", bundle.path.parent)
    monkeypatch.chdir(tmp_path)
    assert serve("tiny", "eager").bundle.sha256 == bundle.sha256


def test_each_decoder_is_a_new_one(bundle):
    """Two sessions share the engine, not the stream."""
    served = serve(str(bundle.path), "eager")
    first, second = served.decoder(), served.decoder()
    x = noise(SIGNAL, 8.0)
    chunk = Chunk(x, 0, np.arange(x.shape[1]) / 128.0)
    wanted = [p.logits for p in first.push(chunk)]
    np.testing.assert_array_equal([p.logits for p in second.push(chunk)], wanted)
    assert len(wanted) > 10


def test_the_timer_reaches_the_ledger(bundle):
    ticks = itertools.count()
    x = noise(SIGNAL, 8.0)
    chunk = Chunk(x, 0, np.arange(x.shape[1]) / 128.0)
    timed = serve(str(bundle.path), "eager").decoder(timer=lambda: float(next(ticks))).push(chunk)
    plain = serve(str(bundle.path), "eager").decoder().push(chunk)
    assert all(p.ledger.engine_s > 0 for p in timed)
    assert {p.ledger for p in plain} == {Ledger(0.0, 0.0, 0.0, 0.0)}


def test_a_bundle_that_does_not_reproduce_its_run_is_not_served(bundle, monkeypatch):
    compare = bci.serving.compare
    monkeypatch.setattr(bci.serving, "compare", lambda *parts: dataclasses.replace(compare(*parts), logit_error=0.5))
    assert examine(str(bundle.path), "eager").golden_report.logit_error == 0.5
    with pytest.raises(ParityError, match=r"tiny does not reproduce its golden run: .* logits by 5\.00e-01"):
        serve(str(bundle.path), "eager")


def test_golden_windows_are_the_first_of_the_run(bundle):
    golden, pipeline = bundle.golden(), bundle.pipeline.build()
    windows = golden_windows(golden, pipeline, "tiny")
    starts = window_starts(golden["features"].shape[-1], pipeline)
    assert windows.dtype == np.float32
    assert windows.flags.c_contiguous
    assert len(windows) == min(len(starts), MAX_EXAMPLES)
    for window, start in zip(windows, starts, strict=False):
        np.testing.assert_array_equal(window, golden["features"][..., start : start + pipeline.window_frames])


@pytest.mark.parametrize("change", [None, lambda x: x[1:], lambda x: x[..., :10], lambda x: x[0]])
def test_golden_features_must_fit_the_pipeline(bundle, change):
    golden, pipeline = bundle.golden(), bundle.pipeline.build()
    golden["features"] = change(golden["features"]) if change else None
    with pytest.raises(SchemaError, match=r"tiny: golden\.safetensors needs features of shape .* with at least"):
        golden_windows(golden, pipeline, "tiny")


def test_windows_by_index():
    columns = np.arange(2 * 3 * 20).reshape(2, 3, 20)
    windows = windows_at(columns, np.array([0, 5, 12]), 8)
    assert windows.shape == (3, 2, 3, 8)
    for window, start in zip(windows, (0, 5, 12), strict=True):
        np.testing.assert_array_equal(window, columns[..., start : start + 8])
