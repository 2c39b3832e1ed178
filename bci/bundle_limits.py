"""What a bundle may hold at most, so that one from a stranger can neither fill the memory nor steer a terminal."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bci.errors import SchemaError
from bci.pipeline import Pipeline, PipelineSpec
from bci.texts import printable

MIB = 1 << 20
MAX_MIB = {
    "manifest.json": 1,
    "pipeline.json": 16,
    "model.json": 1,
    "decision.json": 1,
    "metrics.json": 64,
    "card.md": 16,
    "golden.safetensors": 1024,
    "weights.safetensors": 8192,
}
"""Largest size of each file."""

MAX_CHANNELS = 4096  # a reference is a matrix of their square
MAX_CLASSES = 4096
MAX_WINDOW_VALUES = 1 << 27  # half a gigabyte as float32
MAX_NAME = 200


def check_size(file: Path) -> None:
    """Refuse a file that is larger than its kind can be, before it is read.

    Raises
    ------
    SchemaError
        If it is.
    """
    size, most = file.stat().st_size, MAX_MIB[file.name]
    if size > most * MIB:
        raise SchemaError(
            f"{file.parent.name}: {file.name} must have at most {most} MiB, got {size / MIB:.0f}. "
            "Copy the bundle again, from who has made it."
        )


def sha256_of(file: Path) -> str:
    """Return the hash of a file, read in pieces."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def check_names(what: str, names: Iterable[str], bundle: str) -> None:
    """Refuse names that cannot be shown as they are.

    Raises
    ------
    SchemaError
        If one is empty, longer than `MAX_NAME` or has characters that are not printable.
    """
    for name in names:
        if not 0 < len(name) <= MAX_NAME or not name.isprintable():
            raise SchemaError(
                f"{bundle}: a {what} needs 1 to {MAX_NAME} printable characters, got {printable(name)!r}. "
                "Rename it and train the bundle again."
            )


def check_counts(pipeline: PipelineSpec, n_classes: int, bundle: str) -> None:
    """Refuse more channels or classes than any recording has, before anything is designed for them.

    Raises
    ------
    SchemaError
        If there are more.
    """
    n_channels = pipeline.signal.n_channels
    if n_channels > MAX_CHANNELS or n_classes > MAX_CLASSES:
        raise SchemaError(
            f"{bundle}: a bundle has at most {MAX_CHANNELS} channels and {MAX_CLASSES} classes, got {n_channels} and "
            f"{n_classes}. Train it with fewer."
        )


def check_window(running: Pipeline, bundle: str) -> None:
    """Refuse a window that would fill the memory.

    Raises
    ------
    SchemaError
        If it has more than `MAX_WINDOW_VALUES` values.
    """
    n_values = running.window_frames * int(np.prod(running.signal_out.shape))
    if n_values > MAX_WINDOW_VALUES:
        raise SchemaError(
            f"{bundle}: a window has at most {MAX_WINDOW_VALUES} values, got {n_values:g} "
            f"({running.window_frames:g} columns). Train it with a shorter window."
        )
