"""A stream fits a model by the names of its channels, its rate and its unit, or is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bci.chunk import Signal
from bci.errors import ChannelMismatch
from bci.matching import channel_rows

NAMES = ("Fp1", "C3", "Cz", "C4", "O2")
WANTED = Signal(250.0, NAMES)


@given(st.permutations([*NAMES, "EMG", "ECG"]))
def test_rows_are_found_by_name_in_any_order(names):
    rows = channel_rows(WANTED, Signal(250.0, tuple(names)))
    assert rows.dtype == np.int64
    assert tuple(names[i] for i in rows) == NAMES


@pytest.mark.parametrize("sfreq", [250.0, 250.0 * (1 + 9e-7), 250.0 * (1 - 9e-7)])
def test_a_rate_equal_within_a_millionth_is_the_same(sfreq):
    """Files round rates; a millionth is one sample in an hour at 250 Hz."""
    assert channel_rows(WANTED, Signal(sfreq, NAMES)).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("sfreq", [256.0, 500.0, 249.99])
def test_another_rate_is_refused(sfreq):
    with pytest.raises(ChannelMismatch, match=rf"needs 250 Hz, the stream has {sfreq:g} Hz\. Set the amplifier"):
        channel_rows(WANTED, Signal(sfreq, NAMES))


def test_missing_channels_are_named_beside_what_is_there():
    with pytest.raises(ChannelMismatch, match=r"lacks: C3, O2\. The stream also has: T7\. Rename or connect"):
        channel_rows(WANTED, Signal(250.0, ("Fp1", "Cz", "C4", "T7")))
    with pytest.raises(ChannelMismatch, match=r"lacks: C3, C4, O2\. The stream also has: nothing else\."):
        channel_rows(WANTED, Signal(250.0, ("Fp1", "Cz")))


def test_case_counts():
    """``FP1`` may be ``Fp1``, or not: a guess is not made."""
    with pytest.raises(ChannelMismatch, match=r"lacks: Fp1\. The stream also has: FP1"):
        channel_rows(WANTED, Signal(250.0, ("FP1", *NAMES[1:])))


def test_long_lists_are_cut():
    many = Signal(250.0, tuple(f"E{i}" for i in range(128)))
    with pytest.raises(ChannelMismatch, match=r"lacks: E0, E1, E2, E3, E4, E5, E6, E7 and 120 more\. .* has: Fp1, "):
        channel_rows(many, WANTED)


def test_another_unit_is_refused():
    with pytest.raises(ChannelMismatch, match=r"needs uV, the stream has fT\. Choose a stream in that unit"):
        channel_rows(WANTED, Signal(250.0, NAMES, "fT"))


@pytest.mark.parametrize(
    ("offered", "kind", "message"),
    [
        (Signal(500.0, NAMES), "recording", r"needs 250 Hz, the recording has 500 Hz\. Resample it with --adapt"),
        (
            Signal(250.0, ("T7",)),
            "recording",
            r"the recording lacks: Fp1, .*has: T7\. Other spellings .* --like BUNDLE",
        ),
        (Signal(250.0, NAMES, "mixed"), "recording", r"needs uV, the recording has mixed\. .* with --picks"),
        (Signal(250.0, ("T7",)), "adapted recording", r"the adapted recording lacks: Fp1, .*\. Choose a recording"),
        (Signal(250.0, NAMES, "fT"), "adapted recording", r"the adapted recording has fT\. .* with --picks"),
    ],
)
def test_a_recording_has_no_electrodes_to_connect(offered, kind, message):
    with pytest.raises(ChannelMismatch, match=message):
        channel_rows(WANTED, offered, kind)
