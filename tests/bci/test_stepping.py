"""Networks with state: engines, decoder and offline scoring agree, however the stream is cut."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bci.chunk import Chunk, Signal
from bci.decision import DecisionSpec, State
from bci.decoder import Decoder
from bci.engines.base import Engine, StatefulEngine, TwoStepEngine
from bci.engines.onnx_engine import OnnxGraph
from bci.engines.onnx_export import export_onnx
from bci.engines.selection import cache_folder
from bci.engines.stepping import EagerSteps, OnnxSteps, StepGraph, build_stateful, parity_error
from bci.errors import EngineError, ParityError, SchemaError, SpecError
from bci.pipeline import Window
from bci.serving import examine, golden_columns, serve
from models.causal import CausalAttention, CausalGRU
from models.mel_tcn import mel_tcn
from offline.score import score_recording
from tests.bundles import mel_pipeline, noise, write_random_bundle

SIGNAL = Signal(128.0, ("C3", "C4", "Cz"))
LENGTH_S = 24.0
DATA = noise(SIGNAL, LENGTH_S, seed=3)
# what the model tells the network: 2 s of context at 16 frames a second
N_FRAMES, HOP = 32, 4


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_random_bundle(tmp_path_factory.mktemp("bundles") / "tcn", SIGNAL, architecture="mel_tcn")


@pytest.fixture(scope="module")
def engine(bundle):
    return EagerSteps(bundle.network())


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def chunks(data, sizes, at=0):
    for size in [*sizes, data.shape[1]]:
        piece = data[:, at : at + size]
        yield Chunk(piece, at, (at + np.arange(piece.shape[1])) / SIGNAL.sfreq)
        at = min(at + size, data.shape[1])


def decode(bundle, engine, sizes, data=DATA):
    decoder = Decoder(bundle.pipeline.build(), engine, bundle.decision)
    return [p for chunk in chunks(data, sizes) for p in decoder.push(chunk)]


class MemoryRecording:
    """A recording in memory, with gaps."""

    path = SimpleNamespace(name="memory")

    def __init__(self, data, gaps=()):
        self.signal, self.n_samples, self.gaps = SIGNAL, data.shape[1], gaps
        self._data = data

    def read(self, start, stop):
        return self._data[:, start:stop].copy()


def same(live, offline, limit=1e-5):
    assert [(p.index, p.last_sample, p.state, p.changed) for p in live] == [
        (p.index, p.last_sample, p.state, p.changed) for p in offline
    ]
    np.testing.assert_allclose([p.quality for p in live], [p.quality for p in offline], atol=1e-6)
    probabilities = [np.array([p.probabilities for p in some]) for some in (live, offline)]
    assert probabilities[0][:, 1].std() > 0.05
    np.testing.assert_allclose(*probabilities, rtol=0, atol=limit)


def test_engines_are_what_the_decoder_takes_them_for(bundle, engine):
    """An engine with state is no engine for windows, and so no window is ever given to it."""
    assert isinstance(engine, StatefulEngine)
    assert not isinstance(engine, TwoStepEngine)
    assert not callable(engine)
    assert Engine not in type(engine).__mro__


@settings(max_examples=4, deadline=None)
@given(sizes=st.lists(st.sampled_from([0, 1, 3, 8, 37, 64, 500]), max_size=60))
def test_the_same_stream_gives_the_same_bits(bundle, engine, sizes):
    whole = decode(bundle, engine, [])
    cut = decode(bundle, engine, sizes)
    np.testing.assert_array_equal([p.logits for p in whole], [p.logits for p in cut])
    assert [(p.last_sample, p.quality, p.state) for p in whole] == [(p.last_sample, p.quality, p.state) for p in cut]


@pytest.mark.parametrize("block_s", [300.0, 1.37])
def test_live_equals_offline(bundle, block_s):
    """Steps of ONNX Runtime against the whole in PyTorch, one by one."""
    served = serve(str(bundle.path), "onnx")
    assert isinstance(served.engine, OnnxSteps)
    live = decode(bundle, served.engine, [8] * 200)
    offline = score_recording(MemoryRecording(DATA), bundle.pipeline, served.engine, bundle.decision, block_s=block_s)
    same(live, offline)


def test_live_equals_offline_over_gaps(bundle, engine):
    """A filled gap lowers the quality for as long as the context reaches; after a long one the state is new."""
    data = DATA.copy()
    short, long = (1000, 1010), (2000, 2400)
    offline = score_recording(MemoryRecording(data, (short, long)), bundle.pipeline, engine, bundle.decision)
    decoder = Decoder(bundle.pipeline.build(), engine, bundle.decision)
    share = np.arange(1, 11) / 11
    data[:, slice(*short)] = data[:, 999:1000] + (data[:, 1010:1011] - data[:, 999:1000]) * share
    filled = np.zeros(data.shape[1], bool)
    filled[slice(*short)] = True
    live = []
    for a, b in ((0, 700), (700, 2000), (2400, data.shape[1])):
        live += decoder.push(Chunk(data[:, a:b], a, np.arange(a, b) / SIGNAL.sfreq, filled[a:b]))
    same(live, offline)
    poor = [p for p in live if p.quality < 1]
    assert poor[-1].last_sample - poor[0].last_sample == pytest.approx(2.0 * SIGNAL.sfreq + 128, abs=40)
    # after the gap the predictions are those of a stream that begins there
    alone = decode(bundle, engine, [], data[:, 2400:])
    after = [p for p in live if p.last_sample >= 2400]
    np.testing.assert_array_equal([p.logits for p in after], [p.logits for p in alone])


def test_predictions_settle_when_the_context_is_full(bundle, engine):
    """They come from the first hop on, on the grid of windows, and are settling until a window would be settled."""
    predictions = decode(bundle, engine, [8] * 400)
    running = bundle.pipeline.build()
    ends = np.array([p.last_sample for p in predictions])
    full = running.last_input(np.array([N_FRAMES - 1]))[0]
    assert full in ends
    assert (np.diff(ends) == HOP * 8).all()
    assert ends[0] == running.last_input(np.array([(N_FRAMES - 1) % HOP]))[0]
    settled = [p.last_sample for p in predictions if p.state is not State.SETTLING]
    n_window = N_FRAMES * 8 - 8  # samples from the first to the last column of the context
    assert settled[0] == ends[ends - n_window >= np.ceil(running.warmup_s * SIGNAL.sfreq)][0]


def test_the_missing_samples_are_counted_exactly(bundle, engine):
    decoder = Decoder(bundle.pipeline.build(), engine, bundle.decision)
    at = 0
    for _ in range(6):
        n = decoder.n_missing
        assert not decoder.push(Chunk(DATA[:, at : at + n - 1], at, np.zeros(n - 1)))
        assert len(decoder.push(Chunk(DATA[:, at + n - 1 : at + n], at + n - 1, np.zeros(1)))) == 1
        at += n


def test_a_rehearsal_changes_nothing(bundle, engine):
    plain, rehearsed = (Decoder(bundle.pipeline.build(), engine, bundle.decision) for _ in range(2))
    for chunk in chunks(DATA, [8] * 100):
        rehearsed.rehearse()
        rehearsed.prepare()
        for a, b in zip(plain.push(chunk), rehearsed.push(chunk), strict=True):
            np.testing.assert_array_equal(a.logits, b.logits)


def test_skipped_predictions_still_feed_the_state(bundle, engine):
    """What is left out under overload changes nothing of what comes after."""
    decoder = Decoder(bundle.pipeline.build(), engine, bundle.decision)
    whole = decode(bundle, engine, [])
    found = [p for chunk in chunks(DATA, [2000]) for p in decoder.push(chunk, since=2000)]
    assert decoder.n_skipped == len(whole) - len(found) > 0
    np.testing.assert_array_equal([p.logits for p in found], [p.logits for p in whole[-len(found) :]])


def test_a_ledger_counts_the_steps(bundle, engine):
    ticks = iter(range(10_000_000))
    decoder = Decoder(bundle.pipeline.build(), engine, bundle.decision, lambda: float(next(ticks)))
    predictions = [p for chunk in chunks(DATA, [8] * 100) for p in decoder.push(chunk)]
    assert all(p.ledger.engine_s >= 2 for p in predictions)


def test_the_number_of_classes_is_checked(bundle, engine):
    decision = replace(bundle.decision, classes=("a", "seizure", "c"))
    with pytest.raises(SpecError, match=r"names 3 classes .* the network gives 2 logits"):
        Decoder(bundle.pipeline.build(), engine, decision)


def test_onnx_steps_compute_the_same(bundle):
    """Over a stream, within 1e-5 of the largest logit, for several streams at once, and again from the cache."""
    network = bundle.network()
    columns = bundle.pipeline.build().process(DATA).data.astype(np.float32)
    built, report = build_stateful("onnx", network, columns, bundle.engine_key)
    assert (built.name, built.precision, report.passed_over) == ("onnx", "fp32", ())
    assert report.parity_error <= 1e-5
    assert parity_error(built, network, columns) <= 1e-5
    both = np.stack([columns[..., :20], columns[..., 100:120]])
    state, alone = built.initial(2), built.initial()
    for i in range(20):
        logits, state = built.step(np.ascontiguousarray(both[..., i : i + 1]), state)
        one, alone = built.step(np.ascontiguousarray(both[1:, ..., i : i + 1]), alone)
        np.testing.assert_allclose(logits[1:], one, rtol=0, atol=1e-6)
    again, report = build_stateful("auto", network, columns, bundle.engine_key)
    assert again.name == "onnx"
    assert report.build_s < 2


@pytest.mark.parametrize("make", [lambda: CausalAttention(6, 2, 9), lambda: CausalGRU(6, 5)], ids=["attention", "gru"])
def test_other_layers_step_in_onnx_runtime(make, tmp_path):
    """With their states as inputs and outputs, column by column, within 1e-5 of the whole."""
    torch.manual_seed(0)
    layer = make().eval()
    x = torch.randn(1, 6, 40)
    with torch.no_grad():
        whole = layer(x)
    state = [part.numpy() for part in layer.initial(1)]
    export_onnx(StepGraph(layer), (x[..., :1].numpy(), *state), tmp_path / "layer.onnx")
    graph, outputs = OnnxGraph(tmp_path / "layer.onnx", 1), []
    for i in range(40):
        y, *state = graph(np.ascontiguousarray(x[..., i : i + 1].numpy()), *state)
        outputs.append(y)
    np.testing.assert_allclose(np.concatenate(outputs, axis=-1), whole, rtol=0, atol=1e-5 * float(whole.abs().max()))


def test_a_damaged_cache_is_made_again(bundle, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    columns = bundle.golden()["features"]
    file = cache_folder() / f"{'b' * 32}-{torch.__version__.split('+')[0]}-{onnxruntime.__version__}.step.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no model")
    _, report = build_stateful("onnx", bundle.network(), columns, "b" * 64)
    assert report.parity_error <= 1e-5
    assert "is damaged and made again" in caplog.text


def test_auto_says_why_onnx_was_passed_over(bundle, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    built, report = build_stateful("auto", bundle.network(), bundle.golden()["features"], "c" * 64)
    assert built.name == "eager"
    assert "onnx: The onnx engine needs a cache folder that can be written" in report.passed_over[0]


@pytest.mark.parametrize(("name", "precision"), [("tensorrt", "fp32"), ("eager", "fp16")])
def test_what_runs_no_steps_is_refused(bundle, name, precision):
    with pytest.raises(
        EngineError, match=rf"on onnx or eager in fp32, got engine '{name}' and precision '{precision}'"
    ):
        examine(str(bundle.path), name, precision)


def test_a_missing_package_says_what_to_install(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match=r"The onnx engine needs onnxruntime\. Install it: pip install"):
        build_stateful("onnx", bundle.network(), bundle.golden()["features"], "d" * 64)


def test_steps_that_differ_from_the_whole_are_refused(bundle):
    """A network whose state leaves something out is not served."""
    network = bundle.network()
    step = network.step
    network.step = lambda x, state: (step(x, state)[0], network.initial(len(x)))
    with pytest.raises(ParityError, match=r"Steps of engine eager differ .* the limit is 1e-05\. Use --engine eager"):
        build_stateful("eager", network, bundle.golden()["features"], "e" * 64)


def test_a_golden_stream_that_does_not_fit_is_refused(bundle):
    with pytest.raises(SchemaError, match=r"x: golden\.safetensors needs features of shape .* at least 1 columns"):
        golden_columns({"features": np.zeros((2, 3, 4))}, bundle.pipeline.build(), "x", 1)


def test_a_context_of_minutes_changes_neither_state_nor_start(tmp_path):
    """The first prediction comes with the first hop, not after ten minutes."""
    spec = replace(mel_pipeline(SIGNAL), window=Window(600.0, 0.25))
    torch.manual_seed(0)
    network = mel_tcn(3, 9600, 16.0, 2, 16)
    decoder = Decoder(spec.build(), EagerSteps(network), DecisionSpec(("a", "b")))
    predictions = [p for chunk in chunks(DATA[:, :640], [64] * 10) for p in decoder.push(chunk)]
    assert predictions[0].last_sample < 128 + 32
    assert {p.state for p in predictions} == {State.SETTLING}
