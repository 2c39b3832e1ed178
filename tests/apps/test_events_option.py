"""`--events`: a table of seizures from a recording and from a session, and what cannot have one."""

from __future__ import annotations

import dataclasses
import datetime
import json

import mne
import numpy as np
import pytest

from apps.cli import main
from bci.chunk import Signal
from bci.decision import AlarmSpec, DecisionSpec
from bci.seizure_table import read_table
from tests.apps.test_decode import refused
from tests.bundles import noise, write_random_bundle

SIGNAL = Signal(128.0, ("C3", "Cz", "C4"))
SECONDS = 30.0
STARTED = datetime.datetime(2025, 12, 31, 23, 59, 58, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="module")
def model(folder):
    return str(write_random_bundle(folder / "tiny", SIGNAL).path)


@pytest.fixture(scope="module")
def file(folder):
    info = mne.create_info(list(SIGNAL.names), SIGNAL.sfreq, "eeg", verbose="error")
    raw = mne.io.RawArray(noise(SIGNAL, SECONDS).astype(np.float64) * 1e-6, info, verbose="error")
    raw.set_meas_date(STARTED)
    raw.crop(2.0).save(folder / "dated_raw.fif", verbose="error")
    return str(folder / "dated_raw.fif")


def test_the_table_holds_the_alarms_of_the_log(file, model, tmp_path, capsys):
    log, events = tmp_path / "log.jsonl", tmp_path / "x_events.tsv"
    command = ["decode", file, "--model", model, "--engine", "eager", "--log", str(log), "--events", str(events)]
    assert main(command) == 0
    assert f"Events: {events}" in capsys.readouterr().out
    table = read_table(events)
    alarmed = [r["t"] for r in map(json.loads, log.read_text().splitlines()) if r["state"] == "alarm"]
    assert alarmed
    inside = [any(e.onset_s - 1e-3 <= t < e.onset_s + e.duration_s for e in table.seizures) for t in alarmed]
    assert all(inside)
    assert sum(e.duration_s for e in table.seizures) == pytest.approx(0.25 * len(alarmed), abs=0.5)
    assert table.duration_s == SECONDS - 2
    assert table.date_time == "2026-01-01 00:00:00"  # the file begins 2 s after the measurement


def test_refusals_of_decode(file, model, tmp_path, capsys):
    events = tmp_path / "x_events.tsv"
    command = ["decode", file, "--model", model, "--engine", "eager", "--events"]
    refused(capsys, [*command, str(tmp_path / "no" / "x.tsv")], 2, "The table of events needs a file in a folder")
    refused(
        capsys, [*command, file, "--overwrite"], 2, "The table of events needs a file of its own, got the recording"
    )
    refused(capsys, [*command, str(events), "--log", str(events)], 2, "--log and --events need a file each, got")
    assert not events.exists()
    events.write_text("the last run")
    refused(capsys, [*command, str(events)], 2, "The table of events needs a new file, got", "add --overwrite")
    assert events.read_text() == "the last run"
    assert main([*command, str(events), "--overwrite"]) == 0
    assert read_table(events).duration_s == SECONDS - 2


@pytest.mark.parametrize("alarm", [None, AlarmSpec("rest", 0.6, 0.4)])
def test_a_model_without_seizures_has_no_table(file, model, tmp_path, monkeypatch, capsys, alarm):
    from bci import serving

    serve = serving.serve

    def served(*args):
        found = serve(*args)
        decision = DecisionSpec(("rest", "sleep"), alarm=alarm)
        return dataclasses.replace(found, bundle=dataclasses.replace(found.bundle, decision=decision))

    monkeypatch.setattr("bci.serving.serve", served)
    events = tmp_path / "x_events.tsv"
    for command in (["decode", file], ["run", "--stream", "nobody", "--no-view"]):
        arguments = [*command, "--model", model, "--engine", "eager", "--events", str(events)]
        assert main(arguments) == 2
        assert "A table of seizures needs a model whose alarm watches a class named" in capsys.readouterr().err
    assert not events.exists()


def test_refusals_of_run(model, tmp_path, capsys):
    events = tmp_path / "x_events.tsv"
    events.write_text("the last run")
    command = ["run", "--stream", "nobody", "--model", model, "--events"]
    refused(capsys, [*command, str(events)], 2, "The table of events needs a new file, got")
    refused(capsys, [*command, str(tmp_path / "no" / "x.tsv")], 2, "The table of events needs a file in a folder")
    refused(
        capsys, [*command, str(events), "--log", str(events), "--overwrite"], 2, "--log and --events need a file each"
    )
    assert events.read_text() == "the last run"
