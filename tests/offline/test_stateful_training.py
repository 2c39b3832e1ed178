"""A network with state is trained, exported and served with its state, and live equals offline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bci.chunk import Chunk, Signal
from bci.decision import DecisionSpec
from bci.engines.base import StatefulEngine
from bci.serving import serve
from models.registry import ModelSpec, build
from offline.datasets.base import Session
from offline.evaluate import Fitted
from offline.export import export_bundle
from offline.score import score_recording
from offline.training_loop import logits_along, train_network
from offline.training_settings import LoopSettings
from offline.windows import SessionWindows, WindowSet
from tests.bundles import mel_pipeline, noise
from tests.offline.test_score import Memory

SIGNAL = Signal(128.0, ("C3", "C4", "Cz"))
PIPELINE = mel_pipeline(SIGNAL)  # 16 frames a second
BLOCK_S = 4.0
N_BLOCKS = 32
DECISION = DecisionSpec(("quiet", "loud"))


def recording(seed):
    """Return 128 s of noise that is ten times as loud in every second block."""
    loud = np.repeat(1.0 + 9.0 * (np.arange(N_BLOCKS) % 2), round(BLOCK_S * SIGNAL.sfreq))
    return (noise(SIGNAL, BLOCK_S * N_BLOCKS, seed) * loud).astype(np.float32)


def windows(seed):
    columns = PIPELINE.build().process(recording(seed)).data.astype(np.float32)
    n_block, n_window = round(BLOCK_S * 16), PIPELINE.build().window_frames
    first = n_block * np.arange(N_BLOCKS - 1) + 16  # the frame and the mean have left the block before
    return WindowSet(
        [SessionWindows(columns, first, first + n_block - 16 - n_window, np.arange(N_BLOCKS - 1) % 2)], n_window
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a bundle, and its network."""
    numbers = {"n_channels": 3, "n_times": 32, "sfreq": 16.0, "n_classes": 2, "n_features": 16}
    spec = ModelSpec("mel_tcn", numbers | {"offset_db": 50.0})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build(spec)
    found = train_network(network, windows(0), windows(1), LoopSettings(16, 16, 8, 1e-2, 0.01, 0))
    fitted = Fitted(PIPELINE, spec, network.eval(), found.history, found.best)
    session = Session("a", "a", Path("a"), SIGNAL, 0, (), lambda: recording(0))
    about = {"metrics": {}, "training": {}, "card": "A test.", "created": "2026-01-01T00:00:00+00:00", "seed": 0}
    bundle = export_bundle(tmp_path_factory.mktemp("bundles") / "tcn", fitted, DECISION, session, **about)
    return bundle.path, network


def test_training_teaches_it(trained):
    """In a recording that it has not seen, the odds of the loud class are higher at the end of each loud block."""
    columns = PIPELINE.build().process(recording(2)).data.astype(np.float32)
    ends = round(BLOCK_S * 16) * np.arange(1, N_BLOCKS) - 8
    with torch.no_grad():
        logits = logits_along(trained[1], columns)[ends]
    odds = logits[:, 1] - logits[:, 0]
    assert odds[1::2].min() > odds[::2].max() + 1.0


@pytest.mark.parametrize("name", ["onnx", "eager"])
def test_it_is_served_with_its_state(trained, name, tmp_path, monkeypatch):
    """Its golden run is reproduced, and its steps over a stream in chunks give what the whole gives."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    served = serve(str(trained[0]), name)
    assert isinstance(served.engine, StatefulEngine)
    assert (served.engine.name, served.golden_report.passed) == (name, True)
    data, decoder, live = recording(2)[:, : round(20 * SIGNAL.sfreq)], served.decoder(), []
    offline = score_recording(Memory(data, signal=SIGNAL), PIPELINE, served.engine, DECISION)
    for at in range(0, data.shape[1], 37):
        piece = data[:, at : at + 37]
        live += decoder.push(Chunk(piece, at, (at + np.arange(piece.shape[1])) / SIGNAL.sfreq))
    assert len(live) > 60
    assert [(p.index, p.last_sample, p.state) for p in live] == [(p.index, p.last_sample, p.state) for p in offline]
    probabilities = [np.array([p.probabilities for p in some]) for some in (live, offline)]
    assert np.ptp(probabilities[0], axis=0).min() > 0.5  # it has learnt something that could differ
    np.testing.assert_allclose(*probabilities, rtol=0, atol=1e-5)
