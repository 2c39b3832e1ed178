"""What was left out and what nothing can check stands in every result: terminal, page, card and figures."""

from __future__ import annotations

import json
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from safetensors.torch import save_file

from apps.train import main
from models.registry import ModelSpec
from offline.config import TrainConfig
from offline.datasets.base import Problem
from offline.datasets.epoc_original import COUNTRIES
from offline.datasets.registry import TASKS
from offline.limits import left_out_lines, unchecked
from offline.splits import Split
from offline.start_weights import fresh_network
from tests.offline.toy_task import dataset, install

WORDS = [
    "--task",
    "toy",
    "--model",
    "eegnet",
    "--window-s",
    "0.5",
    "--epochs",
    "1",
    "--batch-size",
    "4",
    "--out",
    "out",
]
MET = "whether the weights that it started from were learnt from anybody who is scored here"
TOLD = "whether the model tells apart where people were recorded (GB, NI) instead of the classes"
SPEC = ModelSpec("eegnet", {"n_channels": 2, "n_times": 32, "sfreq": 64.0, "n_classes": 2})
RECORD = {"left_out": [], "too_short": {}, "incomplete_windows": 0}


def people(*names: str):
    made = dataset(len(names))
    sessions = (replace(one, subject=name) for one, name in zip(made.sessions, names, strict=True))
    return replace(made, sessions=tuple(sessions))


@pytest.mark.parametrize(("verb", "file"), [("run", "metrics.json"), ("tune", "tune.json")])
def test_losses_and_doubts_stand_in_every_result(monkeypatch, tmp_path, capsys, verb, file):
    """Of a run and of trials alike; people of two countries, weights of unknown origin, and a file that is lost."""
    install(monkeypatch)
    monkeypatch.setitem(TASKS, "toy", replace(TASKS["toy"], origins=("GB-", "NI-"), unchecked=("whether it rained",)))
    spoiled = replace(
        people("GB-1", "GB-2", "NI-1", "NI-2"), problems=(Problem(Path("a/<x>.edf"), "It ends too early."),)
    )
    monkeypatch.setattr("offline.prepare.load_dataset", lambda task, folder: spoiled)
    monkeypatch.chdir(tmp_path)
    save_file(fresh_network(SPEC, 7).state_dict(), "w.safetensors")
    trials = ["--tune", "1", "--n-inner", "1"] if verb == "tune" else []
    assert main([verb, *WORDS, *trials, "--start-weights", "w.safetensors", "--skip-bad"]) == 0
    said = capsys.readouterr().out.splitlines()
    found = json.loads(Path("out", file).read_text())
    assert found["unchecked"] == ["whether it rained", TOLD, MET]
    assert found["data"]["left_out"] == ["a/<x>.edf: It ends too early."]
    assert found["data"]["subjects"] == ["GB-1", "GB-2", "NI-1", "NI-2"]
    page = Path("out/report.html").read_text()
    assert "<x>" not in page
    assert "<li>a/<x>.edf: It ends too early.</li>" in unescape(page)
    for text in found["unchecked"]:
        assert f"not checked: {text}" in said
        assert f"Not checked: {text}." in page
        if verb == "run":
            assert f"- not checked: {text}\n" in Path("out/bundle/card.md").read_text()


def test_countries_are_a_trap_only_where_both_are_there():
    settings = TrainConfig("epoc-epilepsy", "eegnet", "out")
    both, one = people("GB-1", "NI-1"), people("GB-1", "GB-2")
    assert unchecked(settings, both, [Split(("GB-1",), (), ("NI-1",))]) == [TOLD]
    assert unchecked(settings, one, [Split(("GB-1",), (), ("GB-2",))]) == []
    assert {f"{country.prefix}-" for country in COUNTRIES.values()} == set(TASKS["epoc-epilepsy"].origins)


def test_what_was_left_out_is_said_in_words():
    short = {"loud": {"n": 2, "seconds": 3.5, "where": ["a from 0 to 1 s", "a from 4 to 6.5 s"]}}
    assert left_out_lines(RECORD) == []
    assert left_out_lines({"left_out": ["x.edf: gone."], "too_short": short, "incomplete_windows": 4}) == [
        "x.edf: gone.",
        "no room for a window: 2 stretches of loud, 3.5 s in all, the first a from 0 to 1 s",
        "scored windows with missing samples: 4",
    ]
