"""Records of Zenodo: listed by the API, fetched, resumed, checked by MD5, unpacked once and safely."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from dataclasses import fields

import pytest

from apps.train import main
from bci.errors import DownloadError
from offline.datasets import unzip
from offline.datasets.download import SOURCES, USER_AGENT, Done, download
from offline.datasets.download_lists import ZenodoRecord
from tests.offline.datasets.zenodo_server import serving, zipped

NAME = "epoc-epilepsy"
SIGNALS = {"EEGs/signal-1.csv.gz": os.urandom(3000), "EEGs/signal-2.csv.gz": b"x" * 2000}
FILES = {"EEGs.zip": zipped(SIGNALS), "metadata of all (1).csv": b"subject.id,Group\n1,Control\n"}
WHOLE = FILES | SIGNALS


@pytest.fixture
def server():
    with serving(FILES) as served:
        yield served


def _there(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_record_is_fetched_and_unpacked_once(server, tmp_path):
    seen = []
    assert download(NAME, tmp_path, url=server.url, on_progress=lambda *step: seen.append(step)) == Done(2, 2, 2)
    assert _there(tmp_path) == WHOLE
    assert ("EEGs.zip", 1, 2, 5000, 5000) in seen
    assert server.agents == {USER_AGENT}
    assert not USER_AGENT.startswith("Python")
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    server.asked.clear()
    assert download(NAME, tmp_path, url=server.url + "/") == Done(2, 0, 0)
    assert server.asked == [("", None)]
    assert written == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_what_came_out_of_a_zip_is_repaired(server, tmp_path):
    download(NAME, tmp_path, url=server.url)
    (tmp_path / "EEGs" / "signal-1.csv.gz").write_bytes(b"?" * 3000)
    (tmp_path / "EEGs" / "signal-2.csv.gz").unlink()
    assert download(NAME, tmp_path, url=server.url) == Done(2, 0, 2)
    assert _there(tmp_path) == WHOLE


def test_only_what_is_wanted_is_fetched(server, tmp_path):
    assert download(NAME, tmp_path, url=server.url, only="*.csv") == Done(1, 1)
    assert list(_there(tmp_path)) == ["metadata of all (1).csv"]


def test_an_interrupted_download_goes_on(server, tmp_path):
    server.break_after = 1000
    with pytest.raises(DownloadError, match=r"EEGs\.zip/content needs to be reachable, it is not: Incomplete"):
        download(NAME, tmp_path, url=server.url)
    assert list(_there(tmp_path)) == [".EEGs.zip.part"]
    server.break_after = None
    assert download(NAME, tmp_path, url=server.url) == Done(2, 2, 2)
    assert ("/files/EEGs.zip/content", "bytes=1000-") in server.asked
    assert _there(tmp_path) == WHOLE


def test_a_wrong_md5_is_refused(server, tmp_path):
    record = server.record()
    record["files"][1]["checksum"] = f"md5:{'0' * 32}"
    server.answer = json.dumps(record).encode()
    with pytest.raises(
        DownloadError, match=r"metadata of all \(1\)\.csv needs the MD5 0{16}…, got [0-9a-f]{16}… twice"
    ):
        download(NAME, tmp_path, url=server.url, only="*.csv")
    assert _there(tmp_path) == {}


def _listed(server, sizes):
    record = server.record()
    for file, size in zip(record["files"], sizes, strict=True):
        file["size"] = size
    server.answer = json.dumps(record).encode()


def test_what_the_disk_has_no_room_for_is_not_asked_for(server, tmp_path):
    _listed(server, (10**18, 10**18))
    (tmp_path / ".EEGs.zip.part").write_bytes(b"x" * 100)
    with pytest.raises(DownloadError, match=r"EEGs\.zip needs 10{9}\.0 GB more, .* has \d+\.\d GB left\. Make room"):
        download(NAME, tmp_path, url=server.url)
    assert server.asked == [("", None)]
    assert _there(tmp_path) == {".EEGs.zip.part": b"x" * 100}


def test_a_file_that_is_longer_than_listed_is_stopped(server, tmp_path):
    _listed(server, (100, None))
    with pytest.raises(DownloadError, match=r"EEGs\.zip needs 100 bytes as listed, .*/content gives more\. Try again"):
        download(NAME, tmp_path, url=server.url)
    assert _there(tmp_path) == {".EEGs.zip.part": b""}


@pytest.mark.parametrize("size", ["many", -1, True, 1.5, None])
def test_a_size_that_is_none_does_not_count(server, tmp_path, size):
    _listed(server, (size, size))
    assert download(NAME, tmp_path, url=server.url) == Done(2, 2, 2)


@pytest.mark.parametrize("answer", [b"<html>busy</html>", b"[" * 100_000], ids=["page", "deep"])
def test_a_record_that_is_no_json(server, tmp_path, answer):
    server.answer = answer
    with pytest.raises(DownloadError, match=r"A Zenodo record needs to be JSON, http.*/records/1 is not\. Check"):
        download(NAME, tmp_path / "new", url=server.url)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("answer", [b"[]", b"{}", b'{"files": []}', b'{"files": {}}', b'{"status": 404}'])
def test_a_record_without_files(server, tmp_path, answer):
    server.answer = answer
    with pytest.raises(DownloadError, match=r"needs files that anybody may fetch, http.*/records/1 lists none\."):
        download(NAME, tmp_path, url=server.url)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key", "../x.csv"),
        ("key", "/etc/passwd"),
        ("key", ".bashrc"),
        ("key", 7),
        ("key", None),
        ("checksum", "0" * 32),
        ("checksum", "md5:xyz"),
        ("checksum", None),
        ("links", None),
        ("links", {"self": None}),
    ],
)
def test_entries_that_are_not_plain_are_refused(server, tmp_path, field, value):
    record = server.record()
    record["files"][1][field] = value
    server.answer = json.dumps(record).encode()
    with pytest.raises(DownloadError, match=r"needs a plain name, an MD5 and a link for each file, .* as number 2: '"):
        download(NAME, tmp_path / "new", url=server.url)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "link", ["file:///etc/passwd", "http://127.0.0.1:9/x", "https://elsewhere.org/x", "x", "https://[x"]
)
def test_files_at_another_server_are_refused(server, tmp_path, link):
    record = server.record()
    record["files"][0]["links"]["self"] = link
    server.answer = json.dumps(record).encode()
    with pytest.raises(DownloadError, match=r"needs its files at its own server, EEGs\.zip of http.* is at "):
        download(NAME, tmp_path, url=server.url)


def test_the_records_that_are_known():
    records = {name: source for name, source in SOURCES.items() if isinstance(source, ZenodoRecord)}
    assert list(records) == ["epoc-epilepsy", "chb-mit-bids", "siena-bids"]
    for source in records.values():
        base, number = source.url.rsplit("/", 1)
        assert base == "https://zenodo.org/api/records"
        assert source.line.endswith(f"doi:10.5281/zenodo.{number}")
    assert [field.name for field in fields(Done)] == ["n_files", "n_fetched", "n_unpacked"]


def test_the_command(server, tmp_path, capsys):
    assert main(["data", "download", NAME, "--data", str(tmp_path), "--from", server.url]) == 0
    assert "2 fetched, 0 already there, 2 unpacked" in capsys.readouterr().out
    server.answer = b"?"
    assert main(["data", "download", NAME, "--data", str(tmp_path), "--from", server.url]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def _zip(folder, files, name="EEGs.zip"):
    path = folder / name
    path.write_bytes(zipped(files))
    return path


def _unzip(path):
    return unzip.unzip(path, lambda n_bytes, of_bytes: None)


@pytest.mark.parametrize(
    ("names", "where"),
    [
        (["EEGs/a", "EEGs/b/c"], ["EEGs/a", "EEGs/b/c"]),
        (["a", "b/c"], ["EEGs/a", "EEGs/b/c"]),
        (["EEGs/a", "b"], ["EEGs/EEGs/a", "EEGs/b"]),
        (["other/a"], ["EEGs/other/a"]),
        (["EEGs/a", "EEGs/.DS_Store", "__MACOSX/EEGs/._a", "a/../.ssh/x"], ["EEGs/a"]),
        ([], []),
    ],
)
def test_a_zip_fills_the_folder_of_its_name(tmp_path, names, where):
    path = _zip(tmp_path, dict.fromkeys(names, b"text"))
    assert _unzip(path) == len(where)
    assert sorted(_there(tmp_path)) == sorted([*where, "EEGs.zip"])


@pytest.mark.parametrize("name", ["../x", "EEGs/../../x", "/tmp/x", "a\\..\\b", "x\x1b[2J", "-rf"])
def test_entries_that_lead_elsewhere_are_refused(tmp_path, name):
    path = _zip(tmp_path, {"good": b"x", name: b"x"})
    with pytest.raises(DownloadError, match=r"EEGs\.zip needs plain files inside its folder, it has '.*Unpack it by"):
        _unzip(path)
    assert list(_there(tmp_path)) == ["EEGs.zip"]


def test_an_entry_without_a_name_is_refused(tmp_path):
    data = bytearray(zipped({"good": b"x", "a": b"x"}))
    data[data.rindex(b"PK\x01\x02") + 46] = 0  # names end there
    (tmp_path / "EEGs.zip").write_bytes(data)
    with pytest.raises(DownloadError, match=r"EEGs\.zip needs plain files inside its folder, it has ''\. Unpack it by"):
        _unzip(tmp_path / "EEGs.zip")
    assert list(_there(tmp_path)) == ["EEGs.zip"]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(tmp_path, kind):
    path = tmp_path / "EEGs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        entry = zipfile.ZipInfo("link")
        entry.external_attr = (kind | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(DownloadError, match=r"needs plain files inside its folder, it has 'link'"):
        _unzip(path)


def test_unusual_packing_is_refused(tmp_path):
    path = tmp_path / "EEGs.zip"
    path.write_bytes(zipped({"a": b"x" * 100}, zipfile.ZIP_BZIP2))
    with pytest.raises(DownloadError, match=r"files that are stored or deflated, without password, it has 'a'"):
        _unzip(path)
    for flag in (0x1, 0x20, 0x40):  # encrypted, a patch, strongly encrypted
        data = bytearray(zipped({"good": b"x" * 100, "a": b"x" * 100}))
        data[data.rindex(b"PK\x01\x02") + 8] |= flag
        path.write_bytes(data)
        with pytest.raises(DownloadError, match=r"files that are stored or deflated, without password, it has 'a'"):
            _unzip(path)
    assert list(_there(tmp_path)) == ["EEGs.zip"]


def test_names_that_differ_in_case_only_are_refused(tmp_path):
    with pytest.raises(DownloadError, match=r"needs each file in it once, some have equal names"):
        _unzip(_zip(tmp_path, {"a": b"", "A": b""}))


def test_paths_that_differ_in_a_dot_only_are_refused(tmp_path):
    with pytest.raises(DownloadError, match=r"needs each file in it once, some have equal names"):
        _unzip(_zip(tmp_path, {"a/b": b"", "a/./b": b""}))


@pytest.mark.parametrize("names", [("a", "a/b"), ("A/c/b", "a"), ("x", "y/z/w", "y/z")])
def test_a_name_of_both_a_file_and_a_folder_is_refused(tmp_path, names):
    path = _zip(tmp_path, dict.fromkeys(names, b"text"))
    with pytest.raises(DownloadError, match=r"needs different names for files and folders, '(a|y/z)' is both\. Unp"):
        _unzip(path)
    assert list(_there(tmp_path)) == ["EEGs.zip"]


def test_a_zip_that_grows_too_large_is_refused(tmp_path, monkeypatch):
    path = _zip(tmp_path, {"a": bytes(1 << 22)})
    with pytest.raises(DownloadError, match=r"needs to grow at most 100 times when .* would to 4194304 bytes"):
        _unzip(path)
    monkeypatch.setattr(unzip, "MAX_ENTRIES", 1)
    with pytest.raises(DownloadError, match=r"needs at most 1 files in it, it has 2\."):
        _unzip(_zip(tmp_path, {"a": b"", "b": b""}))


def test_a_zip_that_the_disk_has_no_room_for(tmp_path, monkeypatch):
    monkeypatch.setattr(unzip.shutil, "disk_usage", lambda folder: _Usage())
    with pytest.raises(DownloadError, match=r"EEGs\.zip needs 0\.0 GB to be unpacked, .* has 0\.0 GB left"):
        _unzip(_zip(tmp_path, {"a": b"text"}))


class _Usage:
    free = 3


@pytest.mark.parametrize("spoil", ["name", "data", "end", "place", "version", "letters", "letters of the file"])
def test_a_damaged_zip_leaves_nothing_with_its_name(tmp_path, spoil):
    data = bytearray(zipped({"a": bytes(range(256)) * 20}, zipfile.ZIP_STORED))
    listed = data.rindex(b"PK\x01\x02")
    if spoil == "name":
        data[:] = b"no zip at all"
    elif spoil == "data":
        data[200] ^= 0xFF
    elif spoil == "end":
        del data[-10:]
    elif spoil == "version":
        data[listed + 6] = 99  # 9.9
    elif spoil == "letters":
        data[listed + 9] |= 0x08  # says that names are UTF-8
        data[listed + 46] = 0xFF
    elif spoil == "letters of the file":  # those before its data
        data[listed + 9] |= 0x08
        data[30] = 0xFF
    else:
        (tmp_path / "EEGs").write_text("a file where the folder must be")
    (tmp_path / "EEGs.zip").write_bytes(data)
    with pytest.raises(DownloadError, match=r"EEGs\.zip needs to be a zip that can be unpacked beside itself, it is n"):
        _unzip(tmp_path / "EEGs.zip")
    assert not (tmp_path / "EEGs" / "a").exists()
