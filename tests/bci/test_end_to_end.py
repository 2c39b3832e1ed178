"""An engine that computes spectrum and softmax itself gives the predictions of the other path, one by one."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bci.chunk import Chunk, Signal
from bci.decision import AlarmSpec, Decision, DecisionSpec, softmax
from bci.decoder import Decoder
from bci.engines.base import EndToEndEngine, RingEngine
from bci.engines.batching import BatchedEndToEndEngine, batched
from bci.engines.eager_engine import EagerEngine
from bci.engines.ends import Ends
from bci.errors import SchemaError
from bci.fallback import FallbackDecoder
from bci.frames import Frames, FrameStage, can_be_framed, framed
from bci.golden import compare
from bci.inference import EndToEndInference
from bci.pipeline import PipelineSpec, Window
from bci.quality import with_quality
from bci.serving import ends_of, examine, golden_windows
from bci.sinks.signal_sink import SignalSink
from bci.stages.filters import Bandpass
from bci.stages.logmel import LogMel
from bci.stages.resample import Resample
from tests.bci.end_to_end import EagerRings, EagerWindows, spectrum_of
from tests.bundles import mel_pipeline, noise, raw_pipeline, write_random_bundle

SIGNAL = Signal(128.0, ("C3", "Cz", "C4"))
N_SAMPLES = 1500
RESAMPLED = PipelineSpec(
    SIGNAL,
    (Resample(96.0), Bandpass(1.0, 30.0), LogMel(64, 50, 12, 16, 1.0, 40.0)),
    Window(length_s=1.5, hop_s=0.25),
    reference_hz=10.0,
)
PIPELINES = {
    "mel": mel_pipeline(SIGNAL),
    "judged": with_quality(mel_pipeline(SIGNAL), "interpolate", 2),
    "resampled": RESAMPLED,
    "frames apart": replace(RESAMPLED, stages=(LogMel(32, 32, 32, 8, 2.0, 60.0),), window=Window(1.0, 0.5)),
    "raw": raw_pipeline(SIGNAL),
}
ENGINES = {"ring": EagerRings, "copied": EagerWindows, "shared": lambda *args: batched(EagerRings(*args))}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """A bundle with random weights for each pipeline."""
    folder = tmp_path_factory.mktemp("bundles")
    return {
        name: write_random_bundle(folder / name.replace(" ", "-"), SIGNAL, spec) for name, spec in PIPELINES.items()
    }


@pytest.fixture(scope="module")
def data():
    """Noise with NaN in one channel for a second, and in all of them for a moment."""
    x = noise(SIGNAL, N_SAMPLES / 128.0, seed=3)
    x[1, 500:628] = np.nan
    x[:, 900:920] = np.nan
    return x


def decision_of(bundle):
    alarm = AlarmSpec(bundle.decision.classes[1], 0.5, 0.3)
    return replace(bundle.decision, temperature=1.3, smoothing_s=0.5, alarm=alarm)


def engine_of(kind, bundle):
    spectrum = spectrum_of(bundle.pipeline) if can_be_framed(bundle.pipeline) else None
    return ENGINES[kind](bundle.network(), Ends(1.3, spectrum))


def play(decoder, data, seed, restart_at=700):
    """Push `data` in random chunks, empty ones too, with a gap in the middle."""
    rng = np.random.default_rng(seed)
    predictions, at = [], 0
    while at < data.shape[1]:
        stop = min(data.shape[1], at + int(rng.integers(0, 60)))
        stop = restart_at if at < restart_at < stop else stop
        first = at + (300 if at >= restart_at else 0)
        times = 50.0 + (first + np.arange(stop - at)) / 128.0
        predictions += decoder.push(Chunk(data[:, at:stop], first, times))
        if rng.random() < 0.2:
            decoder.rehearse()  # nothing may depend on it
        at = stop
    return predictions


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("name", PIPELINES)
def test_predictions_are_those_of_the_path_on_the_processor(bundles, data, name, kind):
    """Count, samples, times, quality, states and changes are equal; numbers within what float32 allows."""
    bundle = bundles[name]
    decision = decision_of(bundle)
    engine = engine_of(kind, bundle)
    assert isinstance(engine, EndToEndEngine)
    assert isinstance(engine, RingEngine) == (kind == "ring")
    wanted = play(Decoder(bundle.pipeline.build(), EagerEngine(bundle.network()), decision), data, seed=1)
    decoder = Decoder(bundle.pipeline.build(), engine, decision)
    assert isinstance(decoder._inference, EndToEndInference)
    assert isinstance(decoder.pipeline.stages[-1], FrameStage) == (name != "raw")
    found = play(decoder, data, seed=2)
    assert len(found) == len(wanted) >= 20
    assert len({p.state for p in wanted}) > 1
    scale = max(1.0, max(float(np.abs(p.logits).max()) for p in wanted))
    for a, b in zip(found, wanted, strict=True):
        assert (a.index, a.last_sample, a.time, a.quality) == (b.index, b.last_sample, b.time, b.quality)
        assert (a.state, a.changed, a.alarm) == (b.state, b.changed, b.alarm)
        assert np.abs(a.logits - b.logits).max() <= 1e-4 * scale
        np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-4)
        np.testing.assert_allclose(a.probabilities, softmax(a.logits, 1.3), rtol=1e-12)
    assert min(p.quality for p in wanted) < 1.0


@pytest.mark.parametrize("name", ["mel", "resampled", "frames apart"])
def test_frames_keep_times_and_delays_and_give_the_features_to_whoever_asks(data, name):
    """Those who publish features get the very numbers that the spectrum's stage gives."""
    spec = PIPELINES[name]
    plain, frames = spec.build(), framed(spec).build()
    assert isinstance(frames.spec.stages[-1], Frames)
    for what in ("window_frames", "hop_frames", "lead_frames", "warmup_s"):
        assert getattr(plain, what) == getattr(frames, what)
    assert plain.delay_s() == frames.delay_s()
    stage = frames.stages[-1]
    assert stage.features_out == plain.signal_out
    np.testing.assert_array_equal(frames.spec.stages[-1].centres_hz, spec.stages[-1].centres_hz)
    for start in range(0, N_SAMPLES, 250):
        a, b = (p.process(data[:, start : start + 250]) for p in (plain, frames))
        np.testing.assert_array_equal(a.last_input, b.last_input)
        np.testing.assert_array_equal(a.valid, b.valid)
        np.testing.assert_array_equal(a.n_new, b.n_new)
        np.testing.assert_allclose(stage.features(b.data), a.data, rtol=1e-12, atol=1e-12)


