"""The closed fit, where scikit-learn's shapes differ."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bci.errors import SpecError
from models.band_features import band_power, tangent_correlation
from models.riemann import TangentCcaClassifier
from offline.baseline import fit_baseline
from offline.training_loop import logits_of
from offline.windows import SessionWindows, WindowSet


def windows(labels, votes=None) -> WindowSet:
    """Return noise of 1 s for each label, with a wave of 13 Hz in that of label 1."""
    rng = np.random.default_rng(0)
    wave = 3 * np.sin(2 * np.pi * 13 * np.arange(256) / 256)
    data = np.concatenate([rng.normal(size=(4, 256)) + (label == 1) * wave for label in labels], axis=1)
    first = 256 * np.arange(len(labels))
    session = SessionWindows(data.astype(np.float32), first, first, np.array(labels), votes=votes)
    return WindowSet([session], 256)


def network(n_classes: int) -> TangentCcaClassifier:
    return TangentCcaClassifier(4, 1, 256, 256.0, n_classes, (13.0, 21.0))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_two_classes_are_told_apart(n_classes):
    """Also where a model of three has met only two: the third is never said."""
    model, train = network(n_classes), windows([0, 1] * 12)
    fit_baseline(model, train)
    logits = logits_of(model, train.batches(train.scored))
    np.testing.assert_array_equal(logits.argmax(axis=1), train.labels)
    assert torch.equal(model.head.weight[0], torch.zeros_like(model.head.weight[0]))


def test_one_class_is_refused():
    with pytest.raises(SpecError, match=r"at least two classes, got class 1 only\. Add recordings"):
        fit_baseline(network(2), windows([1, 1, 1]))


@pytest.mark.parametrize("builder", [band_power, tangent_correlation])
def test_regressions_on_band_features_are_fitted(builder):
    model, train = builder(4, 256, 256.0, 2, 1), windows([0, 1] * 12)
    fit_baseline(model, train)
    logits = logits_of(model, train.batches(train.scored))
    np.testing.assert_array_equal(logits.argmax(axis=1), train.labels)
    windows_of_all = torch.from_numpy(next(train.batches(train.scored, len(train))))
    scaled = (model.features(windows_of_all) - model.feature_mean) / model.feature_scale
    np.testing.assert_allclose(scaled.std(dim=0, correction=0), 1.0)


def test_votes_are_learnt_by_their_shares():
    """Of noise that says nothing, each class is expected as often as it was voted for."""
    model, train = band_power(4, 256, 256.0, 3, 1), windows([0] * 36, np.tile([3.0, 1.0, 0.0], (36, 1)))
    fit_baseline(model, train)
    expected = torch.softmax(torch.from_numpy(logits_of(model, train.batches(train.scored))), dim=1).mean(dim=0)
    torch.testing.assert_close(expected, torch.tensor([0.75, 0.25, 0.0], dtype=torch.float64), atol=1e-3, rtol=0)


def test_balanced_classes_count_alike():
    """Of noise that says nothing, the rare class is expected as often as the other."""
    mean = {}
    for balance in ("none", "classes"):
        model, train = band_power(4, 256, 256.0, 2, 1), windows([0] * 36)
        train.labels[:] = np.resize([0, 0, 0, 0, 0, 1], 36)
        fit_baseline(model, train, balance)
        mean[balance] = torch.softmax(torch.from_numpy(logits_of(model, train.batches(train.scored))), 1)[:, 1].mean()
    assert mean["none"] == pytest.approx(1 / 6, abs=0.01)
    assert mean["classes"] == pytest.approx(1 / 2, abs=0.05)
