"""Beds beside each other: each predicts what it would alone, and what happens to one is not seen at another."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from bci.beds import Beds
from bci.chunk import Signal
from bci.decision import AlarmSpec, DecisionSpec
from bci.decoder import Decoder
from bci.engines.batching import batched
from bci.engines.eager_engine import EagerEngine
from bci.errors import StreamError, StreamLost
from bci.session import Session, SessionSettings
from models.registry import ModelSpec, build
from tests.bci.scripted import IDENTITY, Clock, Script, Tape
from tests.bci.test_batching import InTwo
from tests.bundles import mel_pipeline, noise

SIGNAL = Signal(128.0, ("C3", "Cz", "C4"))
PIPELINE = mel_pipeline(SIGNAL)
DECISION = DecisionSpec(("background", "seizure"), smoothing_s=1.0, alarm=AlarmSpec("seizure", 0.6, 0.4, k=2, n=3))
SECONDS = 8.0
PATIENCE_S = 60.0


class Levels(InTwo):
    """Mean levels of the early and of the late columns: numbers near each other, so that no class is certain."""

    def early(self, batch):
        return [0.2 * batch[..., :-4].mean(axis=(1, 2, 3))[:, None]]

    def late(self, batch, kept):
        return np.concatenate([kept[0], 0.2 * batch[..., -4:].mean(axis=(1, 2, 3))[:, None]], axis=1)


@pytest.fixture(scope="module", params=["in one step", "in two steps"])
def engine(request):
    return Levels() if request.param == "in two steps" else EagerEngine(network())


def network():
    """Return a network whose norms have seen such windows: without, it would answer all of them alike."""
    running = PIPELINE.build()
    n_times = running.window_frames
    numbers = {"n_channels": 3, "n_times": n_times, "sfreq": running.signal_out.sfreq, "n_classes": 2}
    torch.manual_seed(0)
    built = build(ModelSpec("mel_cnn", numbers | {"n_features": 16}))
    frames = running.process(noise(SIGNAL, 20.0, seed=99)).data
    windows = np.stack([frames[..., i : i + n_times] for i in range(0, frames.shape[-1] - n_times, 4)])
    with torch.no_grad():
        for _ in range(40):
            built.train()(torch.from_numpy(windows.astype(np.float32)))
    return built.eval()


def cut(seed):
    """Return a recording in random pieces, and some silence in between."""
    data = noise(SIGNAL, SECONDS, seed)
    edges = np.sort(np.random.default_rng(seed).integers(0, data.shape[1], 60))
    return [piece for piece in np.split(data, edges, axis=1) if piece.size]


def session_of(engine, steps, decoders=None, gate=None):
    clock = Clock()
    source, tape = Script(clock, steps, signal=SIGNAL), Tape()
    if gate is not None:
        source.open = lambda opened=source.open: gate.wait(PATIENCE_S) and opened()
    decoder = Decoder(PIPELINE.build(), engine, DECISION)
    return Session(source, decoder, IDENTITY, SessionSettings("out"), None, [tape], clock), tape


def predictions(tape):
    return [output.prediction for output in tape.of("prediction")]


def assert_same(found, wanted):
    assert [(p.index, p.last_sample, p.state, p.time) for p in found] == [
        (p.index, p.last_sample, p.state, p.time) for p in wanted
    ]
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=0, atol=1e-5)


def alone(engine, steps):
    session, tape = session_of(engine, steps)
    session.run()
    return tape


def test_the_engines_answer_windows_differently(engine):
    """Or a bed that gets another's answer, or an old one, would not show."""
    first, second = (np.array([p.probabilities for p in predictions(alone(engine, cut(seed)))[:15]]) for seed in (0, 1))
    assert np.median(np.abs(first - second)) > 1e-3  # a hundred times what may differ below
    assert np.median(np.abs(np.diff(first, axis=0))) > 1e-3


