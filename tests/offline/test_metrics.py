"""The numbers of a run, where each person has one label and folds hold several people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from apps.train import main
from offline.datasets.base import Dataset
from offline.metrics import compare, figure_levels, summary, trivial_baselines
from offline.people import pooled
from offline.report import chance_line, constant_lines, figure_lines, figure_text, gain_lines, report_html, split_text
from tests.offline import scored_people
from tests.offline.scored_people import scored_folds
from tests.offline.toy_task import dataset


@pytest.fixture
def patients() -> Dataset:
    """Twelve people, every third of class 1, with four stretches each."""
    return scored_people.patients()


def test_scores_are_of_people_and_not_of_folds(patients):
    results = scored_folds(patients, 1.0)
    scores = summary(patients, results, 0)
    assert [s["subject"] for s in scores["subjects"]] == list(patients.subjects)
    assert scores["subjects"][0] | {"accuracy": 0, "n_correct": 0, "interval": 0, "probabilities": 0} == {
        "subject": "sub-01", "label": "loud", "n": 4, "accuracy": 0, "n_correct": 0, "interval": 0, "probabilities": 0,
    }  # fmt: skip
    assert scores["accuracy"]["over"] == "subjects, bootstrap, 95 %"
    assert scores["accuracy"]["mean"] == pytest.approx(np.mean([s["accuracy"] for s in scores["subjects"]]))
    rows = pooled(results)
    stretches, people = scores["figures"]["stretches"], scores["figures"]["people"]
    assert (stretches["n"], people["n"]) == (48, 12)
    assert stretches["auroc"]["value"] == pytest.approx(roc_auc_score(rows.labels, rows.probabilities[:, 1]))
    means = rows.probabilities.reshape(12, 4, 2).mean(axis=1)
    precision = average_precision_score(rows.labels[::4], means[:, 1])
    assert people["classes"]["loud"]["auprc"]["value"] == pytest.approx(precision)
    assert "12 people" in scores["figures"]["over"]


def test_people_with_several_labels_have_figures_of_stretches_only(patients):
    toy = dataset(6, n_trials=4)
    scores = summary(toy, scored_folds(toy, 1.0), 0)
    assert scores["figures"]["people"] is None
    assert scores["subjects"][0]["label"] is None
    assert not any("of people" in line for line in figure_lines(scores))


def test_one_person_has_no_intervals_and_is_told_so(patients):
    rows = pooled(scored_folds(patients, 1.0))
    alone = replace(rows, subjects=("a",) * len(rows.subjects))
    levels = figure_levels([alone], ("quiet", "loud"), 0)
    assert levels["over"] == "one person: no intervals; pooled over folds"
    assert levels["stretches"]["auroc"]["interval"] is None


def test_constants_are_those_of_the_other_people(patients):
    results = scored_folds(patients, 1.0)
    found = trivial_baselines(patients, results, 0)
    assert found["majority"] == pytest.approx(8 / 12)
    majority, prior = found["figures"]["majority"], found["figures"]["prior"]
    assert majority["balanced_accuracy"]["value"] == 0.5
    assert set(prior) == {"kl", "log_loss", "ece"}
    chances = [0.0] * 12
    for fold in results:
        others = [s.stretches[0].label for s in patients.sessions if s.subject not in fold.split.test]
        for name in fold.split.test:
            i = patients.subjects.index(name)
            share = (4 * np.sum(others) + 1) / (4 * len(others) + 2)  # four stretches each, and one more of each class
            chances[i] = share if i % 3 == 0 else 1 - share
    assert prior["log_loss"]["value"] == pytest.approx(-np.log(chances).mean())


def test_a_better_model_has_a_paired_gain(patients):
    better, worse = scored_folds(patients, 4.0), scored_folds(patients, 0.3)
    found = compare(better, worse, 0)
    assert found["interval"][0] > 0
    for level in ("stretches", "people"):
        assert found["gains"][level]["auroc"]["interval"][0] > 0
    assert compare(better, better, 0)["gains"]["people"]["auroc"] == {"value": 0.0, "interval": [0.0, 0.0]}


def test_figures_are_told_in_words(patients):
    results, worse = scored_folds(patients, 2.0), scored_folds(patients, 0.3)
    scores = summary(patients, results, 0)
    lines = figure_lines(scores)
    assert len(lines) == 9
    assert lines[1].startswith("AUROC: 0.")
    assert lines[1].endswith(" of people")
    strong = {"model": "<other>", "difference": compare(results, worse, 0)}
    strong |= {"accuracy": summary(patients, worse, 0)["accuracy"], "figures": summary(patients, worse, 0)["figures"]}
    metrics = {
        "description": "A toy",
        "note": "",
        "run": {"task": "toy", "model": "m", "window_s": 1.0, "seed": 0, "overridden": [], "settings": {}},
        "scores": scores,
        "trivial": trivial_baselines(patients, results, 0),
        "strong_baselines": [strong],
        "data": {"left_out": [], "too_short": {}, "incomplete_windows": 0},
        "unchecked": [],
    }
    metrics["run"] |= {"settings": {"split": "k-fold", "n_folds": 3}, "resolved": {"training": {}}}
    (gain,) = gain_lines(metrics)
    assert gain.startswith("gain over <other>, paired, of people: AUROC +0.")
    constants = constant_lines(metrics["trivial"])
    assert [line.split(" 0.")[0] for line in constants] == [
        "majority of the others, of stretches: accuracy",
        "prior of the others, of stretches: KL",
    ]
    page = report_html(metrics, results)
    for word in ("3 folds of subjects", "AUROC", "reliability of 12 people", "mean p of loud", "prior of the others"):
        assert word in page, word
    assert "<other>" not in page


def test_tuning_tells_the_figures_of_its_choices(patients, monkeypatch, capsys):
    results = scored_folds(patients, 2.0)
    scores, trivial = summary(patients, results, 0), trivial_baselines(patients, results, 0)
    tuned = {"scores": scores, "choices": [{"fold": "sub-01", "values": {"dropout": 0.25}}], "trivial": trivial}
    tuned |= {"run": {"resolved": {"training": {}}}, "unchecked": ["whether it rained"]}
    monkeypatch.setattr("offline.tune.tune", lambda *_: tuned)
    assert main(["tune", "--task", "toy", "--model", "eegnet", "--out", "out"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "without sub-01: dropout 0.25"
    lines = [*figure_lines(scores), *constant_lines(trivial)]
    assert said[1:-4] == lines
    assert said[-4].startswith("accuracy, nested: 0.")
    assert said[-3:] == [chance_line(trivial), "not checked: whether it rained", "report: out/report.html"]


def test_figures_that_are_not_there_are_a_dash():
    assert figure_text({"value": None, "interval": None}) == "–"
    assert figure_text({"value": 0.5, "interval": None}) == "0.500"
    assert figure_text({"value": 0.5, "interval": [0.25, 1.0]}, sign=True) == "+0.500 [+0.250, +1.000]"


@pytest.mark.parametrize(
    ("split", "words"),
    [("leave-one-out", "leave one subject out"), ("temporal", "each subject's later stretches")],
)
def test_splits_are_told_in_words(split, words):
    assert split_text({"split": split, "n_folds": 5}) == words


def test_repeats_are_averaged(patients):
    runs = [pooled(scored_folds(patients, 1.0, seed)) for seed in (0, 1)]
    single = [figure_levels([rows], patients.classes, 0)["people"]["auroc"]["value"] for rows in runs]
    assert figure_levels(runs, patients.classes, 0)["people"]["auroc"]["value"] == pytest.approx(np.mean(single))
