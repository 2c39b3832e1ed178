"""What the user says about lost streams, overload and tolerances: taken as it is, or refused in one line."""

from __future__ import annotations

import argparse
import dataclasses
import importlib

import pytest

import apps.session_options
from apps.cli import main
from apps.recording_options import build_recorder, recorder_in
from apps.session_options import Choices, add_session_options, read_budget, read_clock, session_choices, with_alarm
from bci.budget import BudgetSpec
from bci.chunk import Signal
from bci.clock import ClockSpec
from bci.errors import UsageError
from bci.serving import serve
from tests.bundles import write_random_bundle


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("options")
    return serve(str(write_random_bundle(folder / "tiny", Signal(128.0, ("C3", "Cz"))).path), "eager")


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
    ("field", "value"),
    [
        ("on_threshold", 0.9),
        ("off_threshold", 0.1),
        ("k", 1),
        ("n", 5),
        ("min_duration_s", 2.5),
        ("refractory_s", 30.0),
        ("latch", True),
    ],
)
def test_every_part_of_the_alarm_but_its_class_can_be_set(tmp_path, model, field, value):
    file = tmp_path / "a.toml"
    file.write_text(f"[alarm]\n{field} = {str(value).lower()}\n")
    adjusted = choices("--config", str(file)).adjust(model)
    before = model.bundle.decision
    assert adjusted.bundle.decision == dataclasses.replace(
        before, alarm=dataclasses.replace(before.alarm, **{field: value})
    )
    assert adjusted.engine is model.engine


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[alarm]\nlatched = true", r"a\.toml: \[alarm\] needs some of on_threshold, .*, latch, got latched\."),
        ("[alarm]\nlabel = 'x'", r"\[alarm\] needs some of on_threshold, .* got label\."),
        ("alarm = 3", r"\[alarm\] needs some of on_threshold, .* got 3\."),
        ("[alarm]\nlatch = 1", r"\[alarm\]: latch must be bool, got 1"),
        ("[alarm]\nk = 4", r"An alarm needs .* 1 <= k <= n, got .*k=4, n=3"),
        ("[alarm]\non_threshold = nan", r"\[alarm\]: on_threshold must be float, got nan"),
    ],
)
def test_an_alarm_that_does_not_fit_is_refused(tmp_path, model, text, message):
    file = tmp_path / "a.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        choices("--config", str(file)).adjust(model)


def test_a_model_without_an_alarm_has_no_rule_for_it(tmp_path, model):
    silent = dataclasses.replace(model.bundle, decision=dataclasses.replace(model.bundle.decision, alarm=None))
    model = dataclasses.replace(model, bundle=silent)
    assert with_alarm(model, {}) is model
    with pytest.raises(UsageError, match=r"\[alarm\] of --config needs a model that raises alarms, got tiny"):
        with_alarm(model, {"latch": True})


@pytest.mark.parametrize("command", ["run", "record"])
def test_a_recording_numbers_samples_with_the_same_tolerances(tmp_path, monkeypatch, command):
    file = tmp_path / "a.toml"
    file.write_text("[clock]\nmax_fill_s = 0.2\n")
    parser = argparse.ArgumentParser()
    importlib.import_module(f"apps.commands.{command}").add_arguments(parser)
    options = {"run": ["--model", "m", "--record", str(tmp_path)], "record": [str(tmp_path)]}[command]
    args = parser.parse_args([*options, "--stream", "s", "--config", str(file)])
    made = []
    monkeypatch.setattr("bci.recorder.Recorder", lambda *given: made.append(given))
    build_recorder(args) if command == "run" else recorder_in(args.folder, args)
    assert made[0][3].clock == ClockSpec(max_fill_s=0.2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[clock]\nmax_fil_s = 0.1", r"a\.toml: \[clock\] has unknown fields max_fil_s\. Known: max_fill_s, "),
        ("[clock]\nmax_fill_s = '0.1'", r"\[clock\]: max_fill_s must be float, got '0\.1'"),
        ("[clock]\nmax_fill_s = true", r"\[clock\]: max_fill_s must be float, got True"),
        ("[clock]\nmax_fill_s = -1", r"needs max_fill_s of at least 0 s, got -1"),
        ("clock = 3", r"\[clock\] needs a JSON object, got int"),
        (
            "[clocks]\nmax_fill_s = 1",
            r"--config needs tables out of \[clock\], \[alarm\], \[budget\], got 'clocks' in ",
        ),
        ("max_fill_s = 1", r"--config needs tables out of \[clock\], \[alarm\], \[budget\], got 'max_fill_s' in "),
        ("[budget]\ntotal = 3", r"a\.toml: \[budget\] has unknown fields total\. Known: receive_ms, "),
        ("[budget]\ntotal_ms = 0", r"a\.toml: A budget needs total_ms above 0 ms, got 0"),
        ("[budget]\npolicy = 'wait'", r"\[budget\]: policy must be .*skip_window.* got 'wait'"),
        ("[clock", r"--config needs a TOML file that can be read, got .*a\.toml: "),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, text, message):
    file = tmp_path / "a.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_clock(file), read_budget(file)


def test_a_budget_reaches_the_session(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text('[budget]\ntotal_ms = 50\nengine_ms = 10.5\npolicy = "widen_hop"\nmisses = 2\n')
    wanted = BudgetSpec(total_ms=50.0, engine_ms=10.5, policy="widen_hop", misses=2)
    assert choices("--config", str(file)).build("out").budget == wanted
    file.write_text("[clock]\n")
    assert choices("--config", str(file)).build("out").budget == choices().build("out").budget == BudgetSpec()


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
