"""What the user says about lost streams, overload and tolerances: taken as it is, or refused in one line."""

from __future__ import annotations

import argparse
import dataclasses

import pytest

import apps.session_options
from apps.cli import main
from apps.session_options import Choices, add_session_options, read_clock, session_choices
from bci.clock import ClockSpec
from bci.errors import UsageError


def choices(*options):
    parser = argparse.ArgumentParser()
    add_session_options(parser)
    return session_choices(parser.parse_args(options))


def test_without_options_a_lost_stream_is_waited_for_without_end():
    settings = choices().build("out", duration_s=5.0)
    assert (settings.reconnect_s, settings.on_mismatch, settings.overload) == (None, "stop", "newest")
    assert (settings.duration_s, settings.clock) == (5.0, ClockSpec())


def test_options_reach_the_session(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text("[clock]\nmax_fill_s = 0.2\nrate_tolerance = 0.01\nrate_window_s = 30\n")
    given = choices("--reconnect", "60", "--on-mismatch", "wait", "--overload", "all", "--config", str(file))
    settings = given.build("out")
    assert (settings.reconnect_s, settings.on_mismatch, settings.overload) == (60.0, "wait", "all")
    assert settings.clock == ClockSpec(max_fill_s=0.2, rate_tolerance=0.01, rate_window_s=30.0)


@pytest.mark.parametrize("field", dataclasses.fields(ClockSpec), ids=lambda f: f.name)
def test_every_tolerance_can_be_set(tmp_path, field):
    file = tmp_path / "a.toml"
    file.write_text(f"[clock]\n{field.name} = {field.default * 1.5}\n")
    assert read_clock(file) == dataclasses.replace(ClockSpec(), **{field.name: field.default * 1.5})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[clock]\nmax_fil_s = 0.1", r"a\.toml: \[clock\] has unknown fields max_fil_s\. Known: max_fill_s, "),
        ("[clock]\nmax_fill_s = '0.1'", r"\[clock\]: max_fill_s must be float, got '0\.1'"),
        ("[clock]\nmax_fill_s = true", r"\[clock\]: max_fill_s must be float, got True"),
        ("[clock]\nmax_fill_s = -1", r"needs max_fill_s of at least 0 s, got -1"),
        ("clock = 3", r"\[clock\] needs a JSON object, got int"),
        ("[clocks]\nmax_fill_s = 1", r"--config needs the table \[clock\] alone, got 'clocks' in "),
        ("max_fill_s = 1", r"--config needs the table \[clock\] alone, got 'max_fill_s' in "),
        ("[clock", r"--config needs a TOML file that can be read, got .*a\.toml: "),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, text, message):
    file = tmp_path / "a.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_clock(file)


def test_a_file_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"--config needs a TOML file that can be read, got .*nowhere"):
        read_clock(tmp_path / "nowhere")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"--config needs a TOML file that can be read, got .*b\.toml"):
        read_clock(tmp_path / "b.toml")
    monkeypatch.setattr(apps.session_options, "MAX_CONFIG_BYTES", 10)
    (tmp_path / "c.toml").write_text("[clock]\n" * 2)
    with pytest.raises(UsageError, match=r"--config needs a file of at most 1 MiB, got a larger one: .*c\.toml"):
        read_clock(tmp_path / "c.toml")


def test_settings_that_do_not_fit_are_a_wrong_use():
    with pytest.raises(UsageError, match="needs a wait for a lost stream of 0 s or more, or none, got -1"):
        Choices({"reconnect_s": -1.0}).build("out")


def test_the_command_refuses_a_bad_file_before_it_looks_for_anything(tmp_path, capsys):
    file = tmp_path / "a.toml"
    file.write_text("[clock]\nwhat = 1\n")
    assert main(["run", "--stream", "s", "--model", "m", "--config", str(file)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("bci: error: ")
    assert err.count("\n") == 1
