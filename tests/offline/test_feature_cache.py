"""The feature cache: what is read is what is computed, whatever happened to the files."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bci.chunk import Signal
from bci.errors import SpecError
from bci.pipeline import PipelineSpec, Window
from bci.stages.filters import Bandpass
from bci.stages.logmel import LogMel
from bci.stages.scale import Scale
from bci.stages.stft import Stft
from offline.feature_cache import FeatureCache

SIGNAL = Signal(128.0, ("A", "B"))
MEL = PipelineSpec(SIGNAL, (Bandpass(1.0, 40.0), LogMel(64, 64, 16, 8, 1.0, 40.0)), Window(1.0, 0.25))
STFT = replace(MEL, stages=(Stft(64, 64, 16, 2.0, 40.0),))


def recording(seed=0, n=640):
    """Return samples with a gap, and their hash."""
    x = (20 * np.random.default_rng(seed).standard_normal((2, n))).astype(np.float32)
    x[0, 200:230] = np.nan
    return x, hashlib.sha256(x.tobytes()).hexdigest()


def never():
    raise AssertionError("computed again")


def assert_fresh(block, spec, x, dtype=np.float32):
    fresh = spec.build().process(x)
    assert block.data.dtype == dtype
    np.testing.assert_array_equal(block.data, fresh.data.astype(dtype))
    np.testing.assert_array_equal(block.valid, fresh.valid)
    np.testing.assert_array_equal(block.last_input, fresh.last_input)
    np.testing.assert_array_equal(block.n_new, fresh.n_new)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 50),
    n=st.integers(0, 700),
    low_hz=st.sampled_from([1.0, 2.0]),
    dtype=st.sampled_from(["float32", "float16"]),
)
def test_what_is_read_is_what_is_computed(tmp_path, seed, n, low_hz, dtype):
    x, sha256 = recording(seed, max(n, 240))
    x, sha256 = x[:, :n], f"{sha256}-{n}"
    spec = replace(MEL, stages=(Bandpass(low_hz, 40.0), MEL.stages[1]))
    cache = FeatureCache(tmp_path, dtype=dtype)
    assert_fresh(cache.block(spec, sha256, lambda: x), spec, x, np.dtype(dtype))
    assert_fresh(cache.block(spec, sha256, never), spec, x, np.dtype(dtype))


def test_entries_are_read_as_maps_that_cannot_be_written(tmp_path):
    x, sha256 = recording()
    data = FeatureCache(tmp_path).block(MEL, sha256, lambda: x).data
    assert isinstance(data, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        data[0] = 0


def test_the_key_holds_all_that_changes_a_number_and_nothing_else(tmp_path):
    cache = FeatureCache(tmp_path)
    key = cache.key(MEL, "x")
    assert key == cache.key(replace(MEL, window=Window(2.0, 0.5), reference_hz=3.0), "x")
    others = [
        cache.key(MEL, "y"),
        cache.key(STFT, "x"),
        cache.key(replace(MEL, stages=(*MEL.stages[:1], Scale(2.0), MEL.stages[1])), "x"),
        cache.key(replace(MEL, signal=Signal(128.0, ("B", "A"))), "x"),
        FeatureCache(tmp_path, dtype="float16").key(MEL, "x"),
    ]
    assert len({key, *others}) == 6


@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "other length", "pickle"])
def test_a_damaged_entry_is_made_again(tmp_path, damage, caplog):
    x, sha256 = recording()
    cache = FeatureCache(tmp_path)
    cache.block(MEL, sha256, lambda: x)
    entry = tmp_path / cache.key(MEL, sha256)
    file = entry / "data.npy"
    if damage == "missing":
        (entry / "valid.npy").unlink()
    elif damage == "other length":
        np.save(entry / "valid.npy", np.ones(3, np.float32))
    elif damage == "pickle":
        np.save(entry / "last_input.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    else:
        file.write_bytes(file.read_bytes()[:200] if damage == "cut" else b"")
    assert_fresh(cache.block(MEL, sha256, lambda: x), MEL, x)
    assert "damaged and made again" in caplog.text
    assert_fresh(cache.block(MEL, sha256, never), MEL, x)


def test_the_least_recently_used_go_first(tmp_path):
    cache = FeatureCache(tmp_path)
    recordings = [recording(seed) for seed in range(4)]
    for age, (x, sha256) in zip((30, 20, 10), recordings, strict=False):
        cache.block(MEL, sha256, lambda x=x: x)
        entry = tmp_path / cache.key(MEL, sha256)
        os.utime(entry, (entry.stat().st_mtime - age,) * 2)
    cache.block(MEL, recordings[0][1], never)  # used again: now the newest
    size = cache.size_bytes()
    bounded = FeatureCache(tmp_path, limit_bytes=size)
    x, sha256 = recordings[3]
    bounded.block(MEL, sha256, lambda: x)
    assert bounded.size_bytes() <= size
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {cache.key(MEL, recordings[i][1]) for i in (0, 2, 3)}


def test_what_is_larger_than_the_cache_is_not_kept(tmp_path, caplog):
    x, sha256 = recording()
    assert_fresh(FeatureCache(tmp_path, limit_bytes=100).block(MEL, sha256, lambda: x), MEL, x)
    assert "are not kept: the cache holds 100" in caplog.text
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_leaves_the_computed(tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    x, sha256 = recording()
    with caplog.at_level(logging.WARNING):
        assert_fresh(FeatureCache(tmp_path / "file").block(MEL, sha256, lambda: x), MEL, x)
    assert "features cannot be kept in" in caplog.text


def test_nothing_unfinished_is_left_or_read(tmp_path, monkeypatch):
    x, sha256 = recording()
    old, young = tmp_path / ".unfinished-old", tmp_path / ".unfinished-young"
    for rest in (old, young):
        rest.mkdir()
        (rest / "data.npy").write_bytes(b"half")
    os.utime(old, (0, 0))
    cache = FeatureCache(tmp_path)
    cache.block(MEL, sha256, lambda: x)
    assert {path.name for path in tmp_path.iterdir()} == {".unfinished-young", cache.key(MEL, sha256)}

    def fails(*_args, **_kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "save", fails)
    assert_fresh(cache.block(STFT, sha256, lambda: x), STFT, x)
    assert len(list(tmp_path.iterdir())) == 2


def test_another_process_that_was_faster_is_believed(tmp_path):
    """Two processes compute the same: the second finds the folder there and takes it."""
    x, sha256 = recording()
    cache, other = FeatureCache(tmp_path), FeatureCache(tmp_path)

    def read_while_the_other_stores():
        other.block(MEL, sha256, lambda: x)
        return x

    assert_fresh(cache.block(MEL, sha256, read_while_the_other_stores), MEL, x)
    assert [path.name for path in tmp_path.iterdir()] == [cache.key(MEL, sha256)]


def test_without_a_folder_it_is_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert FeatureCache().folder == tmp_path / "streaming-bci" / "features"


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1), ("float32", 0)])
def test_settings_that_cannot_be_are_refused(tmp_path, dtype, limit):
    with pytest.raises(SpecError, match=r"needs dtype float32 or float16 and limit_bytes above 0, got"):
        FeatureCache(tmp_path, limit, dtype)
