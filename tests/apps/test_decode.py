"""`bci decode`: a table, a log that any program reads, and one line for what cannot be decoded."""

from __future__ import annotations

import json
import shutil

import mne
import numpy as np
import pytest

from apps.cli import main
from bci.chunk import Signal
from tests.bundles import CLASSES, noise, write_random_bundle

SIGNAL = Signal(128.0, ("C3", "Cz", "C4"))
SECONDS = 12.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decode")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="module")
def model(folder):
    return str(write_random_bundle(folder / "tiny", SIGNAL).path)


def write_fif(path, data, sfreq=128.0, names=SIGNAL.names):
    info = mne.create_info(list(names), sfreq, "eeg", verbose="error")
    mne.io.RawArray(data.astype(np.float64) * 1e-6, info, verbose="error").save(path, verbose="error")
    return str(path)


@pytest.fixture(scope="module")
def file(folder):
    return write_fif(folder / "good_raw.fif", noise(SIGNAL, SECONDS))


def test_a_log_is_compared_with_the_file(file, model, tmp_path, capsys):
    log = tmp_path / "live.jsonl"
    decode = ["decode", file, "--model", model]
    assert main([*decode, "--log", str(log)]) == 0
    assert main([*decode, "--against", str(log)]) == 0
    assert "Live equals offline: " in capsys.readouterr().out
    lines = log.read_text().splitlines()
    log.write_text("\n".join(lines[:-1]) + "\n")
    assert main([*decode, "--against", str(log)]) == 1
    assert f"Live differs from offline: {len(lines) - 1} predictions of the session" in capsys.readouterr().out
    log.write_text('{"kind": "session", "bundle_sha256": "ab"}\n' + "\n".join(lines))
    assert main([*decode, "--against", str(log)]) == 2
    assert "--against must be the log of a session with the same model, got live.jsonl" in capsys.readouterr().err


def test_the_rule_for_alarms_can_be_another(file, model, tmp_path, capsys):
    config, states = tmp_path / "a.toml", {}
    for name, rule in (("never", "on_threshold = 1.0"), ("always", "on_threshold = 1e-9\noff_threshold = 1e-9\nk = 1")):
        config.write_text(f"[alarm]\n{rule}\n")
        log = tmp_path / f"{name}.jsonl"
        assert main(["decode", file, "--model", model, "--log", str(log), "--config", str(config)]) == 0
        states[name] = {json.loads(line)["state"] for line in log.read_text().splitlines()}
    capsys.readouterr()
    assert "alarm" not in states["never"]
    assert states["always"] == {"settling", "alarm"}


def test_bad_channels_are_listed_with_their_share(model, folder, capsys):
    data = noise(SIGNAL, SECONDS)
    data[1, 384:] = data[1, 383]
    path = write_fif(folder / "flat_raw.fif", data)
    assert main(["decode", path, "--model", model]) == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("Bad channels: ")]
    assert line == "Bad channels: Cz 50.0 % (flat)."  # flat from 3 s on, known after three more
    assert main(["decode", path, "--model", model, "--quality", "off"]) == 0
    assert "Bad channels" not in capsys.readouterr().out


def test_a_file_is_scored_and_logged(file, model, tmp_path, capsys):
    log = tmp_path / "log.jsonl"
    assert main(["decode", file, "--model", model, "--log", str(log)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(records) == 37  # 177 frames of 1 s every 1/16 s; windows of 32 frames, every 4
    assert f"{len(records)} predictions over 12.0 s" in out
    assert "Engine onnx (fp32), built in " in out
    assert "Passed over" not in out
    assert all(name in out for name in CLASSES)
    assert str(log) in out
    assert [r["index"] for r in records] == list(range(len(records)))
    for r in records:
        assert set(r) == {"kind", "index", "last_sample", "t", "probabilities", "quality", "state", "level"}
        assert r["kind"] == "prediction"
        assert set(r["probabilities"]) == set(CLASSES)
        assert sum(r["probabilities"].values()) == pytest.approx(1)
        assert r["t"] == r["last_sample"] / 128.0
    assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]


def test_alarms_are_printed(file, model, tmp_path, capsys):
    log = tmp_path / "log.jsonl"
    main(["decode", file, "--model", model, "--log", str(log)])
    out = capsys.readouterr().out
    states = [json.loads(line)["state"] for line in log.read_text().splitlines()]
    assert ("alarm_on at" in out) == ("alarm" in states)
    assert "alarm" in states  # the random network varies over its data


def test_engines_agree(file, model, tmp_path):
    tables = []
    for engine in ("onnx", "eager"):
        log = tmp_path / f"{engine}.jsonl"
        assert main(["decode", file, "--model", model, "--engine", engine, "--log", str(log)]) == 0
        tables.append([list(json.loads(line)["probabilities"].values()) for line in log.read_text().splitlines()])
    np.testing.assert_allclose(*tables, atol=1e-5)
    assert np.std(tables[0], axis=0).min() > 0.05


def refused(capsys, arguments, code, *words):
    """One line on stderr, nothing on stdout, the exit code."""
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("bci")
    assert err.count("\n") == 1
    for word in words:
        assert word in err


@pytest.fixture
def log(tmp_path):
    """Where a log would be; whatever fails must leave nothing there."""
    yield tmp_path / "logs" / "log.jsonl"
    assert not (tmp_path / "logs").exists() or not list((tmp_path / "logs").iterdir())


@pytest.fixture
def bad_files(tmp_path):
    """Files that cannot be decoded, by name."""
    data = noise(SIGNAL, 5.0)
    (tmp_path / "text.fif").write_text("this is no recording")
    (tmp_path / "empty.edf").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("neither")
    write_fif(tmp_path / "rate_raw.fif", data, sfreq=256.0)
    write_fif(tmp_path / "names_raw.fif", data, names=("C3", "Cz", "T7"))
    write_fif(tmp_path / "dead_raw.fif", data * np.nan)
    write_fif(tmp_path / "short_raw.fif", data[:, :100])
    return tmp_path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.fif", ["A recording needs an existing file, got"]),
        ("text.fif", ["must be in a format that MNE reads", "text.fif"]),
        ("empty.edf", ["must be in a format that MNE reads", "empty.edf"]),
        ("notes.txt", ["must be in a format that MNE reads", "notes.txt"]),
        ("rate_raw.fif", ["needs 128 Hz, the recording has 256 Hz"]),
        ("names_raw.fif", ["lacks: C4. The recording also has: T7"]),
        ("dead_raw.fif", ["finite"]),
        ("short_raw.fif", ["must hold at least one window of 2 s"]),
    ],
)
def test_a_file_that_cannot_be_decoded(bad_files, model, log, name, words, capsys):
    log.parent.mkdir()
    refused(capsys, ["decode", str(bad_files / name), "--model", model, "--log", str(log)], 1, *words)


