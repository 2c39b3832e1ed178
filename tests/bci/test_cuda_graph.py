"""The CUDA-graph engine on a GPU; without one, what it says and how it plans its batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bci.engines.cuda_graph_engine import SIZES, CudaGraphEngine, compile_cuda_graph, plan_batches
from bci.engines.eager_engine import EagerEngine
from bci.engines.host import cuda_gap
from bci.engines.parity import LIMITS, compare
from models.logmel import LogMelFrontEnd
from models.mel_cnn import mel_cnn

GAP = cuda_gap()
on_gpu = pytest.mark.skipif(bool(GAP), reason=f"this machine {GAP}")
SHAPE = (4, 16, 32)


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return mel_cnn(SHAPE[0], SHAPE[2], 16.0, 2, SHAPE[1]).eval()


def windows(n, shape=SHAPE):
    return np.random.default_rng(0).normal(30.0, 10.0, (n, *shape)).astype(np.float32)


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


@on_gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_the_graph_computes_what_eager_does(precision):
    net, x = network(), windows(70)
    engine = compile_cuda_graph(net, x, precision, sizes=(1, 8))
    parity = compare(engine(x), EagerEngine(net)(x), precision)
    assert (engine.precision, parity.n_other) == (precision, 0)
    assert parity.error <= LIMITS[precision]


@on_gpu
def test_the_front_end_runs_inside_the_graph():
    front = LogMelFrontEnd(256.0, 512, 512, 16, SHAPE[1], 0.5, 45.0)
    x = np.random.default_rng(0).normal(0.0, 20.0, (2, SHAPE[0], 512 + 16 * (SHAPE[2] - 1))).astype(np.float32)
    net = network()
    engine = compile_cuda_graph(net, x, "fp32", front, sizes=(1, 2))
    with torch.inference_mode():
        wanted = net(front(torch.from_numpy(x))).numpy()
    np.testing.assert_allclose(engine(x), wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())


@on_gpu
def test_nothing_is_allocated_after_construction():
    """Neither on the GPU nor in pinned memory: the allocators' counters stand still over thousands of calls."""
    x = windows(64)
    engine = compile_cuda_graph(network(), x, "fp32", sizes=(1, 64))
    engine(x)

    def counters():
        host = torch.cuda.host_memory_stats()
        device = torch.cuda.memory_stats()
        return device["allocated_bytes.all.allocated"], device["segment.all.allocated"], host.get("num_host_alloc")

    before = counters()
    for _ in range(1000):
        engine(x[:1])
        engine(x)
        engine.keep_warm()
    assert counters() == before
