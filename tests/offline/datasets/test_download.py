"""Downloads from a server on this machine: whole, interrupted, resumed, damaged, refused."""

from __future__ import annotations

import hashlib
import re
import threading
import urllib.error
import urllib.request
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from apps.train import main
from bci.errors import DownloadError, UsageError
from offline.datasets import download_lists
from offline.datasets.download import SOURCES, Done, SafeRedirects, _web_opener, download

FILES = {
    "RECORDS": b"chb01/chb01_01.edf\n",
    "chb01/chb01_01.edf": bytes(range(256)) * 4096,
    "chb01/chb01_01.edf.seizures": b"\0" * 100,
    "chb02/chb02_16+.edf": b"x" * 70_000,
}


class Archive:
    """Files of an archive as a server gives them, and what it was asked for."""

    def __init__(self):
        self.files = dict(FILES)
        self.asked: list[tuple[str, str | None]] = []
        self.break_after: int | None = None
        self.ranges = True
        self.redirect = ""
        self.n_unsent = 0
        self.sums = "".join(f"{hashlib.sha256(data).hexdigest()} {name}\n" for name, data in FILES.items())

    def handler(self):
        archive = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.removeprefix("/a/").replace("%2B", "+")
                asked = self.headers.get("Range")
                archive.asked.append((name, asked))
                if archive.redirect:
                    self.send_response(302)
                    self.send_header("Location", archive.redirect)
                    self.end_headers()
                    return
                data = archive.sums.encode() if name == "SHA256SUMS.txt" else archive.files.get(name)
                if data is None:
                    self.send_error(404)
                    return
                start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and archive.ranges else 0
                if asked and archive.ranges and start >= len(data):
                    self.send_error(416)
                    return
                self.send_response(206 if asked and archive.ranges else 200)
                self.send_header("Content-Length", str(len(data) - start + archive.n_unsent))
                self.end_headers()
                if archive.break_after is not None and name.endswith("01_01.edf"):
                    self.wfile.write(data[start : start + archive.break_after])
                    self.close_connection = True
                    return
                self.wfile.write(data[start:])

            def log_message(self, *args):
                pass

        return Handler


