"""Outputs of pipelines over whole recordings, kept on disk and read as memory maps."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from bci.engines.selection import cache_folder
from bci.errors import SpecError
from bci.pipeline import Block, PipelineSpec

SCHEMA = 1
GIB = 1 << 30
_UNFINISHED = ".unfinished-"
_ABANDONED_S = 3600.0
"""Age from which an unfinished entry is taken for the rest of a crash."""

log = logging.getLogger(__name__)


class FeatureCache:
    """A folder of pipeline outputs, bounded in size.

    An entry is keyed by the stages of the pipeline with all their numbers (fitted ones among them), the signal, what
    was recorded, and the format; the window and its hop change no column and are left out. What is read is what would
    be computed, value by value: in float32 as training takes it, in float16 rounded to that.

    Parameters
    ----------
    folder : Path or None, default=None
        Where; None takes ``features`` in the user's cache folder.
    limit_bytes : int, default=8 GiB
        Size to which the folder is kept, by deleting what was not used for longest. An output that is larger is
        computed every time.
    dtype : {"float32", "float16"}, default="float32"
        Format of the columns. float16 holds decibels to 0.03 and nothing above 65504: not for signals.

    Raises
    ------
    SpecError
        If the format is another or the size is not positive.
    """

    def __init__(
        self,
        folder: Path | None = None,
        limit_bytes: int = 8 * GIB,
        dtype: Literal["float32", "float16"] = "float32",
    ) -> None:
        if dtype not in ("float32", "float16") or limit_bytes < 1:
            raise SpecError(
                f"A feature cache needs dtype float32 or float16 and limit_bytes above 0, got {dtype!r} and "
                f"{limit_bytes}."
            )
        self.folder = cache_folder().parent / "features" if folder is None else folder
        self.limit_bytes = limit_bytes
        self.dtype = np.dtype(dtype)

    def key(self, spec: PipelineSpec, source_sha256: str) -> str:
        """Return the name of the entry of a recording under a pipeline."""
        decided = {name: value for name, value in spec.to_dict().items() if name not in ("window", "reference_hz")}
        record = {"cache": SCHEMA, "pipeline": decided, "source": source_sha256, "dtype": self.dtype.name}
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()

    def block(self, spec: PipelineSpec, source_sha256: str, read: Callable[[], np.ndarray]) -> Block:
        """Return the output of a pipeline over a whole recording.

        Parameters
        ----------
        spec : PipelineSpec
            It can be built.
        source_sha256 : str
            Hash of what `read` returns.
        read : callable
            Returns the recording, (n_channels, n_samples); called only if there is no entry yet.

        Returns
        -------
        block : Block
            Its data are a read-only memory map in the cache's format, or an array where nothing could be kept.
        """
        entry = self.folder / self.key(spec, source_sha256)
        if entry.is_dir() and (kept := self._load(entry)) is not None:
            return kept
        computed = spec.build().process(read())
        block = Block(computed.data.astype(self.dtype), computed.valid, computed.last_input, computed.n_new)
        size = block.data.nbytes + block.valid.nbytes + block.last_input.nbytes
        if size > self.limit_bytes:
            log.warning("features of %d bytes are not kept: the cache holds %d", size, self.limit_bytes)
            return block
        try:
            self._store(entry, block)
            self._bound(keep=entry)
        except OSError as error:
            log.warning("features cannot be kept in %s: %s", self.folder, error)
            return block
        return self._load(entry) or block

    def size_bytes(self) -> int:
        """Return what the entries take."""
        return sum(_size(entry) for entry in self._entries())

    def _load(self, entry: Path) -> Block | None:
        """Return an entry; a damaged one is deleted and is None."""
        try:
            data = np.load(entry / "data.npy", mmap_mode="r", allow_pickle=False)
            valid = np.load(entry / "valid.npy", allow_pickle=False)
            last_input = np.load(entry / "last_input.npy", allow_pickle=False)
            os.utime(entry)  # used now
            reason = f"its arrays have {data.shape[-1:]}, {valid.shape} and {last_input.shape} columns"
            fits = data.dtype == self.dtype and valid.shape == last_input.shape == data.shape[-1:]
        except (OSError, ValueError, EOFError) as error:
            fits, reason = False, str(error)
        if fits:
            return Block(data, valid, last_input, np.diff(last_input, prepend=-1))
        log.warning("the cached features %s are damaged and made again: %s", entry, reason)
        shutil.rmtree(entry, ignore_errors=True)
        return None

    def _store(self, entry: Path, block: Block) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.folder))
        try:
            np.save(scratch / "data.npy", block.data)
            np.save(scratch / "valid.npy", block.valid)
            np.save(scratch / "last_input.npy", block.last_input)
            try:
                scratch.rename(entry)
            except OSError:
                if not entry.is_dir():  # else another process was faster, with the same numbers
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _bound(self, keep: Path) -> None:
        """Delete unfinished rests, then what was not used for longest until the limit holds."""
        for rest in self.folder.glob(f"{_UNFINISHED}*"):
            if time.time() - _used(rest) > _ABANDONED_S:
                shutil.rmtree(rest, ignore_errors=True)
        entries = sorted((entry for entry in self._entries() if entry != keep), key=_used)
        total = sum(map(_size, entries)) + _size(keep)
        for entry in entries:
            if total <= self.limit_bytes:
                return
            total -= _size(entry)
            shutil.rmtree(entry, ignore_errors=True)

    def _entries(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return [path for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith(_UNFINISHED)]


def _size(entry: Path) -> int:
    """Return the bytes of an entry; 0 if another process has just deleted it."""
    try:
        return sum(file.stat().st_size for file in entry.iterdir())
    except FileNotFoundError:
        return 0


def _used(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:
        return 0.0
