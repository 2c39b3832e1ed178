"""Several threads share an engine: what waits while it computes runs as one batch, and each gets its own."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from bci.engines.base import StatefulEngine, TwoStepEngine
from bci.engines.batching import MAX_WINDOWS, BatchedEngine, BatchedSteps, BatchedTwoStepEngine, Turns, batched
from bci.engines.eager_engine import EagerEngine
from bci.engines.stepping import EagerSteps
from bci.errors import EngineError
from models.registry import ModelSpec, build

PATIENCE_S = 20.0


class Held:
    """A function of items whose first call waits until it is let go."""

    def __init__(self, fails=()):
        self.begun, self.go = threading.Event(), threading.Event()
        self.calls, self.fails = [], fails

    def __call__(self, items):
        self.calls.append(list(items))
        if len(self.calls) == 1:
            self.begun.set()
            assert self.go.wait(PATIENCE_S)
        if len(self.calls) - 1 in self.fails:
            raise ValueError(f"call {len(self.calls) - 1}")
        return [item * 10 for item in items]


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


def queued(compute, items, most=MAX_WINDOWS):
    """Let `compute` be busy with the first item until all others wait, in order; return turns and futures."""
    turns = Turns(compute, most)
    pool = ThreadPoolExecutor(len(items))
    futures = [pool.submit(turns.take, items[0])]
    assert compute.begun.wait(PATIENCE_S)
    for n, item in enumerate(items[1:], 1):
        futures.append(pool.submit(turns.take, item))
        until(lambda n=n: len(turns._waiting) == n)
    compute.go.set()
    pool.shutdown(wait=True)
    return turns, futures


def test_what_waits_runs_as_one_batch_and_each_gets_its_own():
    compute = Held()
    turns, futures = queued(compute, [1, 2, 3, 4, 5])
    assert [future.result() for future in futures] == [10, 20, 30, 40, 50]
    assert compute.calls == [[1], [2, 3, 4, 5]]
    assert turns.sizes == {1: 1, 4: 1}


def test_a_batch_has_a_limit_and_the_rest_comes_next():
    compute = Held()
    _, futures = queued(compute, list(range(8)), most=3)
    assert [future.result() for future in futures] == [10 * i for i in range(8)]
    assert compute.calls == [[0], [1, 2, 3], [4, 5, 6], [7]]


def test_who_is_alone_computes_at_once_and_in_its_own_thread():
    threads = []
    turns = Turns(lambda items: threads.append(threading.get_ident()) or items, 4)
    assert [turns.take(i) for i in range(3)] == [0, 1, 2]
    assert set(threads) == {threading.get_ident()}


def test_a_batch_that_fails_is_told_to_all_in_it_and_to_nobody_else():
    compute = Held(fails=(1,))
    turns, futures = queued(compute, [1, 2, 3])
    assert futures[0].result() == 10
    with pytest.raises(ValueError, match="call 1"):
        futures[1].result()
    with pytest.raises(EngineError, match="must answer every stream, it failed in a batch with another one"):
        futures[2].result()
    assert turns.take(4) == 40  # it is free again


def test_nothing_comes_between_while_somebody_computes():
    turns = Turns(lambda items: [turns.between(lambda: None) for _ in items], 4)
    assert turns.take(0) is False
    assert turns.between(lambda: None) is True
    assert turns.take(0) is False


def test_many_threads_lose_nothing():
    turns = Turns(lambda items: [item + 1 for item in items], 5)
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(turns.take, range(3000))) == list(range(1, 3001))
    assert sum(size * n for size, n in turns.sizes.items()) == 3000
    assert max(turns.sizes) <= 5


def network(architecture, **more):
    numbers = {"n_channels": 3, "n_times": 24, "sfreq": 16.0, "n_classes": 2, "n_features": 8} | more
    torch.manual_seed(0)
    built = build(ModelSpec(architecture, numbers))
    with torch.no_grad():  # a norm that has seen nothing lets a deep network answer all inputs alike
        for _ in range(40):
            built.train()(torch.from_numpy(decibels((8, 3, 8, 24), seed=1)))
    return built.eval()


def decibels(shape, seed=0):
    return np.random.default_rng(seed).normal(30.0, 20.0, shape).astype(np.float32)


def test_windows_of_a_batch_give_what_each_gives_alone():
    engine = EagerEngine(network("mel_cnn"))
    shared = batched(engine)
    assert isinstance(shared, BatchedEngine)
    assert (shared.name, shared.precision) == ("eager", "fp32")
    assert not isinstance(shared, TwoStepEngine)
    windows = decibels((5, 1, 3, 8, 24))
    assert np.ptp([engine(window) for window in windows], axis=0).min() > 0.01  # who gets another's answer shows
    together = shared._compute(list(windows))
    for window, found in zip(windows, together, strict=True):
        np.testing.assert_allclose(found, engine(window), rtol=0, atol=1e-5)
        np.testing.assert_array_equal(shared(window), engine(window))


def test_steps_of_a_batch_keep_every_streams_own_state():
    engine = EagerSteps(network("mel_tcn"))
    shared = batched(engine)
    assert isinstance(shared, BatchedSteps)
    assert isinstance(shared, StatefulEngine)
    columns = decibels((3, 6, 1, 3, 8, 1))  # stream, time
    alone = []
    for stream in columns:
        state = engine.initial()
        for column in stream:
            logits, state = engine.step(column, state)
        alone.append(logits)
    newest = np.concatenate([engine.step(stream[-1], engine.initial())[0] for stream in columns])
    assert np.abs(newest - np.concatenate(alone)).min() > 1e-3  # a lost state shows
    states = [shared.initial() for _ in columns]
    for i in range(6):  # the first stream is always there, the others now and then alone
        joined = [0, 1, 2] if i % 2 else [0, 2]
        found = dict(zip(joined, shared._compute([(columns[s, i], states[s]) for s in joined]), strict=True))
        if 1 not in found:
            found[1] = shared.step(columns[1, i], states[1])
        logits, states = zip(*(found[s] for s in range(3)), strict=True)
    np.testing.assert_allclose(np.concatenate(logits), np.concatenate(alone), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(shared.along(columns[0, :, 0, ..., 0].transpose(1, 2, 0))[0].shape, (6, 2))


class InTwo:
    """The sum of what came early and of what came late, as an engine in two steps."""

    name, precision, n_late = "in two", "fp32", 4

    def __call__(self, batch):
        return self.late(batch, self.early(batch))

    def early(self, batch):
        return [batch[..., :-4].sum(axis=(1, 2, 3))[:, None]]

    def late(self, batch, kept):
        return np.concatenate([kept[0], batch[..., -4:].sum(axis=(1, 2, 3))[:, None]], axis=1)


def test_both_steps_of_a_batch_give_what_each_window_gives_alone():
    engine = InTwo()
    shared = batched(engine)
    assert isinstance(shared, BatchedTwoStepEngine)
    assert isinstance(shared, TwoStepEngine)
    windows = np.random.default_rng(0).normal(size=(6, 1, 3, 8, 24)).astype(np.float32)
    wanted = [engine(window) for window in windows]
    np.testing.assert_allclose(shared(windows[0]), wanted[0], rtol=1e-5)
    kept = {i: engine.early(windows[i]) for i in (1, 3, 4)}  # the others begin only now
    mixed = shared._compute([(windows[i], kept.get(i)) for i in range(6)])
    found = [mixed[i] if i in kept else shared.late(windows[i], mixed[i]) for i in range(6)]
    np.testing.assert_allclose(np.concatenate(found), np.concatenate(wanted), rtol=1e-5)
    assert shared.sizes == {1: 4, 3: 1}


def test_a_device_is_kept_warm_when_nobody_computes():
    class Warm:
        name, precision, n_kept = "warm", "fp32", 0

        def __call__(self, batch):
            return batch

        def keep_warm(self):
            self.n_kept += 1

    engine = Warm()
    batched(engine).keep_warm()
    assert engine.n_kept == 1
    batched(EagerEngine(network("mel_cnn"))).keep_warm()  # needs nothing