def test_a_bad_bundle_is_refused(file, log, tmp_path, capsys):
    log.parent.mkdir()
    (tmp_path / "empty").mkdir()
    for name, words in (("nothing", "There is no bundle"), (str(tmp_path / "empty"), "is not a bundle")):
        refused(capsys, ["decode", file, "--model", name, "--log", str(log)], 1, words)


def test_wrong_usage(file, model, log, capsys):
    refused(capsys, ["decode", file, "--model", model, "--engine", "abacus"], 2, "no engine 'abacus'")
    refused(capsys, ["decode", file, "--model", model, "--log", str(log)], 2, "The log needs a file in a folder")
    refused(capsys, ["decode", file], 2, "--model")
    refused(capsys, ["decode", "--model", model], 2, "file")


def test_a_log_that_exists_is_kept_unless_overwritten(file, model, tmp_path, capsys):
    log = tmp_path / "log.jsonl"
    log.write_text("the last run\n")
    command = ["decode", file, "--model", model, "--engine", "eager", "--log", str(log)]
    refused(
        capsys, command, 2, "The log needs a new file, got", "which exists. Choose another name, or add --overwrite"
    )
    assert log.read_text() == "the last run\n"
    assert main([*command, "--overwrite"]) == 0
    assert json.loads(log.read_text().splitlines()[0])["kind"] == "prediction"


@pytest.mark.parametrize("how", ["itself", "link", "hard link"])
def test_the_recording_is_never_the_log(file, model, tmp_path, how, capsys):
    victim = tmp_path / "victim_raw.fif"
    shutil.copy2(file, victim)
    log = victim if how == "itself" else tmp_path / "other.jsonl"
    if how == "link":
        log.symlink_to(victim)
    elif how == "hard link":
        log.hardlink_to(victim)
    before = victim.read_bytes()
    for more in ([], ["--overwrite"]):
        refused(capsys, ["decode", str(victim), "--model", model, "--log", str(log), *more], 2,
                "The log needs a file of its own, got the recording")  # fmt: skip
    assert victim.read_bytes() == before


def test_markup_in_a_class_name_is_text(file, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tests.bundles.CLASSES", ("[/seizure]", "seizure"))
    model = write_random_bundle(tmp_path / "markup", SIGNAL).path
    assert main(["decode", file, "--model", str(model), "--engine", "eager"]) == 0
    assert "[/seizure]" in capsys.readouterr().out


def test_what_auto_passed_over_is_said(file, model, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert main(["decode", file, "--model", model]) == 0
    out = capsys.readouterr().out
    assert "Engine eager (fp32), built in " in out
    assert "Passed over: onnx: The onnx engine needs a cache folder that can be written" in out


def test_a_log_that_cannot_be_written_to_the_end_leaves_what_was_there(file, model, tmp_path, monkeypatch, capsys):
    log = tmp_path / "log.jsonl"
    log.write_text("the last run\n")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    refused(capsys, ["decode", file, "--model", model, "--engine", "eager", "--log", str(log), "--overwrite"], 2,
            "The log needs a file that can be written, got", "No space left on device")  # fmt: skip
    assert log.read_text() == "the last run\n"
    assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]
