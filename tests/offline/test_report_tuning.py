"""What `bci-train tune` leaves: a page with trials and choices, and figures beside what constants reach."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from apps.train import main
from offline.report_parts import Mark, scatter
from offline.report_tuning import tuning_parts
from offline.train import train
from tests.offline.test_tune import config
from tests.offline.toy_task import install

WORDS = ["tune", "--task", "toy", "--model", "eegnet", "--window-s", "0.5", "--epochs", "1", "--batch-size", "4"]
TRIED = [
    {"number": 0, "values": {"dropout": 0.1}, "score": 0.25, "state": "complete"},
    {"number": 1, "values": {"dropout": 0.2, "balance": "<b>"}, "score": 0.75, "state": "complete"},
    {"number": 2, "values": {"dropout": 0.3}, "score": None, "state": "pruned"},
    {"number": 3, "values": {"dropout": 0.4}, "score": 0.875, "state": "pruned"},
]
CHOICE = {"fold": "<i>", "values": TRIED[1]["values"], "score": 0.75, "tried": TRIED}


def test_a_tuned_result_has_a_page_and_constants_beside_it(monkeypatch, tmp_path, capsys):
    install(monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert main([*WORDS, "--out", "out", "--tune", "2", "--n-inner", "1"]) == 0
    said = capsys.readouterr().out
    tuned = json.loads(Path("out/tune.json").read_text())
    assert "majority of the others, of stretches: accuracy 0." in said
    assert "prior of the others, of stretches: KL" in said
    assert f"chance 0.500, most frequent class {tuned['trivial']['majority']:.3f}" in said
    assert "report: out/report.html" in said
    assert "strong baseline" not in said
    page = Path("out/report.html").read_text()
    HTMLParser().feed(page)
    assert "nan" not in page
    assert "most frequent class" in page
    for choice in tuned["choices"]:
        assert f"{choice['values']['learning_rate']:.3g}" in page
        assert f"<summary>Trials without {choice['fold']}</summary>" in page
        assert all(f"{trial['score']:.3f}" in page for trial in choice["tried"])
    assert f"{tuned['scores']['accuracy']['mean']:.3f}" in page


def test_a_run_that_tunes_shows_its_trials_too(monkeypatch, tmp_path):
    install(monkeypatch)
    train(config(tmp_path / "out", tune=1, epochs=1), "2026-01-01T00:00:00+00:00")
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<summary>Trials without ") == 5, "four folds and the final model"
    train(config(tmp_path / "plain", tune=0, epochs=1), "2026-01-01T00:00:00+00:00")
    assert "<summary>" not in (tmp_path / "plain" / "report.html").read_text()


def test_trials_are_marked_and_the_choice_stands_out():
    page = "".join(tuning_parts([CHOICE], "balanced_accuracy"))
    assert "<i>" not in page
    assert "<b>" not in page
    assert page.count("<circle") == 2, "a trial that was stopped has no mark, whatever it said last"
    assert "0.875" not in page
    full = re.findall(r'<circle [^>]*r="5"[^>]*><title>([^<]*)', page)
    assert full == ["without &lt;i&gt;, trial 2: 0.750"]
    assert "<td>dropout 0.2, balance &lt;b&gt;</td><td>0.750</td><td>4</td><td>2</td>" in page
    assert "<td>3</td><td>dropout 0.3</td><td>–</td><td>stopped early</td>" in page
    assert "<td>4</td><td>dropout 0.4</td><td>–</td><td>stopped early</td>" in page
    assert "mean balanced accuracy on inner folds" in page


@pytest.mark.parametrize("marks", [[Mark(1, -0.5, "a", True)], [Mark(1, 0.5, "a", True), Mark(2, 0.5, "b", False)]])
def test_equal_values_are_drawn_inside_the_axes(marks):
    drawn = scatter("t", "trial", marks)
    height = int(re.search(r'height="(\d+)">', drawn)[1])
    places = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', drawn)
    assert len(places) == len(marks)
    assert {float(y) for _, y in places} == {height / 2}
    assert f">{marks[0].y - 0.05:.3g}<" in drawn
    assert f">{marks[0].y + 0.05:.3g}<" in drawn


def test_without_a_value_nothing_is_drawn():
    assert "<svg" not in scatter("t", "trial", [])
