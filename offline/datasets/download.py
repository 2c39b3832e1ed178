"""Fetching the archives that may be fetched by anybody, as they are: whole, or going on where it stopped.

A list of hashes comes first; a file that is there with its hash is not fetched again. A file in the making is
``.NAME.part`` beside its place: it goes on from its length, and gets its name when its hash is right. Zips are
unpacked beside themselves and stay: by them the next call knows that nothing is missing.
"""

from __future__ import annotations

import fnmatch
import hashlib
import http
import http.client
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bci.errors import DownloadError, UsageError
from bci.texts import printable
from offline.datasets.download_lists import FAILURES, TIMEOUT_S, HashedFolder, Listed, Source, ZenodoRecord, unreachable
from offline.datasets.unzip import unzip

Progress = Callable[[str, int, int, int, int | None], None]
"""Called with name and number of a file, number of files, bytes there, and bytes of the file if they are known."""
USER_AGENT = "streaming-bci"
"""Who asks. Zenodo refuses the names that Python's libraries give by themselves."""
_BLOCK_BYTES = 1 << 18
_TRIES = 2
_HASH_NAMES = {"sha256": "SHA-256", "md5": "MD5"}


@dataclass(frozen=True, slots=True)
class Done:
    """What a download has done.

    Parameters
    ----------
    n_files : int
        Files of the archive that were wanted.
    n_fetched : int
        Of these, files that were not there.
    n_unpacked : int, default=0
        Files that came out of zips and were not there.
    """

    n_files: int
    n_fetched: int
    n_unpacked: int = 0


SOURCES: dict[str, Source] = {
    "chb-mit": HashedFolder(
        "https://physionet.org/files/chbmit/1.0.0/", "43 GB, ODC-By 1.0, PhysioNet, doi:10.13026/C2K01R"
    ),
    "siena": HashedFolder(
        "https://physionet.org/files/siena-scalp-eeg/1.0.0/", "20 GB, CC-BY 4.0, PhysioNet, doi:10.13026/5d4a-j060"
    ),
    "epoc-epilepsy": ZenodoRecord(
        "https://zenodo.org/api/records/1252141", "licence in the record, Zenodo, doi:10.5281/zenodo.1252141"
    ),
    "chb-mit-bids": ZenodoRecord(
        "https://zenodo.org/api/records/10259996",
        "a zip of 22 GB, licence in the record, Zenodo, doi:10.5281/zenodo.10259996",
    ),
    "siena-bids": ZenodoRecord(
        "https://zenodo.org/api/records/10640762",
        "a zip, licence in the record, Zenodo, doi:10.5281/zenodo.10640762",
    ),
}
"""Archives that anybody may fetch. HMS needs an account and TUSZ a contract; ask there."""


