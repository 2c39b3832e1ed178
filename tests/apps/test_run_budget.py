"""`bci run` with a budget that cannot be kept: told in the log, on the screen and in the summary, and acted on."""

from __future__ import annotations

import json

import pytest

from tests.apps.test_beds import SIGNAL, Sender, finish, lines, started
from tests.bundles import write_random_bundle

pytestmark = [pytest.mark.lsl, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("budget")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        write_random_bundle(folder / "first", SIGNAL)
        write_random_bundle(folder / "second", SIGNAL, seed=1)
        yield folder


def decode(folder, tmp_path, budget):
    """Run for some seconds; return what was printed, the log and the summary."""
    config, log, summary = tmp_path / "a.toml", tmp_path / "log.jsonl", tmp_path / "summary.json"
    config.write_text(f"[budget]\n{budget}")
    options = ["--model", folder / "first", "--engine", "eager", "--duration", 5, "--log", log]
    with Sender(tmp_path.name) as sender:
        options += ["--stream", sender.name, "--config", config, "--summary", summary]
        with started("run", *options) as run:
            code, out, err = finish(run)
    assert (code, err) == (0, "")
    return out, lines(log), json.loads(summary.read_text())


def test_alarms_are_in_fault_while_the_budget_is_missed(folder, tmp_path):
    out, log, summary = decode(folder, tmp_path, 'total_ms = 0.01\npolicy = "alarm_fault"\nmisses = 2\n')
    predictions = [line for line in log if line["kind"] == "prediction"]
    n = len(predictions)
    assert n >= 6
    assert {p["state"] for p in predictions[2:]} == {"fault"}
    kinds = [line["kind"] for line in log]
    assert kinds.index("budget_missed") < kinds.index("budget_policy")
    missed = [line for line in log if line["kind"] == "budget_missed"]
    assert sum(line["n_missed"] for line in missed) == n
    assert len(missed) < n
    (acts,) = [line for line in log if line["kind"] == "budget_policy"]
    assert (acts["policy"], acts["change"], acts["acting"]) == ("alarm_fault", "acts", True)
    assert summary["budget"] == {
        "limits_ms": {"total": 0.01},
        "predictions": n,
        "missed": n,
        "by_stage": {"total": n},
        "policy": "alarm_fault",
        "acted": 1,
    }
    told = f"Budget (total 0.01 ms): {n} of {n} predictions missed it (total {n}). alarm_fault acted 1 time."
    assert told in out.replace("\n", " ")
    assert "Algorithmic latency: " in out
    assert set(summary["algorithmic"]) == {"group_delay_s", "reference_hz", "window_s", "smoothing_s"}


def test_a_fallback_model_takes_over_at_once(folder, tmp_path):
    budget = f'total_ms = 0.01\npolicy = "fallback_model"\nfallback = "{folder / "second"}"\nmisses = 2\n'
    out, log, summary = decode(folder, tmp_path, budget)
    predictions = [line for line in log if line["kind"] == "prediction"]
    assert [p["index"] for p in predictions] == list(range(len(predictions)))
    assert summary["n_skipped"] == 0
    assert "fallback_model acted 1 time." in out.replace("\n", " ")
