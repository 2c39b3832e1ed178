"""Arguments from a file of unknown origin take no memory: tables are refused before they are made."""

from __future__ import annotations

import tracemalloc

import pytest

from models.limits import MAX_NUMBERS, check_table
from models.registry import ModelSpec, build

FRAMES = {"n_channels": 2, "n_times": 1 << 13, "sfreq": 16.0, "n_classes": 2, "n_features": 1 << 9}
SIGNAL = {"n_channels": 2, "n_times": 256, "sfreq": 128.0, "n_classes": 2}
HUGE = [
    ("swin", FRAMES | {"window": 1 << 20}, "The mask of attention windows"),
    ("mixnet_stacked", FRAMES | {"n_channels": 1 << 20}, "A stacked image"),
    ("cwt_network", SIGNAL | {"low_hz": 1e-9}, "A set of wavelets"),
    ("cwt_network", SIGNAL | {"n_freqs": 1 << 30}, "A set of wavelets"),
    ("image_network", SIGNAL | {"side": 1 << 30}, "Resizing a spectrogram"),
    ("image_network", SIGNAL | {"spectrograms": ("mel",), "n_freqs": 1 << 30}, "A mel filter bank"),
    ("image_network", SIGNAL | {"n_times": 1 << 40, "window_s": 1e9}, "The window of a spectrogram"),
    ("double_mel_mixnet", SIGNAL | {"sfreq": 1e12}, "A mel filter bank"),
    ("spectrum_blocks", FRAMES | {"n_features": 1 << 30}, "A grid of blocks"),
]


@pytest.mark.parametrize(("name", "arguments", "what"), HUGE)
def test_huge_tables_are_refused_before_memory_is_taken(name, arguments, what):
    build(ModelSpec(name, FRAMES | {"n_features": 16, "n_times": 64} if "n_features" in arguments else SIGNAL))
    tracemalloc.start()
    try:
        with pytest.raises(
            ValueError, match=rf"{what} needs at most {MAX_NUMBERS} numbers, got .*\. Use smaller sizes"
        ):
            build(ModelSpec(name, arguments))
        assert tracemalloc.get_traced_memory()[1] < 1 << 26
    finally:
        tracemalloc.stop()


def test_a_size_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match=r"A table needs at most 33554432 numbers, got nan\."):
        check_table(float("nan"), "A table")
