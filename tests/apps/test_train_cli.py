"""The command `bci-train`: verbs, exit codes, and what it does not import."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys

import pytest

from apps.train import VERBS, main, with_verb
from apps.train_commands._settings import add_settings
from offline.config import SETTINGS
from tests.offline.ssvep_layout import write_archive, write_session

HEAVY = ("torch", "mne", "sklearn", "pyriemann", "scipy", "rich")


@pytest.mark.parametrize("argv", [["--help"], ["run", "--help"], ["tune", "--help"]])
def test_help_is_light(argv):
    code = (
        "import sys; from apps.train import main; "
        f"code = main({argv!r}); loaded = [m for m in {HEAVY!r} if m in sys.modules]; sys.exit(code or bool(loaded))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: bci-train" in done.stdout


@pytest.mark.parametrize(
    ("argv", "whole"),
    [
        (["--task", "ssvep"], ["run", "--task", "ssvep"]),
        (["-v", "--task", "run"], ["-v", "run", "--task", "run"]),
        (["data", "--task", "ssvep"], ["data", "--task", "ssvep"]),
        (["--help"], ["--help"]),
        ([], []),
    ],
)
def test_run_is_meant_where_no_verb_is_given(argv, whole):
    assert with_verb(argv) == whole


def test_every_setting_has_a_flag():
    parser = argparse.ArgumentParser()
    add_settings(parser)
    flags = {action.dest for action in parser._actions}
    assert set(SETTINGS) <= flags
    assert all(action.help for action in parser._actions)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_whole(verb):
    module = importlib.import_module(VERBS[verb])
    assert module.HELP
    module.add_arguments(argparse.ArgumentParser())


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["--task", "ssvep"], 2, "The training run lacks model, out"),
        (["--task", "ssvep", "--model", "cca_net", "--out", "o"], 2, "--data"),
        (["run", "--epochs", "many"], 2, "invalid int value: 'many'"),
        (["frobnicate"], 2, "invalid choice: 'frobnicate'"),
        (["data", "--task", "ssvep", "--data", "absent"], 2, "must be a folder, got absent"),
        (["--task", "ssvep", "--data", ".", "--model", "bert", "--out", "o"], 2, "has no model 'bert'"),
        (["--config", "absent.toml"], 2, "readable TOML file, got absent.toml"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(argv, code, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == code
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_data_check_prints_what_is_there(tmp_path, capsys):
    write_archive(tmp_path, 2)
    assert main(["data", "check", "--task", "ssvep", "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "2 sessions of 2 subjects" in out
    assert "rest 2, 13 Hz 2, 21 Hz 2, 17 Hz 2" in out
    write_session(tmp_path, "sub-03", codes=(1, 9))
    assert main(["data", "--task", "ssvep", "--data", str(tmp_path)]) == 1
    assert "/sub-03_run-1_raw.fif: Event codes must be" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["run", "tune"])
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--window-s", "5.5"], "must fit into every labelled stretch"),
        (["--hop-s", "0.3"], "hop_s must be a whole number of columns"),
        (["--out", "file/out"], "folder that can be written, got file/out (Not a directory)"),
    ],
)
def test_a_wrong_flag_is_one_line_and_leaves_nothing(verb, flags, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "file").write_text("")
    write_archive(tmp_path / "data", 5)
    assert main([verb, "--task", "ssvep", "--data", "data", "--model", "cca_net", "--out", "out", *flags]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_archive_without_sessions_fails(tmp_path, capsys):
    assert main(["data", "--task", "ssvep", "--data", str(tmp_path)]) == 1
    assert "found no usable one" in capsys.readouterr().err


def test_list_names_tasks_and_models(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("ssvep", "eegnet", "mel_cnn", "riemann", "cca_net"))


def test_a_run_from_a_file_prints_scores_and_writes_a_bundle(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    write_archive(tmp_path / "data")
    file = tmp_path / "train.toml"
    file.write_text('task = "ssvep"\nmodel = "riemann"\nwindow_s = 1.0\n')
    out = tmp_path / "out"
    assert main(["--config", str(file), "--data", str(tmp_path / "data"), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "accuracy, leave one subject out: " in printed
    assert "[2/7] sub-02: done\n" in printed, "a log shows how far the run is"
    assert (out / "bundle" / "manifest.json").is_file()
