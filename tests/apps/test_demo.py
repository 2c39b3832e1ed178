"""`bci demo`: a simulated patient over real LSL, the shipped bundle, and an exit code that can be believed."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from apps import cli
from apps.commands import demo
from apps.commands.demo import DEFAULT_SEED, STAGES, is_complete, read_log, refuse_known, report, sender
from bci.bundle import find_bundle, load_bundle
from bci.errors import UsageError
from bci.sources.simulated_patient import PatientSpec
from offline.seizure_events import Span

LEDGER = {f"{stage}_ms": 1.0 for stage in STAGES}


def write_log(path: Path, *records: dict) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def prediction(**ledger: float) -> dict:
    return {"kind": "prediction", "ledger": ledger}


def runs(pid: int) -> bool:
    """Whether a process lives; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --- the whole demo -------------------------------------------------------------------------------------------------


@pytest.mark.lsl
def test_the_demo_runs_end_to_end(tmp_path, capfd, monkeypatch):
    """Predictions from a real stream, complete ledgers, a log, the truth beside the alarms, and no process left."""
    out = tmp_path / "demo"
    (tmp_path / demo.MODEL).mkdir()
    monkeypatch.chdir(tmp_path)  # a folder named like the model is not the model
    assert cli.main(["demo", "--duration", "20", "--out", str(out)]) == 0
    said = capfd.readouterr().out
    log = out / "predictions.jsonl"
    records = [json.loads(line) for line in log.read_text().splitlines()]
    predictions = [r for r in records if r["kind"] == "prediction"]
    assert len(predictions) > 10
    assert all(is_complete(r) for r in predictions)
    assert [r["index"] for r in predictions] == list(range(len(predictions)))
    assert "Seizures: " in said
    assert "total" in said
    assert str(log) in said.replace("\n", "")


@pytest.mark.lsl
def test_the_sender_ends_with_its_block():
    with sender("never-listened-to", PatientSpec(DEFAULT_SEED, duration_s=20.0)) as process:
        assert process.poll() is None
    assert process.returncode is not None


@pytest.mark.lsl
def test_the_sender_ends_when_its_parent_dies(tmp_path):
    """Its standard input closes: nothing waits for ever for a listener."""
    code = (
        "import os; from apps.commands.demo import sender; from bci.sources.simulated_patient import PatientSpec\n"
        f"with sender('orphan', PatientSpec({DEFAULT_SEED}, duration_s=20.0)) as child:\n"
        "    print(child.pid, flush=True); os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False, timeout=180)
    assert done.returncode == 9
    never = threading.Event()
    deadline = time.monotonic() + 60
    while runs(int(done.stdout)) and time.monotonic() < deadline:
        never.wait(0.05)
    assert not runs(int(done.stdout))


def test_the_default_patient_is_new_to_the_shipped_bundle():
    training = load_bundle(find_bundle(demo.MODEL)).manifest["training"]
    refuse_known(DEFAULT_SEED, dict(training))
    assert {cohort["name"] for cohort in training["cohorts"]} == {"train", "validation", "test"}


def test_the_shipped_bundle_is_small():
    assert sum(file.stat().st_size for file in find_bundle(demo.MODEL).iterdir()) < 5e6


# --- its parts ------------------------------------------------------------------------------------------------------


def test_a_log_gives_alarms_and_incomplete_ledgers(tmp_path):
    log = write_log(
        tmp_path / "log.jsonl",
        {"kind": "session"},
        prediction(**LEDGER),
        {"kind": "alarm_on", "last_sample": 2560},
        prediction(engine_ms=1.0),
        {"kind": "alarm_off", "last_sample": 5120},
        {"kind": "alarm_on", "last_sample": 7680},
    )
    found = read_log(log, 256.0, 60.0)
    assert (found.n_predictions, found.n_incomplete) == (2, 1)
    assert found.alarms == (Span(10.0, 20.0), Span(30.0, 60.0))


@pytest.mark.parametrize(
    ("record", "complete"),
    [
        (prediction(**LEDGER), True),
        (prediction(**{k: v for k, v in LEDGER.items() if k != "publish_ms"}), False),
        (prediction(**LEDGER | {"total_ms": math.nan}), False),
        ({"kind": "prediction"}, False),
    ],
)
def test_a_ledger_is_complete_with_all_stages(record, complete):
    assert is_complete(record) is complete


def test_the_report_names_found_missed_and_false():
    seizures = [Span(100.0, 130.0), Span(400.0, 410.0)]
    lines = report(seizures, [Span(104.0, 131.0), Span(700.0, 720.0)], 900.0)
    assert lines[0] == "Seizures: 2 true, 1 detected, 1 false alarms"
    assert "detected after 4.0 s" in lines[1]
    assert "missed" in lines[2]
    assert len(lines) == 5
    assert "just before it" in report(seizures[:1], [Span(80.0, 90.0)], 900.0)[1]


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--duration", "5"], "--duration must be at least 20 s, got 5"),
        (["--duration", "inf"], "--duration must be at least 20 s, got inf"),
        (["--seed", "10003"], "10003 is in its train cohort"),
    ],
)
def test_wrong_options_are_one_line(argv, message, capsys, tmp_path):
    assert cli.main(["demo", *argv, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_out_that_is_a_file_is_refused(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert cli.main(["demo", "--out", str(tmp_path / "file")]) == 2
    assert "--out must be a folder that can be written" in capsys.readouterr().err


def test_an_old_log_is_kept(capsys, tmp_path):
    (tmp_path / "predictions.jsonl").write_text("old")
    assert cli.main(["demo", "--out", str(tmp_path)]) == 2
    assert "must be a folder without a predictions.jsonl" in capsys.readouterr().err
    assert (tmp_path / "predictions.jsonl").read_text() == "old"


def test_a_known_patient_is_refused():
    training = {"cohorts": [{"name": "train", "first_seed": 10, "n_patients": 5}]}
    refuse_known(15, training)
    with pytest.raises(UsageError, match=r"that the model has not met, 14 is in its train cohort \(10 to 14\)"):
        refuse_known(14, training)


@pytest.mark.parametrize(
    ("records", "lost", "message"),
    [
        ([], False, "must publish predictions, got none"),
        ([prediction(**LEDGER), prediction(engine_ms=1.0)], False, "got 1 of 2 without"),
        ([prediction(**LEDGER)], True, "the stream was lost: gone"),
    ],
)
def test_a_demo_that_failed_says_so(records, lost, message, monkeypatch, tmp_path, capsys):
    """Exit code 0 is only for published predictions with complete ledgers."""
    from contextlib import nullcontext

    from bci.session import Summary

    def served(**_: object) -> Summary:
        write_log(tmp_path / demo.LOG_NAME, *records)
        return Summary({}, {"samples": 0, "predictions": len(records)}, "gone", lost)

    monkeypatch.setattr("apps.commands.run.run_session", served)
    monkeypatch.setattr(demo, "sender", lambda *_: nullcontext())
    assert cli.main(["demo", "--duration", "20", "--out", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err