@pytest.fixture
def archive():
    """A server, and its address as ``archive.url``."""
    served = Archive()
    server = ThreadingHTTPServer(("127.0.0.1", 0), served.handler())
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_port}/a/"
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def _there(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_archive_is_fetched_whole_and_once(archive, tmp_path):
    seen = []
    done = download("chb-mit", tmp_path / "new", url=archive.url, on_progress=lambda *step: seen.append(step))
    assert done == Done(4, 4)
    assert _there(tmp_path / "new") == FILES
    large = [step for step in seen if step[0] == "chb01/chb01_01.edf"]
    assert large[0] == ("chb01/chb01_01.edf", 2, 4, 0, 1 << 20)
    assert large[-1] == ("chb01/chb01_01.edf", 2, 4, 1 << 20, 1 << 20)
    assert [step[3] for step in large] == sorted(step[3] for step in large)
    archive.asked.clear()
    assert download("chb-mit", tmp_path / "new", url=archive.url) == Done(4, 0)
    assert archive.asked == [("SHA256SUMS.txt", None)]


def test_only_what_is_wanted_is_fetched(archive, tmp_path):
    assert download("chb-mit", tmp_path, url=archive.url, only="chb02/*") == Done(1, 1)
    assert list(_there(tmp_path)) == ["chb02/chb02_16+.edf"]


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on(archive, tmp_path, ranges):
    """Where the server can, from where it stopped; else from the start. Nothing has its name before it is whole."""
    archive.break_after = 300_000
    with pytest.raises(
        DownloadError, match=r"01_01\.edf needs to be reachable, it is not: Incomp.* goes on where it was"
    ):
        download("chb-mit", tmp_path, url=archive.url)
    part = tmp_path / "chb01" / ".chb01_01.edf.part"
    assert part.stat().st_size == 300_000
    assert not (tmp_path / "chb01" / "chb01_01.edf").exists()
    archive.break_after, archive.ranges = None, ranges
    archive.asked.clear()
    assert download("chb-mit", tmp_path, url=archive.url) == Done(4, 3)
    assert ("chb01/chb01_01.edf", "bytes=300000-") in archive.asked
    assert _there(tmp_path) == FILES


def test_a_part_that_is_whole_or_too_long(archive, tmp_path):
    (tmp_path / "chb01").mkdir()
    part = tmp_path / "chb01" / ".chb01_01.edf.part"
    for more in (b"", b"more"):
        part.write_bytes(FILES["chb01/chb01_01.edf"] + more)
        (tmp_path / "chb01" / "chb01_01.edf").unlink(missing_ok=True)
        download("chb-mit", tmp_path, url=archive.url)
        assert _there(tmp_path) == FILES


def test_a_file_that_has_changed_is_fetched_again(archive, tmp_path):
    download("chb-mit", tmp_path, url=archive.url)
    (tmp_path / "RECORDS").write_bytes(b"damaged")
    assert download("chb-mit", tmp_path, url=archive.url) == Done(4, 1)
    assert _there(tmp_path) == FILES


def test_a_start_that_was_something_else_is_thrown_away(archive, tmp_path):
    (tmp_path / "chb01").mkdir()
    (tmp_path / "chb01" / ".chb01_01.edf.part").write_bytes(b"?" * 1000)
    download("chb-mit", tmp_path, url=archive.url)
    assert _there(tmp_path) == FILES


def test_a_wrong_hash_is_refused(archive, tmp_path):
    archive.files["RECORDS"] = b"something else"
    with pytest.raises(DownloadError, match=r"RECORDS needs the SHA-256 [0-9a-f]{16}…, got [0-9a-f]{16}… twice"):
        download("chb-mit", tmp_path, url=archive.url)
    assert _there(tmp_path) == {}


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", ".hidden", "a//b", "a/.ssh/x", "x\x1b[2J", "", "-rf", "a\\..\\b"]
)
def test_paths_that_lead_elsewhere_are_refused(archive, tmp_path, path):
    archive.sums += f"{'0' * 64} {path}\n"
    with pytest.raises(DownloadError, match=r"needs a SHA-256 and a plain path in each row, .* has in row [56]: '"):
        download("chb-mit", tmp_path / "new", url=archive.url)
    assert not (tmp_path / "new").exists()


def test_a_file_that_is_not_there(archive, tmp_path):
    del archive.files["chb02/chb02_16+.edf"]
    with pytest.raises(DownloadError, match=r"/a/chb02/chb02_16%2B\.edf needs to be reachable, it is not: Not Found"):
        download("chb-mit", tmp_path, url=archive.url)
    assert len(_there(tmp_path)) == 3


def test_nobody_answers(tmp_path):
    with pytest.raises(DownloadError, match=r"SHA256SUMS\.txt needs to be reachable, it is not: .*refused"):
        download("chb-mit", tmp_path, url="http://127.0.0.1:9")


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_no_other_protocol_is_spoken(archive, tmp_path, address):
    """Not even where a server says so."""
    with pytest.raises(UsageError, match=r"needs an address http:// or https://, got '(ftp|file)"):
        download("chb-mit", tmp_path, url=address)
    archive.redirect = address
    with pytest.raises(DownloadError, match="needs to be reachable, it is not"):
        download("chb-mit", tmp_path, url=archive.url)


