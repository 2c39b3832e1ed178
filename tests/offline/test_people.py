"""Predictions pooled over folds, one for each person, and intervals that draw people and not windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bci.decision import softmax
from offline.fold import FoldResult, Scored
from offline.people import FIGURES, Predictions, by_person, figures, gains, mean_figure, n_draws, pooled
from offline.splits import Split

CLASSES = ("ill", "well")


def people(n_people: int, n_each: int, strength: float, spread: float, seed: int = 0) -> Predictions:
    """Return predictions of people with one label each, whose rows share what is wrong about a person."""
    rng = np.random.default_rng(seed)
    subjects = np.repeat([f"sub-{i:03d}" for i in range(n_people)], n_each)
    labels = np.repeat(np.arange(n_people) % 2, n_each)
    own = np.repeat(rng.standard_normal(n_people) * spread, n_each)
    evidence = strength * (2 * labels - 1) + own + rng.standard_normal(len(labels))
    chances = softmax(np.stack([-evidence / 2, evidence / 2], axis=1), 1.0)
    places = tuple((name, i % n_each) for i, name in enumerate(subjects))
    return Predictions(tuple(subjects.tolist()), places, labels, np.eye(2)[labels], chances)


def fold(name: str, temperature: float, logits) -> FoldResult:
    scored = tuple(Scored(name, f"{name}_run", 10 * i, (1.0, 0.0)) for i in range(len(logits)))
    predicted = tuple(int(np.argmax(row)) for row in logits)
    labels = (0,) * len(logits)
    return FoldResult(Split(("x",), (), (name,)), 0, (), labels, predicted, tuple(logits), temperature, 0.0, 0, scored)


def test_folds_are_pooled_with_their_own_temperatures_in_one_order():
    first, second = fold("b", 2.0, [(2.0, 0.0), (0.0, 4.0)]), fold("a", 1.0, [(1.0, 0.0)])
    rows = pooled([first, second])
    assert rows.subjects == ("a", "b", "b")
    assert rows.places == (("a_run", 0), ("b_run", 0), ("b_run", 10))
    np.testing.assert_allclose(rows.probabilities, softmax(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]]), 1.0))
    given = pooled([first, second], [np.array([[0.3, 0.7], [0.4, 0.6]]), np.array([[0.9, 0.1]])])
    np.testing.assert_allclose(given.probabilities[:, 0], [0.9, 0.3, 0.4])


def test_people_with_one_label_get_one_prediction():
    rows = people(20, 5, 0.5, 1.0)
    each = by_person(rows)
    means = rows.probabilities.reshape(20, 5, 2).mean(axis=1)
    np.testing.assert_allclose(each.probabilities, means)
    np.testing.assert_array_equal(each.labels, np.arange(20) % 2)
    found = figures([each], CLASSES, 0)
    assert found["auroc"]["value"] == pytest.approx(roc_auc_score(each.labels, means[:, 1]))
    assert found["n"] == 20
    assert found["classes"]["well"]["n"] == 10


def test_people_with_several_labels_or_all_the_same_get_none():
    rows = people(4, 4, 1.0, 0.0)
    assert by_person(replace(rows, labels=np.arange(16) % 2)) is None
    assert by_person(replace(rows, labels=np.zeros(16, dtype=np.int64))) is None
    assert by_person(people(4, 1, 1.0, 0.0)) is None, "one row each"


def test_every_figure_has_a_value_inside_its_interval():
    found = figures([people(30, 4, 0.7, 0.5)], CLASSES, 0)
    for name in FIGURES:
        low, high = found[name]["interval"]
        assert low <= found[name]["value"] <= high or name == "ece", name  # resampling adds to an error of calibration
    assert found["kl"] == found["log_loss"], "of labels"
    assert sum(part["n"] for part in found["reliability"]) == 120


def test_intervals_draw_people_and_not_rows():
    """Rows that repeat a person add no knowledge; the plain bootstrap over rows would halve the interval."""

    def width(rows):
        low, high = figures([rows], CLASSES, 0)["balanced_accuracy"]["interval"]
        return high - low

    single = people(40, 1, 0.5, 1.0)
    copied = Predictions(
        *(tuple(np.repeat(single.subjects, 4)), tuple((f"{i}", i) for i in range(160))),
        *(np.repeat(x, 4, axis=0) for x in (single.labels, single.targets, single.probabilities)),
    )
    assert width(copied) == pytest.approx(width(single), rel=1e-9)


def test_the_interval_is_that_of_resampled_people():
    """Against a bootstrap that copies rows, with scikit-learn's AUROC."""
    rows = people(16, 3, 0.6, 1.0)
    rng = np.random.default_rng(5)
    areas = []
    while len(areas) < 400:
        drawn = np.concatenate([3 * i + np.arange(3) for i in rng.integers(0, 16, 16)])
        if len(set(rows.labels[drawn])) == 2:
            areas.append(roc_auc_score(rows.labels[drawn], rows.probabilities[drawn, 1]))
    expected = np.quantile(areas, [0.025, 0.975])
    np.testing.assert_allclose(figures([rows], CLASSES, 0)["auroc"]["interval"], expected, atol=0.03)


