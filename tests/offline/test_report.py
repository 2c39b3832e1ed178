"""Figures of a report: every training can be seen and told apart, and nothing is shown that means nothing."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from offline.evaluate import cross_validate
from offline.metrics import summary, trivial_baselines
from offline.recipes import STRONG_BASELINES, recipe
from offline.report import report_html
from offline.report_parts import curves, reliability_plot
from offline.splits import leave_one_out
from offline.train import train
from offline.training_settings import Epoch
from tests.offline.test_tune import config
from tests.offline.toy_task import dataset, install

BINS = [{"n": 4.0, "confidence": 0.5, "accuracy": 0.25}]


def histories(n: int, n_epochs: int) -> dict[str, tuple[Epoch, ...]]:
    return {f"sub-{i}": tuple(Epoch(k, 1.0 + i, None, None) for k in range(n_epochs)) for i in range(n)}


def test_a_training_of_one_epoch_can_be_seen():
    drawn = curves(histories(1, 1))
    assert drawn.count("<circle") == 1, "a line through one point is no line"
    assert "1 epoch<" in drawn
    assert "2 epochs<" in curves(histories(1, 2))


def test_a_training_that_ends_early_has_a_mark_there():
    drawn = curves(histories(1, 1) | {"long": histories(1, 3)["sub-0"]})
    ends = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', drawn)]
    assert len(ends) == 2
    assert ends[0] < ends[1]


@pytest.mark.parametrize("n", [1, 8])
def test_few_trainings_have_a_colour_each(n):
    drawn = curves(histories(n, 2))
    lines = re.findall(r'<polyline [^>]*stroke="(#\w+)"', drawn)
    assert len(set(lines)) == len(lines) == n
    assert all(f'color:{colour}">■</span> sub-{i}' in drawn for i, colour in enumerate(lines))


def test_many_trainings_share_a_colour_beside_their_mean():
    drawn = curves(histories(9, 2))
    *each, mean = re.findall(r'<polyline points="[\d.]+,([\d.]+) [^>]*stroke="(#\w+)"', drawn)
    assert len(each) == 9
    assert len({colour for _, colour in each} | {mean[1]}) == 2
    assert float(mean[0]) == pytest.approx(float(each[4][0])), "losses of 1 to 9: the fifth is their mean"
    assert all(f"<title>sub-{i}</title>" in drawn for i in range(9))


def test_axes_of_a_reliability_plot_have_names_and_values():
    texts = re.findall(r"<text [^>]*>([^<]*)</text>", reliability_plot("4 stretches", BINS))
    assert {"confidence", "share that is right"} < set(texts)
    assert [texts.count(value) for value in ("0", "0.25", "0.5", "0.75", "1")] == [2] * 5


def test_the_place_of_a_trial_counts_only_where_trials_have_an_order(tmp_path, monkeypatch):
    """Not where a recording has one class: there the place says nothing."""
    install(monkeypatch)
    ordered = dataset()
    sessions = tuple(
        replace(session, stretches=tuple(replace(s, label=i % 2) for s in session.stretches))
        for i, session in enumerate(ordered.sessions)
    )
    settings, splits = config(tmp_path, tune=0), leave_one_out(ordered.subjects)
    results = cross_validate(ordered, splits, recipe("toy", "eegnet"), settings, tmp_path)
    assert trivial_baselines(ordered, results, 0)["trial_index"] == 1.0
    assert trivial_baselines(replace(ordered, sessions=sessions), results, 0)["trial_index"] is None


@pytest.mark.parametrize(("n_trials", "plots"), [(1, 1), (2, 2)])
def test_people_with_one_stretch_each_are_drawn_once(tmp_path, monkeypatch, n_trials, plots):
    """And the place of a trial is not shown where there is one class a recording."""
    install(monkeypatch)
    made = dataset()
    sessions = tuple(
        replace(session, stretches=tuple(replace(s, label=i % 2) for s in session.stretches[:n_trials]))
        for i, session in enumerate(made.sessions)
    )
    made = replace(made, sessions=sessions)
    settings, splits = config(tmp_path, tune=0, epochs=1, batch_size=2), leave_one_out(made.subjects)
    results = cross_validate(made, splits, recipe("toy", "eegnet"), settings, tmp_path)
    run = {"task": "toy", "model": "eegnet", "window_s": 0.5, "seed": 0, "settings": {"split": "leave-one-out"}}
    run |= {"overridden": [], "resolved": {"training": {}}}
    metrics = {
        "run": run,
        "description": "",
        "note": "",
        "scores": summary(made, results, 0),
        "trivial": trivial_baselines(made, results, 0),
        "strong_baselines": [],
        "data": {"left_out": [], "too_short": {}, "incomplete_windows": 0},
        "unchecked": [],
    }
    page = report_html(metrics, results)
    assert page.count("reliability of") == plots
    assert "place of the trial" not in page


def test_a_task_without_a_baseline_claims_none(tmp_path, monkeypatch):
    """A run there says nothing of strong baselines: neither that it is one nor that it beats one."""
    install(monkeypatch)
    assert "toy" not in STRONG_BASELINES
    outcome = train(config(tmp_path / "out", tune=0, epochs=1), "2026-01-01T00:00:00+00:00")
    card = (outcome.bundle.path / "card.md").read_text()
    for text in ("\n".join(outcome.lines), (tmp_path / "out" / "report.html").read_text(), card):
        assert "chance" in text
        assert "strong baseline" not in text
