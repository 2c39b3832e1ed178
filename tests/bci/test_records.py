"""Strict JSON: what is written can be read, one value has one text, and nothing else is taken."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bci.errors import SpecError
from bci.records import LARGEST, LARGEST_INT, json_object, record_from_dict, record_to_dict, to_json


@dataclass(frozen=True, slots=True)
class Inner:
    gain: float
    label: str = "x"


@dataclass(frozen=True, slots=True)
class Record:
    n: int
    hz: float
    name: str
    on: bool
    inner: Inner
    pairs: tuple[tuple[float, float], ...] = ()
    pair: tuple[int, str] = (1, "a")
    norm: Literal["slaney"] | None = None
    labels: tuple[str, ...] | None = None
    maybe: float | None = None
    more: Inner | None = None


GOOD = Record(3, 0.5, "µV", True, Inner(2.0))
FIELDS = record_to_dict(GOOD)
finite = st.floats(allow_nan=False, allow_infinity=False)
inners = st.builds(Inner, finite, st.text())
records = st.builds(
    Record,
    st.integers(-LARGEST_INT, LARGEST_INT),
    finite | st.integers(-(10**15), 10**15),
    st.text(),
    st.booleans(),
    inners,
    st.lists(st.tuples(finite, finite)).map(tuple),
    st.tuples(st.integers(-LARGEST_INT, LARGEST_INT), st.text()),
    st.sampled_from([None, "slaney"]),
    st.none() | st.lists(st.text()).map(tuple),
    st.none() | finite,
    st.none() | inners,
)


@given(records)
def test_what_is_written_is_read(record):
    text = to_json(record)
    again = record_from_dict(Record, json_object(text, "A record"), "record")
    assert again == record
    assert to_json(again) == text


def test_one_value_has_one_text():
    text = '{\n "gain": 1.0,\n "label": "x"\n}\n'
    assert [to_json(Inner(gain)) for gain in (1, 1.0, np.float64(1))] == [text] * 3


def test_text_is_plain_and_sorted():
    text = to_json(GOOD)
    assert "µV" in text
    assert list(json.loads(text)) == sorted(FIELDS)
    assert text.endswith("}\n")


def test_plain_json_values_are_written_too():
    assert to_json({"b": [1, None], "a": "x"}) == '{\n "a": "x",\n "b": [\n  1,\n  null\n ]\n}\n'


def test_lists_become_tuples():
    again = record_from_dict(Record, json.loads(json.dumps(FIELDS | {"pairs": [[1, 2], [3.5, 4]]})), "record")
    assert again.pairs == ((1.0, 2.0), (3.5, 4.0))
    assert all(type(v) is float for pair in again.pairs for v in pair)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("n", 3.0, r"record: n must be int, got 3\.0"),
        ("n", True, "record: n must be int, got True"),
        ("n", "3", "record: n must be int, got '3'"),
        ("n", None, "record: n must be int, got None"),
        ("n", LARGEST_INT + 1, "record: n must be int, got 9223372036854775808"),
        ("n", -(10**400), r"record: n must be int, got -10{197}…"),
        ("hz", True, "record: hz must be float, got True"),
        ("hz", "1", "record: hz must be float, got '1'"),
        ("hz", float("nan"), "record: hz must be float, got nan"),
        ("hz", float("-inf"), "record: hz must be float, got -inf"),
        ("hz", 10**400, "record: hz must be float, got 1000"),
        ("name", 3, "record: name must be str, got 3"),
        ("on", 1, "record: on must be bool, got 1"),
        ("on", None, "record: on must be bool, got None"),
        ("inner", 3, "record: inner must be Inner, got 3"),
        ("inner", [2.0], r"record: inner must be Inner, got \[2\.0\]"),
        ("inner", {"gain": "2"}, "record: inner: gain must be float, got '2'"),
        ("inner", {}, "record: inner lacks gain"),
        ("inner", {"gain": 1, "loss": 2}, r"record: inner has unknown fields loss\. Known: gain, label"),
        ("pairs", [[1.0]], r"record: pairs must be tuple\[float, float\], got \[1\.0\]"),
        ("pairs", [[1.0, True]], "record: pairs must be float, got True"),
        ("pairs", "ab", r"record: pairs must be tuple.*, got 'ab'"),
        ("pair", ["a", 1], "record: pair must be int, got 'a'"),
        ("pair", [1, "a", 2], r"record: pair must be tuple\[int, str\], got \[1, 'a', 2\]"),
        ("norm", "htk", "record: norm must be .*slaney.*, got 'htk'"),
        ("labels", "abc", r"record: labels must be .*, got 'abc'"),
        ("labels", [1], "record: labels must be str, got 1"),
        ("maybe", "none", "record: maybe must be float | None, got 'none'"),
    ],
)
def test_a_wrong_type_is_refused(field, value, message):
    with pytest.raises(SpecError, match=message):
        record_from_dict(Record, FIELDS | {field: value}, "record")


def test_unknown_and_missing_fields_are_refused():
    with pytest.raises(SpecError, match=r"record has unknown fields m, o\. Known: n, hz, name, on, inner, pairs"):
        record_from_dict(Record, FIELDS | {"o": 1, "m": 2}, "record")
    with pytest.raises(SpecError, match=r"^record lacks n, name\.$"):
        record_from_dict(Record, {k: v for k, v in FIELDS.items() if k not in ("n", "name")}, "record")
    with pytest.raises(SpecError, match="record needs a JSON object, got list"):
        record_from_dict(Record, [], "record")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "1", 10**400])
def test_what_could_not_be_read_is_not_written(value):
    with pytest.raises(SpecError, match="Inner: gain must be float, got"):
        to_json(Inner(value))
    with pytest.raises(SpecError, match="Inner: gain must be float, got"):
        record_to_dict(dataclasses.replace(GOOD, inner=Inner(value)))


def test_the_largest_numbers_pass():
    assert record_from_dict(Inner, {"gain": LARGEST}, "x").gain == LARGEST
    assert record_from_dict(Inner, {"gain": -LARGEST}, "x").gain == -LARGEST


@pytest.mark.parametrize(
    "text",
    ["", "{", "{'a': 1}", '{"a": 1,}', "nonsense", "[" * 100_000, '{"a": ' + "1" * 5000 + "}"],
    ids=["empty", "open", "quotes", "comma", "word", "deep", "digits"],
)
def test_text_that_is_no_json_is_refused(text):
    with pytest.raises(SpecError, match="A pipeline needs JSON, got a syntax error: "):
        json_object(text, "A pipeline")


@pytest.mark.parametrize(("text", "got"), [("[]", "list"), ("3", "int"), ("null", "NoneType"), ('"{}"', "str")])
def test_json_that_is_no_object_is_refused(text, got):
    with pytest.raises(SpecError, match=f"A pipeline needs a JSON object, got {got}"):
        json_object(text, "A pipeline")
