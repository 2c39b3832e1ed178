"""Figures against scikit-learn, for plain and for weighted windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from offline import classification as of

N, N_CLASSES = 60, 3


@pytest.fixture(params=[0, 1], ids=["distinct", "tied"])
def made(request):
    """Labels, probabilities (with ties or without), and weightings, the first of which is plain."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, N_CLASSES, N)
    chances = rng.dirichlet(np.ones(N_CLASSES), N) + 0.5 * np.eye(N_CLASSES)[labels]
    if request.param:
        chances = np.round(chances, 1) + 0.05
    chances /= chances.sum(axis=1, keepdims=True)
    weights = rng.integers(0, 4, (5, N)).astype(float)
    weights[0] = 1.0
    return labels, chances, weights


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(of.auroc, metrics.roc_auc_score), (of.average_precision, metrics.average_precision_score)],
    ids=["auroc", "average precision"],
)
def test_areas_are_those_of_sklearn(made, ours, theirs):
    labels, chances, weights = made
    for i in range(N_CLASSES):
        expected = [theirs(labels == i, chances[:, i], sample_weight=w) for w in weights]
        np.testing.assert_allclose(ours(chances[:, i], labels == i, weights), expected, rtol=1e-12)


def test_figures_of_the_most_probable_class_are_those_of_sklearn(made):
    labels, chances, weights = made
    said = chances.argmax(axis=1)
    balanced = [metrics.balanced_accuracy_score(labels, said, sample_weight=w) for w in weights]
    f1 = [metrics.f1_score(labels, said, sample_weight=w, average="macro") for w in weights]
    right = [metrics.accuracy_score(labels, said, sample_weight=w) for w in weights]
    np.testing.assert_allclose(of.balanced_accuracy(labels, said, N_CLASSES, weights), balanced, rtol=1e-12)
    np.testing.assert_allclose(of.macro_f1(labels, said, N_CLASSES, weights), f1, rtol=1e-12)
    np.testing.assert_allclose(of.accuracy(labels, said, weights), right, rtol=1e-12)


def test_a_class_that_nowhere_occurs_does_not_count():
    labels, said = np.array([0, 0, 1]), np.array([0, 1, 1])
    plain = np.ones((1, 3))
    assert of.balanced_accuracy(labels, said, 5, plain) == pytest.approx(0.75)
    assert of.macro_f1(labels, said, 5, plain) == pytest.approx(metrics.f1_score(labels, said, average="macro"))


def test_divergence_of_labels_is_the_log_loss(made):
    labels, chances, weights = made
    expected = [metrics.log_loss(labels, chances, sample_weight=w) for w in weights]
    np.testing.assert_allclose(of.divergence(np.eye(N_CLASSES)[labels], chances, weights), expected, rtol=1e-12)


def test_divergence_of_votes_is_zero_where_they_agree():
    targets = np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    np.testing.assert_allclose(of.divergence(targets, targets, np.ones((1, 2))), 0.0, atol=1e-15)
    uniform = np.full((2, 3), 1 / 3)
    expected = (np.log(3 / 2) + np.log(3) + 0.2 * np.log(0.2) + 0.3 * np.log(0.3) + 0.5 * np.log(0.5)) / 2
    np.testing.assert_allclose(of.divergence(targets, uniform, np.ones((1, 2))), expected, rtol=1e-12)


def test_calibration_error_by_hand():
    """Confidences .95, .95, .95, .95 with three right, and .55 with one right: 4/5 of .2 and 1/5 of .45."""
    high = np.array([0.95] * 4 + [0.55])
    labels = np.array([0, 0, 0, 1, 0])
    chances = np.stack([high, 1 - high], axis=1)
    assert of.calibration_error(labels, chances, np.ones((1, 5))) == pytest.approx(0.8 * 0.2 + 0.2 * 0.45)
    assert of.reliability(labels, chances) == [
        {"n": 1, "confidence": pytest.approx(0.55), "accuracy": 1.0},
        {"n": 4, "confidence": pytest.approx(0.95), "accuracy": 0.75},
    ]


def test_certainty_falls_into_the_last_bin():
    chances = np.array([[1.0, 0.0]])
    assert of.reliability(np.array([0]), chances) == [{"n": 1, "confidence": 1.0, "accuracy": 1.0}]


def test_what_a_draw_does_not_have_is_nan():
    scores, positive = np.array([0.1, 0.9]), np.array([False, True])
    weights = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    np.testing.assert_array_equal(of.auroc(scores, positive, weights), [1.0, np.nan, np.nan])
    np.testing.assert_array_equal(of.average_precision(scores, positive, weights), [1.0, np.nan, np.nan])
    np.testing.assert_array_equal(of.mean_of_defined(np.array([[1.0, np.nan], [3.0, np.nan]])), [2.0, np.nan])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(1, 4)), min_size=1, max_size=12))
def test_a_weight_is_a_number_of_copies(rows):
    scores, positive, times = (np.array(column) for column in zip(*rows, strict=True))
    copied = np.repeat(scores, times).astype(float), np.repeat(positive, times), np.ones((1, times.sum()))
    weighted = scores.astype(float), positive, times[None].astype(float)
    for figure in (of.auroc, of.average_precision):
        np.testing.assert_allclose(figure(*weighted), figure(*copied), rtol=1e-12)
