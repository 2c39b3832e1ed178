"""Unpacking a zip that came from elsewhere: plain files only, never outside a folder of its own name, never half.

A file that is there with the size and the CRC of the zip's entry is not unpacked again. One in the making is
``.NAME.part`` beside its place.
"""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from bci.errors import DownloadError
from bci.texts import printable
from offline.datasets.download_lists import is_plain
from offline.datasets.hidden_files import is_hidden

MAX_ENTRIES = 200_000
MAX_RATIO = 100
"""Recordings shrink to a half or a tenth; what grows more than this when it is unpacked is no recording."""
_BLOCK_BYTES = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNUSUAL_FLAGS = 0x1 | 0x20 | 0x40
"""Encrypted, a patch for another file, strongly encrypted: bits of an entry's flags (PKWARE APPNOTE, 4.4.4)."""
_FAILURES = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, UnicodeDecodeError)
"""What `zipfile` raises for a damaged zip, one of a later version of the format, and names that are no text."""


def unzip(path: Path, show: Callable[[int, int | None], None]) -> int:
    """Unpack a zip into the folder of its name beside it.

    Entries that all lie in a folder named like the zip come to lie in that folder itself, not one deeper. Hidden
    entries (``.DS_Store``, ``__MACOSX``) are left out.

    Parameters
    ----------
    path : Path
        The zip; it stays.
    show : callable
        Called with the bytes that are done and those of all entries.

    Returns
    -------
    n_unpacked : int
        Files that were not there.

    Raises
    ------
    DownloadError
        If it is damaged, an entry leads elsewhere, is a link, encrypted, twice there, both file and folder or packed in
        an unusual way, it would grow too large, or the disk has no room. Nothing is written before all names and sizes
        are known to be right.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            files = [entry for entry in archive.infolist() if not entry.filename.endswith("/")]
            entries = [entry for entry in files if not is_hidden(entry.filename)]
            _require_harmless(path, entries)
            folder = _folder(path, entries)
            missing = [entry for entry in entries if not _is_there(folder / entry.filename, entry)]
            _require_room(path, missing)
            n_bytes, of_bytes = 0, sum(entry.file_size for entry in missing)
            for entry in missing:
                _write(archive, entry, folder / entry.filename)
                n_bytes += entry.file_size
                show(n_bytes, of_bytes)
            return len(missing)
    except _FAILURES as error:
        raise DownloadError(
            f"{path.name} needs to be a zip that can be unpacked beside itself, it is not: {printable(str(error))}. "
            "Make room, or delete it and start the download again."
        ) from error


def _require_harmless(path: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse a zip for what its list of entries says."""
    if len(entries) > MAX_ENTRIES:
        raise DownloadError(
            f"{path.name} needs at most {MAX_ENTRIES} files in it, it has {len(entries)}. Unpack it by hand."
        )
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not is_plain(entry.filename) or kind not in (0, stat.S_IFREG):
            raise _unusual(path, "plain files inside its folder", entry)
        if entry.flag_bits & _UNUSUAL_FLAGS or entry.compress_type not in _METHODS:
            raise _unusual(path, "files that are stored or deflated, without password", entry)
    _require_distinct(path, [PurePosixPath(entry.filename.casefold()) for entry in entries])
    n_bytes = sum(entry.file_size for entry in entries)
    if n_bytes > MAX_RATIO * path.stat().st_size:
        raise DownloadError(
            f"{path.name} needs to grow at most {MAX_RATIO} times when it is unpacked, it would to {n_bytes} bytes. "
            "Unpack it by hand if that is right."
        )


def _require_distinct(path: Path, names: Sequence[PurePosixPath]) -> None:
    """Refuse names that would lie at one place, on a disk that does not tell cases apart either."""
    files = set(names)
    if len(files) != len(names):
        raise DownloadError(f"{path.name} needs each file in it once, some have equal names. Unpack it by hand.")
    both = files.intersection(parent for name in names for parent in name.parents)
    if both:
        raise DownloadError(
            f"{path.name} needs different names for files and folders, {printable(str(min(both)))!r} is both. "
            "Unpack it by hand."
        )


def _require_room(path: Path, entries: Sequence[zipfile.ZipInfo]) -> None:
    n_bytes, free = sum(entry.file_size for entry in entries), shutil.disk_usage(path.parent).free
    if n_bytes > free:
        raise DownloadError(
            f"{path.name} needs {n_bytes / 1e9:.1f} GB to be unpacked, {path.parent} has {free / 1e9:.1f} GB left. "
            "Make room, then start the download again."
        )


def _folder(path: Path, entries: Sequence[zipfile.ZipInfo]) -> Path:
    """Return where the entries are unpacked."""
    tops = {PurePosixPath(entry.filename).parts[0] for entry in entries}
    nested = tops == {path.stem} and all("/" in entry.filename for entry in entries)
    return path.parent if nested else path.with_suffix("")


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    with archive.open(entry) as packed, part.open("wb") as file:  # reads as much as the list says, and checks its CRC
        shutil.copyfileobj(packed, file, _BLOCK_BYTES)
    os.replace(part, target)


def _is_there(target: Path, entry: zipfile.ZipInfo) -> bool:
    if not target.is_file() or target.stat().st_size != entry.file_size:
        return False
    crc = 0
    with target.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            crc = zlib.crc32(block, crc)
    return crc == entry.CRC


def _unusual(path: Path, need: str, entry: zipfile.ZipInfo) -> DownloadError:
    return DownloadError(
        f"{path.name} needs {need}, it has {printable(entry.filename)!r}. Unpack it by hand where it can do no harm."
    )
