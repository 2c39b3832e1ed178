"""A server on this machine that answers as the REST API of Zenodo does."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote


class ZenodoServer:
    """Files of record 1 and what was asked for.

    Parameters
    ----------
    files : mapping of str to bytes
        The files by name.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.asked: list[tuple[str, str | None]] = []
        self.agents: set[str | None] = set()
        self.break_after: int | None = None
        self.answer: bytes | None = None
        self.url = ""

    def record(self) -> dict[str, object]:
        """Return the record as the API lists it."""
        files = [
            {
                "id": f"0000-{number}",
                "key": name,
                "size": len(data),
                "checksum": f"md5:{hashlib.md5(data, usedforsecurity=False).hexdigest()}",
                "links": {"self": f"{self.url}/files/{quote(name)}/content"},
            }
            for number, (name, data) in enumerate(self.files.items())
        ]
        return {"id": 1, "metadata": {"title": "Recordings"}, "files": files}

    def body(self, path: str) -> bytes | None:
        """Return what lies at a path, None for nothing."""
        if path == "/api/records/1":
            return json.dumps(self.record()).encode() if self.answer is None else self.answer
        name = unquote(path).removeprefix("/api/records/1/files/").removesuffix("/content")
        return self.files.get(name)


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[ZenodoServer]:
    """Serve a record until the block ends; its address is ``url``."""
    served = ZenodoServer(files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            served.asked.append((self.path.removeprefix("/api/records/1"), asked))
            served.agents.add(self.headers.get("User-Agent"))
            data = served.body(self.path)
            if data is None:
                self.send_error(404)
                return
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            stop = len(data)
            if served.break_after is not None and self.path.endswith("/content"):
                stop, self.close_connection = start + served.break_after, True
            self.wfile.write(data[start:stop])

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}/api/records/1"
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
