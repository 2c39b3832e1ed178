"""FIF files that only grow: whatever moment ends the program, and wherever the file is cut, MNE reads what is there.

A tag's header stands before its data and says how long these are, so a reader that comes upon the header of a torn
buffer fails. Here no header can be reached before its data are complete: each stretch is written as ::

    … buffer ─┐   [ buffer k: header, data ] [ NOP ]
              │        ▲                        │
              └────────┼──────────────────────▶─┘
                       └────────────────────────┘

The buffer before points to the NOP *behind* the new data, and the NOP points back to them. That pointer is patched in
last (it was -1, the end); a file that is cut anywhere lacks the NOP, and with it the torn buffer. The format allows$
both: each tag holds the position of the next.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from bci import fif_tags as fif
from bci.errors import RecordingError, SpecError
from bci.fif_header import annotation_block
from bci.sources.base import Annotation

MAX_BYTES = 2_000_000_000  # of a file; positions are 31 bits
MAX_SKIP = fif.LARGEST


class _File:
    """One file, from its first stretch on.

    It gets its name when that is in it: a file without samples is none that MNE reads.
    """

    def __init__(self, path: Path, head: bytes, stretch: Sequence[bytes]) -> None:
        self.path = path
        part = path.with_name(f".{path.name}.part")
        self._fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        self.size = 0
        try:
            self._write(head)
            self._open_end = self.size - fif.HEADER_BYTES - 4 + fif.NEXT_AT  # `head` ends with a whole number
            self.append(stretch)
            os.rename(part, path)
        except OSError:
            os.close(self._fd)
            part.unlink(missing_ok=True)
            raise

    def append(self, tags: Sequence[bytes]) -> None:
        """Write tags that follow each other, the last of which has no next, and then link them."""
        start, whole = self.size, b"".join(tags)
        anchor = start + len(whole)
        if anchor + fif.HEADER_BYTES > fif.LARGEST:
            raise RecordingError(
                f"A FIF file needs positions up to {fif.LARGEST}, got {anchor}: too many gaps to begin another file. "
                "Begin another recording."
            )
        try:
            self._write(whole + fif.tag(fif.NOP, following=start))
            _write_at(self._fd, fif.word(anchor), self._open_end)
        except OSError:
            self.size = start
            os.ftruncate(self._fd, start)
            raise
        self._open_end = anchor - len(tags[-1]) + fif.NEXT_AT

    def sync(self) -> None:
        os.fsync(self._fd)

    def close(self) -> None:
        try:
            os.fsync(self._fd)
        finally:
            os.close(self._fd)

    def discard(self) -> None:
        os.close(self._fd)
        self.path.unlink()

    def _write(self, contents: bytes) -> None:
        _write_at(self._fd, contents, self.size)
        self.size += len(contents)


class FifWriter:
    """A recording in one FIF file, or in several that MNE opens as one.

    Parameters
    ----------
    path : Path
        Name of the first file, ending with ``.fif``; the next are ``…-1.fif``, ``…-2.fif``.
    head : bytes
        From `bci.fif_header.fif_header`.
    n_channels : int
        Channels.
    begun : datetime
        When the first sample was taken.
    max_bytes : int, default=2_000_000_000
        A file that would grow beyond this is followed by the next one.

    Attributes
    ----------
    n_samples : int
        Length so far, gaps included.

    Raises
    ------
    SpecError
        If `max_bytes` is more than a position can be.
    """

    def __init__(self, path: Path, head: bytes, n_channels: int, begun: datetime, max_bytes: int = MAX_BYTES) -> None:
        if not 0 < max_bytes <= MAX_BYTES:
            raise SpecError(f"A FIF file needs a limit of 1 to {MAX_BYTES} bytes, got {max_bytes}. Take the default.")
        self._path, self._head, self._n_channels, self._begun = path, head, n_channels, begun
        self._max_bytes = max_bytes
        self._files: list[_File] = []
        self.n_samples = 0

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, in order."""
        return tuple(file.path for file in self._files)

    def append(self, first_sample: int, data: np.ndarray) -> None:
        """Write samples as one buffer.

        Parameters
        ----------
        first_sample : int
            Number of the first in the recording; those before it that were never written are a gap.
        data : ndarray of float32, shape (n_channels, n_samples)
            At least one sample, in the unit of the stream.

        Raises
        ------
        OSError
            If they could not be written. The file ends with the sample before, and can go on with any later one.
        RecordingError
            If the file has no place for them, and they begin with a gap: the next file cannot.
        SpecError
            If they do not come after those before, or do not fit.
        """
        n_skipped = first_sample - self.n_samples
        fits = data.ndim == 2 and data.shape[0] == self._n_channels and data.shape[1] > 0
        if not fits or not 0 <= n_skipped <= MAX_SKIP or (n_skipped and not self._files):
            raise SpecError(
                f"A FIF recording needs samples of {self._n_channels} channels from {self.n_samples} on (and 0 first), "
                f"got shape {data.shape} from {first_sample}."
            )
        if n_skipped:  # a gap is counted in buffers of the length of the one that follows: that has one sample
            skip = fif.int_tag(fif.DATA_SKIP, n_skipped)
            self._files[-1].append((skip, fif.buffer_tag(data[:, :1], fif.NEXT_NONE)))
            self.n_samples = first_sample + 1
            data = data[:, 1:]
        if data.shape[1]:
            self._append_following(fif.buffer_tag(data, fif.NEXT_NONE))
            self.n_samples += data.shape[1]

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        if self._files:
            self._files[-1].sync()

    def close(self, annotations: Sequence[Annotation] = ()) -> None:
        """Finish the files; may be called without a sample.

        Parameters
        ----------
        annotations : sequence of Annotation, default=()
            Written into the first file, where MNE looks for them.

        Raises
        ------
        OSError
            If the end could not be written; the samples are there.
        """
        files, self._files = self._files, []
        try:
            for file in reversed(files):
                is_first = file is files[0]
                notes = annotation_block(annotations, self._begun) if annotations and is_first else b""
                end = fif.int_tag(fif.BLOCK_END, fif.MEAS)
                file.append((fif.int_tag(fif.BLOCK_END, fif.RAW_DATA), notes, end, fif.tag(fif.NOP, following=-1)))
        finally:
            for file in files:
                file.close()

    def _append_following(self, buffer: bytes) -> None:
        """Write a buffer that directly follows what was written, into the next file if this one is full."""
        file = self._files[-1] if self._files else None
        if file is not None and file.size + len(buffer) + 2 * fif.HEADER_BYTES <= self._max_bytes:
            file.append((buffer,))
            return
        number = len(self._files)
        path = self._path if number == 0 else self._path.with_name(f"{self._path.stem}-{number}.fif")
        start = fif.int_tag(fif.BLOCK_START, fif.RAW_DATA) + fif.int_tag(fif.FIRST_SAMPLE, self.n_samples)
        new = _File(path, self._head + start, (buffer,))
        if file is not None:
            try:
                file.append(_reference(path.name, number))
                file.sync()
            except OSError:
                new.discard()
                raise
        self._files.append(new)


def _reference(name: str, number: int) -> tuple[bytes, ...]:
    """Return the tags that name the next file."""
    inside = (fif.int_tag(fif.REF_ROLE, fif.NEXT_FILE), fif.text_tag(fif.REF_FILE_NAME, name))
    end = fif.word(fif.REF)
    return (
        fif.int_tag(fif.BLOCK_START, fif.REF),
        *inside,
        fif.int_tag(fif.REF_FILE_NUM, number),
        fif.tag(fif.BLOCK_END, fif.INT, end, fif.NEXT_NONE),
    )


def _write_at(fd: int, contents: bytes, at: int) -> None:
    """Write all of `contents`; a disk that takes only a part is full, which the next attempt says."""
    view = memoryview(contents)
    while view:
        n = os.pwrite(fd, view, at)
        view, at = view[n:], at + n
