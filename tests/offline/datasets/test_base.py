"""The records of an archive: where windows may start, and what two copies of a recording have in common."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bci.chunk import Signal
from offline.datasets import base
from offline.datasets.base import Session, Stretch


@pytest.mark.parametrize("n_window", range(1, 30))
@pytest.mark.parametrize("context", [0, 3, 7])
def test_starts_are_those_of_all_allowed_windows(n_window, context):
    """Counted the slow way: inside the stretch, or around it and inside its context."""
    stretch = Stretch(20, 30, 0, context=context)
    longer = n_window > 10
    allowed = [
        start
        for start in range(60)
        if (
            (start <= 20 and start + n_window >= 30 and start >= 20 - context and start + n_window <= 30 + context)
            if longer
            else (start >= 20 and start + n_window <= 30)
        )
    ]
    first, last = stretch.starts(n_window)
    assert list(range(first, last + 1)) == allowed


def _session(data: np.ndarray, name: str = "a", sfreq: float = 100.0) -> Session:
    def read(start: int = 0, stop: int | None = None) -> np.ndarray:
        return data[:, start:stop]

    signal = Signal(sfreq, tuple(f"{name}{i}" for i in range(len(data))))
    return Session(name, name, Path(name), signal, data.shape[1], (Stretch(0, 10, 1),), read)


def test_copies_of_a_recording_have_one_hash(rng_data):
    first, second = _session(rng_data, "a"), _session(rng_data.copy(), "b")
    assert first.sha256 == second.sha256


@pytest.mark.parametrize("change", ["sample", "rate", "shorter", "order"])
def test_other_recordings_have_another_hash(rng_data, change):
    other, sfreq = rng_data.copy(), 100.0
    if change == "sample":
        other[1, 999] += 0.001
    elif change == "shorter":
        other = other[:, :-1]
    elif change == "order":
        other = other[::-1]
    else:
        sfreq = 200.0
    assert _session(rng_data).sha256 != _session(other, sfreq=sfreq).sha256


def test_a_recording_is_hashed_in_blocks(rng_data, monkeypatch):
    whole = _session(rng_data).sha256
    monkeypatch.setattr(base, "_BLOCK_SAMPLES", 400)
    lengths: list[int] = []
    session = _session(rng_data)

    def read(start: int = 0, stop: int | None = None) -> np.ndarray:
        part = session.read(start, stop)
        lengths.append(part.shape[1])
        return part

    in_blocks = Session("c", "c", Path("c"), session.signal, session.n_samples, (), read)
    assert in_blocks.sha256 != whole  # the size of a block is part of what is hashed
    assert lengths == [400, 400, 200]
    assert replace(in_blocks, stretches=(Stretch(3, 9, 0),)).sha256 == in_blocks.sha256
    assert lengths == [400, 400, 200], "other stretches do not have it read again"


@pytest.fixture
def rng_data() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((3, 1000)).astype(np.float32)