def test_a_seed_repeats_the_interval():
    rows = people(12, 2, 0.5, 1.0)
    assert figures([rows], CLASSES, 1) == figures([rows], CLASSES, 1)
    assert figures([rows], CLASSES, 1) != figures([rows], CLASSES, 2)


def test_one_person_has_figures_without_intervals():
    found = figures([replace(people(1, 6, 0.5, 1.0), labels=np.array([0, 1] * 3))], CLASSES, 0)
    assert found["auroc"]["value"] is not None
    assert found["auroc"]["interval"] is None


def test_a_figure_that_does_not_exist_is_none():
    one = replace(people(4, 2, 0.5, 1.0), labels=np.zeros(8, dtype=np.int64))
    assert figures([one], CLASSES, 0)["auroc"] == {"value": None, "interval": None}


def test_gains_are_paired_and_repeats_are_averaged():
    """Two runs err on the same people: their difference is known far better than either."""
    base = people(40, 4, 0.6, 2.0)
    sharper = replace(base, probabilities=base.probabilities * 0.98 + 0.02 * base.targets)
    same = gains([base], [base], 0, ("auroc", "balanced_accuracy"))
    assert same["auroc"] == {"value": 0.0, "interval": [0.0, 0.0]}
    gain = gains([sharper], [base], 0, ("auroc",))["auroc"]
    alone = figures([base], CLASSES, 0)["auroc"]["interval"]
    assert gain["interval"][0] > 0
    assert gain["interval"][1] - gain["interval"][0] < (alone[1] - alone[0]) / 3
    mean = figures([base, sharper], CLASSES, 0)["auroc"]["value"]
    both = [figures([rows], CLASSES, 0)["auroc"]["value"] for rows in (base, sharper)]
    assert mean == pytest.approx(np.mean(both))


def test_a_mean_of_rows_is_drawn_as_figures_are():
    rows = people(10, 3, 0.5, 1.0)
    hits = (rows.probabilities.argmax(axis=1) == rows.labels).astype(float)
    found, wanted = mean_figure(hits, rows.subjects, 0), figures([rows], CLASSES, 0)["accuracy"]
    assert [found["value"], *found["interval"]] == pytest.approx([wanted["value"], *wanted["interval"]])
    assert mean_figure(hits[:3], rows.subjects[:3], 0)["interval"] is None, "one person"


def test_parts_of_the_resamples_do_not_change_them(monkeypatch):
    rows = people(10, 3, 0.5, 1.0)
    whole = figures([rows], CLASSES, 0)
    monkeypatch.setattr("offline.people._NUMBERS_AT_ONCE", 30 * 333)
    assert figures([rows], CLASSES, 0) == whole


def test_very_many_rows_get_fewer_resamples(monkeypatch):
    rows = people(10, 3, 0.5, 1.0)
    assert n_draws(30) == 2000
    monkeypatch.setattr("offline.people._NUMBERS_IN_ALL", 30 * 700)
    assert n_draws(30) == 700
    monkeypatch.setattr("offline.people._NUMBERS_IN_ALL", 30)
    assert n_draws(30) == 200
    low, high = figures([rows], CLASSES, 0)["auroc"]["interval"]
    assert low < high