def download(
    name: str, folder: Path, *, only: str | None = None, url: str | None = None, on_progress: Progress | None = None
) -> Done:
    """Fetch an archive, or what is missing of it, and unpack its zips.

    Parameters
    ----------
    name : str
        A name in `SOURCES`.
    folder : Path
        Where it shall lie; made if it is not there.
    only : str or None, default=None
        Fetch only files whose path matches this pattern, such as ``chb01/*``.
    url : str or None, default=None
        Folder, or record, of a mirror, http or https.
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
        If a file cannot be fetched, is longer than listed or has no room, its hash is wrong twice, or a zip cannot be
        unpacked.
    """
    if name not in SOURCES:
        raise UsageError(f"A download needs one of {', '.join(SOURCES)}, got {name!r}. Others are fetched by hand.")
    source = SOURCES[name]
    base = source.url if url is None else url
    _require_web(base)
    opener = _web_opener()
    wanted = [file for file in source.files(opener, base) if fnmatch.fnmatch(file.path, only or "*")]
    if not wanted:
        raise UsageError(f"--only needs a pattern that a file of {name} has, got {printable(only or '')!r}.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"A download needs a folder that can be written, got {folder} ({error.strerror}).") from error
    n_fetched = n_unpacked = 0
    for number, file in enumerate(wanted, start=1):

        def show(n_bytes: int, of_bytes: int | None, name: str = file.path, number: int = number) -> None:
            if on_progress is not None:
                on_progress(name, number, len(wanted), n_bytes, of_bytes)

        target = folder / file.path
        try:
            n_fetched += _fetch(opener, file, target, show)
        except OSError as error:  # what the connection raises is told apart where it is read
            raise DownloadError(
                f"{target.name} needs a place on the disk, {target.parent} gives none: {error.strerror or error}. Make "
                "room, or choose another --data; then start the download again: it goes on where it was."
            ) from error
        if target.suffix.lower() == ".zip":
            n_unpacked += unzip(target, show)
    return Done(len(wanted), n_fetched, n_unpacked)


def _require_web(address: str) -> None:
    try:
        parts = urllib.parse.urlsplit(address)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:  # a bracket that is not closed, say
        is_web = False
    if not is_web:
        raise UsageError(f"A download needs an address http:// or https://, got {printable(address)!r}.")


class SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections to any server, as archives keep files elsewhere, but never from https to less.

    The hashes come from the same server: who could change the list on the way could change the files with it.
    """

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return what is asked instead.

        Raises
        ------
        HTTPError
            If it would be less safe, or may not be redirected.
        """
        if [urllib.parse.urlsplit(url).scheme for url in (req.full_url, newurl)] == ["https", "http"]:
            reason = f"it leads from https to {newurl}, where anybody on the way can change it"
            raise urllib.error.HTTPError(req.full_url, code, reason, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _web_opener() -> urllib.request.OpenerDirector:
    """Return what opens addresses on the web: no local files, no FTP, also not by redirection."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        SafeRedirects,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    opener.addheaders = [("User-Agent", USER_AGENT)]
    return opener


def _fetch(
    opener: urllib.request.OpenerDirector, file: Listed, target: Path, show: Callable[[int, int | None], None]
) -> bool:
    """Fetch a file unless it is there; return whether it was not."""
    if target.is_file() and _digest(target, file.algorithm) == file.digest:
        return False
    part = target.with_name(f".{target.name}.part")
    found = ""
    target.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(_TRIES):
        _go_on(opener, file, part, show)
        found = _digest(part, file.algorithm)
        if found == file.digest:
            os.replace(part, target)
            return True
        part.unlink()  # what was there before the interruption may have been something else
    raise DownloadError(
        f"{target.name} needs the {_HASH_NAMES[file.algorithm]} {file.digest[:16]}…, got {found[:16]}… twice. "
        "Try again later, or another --from."
    )


def _go_on(
    opener: urllib.request.OpenerDirector, file: Listed, part: Path, show: Callable[[int, int | None], None]
) -> None:
    """Fetch what is missing of a file, or all of it where the server cannot begin in the middle."""
    n_there = part.stat().st_size if part.is_file() else 0
    _require_room(file, part, n_there)
    request = urllib.request.Request(file.address, headers={"Range": f"bytes={n_there}-"} if n_there else {})
    try:
        answer = opener.open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not n_there:
            raise unreachable(file.address, error) from error
        return  # nothing is missing: the hash decides
    except FAILURES as error:
        raise unreachable(file.address, error) from error
    with answer, part.open("ab" if answer.status == http.HTTPStatus.PARTIAL_CONTENT else "wb") as written:
        n_there = written.tell()
        length = answer.headers.get("Content-Length", "")
        of_bytes = n_there + int(length) if length.isdecimal() else file.size
        show(n_there, of_bytes)
        for block in _blocks(answer, file.address):
            if file.size is not None and n_there + len(block) > file.size:
                written.truncate(0)  # no start of the file that is listed
                raise DownloadError(
                    f"{file.path} needs {file.size} bytes as listed, {printable(file.address, 200)} gives more. "
                    "Try again later, or another --from."
                )
            n_there += written.write(block)
            show(n_there, of_bytes)
    if of_bytes is not None and n_there != of_bytes:
        raise unreachable(file.address, http.client.IncompleteRead(b"", of_bytes - n_there))


def _require_room(file: Listed, part: Path, n_there: int) -> None:
    n_missing, free = (file.size or 0) - n_there, shutil.disk_usage(part.parent).free
    if n_missing > free:
        raise DownloadError(
            f"{file.path} needs {n_missing / 1e9:.1f} GB more, {part.parent} has {free / 1e9:.1f} GB left. "
            "Make room, then start the download again: it goes on where it was."
        )


def _blocks(answer: IO[bytes], address: str) -> Iterator[bytes]:
    """Yield what a server gives."""
    try:
        while block := answer.read(_BLOCK_BYTES):
            yield block
    except FAILURES as error:
        raise unreachable(address, error) from error


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        # MD5 is what Zenodo lists: it finds damage, and no more is asked of it
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