@pytest.mark.parametrize("address", ["http://[x", "https://", "x"])
def test_an_address_that_is_none(tmp_path, address, capsys):
    with pytest.raises(UsageError, match=r"A download needs an address http:// or https://, got '"):
        download("chb-mit", tmp_path / "new", url=address)
    assert main(["data", "download", "chb-mit", "--data", str(tmp_path / "new"), "--from", address]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("address", ["http://[x", "http://a..b/"])
def test_a_redirection_to_nowhere(archive, tmp_path, address):
    archive.redirect = address
    with pytest.raises(DownloadError, match=r"SHA256SUMS\.txt needs to be reachable, it is not"):
        download("chb-mit", tmp_path, url=archive.url)


def _redirected(asked, told):
    handler, request = SafeRedirects(), urllib.request.Request(asked, headers={"Range": "bytes=7-"})
    return handler.redirect_request(request, None, 302, "Found", Message(), told)


@pytest.mark.parametrize("told", ["http://physionet.org/x", "http://elsewhere.org/x", "HTTP://physionet.org/x"])
def test_a_redirection_to_what_anybody_can_change_is_refused(told):
    with pytest.raises(urllib.error.HTTPError, match=r"it leads from https to (http|HTTP)://.*, where anybody on the"):
        _redirected("https://physionet.org/x", told)


@pytest.mark.parametrize(
    ("asked", "told"),
    [("https://a.org/x", "https://b.org/x"), ("http://a.org/x", "https://a.org/x"), ("http://a.org/", "http://b.org/")],
)
def test_other_redirections_are_followed(asked, told):
    request = _redirected(asked, told)
    assert request.full_url == told
    assert request.get_header("Range") == "bytes=7-"


def test_downloads_follow_no_others():
    handlers = [h for h in _web_opener().handlers if isinstance(h, urllib.request.HTTPRedirectHandler)]
    assert [type(handler) for handler in handlers] == [SafeRedirects]


def test_a_list_that_is_too_long_or_cut_off(archive, tmp_path, monkeypatch):
    """A part of a list would be an archive with less in it."""
    monkeypatch.setattr(download_lists, "_MAX_LIST_BYTES", len(archive.sums) - 1)
    with pytest.raises(DownloadError, match=r"A list of files needs at most 0 MiB, .*SHA256SUMS\.txt has more\. Check"):
        download("chb-mit", tmp_path / "new", url=archive.url)
    monkeypatch.setattr(download_lists, "_MAX_LIST_BYTES", len(archive.sums))
    archive.n_unsent = 3
    with pytest.raises(DownloadError, match=r"SHA256SUMS\.txt needs to be reachable, it is not: IncompleteRead\(.* 3"):
        download("chb-mit", tmp_path / "new", url=archive.url)
    archive.n_unsent = 0
    assert not (tmp_path / "new").exists()
    assert download("chb-mit", tmp_path / "new", url=archive.url) == Done(4, 4)


def test_a_disk_that_is_full(archive, tmp_path):
    (tmp_path / ".RECORDS.part").symlink_to("/dev/full")
    match = r"RECORDS needs a place on the disk, .* gives none: No space left on device\. Make room, or choose"
    with pytest.raises(DownloadError, match=match):
        download("chb-mit", tmp_path, url=archive.url)


@pytest.mark.parametrize("what", ["a file for its folder", "a folder with its name"])
def test_a_place_that_is_taken(archive, tmp_path, what):
    if what == "a file for its folder":
        (tmp_path / "chb01").write_text("")
    else:
        (tmp_path / "chb01" / "chb01_01.edf").mkdir(parents=True)
    with pytest.raises(DownloadError, match=r"chb01_01\.edf needs a place on the disk, .*chb01 gives none: (File|Is)"):
        download("chb-mit", tmp_path, url=archive.url)


def test_what_cannot_be_downloaded(archive, tmp_path):
    with pytest.raises(UsageError, match=r"A download needs one of chb-mit, siena, .*, got 'tusz'\. Others"):
        download("tusz", tmp_path)
    with pytest.raises(UsageError, match=r"--only needs a pattern that a file of siena has, got 'PN99/\*'"):
        download("siena", tmp_path, url=archive.url, only="PN99/*")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"folder that can be written, got .*file/x \(Not a directory\)"):
        download("siena", tmp_path / "file" / "x", url=archive.url)
    assert all(source.url.startswith("https://") for source in SOURCES.values())


def test_the_command(archive, tmp_path, capsys):
    assert main(["data", "download", "siena", "--data", str(tmp_path), "--from", archive.url, "--only", "*.edf"]) == 0
    assert "2 files in" in (out := capsys.readouterr().out)
    assert "2 fetched, 0 already there" in out
    archive.files.clear()
    assert main(["data", "download", "siena", "--data", str(tmp_path), "--from", archive.url]) == 1
    assert "needs to be reachable" in (err := capsys.readouterr().err)
    assert err.count("\n") == 1