def test_published_features_are_those_of_the_path_on_the_processor(data):
    chunk, published = Chunk(data[:, :400], 0, np.arange(400) / 128.0), []
    for spec in (PIPELINES["mel"], framed(PIPELINES["mel"])):
        pipeline = spec.build()
        sink = SignalSink(pipeline, ("features",))
        pushed = []
        sink._outlets["features"] = SimpleNamespace(push_chunk=lambda *given, pushed=pushed: pushed.append(given))
        pipeline.process(chunk.data)
        sink.publish(chunk)
        ((rows, times),) = pushed
        published.append((rows.tolist(), times, sink._features, sink._centres_hz["features"].tolist(), sink._delay_s))
    assert published[0] == published[1]


def test_only_a_spectrum_at_the_end_that_leaves_out_no_sample_is_taken_over(bundles):
    assert [can_be_framed(spec) for spec in PIPELINES.values()] == [True, True, True, True, False]
    gaps = replace(RESAMPLED, stages=(LogMel(32, 32, 48, 8, 2.0, 60.0),), window=Window(1.5, 0.75))
    assert not can_be_framed(gaps)
    assert not can_be_framed(replace(RESAMPLED, stages=()))
    bundle = bundles["raw"]
    assert framed(bundle.pipeline) == bundle.pipeline
    with pytest.raises(SchemaError, match=r"raw: an engine can compute a log-mel spectrum at .* end, got none"):
        ends_of(bundle, bundle.golden(), 1)


