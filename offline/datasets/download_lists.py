"""Which files an archive has, where each is and which hash it must have, as the archive's own server says."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal, Protocol

from bci.errors import DownloadError
from bci.texts import printable

TIMEOUT_S = 60.0
FAILURES = (urllib.error.URLError, http.client.HTTPException, OSError, ValueError)
"""What a connection that fails raises; a ValueError where an address, or one that it leads to, is none."""
_MAX_LIST_BYTES = 16 << 20
_ROW = re.compile(r"([0-9a-f]{64})[ \t]+\*?(\S.*)")
_MD5 = re.compile(r"md5:([0-9a-f]{32})")
_PART = re.compile(r"[A-Za-z0-9_+=()][A-Za-z0-9_.+=() -]*")


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of an archive.

    Parameters
    ----------
    path : str
        Where it lies in the archive; plain, see `is_plain`.
    address : str
        Where it can be fetched.
    algorithm : {"sha256", "md5"}
        Which hash is known of it.
    digest : str
        The hash, as lower-case hexadecimal digits.
    size : int or None, default=None
        Its length in bytes, where the list has it.
    """

    path: str
    address: str
    algorithm: Literal["sha256", "md5"]
    digest: str
    size: int | None = None


class Source(Protocol):
    """Where an archive can be fetched."""

    @property
    def url(self) -> str:
        """Address of the archive; that of a mirror can stand for it."""

    @property
    def line(self) -> str:
        """Size, licence and source, in one line."""

    def files(self, opener: urllib.request.OpenerDirector, url: str) -> tuple[Listed, ...]:
        """Return the files of the archive as it lies at `url`."""


@dataclass(frozen=True, slots=True)
class HashedFolder:
    """A folder with a text file that has the SHA-256 and the path of each file, one a line, as PhysioNet has it.

    Parameters
    ----------
    url : str
        The folder.
    line : str
        Size, licence and source, in one line.
    sums : str, default="SHA256SUMS.txt"
        The text file in it.
    """

    url: str
    line: str
    sums: str = "SHA256SUMS.txt"

    def files(self, opener: urllib.request.OpenerDirector, url: str) -> tuple[Listed, ...]:
        """Return the files of the folder `url`.

        Raises
        ------
        DownloadError
            If the list cannot be fetched, or a row of it is none.
        """
        base = url.rstrip("/") + "/"
        address = base + self.sums
        listed = []
        rows = [line for line in _read(opener, address).splitlines() if line.strip()]
        for number, line in enumerate(rows, start=1):
            match = _ROW.fullmatch(line)
            if match is None or not is_plain(match[2]):
                raise DownloadError(
                    f"A list of hashes needs a SHA-256 and a plain path in each row, {address} has in row {number}: "
                    f"{printable(line)!r}. Check the address."
                )
            listed.append(Listed(match[2], base + urllib.parse.quote(match[2]), "sha256", match[1]))
        return tuple(listed)


@dataclass(frozen=True, slots=True)
class ZenodoRecord:
    """A record of Zenodo: its REST API lists the files, each with an MD5.

    MD5 finds a file that was damaged on the way. It does not prove who wrote it: whoever could replace the file on the
    server could replace the hash beside it.

    Parameters
    ----------
    url : str
        The record in the API, ``https://zenodo.org/api/records/NUMBER``.
    line : str
        Size, licence and source, in one line.
    """

    url: str
    line: str

    def files(self, opener: urllib.request.OpenerDirector, url: str) -> tuple[Listed, ...]:
        """Return the files of the record at `url`.

        Raises
        ------
        DownloadError
            If the record cannot be fetched, is none, lists no files, or lists one without plain name or MD5, or at
            another server than its own.
        """
        address = url.rstrip("/")
        try:
            record = json.loads(_read(opener, address))
        except (ValueError, RecursionError) as error:
            raise DownloadError(
                f"A Zenodo record needs to be JSON, {printable(address, 200)} is not. Check the address."
            ) from error
        entries = record.get("files") if isinstance(record, dict) else None
        if not isinstance(entries, list) or not entries:
            raise DownloadError(
                f"A Zenodo record needs files that anybody may fetch, {printable(address, 200)} lists none. "
                "Check the address."
            )
        return tuple(_of_record(entry, number, address) for number, entry in enumerate(entries, start=1))


def is_plain(path: str) -> bool:
    """Whether a path leads downwards from the archive and its parts begin with a letter or a digit."""
    parts = PurePosixPath(path).parts
    return bool(parts) and all(_PART.fullmatch(part) for part in parts) and "//" not in path


def unreachable(address: str, error: BaseException) -> DownloadError:
    """Return the error for something that could not be fetched."""
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return DownloadError(
        f"{printable(address, 200)} needs to be reachable, it is not: {printable(str(reason))}. "
        "Start the download again: it goes on where it was."
    )


def _of_record(entry: Any, number: int, address: str) -> Listed:
    """Return a file of a Zenodo record."""
    fields = entry if isinstance(entry, dict) else {}
    links = fields.get("links")
    link = links.get("self") if isinstance(links, dict) else None
    key, md5 = fields.get("key"), _MD5.fullmatch(str(fields.get("checksum")))
    if not (isinstance(key, str) and is_plain(key) and isinstance(link, str) and md5):
        raise DownloadError(
            f"A Zenodo record needs a plain name, an MD5 and a link for each file, {printable(address, 200)} has as "
            f"number {number}: {printable(str(key))!r}. Check the address."
        )
    # a record that was fetched safely must not send one to an unsafe or foreign place
    if _server(link) != _server(address):
        raise DownloadError(
            f"A Zenodo record needs its files at its own server, {printable(key)} of {printable(address, 200)} is at "
            f"{printable(link)}. Check the address."
        )
    size = fields.get("size")
    known = size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None
    return Listed(key, urllib.parse.quote(link, safe=":/?&=%+~"), "md5", md5[1], known)


def _server(address: str) -> tuple[str, str] | None:
    """Return protocol and server of an address, None if it is none."""
    try:
        parts = urllib.parse.urlsplit(address)
    except ValueError:
        return None
    return parts.scheme, parts.netloc


def _read(opener: urllib.request.OpenerDirector, address: str) -> str:
    """Return a list as text, all of it."""
    try:
        with opener.open(address, timeout=TIMEOUT_S) as answer:
            data = bytes(answer.read(_MAX_LIST_BYTES + 1))
            n_missing = 0 if len(data) > _MAX_LIST_BYTES else answer.length or 0
        if n_missing:  # `read` with a number says nothing of an answer that ends early
            raise http.client.IncompleteRead(data, n_missing)
    except FAILURES as error:
        raise unreachable(address, error) from error
    if len(data) > _MAX_LIST_BYTES:
        raise DownloadError(
            f"A list of files needs at most {_MAX_LIST_BYTES >> 20} MiB, {printable(address, 200)} has more. "
            "Check the address."
        )
    return str(data, "utf-8", "replace")
