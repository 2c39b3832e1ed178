"""Pickles of numbers come back as they were; pickles that would do anything else are refused before they do it."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bci.errors import RecordingError
from offline.datasets.plain_pickle import load_plain

RNG = np.random.default_rng(0)
VALUES = {
    "floats": RNG.standard_normal((3, 4, 5)),
    "float32": RNG.standard_normal((2, 3)).astype(np.float32),
    "half": RNG.standard_normal(7).astype(np.float16),
    "fortran": np.asfortranarray(RNG.standard_normal((3, 4))),
    "not contiguous": RNG.standard_normal((6, 8))[::2, ::3],
    "transposed": RNG.standard_normal((2, 3, 4)).transpose(2, 0, 1),
    "big-endian": np.arange(5, dtype=">i4"),
    "labels": np.array([0, 1, 2, 0], dtype=np.int64),
    "bytes": np.arange(256, dtype=np.uint8),
    "truth": np.array([True, False]),
    "texts": np.array(["chb01", "Ä"]),
    "empty": np.empty((0, 3)),
    "one": np.array(3.5),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", VALUES)
def test_arrays_come_back(tmp_path, name, protocol):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(VALUES[name], protocol))
    got = load_plain(path)
    np.testing.assert_array_equal(got, VALUES[name])
    assert got.dtype == VALUES[name].dtype


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_lists_and_numbers_come_back(tmp_path, protocol):
    value = [1, 2.5, "p1", None, True, b"x\xff", [np.float32(0.5), np.int64(3)], (4, 5)]
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    assert load_plain(path) == [*value[:-1], [4, 5]]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_objects_become_lists(tmp_path, protocol):
    objects = np.empty(3, dtype=object)
    objects[:] = ["p1", 2, 3.0]
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(objects, protocol))
    assert load_plain(path) == ["p1", 2, 3.0]


class Calls:
    """Pickles as a call."""

    def __init__(self, *call):
        self._call = call

    def __reduce__(self):
        return self._call


class Holder:
    pass


def _state(target, state):
    """Return a pickle that takes a name and gives it a state."""
    module, name = target
    return b"c" + f"{module}\n{name}\n".encode() + pickle.dumps(state, 2)[2:-1] + b"b."


FORBIDDEN = {
    "system": (pickle.dumps(Calls(os.system, ("true",))), "asks for posix.system"),
    "eval": (pickle.dumps(Calls(eval, ("1+1",))), "asks for builtins.eval"),
    "class": (pickle.dumps(Holder()), "asks for tests.offline.datasets.test_plain_pickle.Holder"),
    "load": (pickle.dumps(Calls(np.load, ("x.npy",))), r"asks for numpy\.load"),
    "fromfile": (pickle.dumps(Calls(np.fromfile, ("/dev/null",))), r"asks for numpy.*\.fromfile"),
    "dictionary": (pickle.dumps({"a": 1}), "it holds a dict"),
    "name": (pickle.dumps(np.ndarray), "it holds a Name"),
    "type": (pickle.dumps(np.dtype("f8")), "it holds a Dtype"),
    "records": (pickle.dumps(np.zeros(2, dtype=[("a", "f8")])), "it holds (records|values of type 'V8')"),
    "dates": (pickle.dumps(np.zeros(2, "M8[s]")), "it holds values of type 'M8'"),
    "grid of objects": (pickle.dumps(np.empty((2, 2), object)), r"objects in an array of shape \(2, 2\)"),
    "untyped": (pickle.dumps(Calls(np._core.numeric._frombuffer, (b"12345678", 3, (1,), "C"))), "array without type"),
    "encoding": (
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x06\x00\x00\x00rot_13\x86R.",
        "encodes text as 'rot_13'",
    ),
    "state": (_state(("numpy", "ndarray"), {"a": 1}), "changes what it must only use"),
    "slots": (_state(("numpy.core.multiarray", "scalar"), (None, {"__code__": 1})), "changes what it must only use"),
    "elsewhere": (b"Pabc\n.", "asks for what is stored elsewhere"),
    "short": (pickle.dumps(VALUES["floats"])[:-40], "truncated|ran out|cannot reshape|buffer size|EOF"),
    "nothing": (b"", "Ran out of input"),
    "noise": (b"no pickle", "invalid load key|must be a pickle"),
    "huge": (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "must be a pickle"),
    "deep": (b"]" + b"]" * 20_000 + b"a" * 20_000 + b".", "recursion|must be a pickle"),
}


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_anything_else_is_refused(tmp_path, kind):
    data, reason = FORBIDDEN[kind]
    path = tmp_path / "a.pkl"
    path.write_bytes(data)
    with pytest.raises(
        RecordingError, match=r"a\.pkl must be a pickle of arrays, lists and numbers, it is not"
    ) as caught:
        load_plain(path)
    with pytest.raises(RecordingError, match=reason):
        raise caught.value


def test_a_list_that_holds_itself_many_times_takes_no_time(tmp_path):
    value: list = [1]
    for _ in range(60):
        value = [value, value]
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(value))
    assert load_plain(path)[0][0][0] is not None


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(RecordingError, match=r"absent\.pkl must be a pickle"):
        load_plain(tmp_path / "absent.pkl")


@settings(max_examples=40, deadline=None)
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_changed_byte_gives_numbers_or_an_error(tmp_path_factory, at, byte):
    """Never anything else."""
    data = bytearray(pickle.dumps([VALUES["labels"], ["p1", 2.0], VALUES["texts"]], 2))
    data[at % len(data)] = byte
    path = tmp_path_factory.mktemp("pickle") / "a.pkl"
    path.write_bytes(data)
    try:
        value = load_plain(path)
    except RecordingError:
        return
    assert value is None or isinstance(value, list | str | bytes | int | float | np.ndarray)
