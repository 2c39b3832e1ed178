"""Tags of the FIF format, as bytes: what a writer that only appends needs, and nothing more."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np

# kinds of tags, kinds of blocks, roles and types of data, in the words of the format's dictionary
NOP, BLOCK_START, BLOCK_END, FREE_LIST = 108, 104, 105, 106
MEAS_DATE, SFREQ, COMMENT = 204, 201, 206
FIRST_SAMPLE, DATA_BUFFER, DATA_SKIP = 208, 300, 301
REF_ROLE, REF_FILE_NUM, REF_FILE_NAME = 115, 117, 118
ONSETS, ENDS = 3568, 3569  # of annotations
MEAS, RAW_DATA, REF, ANNOTATIONS = 100, 102, 118, 3810
NEXT_FILE = 2
VOID, INT, FLOAT, DOUBLE, STRING = 0, 3, 4, 5, 10
NEXT_SEQ = 0  # the next tag follows this one's data
NEXT_NONE = -1  # there is no next tag
HEADER_BYTES = 16
NEXT_AT = 12  # where in a tag the position of the next stands
_HEADER = struct.Struct(">iiii")
_WORD = struct.Struct(">i")
LARGEST = 2**31 - 1  # of a position, a count or a size


def tag(kind: int, data_type: int = VOID, data: bytes = b"", following: int = NEXT_SEQ) -> bytes:
    """Return a tag; `following` is ``NEXT_SEQ``, ``NEXT_NONE`` or the position of the next tag."""
    return _HEADER.pack(kind, data_type, len(data), following) + data


def word(value: int) -> bytes:
    """Return a 32-bit number as it stands in the file."""
    return _WORD.pack(value)


def int_tag(kind: int, value: int) -> bytes:
    """Return a tag with one whole number."""
    return tag(kind, INT, word(value))


def double_tag(kind: int, values: Sequence[float]) -> bytes:
    """Return a tag with float64 values."""
    return tag(kind, DOUBLE, np.asarray(values, ">f8").tobytes())


def text_tag(kind: int, text: str) -> bytes:
    """Return a tag with text; what Latin-1 lacks is written as an escape."""
    return tag(kind, STRING, latin(text).encode("latin-1"))


def block(kind: int, *tags: bytes) -> bytes:
    """Return a block with `tags` in it."""
    return b"".join((int_tag(BLOCK_START, kind), *tags, int_tag(BLOCK_END, kind)))


def buffer_tag(data: np.ndarray, following: int) -> bytes:
    """Return a data buffer.

    Parameters
    ----------
    data : ndarray of float32, shape (n_channels, n_samples)
        Values as they are to stand in the file.
    following : int
        As for `tag`.
    """
    return tag(DATA_BUFFER, FLOAT, np.ascontiguousarray(data.T, ">f4").tobytes(), following)


def tags_of(contents: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield kind, type and data of the tags of a file in which each follows the one before."""
    at = 0
    while at < len(contents):
        kind, data_type, size, _ = _HEADER.unpack_from(contents, at)
        yield kind, data_type, contents[at + HEADER_BYTES : at + HEADER_BYTES + size]
        at += HEADER_BYTES + size


def latin(text: str) -> str:
    """Return `text` with escapes for what the format cannot spell."""
    return text.encode("latin-1", "backslashreplace").decode("latin-1")
