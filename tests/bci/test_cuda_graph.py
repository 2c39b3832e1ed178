"""The CUDA-graph engine on a GPU; without one, how it plans its batches.

What the graph holds is tested on the processor, in `tests/bci/test_window_step.py` and `tests/bci/test_end_to_end.py`.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bci.decision import softmax
from bci.engines import cuda_graph_engine
from bci.engines.cuda_graph_engine import SIZES, CudaGraphEngine, compile_cuda_graph, plan_batches
from bci.engines.eager_engine import EagerEngine
from bci.engines.ends import Ends
from bci.engines.host import cuda_gap
from bci.engines.parity import LIMITS, compare
from bci.errors import EngineError
from models.logmel import LogMelFrontEnd
from models.mel_cnn import mel_cnn

GAP = cuda_gap()
on_gpu = pytest.mark.skipif(bool(GAP), reason=f"not yet run on hardware: this machine {GAP}")
SHAPE = (4, 16, 32)


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return mel_cnn(SHAPE[0], SHAPE[2], 16.0, 2, SHAPE[1]).eval()


def windows(n, shape=SHAPE):
    return np.random.default_rng(0).normal(30.0, 10.0, (n, *shape)).astype(np.float32)


def signals(n):
    shape = (n, SHAPE[0], 512 + 16 * (SHAPE[2] - 1))
    return np.random.default_rng(0).normal(0.0, 20.0, shape).astype(np.float32)


def with_spectrum():
    return Ends(1.7, LogMelFrontEnd(256.0, 512, 512, 16, SHAPE[1], 0.5, 45.0), signals(1))


def test_batches_take_the_smallest_graph_that_holds_them():
    assert plan_batches(1, SIZES) == [(0, 1)]
    assert plan_batches(3, SIZES) == [(0, 4)]
    assert plan_batches(130, SIZES) == [(0, 64), (64, 64), (128, 2)]


def test_keeping_warm_replays_the_smallest_graph():
    class Graph:
        n = 0

        def replay(self):
            self.n += 1

    engine = CudaGraphEngine.__new__(CudaGraphEngine)
    engine.sizes, engine._graphs = (1, 8), {1: Graph(), 8: Graph()}
    engine.keep_warm()
    engine.replay(20)
    assert [graph.n for graph in engine._graphs.values()] == [1, 3]


def test_a_network_that_cannot_be_captured_says_why(monkeypatch):
    def refuse(*_):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(cuda_graph_engine, "_Graph", refuse)
    engine = CudaGraphEngine.__new__(CudaGraphEngine)
    engine.name, engine._stream, engine._pool = "cuda-graph", None, None
    with pytest.raises(
        EngineError,
        match=r"The cuda-graph engine cannot capture the network: .* capturing\. Use --engine onnx",
    ):
        engine._capture(network())


@on_gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_the_graph_computes_what_eager_does(precision):
    net, x = network(), windows(70)
    engine = compile_cuda_graph(net, x, precision, sizes=(1, 8))
    parity = compare(engine(x), EagerEngine(net)(x), precision)
    assert (engine.precision, parity.n_other) == (precision, 0)
    assert parity.error <= LIMITS[precision]


@on_gpu
def test_spectrum_and_softmax_run_inside_the_graph():
    net, x, ends = network(), signals(2), with_spectrum()
    engine = compile_cuda_graph(net, windows(1), "fp32", ends, sizes=(1, 2))
    assert (engine.takes_signal, engine.temperature) == (True, 1.7)
    with torch.inference_mode():
        wanted = net(ends.spectrum(torch.from_numpy(x))).numpy()
    logits, probabilities = engine.outcomes(x)
    assert compare(logits, wanted, "fp32").error <= LIMITS["fp32"]
    np.testing.assert_allclose(probabilities, softmax(logits, 1.7), rtol=1e-12)


@on_gpu
def test_a_ring_is_read_where_the_stream_puts_its_samples():
    """Also when several rings take turns on the memory that their graphs share."""
    engine = compile_cuda_graph(network(), windows(1), "fp32", with_spectrum(), sizes=(1,))
    x = signals(1)[0]
    stream = np.concatenate([x, x[:, :300]], axis=-1)
    rings = [engine.ring(x.shape) for _ in range(3)]
    for ring, late in zip(rings, (0, 17, 300), strict=True):
        for start in range(0, x.shape[1] + late, 50):
            ring.push(stream[:, start : min(start + 50, x.shape[1] + late)])
    for ring, late in zip(rings, (0, 17, 300), strict=True):
        logits, probabilities = ring.outcome()
        window = np.ascontiguousarray(stream[None, :, late : late + x.shape[1]])
        np.testing.assert_allclose(logits, engine(window)[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(probabilities, softmax(logits, 1.7), rtol=1e-12)


@on_gpu
def test_nothing_is_allocated_after_construction():
    """Neither on the GPU nor in pinned memory: the allocators' counters stand still over thousands of calls."""
    x = signals(64)
    engine = compile_cuda_graph(network(), windows(1), "fp32", with_spectrum(), sizes=(1, 64))
    ring = engine.ring(x.shape[1:])
    engine(x)

    def counters():
        host, device = torch.cuda.host_memory_stats(), torch.cuda.memory_stats()
        on_host = host["num_host_alloc"], host["active_requests.allocated"]
        return device["allocated_bytes.all.allocated"], device["segment.all.allocated"], *on_host

    before = counters()
    assert min(before) > 0  # the counters count
    for _ in range(1000):
        engine(x[:1])
        engine(x)
        ring.push(x[0, :, :64])
        ring.outcome()
        engine.keep_warm()
    assert counters() == before
    kept = torch.zeros(1, pin_memory=True), torch.zeros(1, device="cuda")
    assert all(now > then for now, then in zip(counters()[::3], before[::3], strict=True)), kept