def test_each_bed_predicts_what_it_would_alone(engine):
    """In whatever batches; sink, events and counts are its own."""
    shared, gate = batched(engine), threading.Event()
    made = [session_of(shared, cut(seed), gate=gate) for seed in range(5)]
    with Beds() as beds:
        begun = [beds.begin(f"bed {i}", session) for i, (session, _) in enumerate(made)]
        gate.set()
        assert beds.wait(PATIENCE_S)
    assert not beds.running
    assert [bed.name for bed in beds.all] == [f"bed {i}" for i in range(5)]
    n_windows = 0
    for seed, (bed, (_, tape)) in enumerate(zip(begun, made, strict=True)):
        wanted = alone(engine, cut(seed))
        assert len(predictions(tape)) > 15
        assert_same(predictions(tape), predictions(wanted))
        assert [e.kind for e in tape.events("status")] == [e.kind for e in wanted.events("status")]
        assert (bed.summary.ended, bed.error) == ("end of stream", "")
        assert bed.summary.counts["samples"] == round(SECONDS * SIGNAL.sfreq)
        n_windows += len(predictions(tape))
    assert sum(size * n for size, n in shared.sizes.items()) == n_windows + 5  # each decoder tries it once


def test_one_bed_that_fails_is_told_and_the_others_go_on(engine):
    shared, told = batched(engine), []
    lost = [*cut(0)[:20], StreamLost("the plug was pulled")]
    broken = [*cut(1)[:20], ZeroDivisionError("a bug")]
    made = [session_of(shared, steps) for steps in (lost, broken, cut(2))]
    with Beds(told.append) as beds:
        begun = [beds.begin(name, session) for name, (session, _) in zip("abc", made, strict=True)]
        assert beds.wait(PATIENCE_S)
    assert {bed.name for bed in told} == {"a", "b", "c"}
    assert "the plug was pulled" in begun[0].error
    assert begun[0].summary.lost
    assert begun[1].error == "unexpected ZeroDivisionError: a bug"
    assert begun[1].summary is None
    assert begun[2].error == ""
    assert_same(predictions(made[2][1]), predictions(alone(engine, cut(2))))
    assert all(tape.said[-1][0] == "close" for _, tape in made)


def test_a_bed_comes_while_others_run(engine):
    """Its samples come in the middle of theirs, and change nothing there."""
    shared, half, more = batched(engine), threading.Event(), threading.Event()
    pieces = cut(0)

    def waits():
        half.set()
        assert more.wait(PATIENCE_S)

    first, first_tape = session_of(shared, [*pieces[:30], waits, *pieces[30:]])
    second, second_tape = session_of(shared, cut(1))
    with Beds() as beds:
        beds.begin("first", first)
        assert half.wait(PATIENCE_S)
        late = beds.begin("second", second)
        late.join(PATIENCE_S)
        assert not late.running
        assert beds.running
        more.set()
        assert beds.wait(PATIENCE_S)
    assert_same(predictions(first_tape), predictions(alone(engine, pieces)))
    assert_same(predictions(second_tape), predictions(alone(engine, cut(1))))


def endless():
    while True:
        yield np.zeros((3, 8), np.float32) + np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)


def test_leaving_stops_those_that_still_run(engine):
    shared = batched(engine)
    with Beds() as beds:
        beds.begin("a", session_of(shared, endless())[0])
        assert not beds.wait(0.05)
        with pytest.raises(StreamError, match="needs a bed of its own, got 'a' twice"):
            beds.begin("a", session_of(shared, endless())[0])
    (bed,) = beds.all
    assert bed.summary.ended == "stopped"


def test_a_bed_that_comes_after_the_stop_ends_at_once(engine):
    with Beds() as beds:
        beds.stop()
        bed = beds.begin("a", session_of(batched(engine), endless())[0])
        assert beds.wait(PATIENCE_S)
    assert bed.summary.ended == "stopped"


def test_a_name_is_free_again_when_its_bed_has_ended(engine):
    with Beds() as beds:
        beds.begin("a", session_of(batched(engine), [])[0]).join(PATIENCE_S)
        again = beds.begin("a", session_of(batched(engine), cut(0))[0])
        assert beds.wait(PATIENCE_S)
    assert beds.all == (again,)
    assert again.error == ""