@pytest.mark.parametrize("name", ["mel", "resampled"])
def test_the_example_signals_are_those_behind_the_golden_windows(bundles, name):
    """What a GPU engine is built and judged with."""
    import torch

    bundle = bundles[name]
    golden = bundle.golden()
    columns = golden_windows(golden, bundle.pipeline.build(), bundle.name)
    ends = ends_of(bundle, golden, len(columns))
    assert (ends.temperature, len(ends.signals)) == (bundle.decision.temperature, len(columns))
    np.testing.assert_allclose(ends.spectrum(torch.from_numpy(ends.signals)).numpy(), columns, atol=2e-3)
    report = compare(golden, bundle.pipeline, bundle.decision, EagerRings(bundle.network(), ends))
    assert report.passed
    assert report.probability_error < 1e-4


@pytest.mark.parametrize("inside", [True, False])
def test_serving_hands_spectrum_and_temperature_to_the_engines(bundles, monkeypatch, inside):
    given = []

    def build(name, network, example, key, precision, n_late, remeasure, ends):
        given.append(ends)
        return EagerRings(network, ends), None

    monkeypatch.setattr("bci.serving.build_engine", build)
    bundle = bundles["mel"]
    served = examine(str(bundle.path), "cuda-graph", spectrum_inside=inside)
    (ends,) = given
    assert (served.engine.takes_signal, ends.spectrum is not None, ends.temperature) == (inside, inside, 1.0)
    assert served.golden_report.passed
    assert isinstance(served.decoder().pipeline.stages[-1], FrameStage) == inside


def test_a_softmax_for_another_temperature_is_left_to_the_decision(bundles, data):
    bundle = bundles["mel"]
    decision = replace(decision_of(bundle), temperature=2.0)
    for p in play(Decoder(bundle.pipeline.build(), engine_of("ring", bundle), decision), data, seed=1):
        np.testing.assert_allclose(p.probabilities, softmax(p.logits, 2.0), rtol=1e-12)


def test_the_decision_takes_probabilities_that_are_there():
    decision = Decision(DecisionSpec(("a", "b"), alarm=AlarmSpec("b", 0.5, 0.3)), 0.5)
    verdict = decision.step(np.zeros(2), 1.0, True, probabilities=np.array([0.1, 0.9]))
    np.testing.assert_array_equal(verdict.probabilities, [0.1, 0.9])
    assert verdict.level == 0.9


def test_a_standby_that_computes_its_softmax_keeps_its_own_temperature(bundles, data):
    """One alarm over both models, each calibrated with its own temperature."""
    bundle = bundles["mel"]
    ours = replace(decision_of(bundle), temperature=2.0)
    standby = Decoder(bundle.pipeline.build(), engine_of("ring", bundle), decision_of(bundle))
    decoder = FallbackDecoder(bundle.pipeline.build(), EagerEngine(bundle.network()), ours, None, standby)
    decoder.falls_back = True
    predictions = play(decoder, data, seed=1)
    assert len(predictions) > 20
    for p in predictions:
        np.testing.assert_allclose(p.probabilities, softmax(p.logits, 1.3), rtol=1e-12)


def test_streams_that_share_an_engine_share_its_batches(bundles):
    engine = engine_of("ring", bundles["mel"])
    shared = batched(engine)
    assert isinstance(shared, BatchedEndToEndEngine)
    batch = noise(SIGNAL, 2.875)[None].repeat(3, axis=0) * np.array([1.0, 2.0, 3.0], np.float32)[:, None, None]
    wanted = engine.outcomes(batch)
    results = shared._compute([batch[:2], batch[2:]])
    for i, outcome in enumerate(wanted):
        np.testing.assert_allclose(np.concatenate([result[i] for result in results]), outcome, rtol=1e-5)
    np.testing.assert_array_equal(shared(batch), wanted[0])
    assert shared.sizes == {1: 1}
