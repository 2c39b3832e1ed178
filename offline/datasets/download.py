"""Fetching the archives that may be fetched by anybody, as they are: whole, or going on where it stopped.

A list of hashes comes first; a file that is there with its hash is not fetched again. A file in the making is
``.NAME.part`` beside its place: it goes on from its length, and gets its name when its hash is right.
"""

from __future__ import annotations

import fnmatch
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from bci.errors import DownloadError, UsageError
from bci.texts import printable

Progress = Callable[[str, int, int, int, int | None], None]
"""Called with name and number of a file, number of files, bytes there, and bytes of the file if they are known."""
_BLOCK_BYTES = 1 << 18
_MAX_LIST_BYTES = 16 << 20
_TIMEOUT_S = 60.0
_TRIES = 2
_ROW = re.compile(r"([0-9a-f]{64})[ \t]+\*?(\S.*)")
_PART = re.compile(r"[A-Za-z0-9_+=()][A-Za-z0-9_.+=() -]*")
_FAILURES = (urllib.error.URLError, http.client.HTTPException, OSError)


@dataclass(frozen=True, slots=True)
class Source:
    """Where an archive can be fetched.

    Parameters
    ----------
    url : str
        Folder with the files.
    sums : str
        File in it with the SHA-256 of each file, one a line.
    line : str
        Size, licence and source, in one line.
    """

    url: str
    sums: str
    line: str


@dataclass(frozen=True, slots=True)
class Done:
    """What a download has done.

    Parameters
    ----------
    n_files : int
        Files of the archive that were wanted.
    n_fetched : int
        Of these, files that were not there.
    """

    n_files: int
    n_fetched: int


SOURCES: dict[str, Source] = {
    "chb-mit": Source(
        "https://physionet.org/files/chbmit/1.0.0/",
        "SHA256SUMS.txt",
        "43 GB, ODC-By 1.0, PhysioNet, doi:10.13026/C2K01R",
    ),
    "siena": Source(
        "https://physionet.org/files/siena-scalp-eeg/1.0.0/",
        "SHA256SUMS.txt",
        "20 GB, CC-BY 4.0, PhysioNet, doi:10.13026/5d4a-j060",
    ),
}
"""Archives that anybody may fetch. HMS needs an account and TUSZ a contract; ask there."""


def download(
    name: str, folder: Path, *, only: str | None = None, url: str | None = None, on_progress: Progress | None = None
) -> Done:
    """Fetch an archive, or what is missing of it.

    Parameters
    ----------
    name : str
        A name in `SOURCES`.
    folder : Path
        Where it shall lie; made if it is not there.
    only : str or None, default=None
        Fetch only files whose path matches this pattern, such as ``chb01/*``.
    url : str or None, default=None
        Folder of a mirror, http or https.
    on_progress : callable or None, default=None
        See `Progress`.

    Returns
    -------
    done : Done

    Raises
    ------
    UsageError
        If the name is unknown, the address is none, nothing matches, or the folder cannot be written.
    DownloadError
        If a file cannot be fetched, or its hash is wrong twice.
    """
    if name not in SOURCES:
        raise UsageError(f"A download needs one of {', '.join(SOURCES)}, got {name!r}. Others are fetched by hand.")
    source = SOURCES[name]
    base = source.url if url is None else url.rstrip("/") + "/"
    if urllib.parse.urlsplit(base).scheme not in ("http", "https"):
        raise UsageError(f"A download needs an address http:// or https://, got {printable(base)!r}.")
    opener = urllib.request.OpenerDirector()  # no local files, no FTP, also not by redirection
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    wanted = [(path, sha) for path, sha in _sums(opener, base + source.sums) if fnmatch.fnmatch(path, only or "*")]
    if not wanted:
        raise UsageError(f"--only needs a pattern that a file of {name} has, got {printable(only or '')!r}.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"A download needs a folder that can be written, got {folder} ({error.strerror}).") from error
    n_fetched = 0
    for number, (path, sha) in enumerate(wanted, start=1):
        target = folder / path
        if target.is_file() and _sha256(target) == sha:
            continue

        def show(n_bytes: int, of_bytes: int | None, path: str = path, number: int = number) -> None:
            if on_progress is not None:
                on_progress(path, number, len(wanted), n_bytes, of_bytes)

        _fetch(opener, base + urllib.parse.quote(path), target, sha, show)
        n_fetched += 1
    return Done(len(wanted), n_fetched)


def _sums(opener: urllib.request.OpenerDirector, address: str) -> Iterator[tuple[str, str]]:
    """Yield path and SHA-256 of each file of the archive."""
    try:
        with opener.open(address, timeout=_TIMEOUT_S) as answer:
            text = answer.read(_MAX_LIST_BYTES + 1).decode("utf-8", "replace")
    except _FAILURES as error:
        raise _failed(address, error) from error
    rows = [line for line in text.splitlines() if line.strip()]
    for number, line in enumerate(rows, start=1):
        match = _ROW.fullmatch(line)
        if match is None or not _is_plain(match[2]):
            raise DownloadError(
                f"A list of hashes needs a SHA-256 and a plain path in each row, {address} has in row {number}: "
                f"{printable(line)!r}. Check the address."
            )
        yield match[2], match[1]


def _is_plain(path: str) -> bool:
    """Whether a path leads downwards from the archive and its parts begin with a letter or a digit."""
    parts = PurePosixPath(path).parts
    return bool(parts) and all(_PART.fullmatch(part) for part in parts) and "//" not in path


def _fetch(
    opener: urllib.request.OpenerDirector,
    address: str,
    target: Path,
    sha256: str,
    show: Callable[[int, int | None], None],
) -> None:
    part = target.with_name(f".{target.name}.part")
    found = ""
    for _ in range(_TRIES):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _go_on(opener, address, part, show)
            found = _sha256(part)
            if found == sha256:
                os.replace(part, target)
                return
            part.unlink()  # what was there before the interruption may have been something else
        except _FAILURES as error:
            raise _failed(address, error) from error
    raise DownloadError(
        f"{target.name} needs the SHA-256 {sha256[:16]}…, got {found[:16]}… twice. Try again later, or another --from."
    )


def _go_on(
    opener: urllib.request.OpenerDirector, address: str, part: Path, show: Callable[[int, int | None], None]
) -> None:
    """Fetch what is missing of a file, or all of it where the server cannot begin in the middle."""
    n_there = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={n_there}-"} if n_there else {})
    try:
        answer = opener.open(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not n_there:
            raise
        return  # nothing is missing: the hash decides
    with answer, part.open("ab" if answer.status == http.HTTPStatus.PARTIAL_CONTENT else "wb") as file:
        n_there = file.tell()
        length = answer.headers.get("Content-Length", "")
        of_bytes = n_there + int(length) if length.isdigit() else None
        _copy(answer, file, n_there, of_bytes, show)
        if of_bytes is not None and file.tell() != of_bytes:
            raise http.client.IncompleteRead(b"", of_bytes - file.tell())


def _copy(
    answer: IO[bytes], file: IO[bytes], n_bytes: int, of_bytes: int | None, show: Callable[[int, int | None], None]
) -> None:
    show(n_bytes, of_bytes)
    while block := answer.read(_BLOCK_BYTES):
        n_bytes += file.write(block)
        show(n_bytes, of_bytes)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _failed(address: str, error: BaseException) -> DownloadError:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return DownloadError(
        f"{printable(address, 200)} needs to be reachable, it is not: {printable(str(reason))}. "
        "Start the download again: it goes on where it was."
    )
