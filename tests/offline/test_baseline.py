"""The closed fit, where scikit-learn's shapes differ."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bci.errors import SpecError
from models.riemann import TangentCcaClassifier
from offline.baseline import fit_baseline
from offline.training_loop import logits_of
from offline.windows import SessionWindows, WindowSet


def windows(labels) -> WindowSet:
    """Return noise of 1 s for each label, with a wave of 13 Hz in that of label 1."""
    rng = np.random.default_rng(0)
    wave = 3 * np.sin(2 * np.pi * 13 * np.arange(256) / 256)
    data = np.concatenate([rng.normal(size=(4, 256)) + (label == 1) * wave for label in labels], axis=1)
    first = 256 * np.arange(len(labels))
    return WindowSet([SessionWindows(data.astype(np.float32), first, first, np.array(labels))], 256)


def network(n_classes: int) -> TangentCcaClassifier:
    return TangentCcaClassifier(4, 1, 256, 256.0, n_classes, (13.0, 21.0))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_two_classes_are_told_apart(n_classes):
    """Also where a model of three has met only two: the third is never said."""
    model, train = network(n_classes), windows([0, 1] * 12)
    fit_baseline(model, train)
    logits = logits_of(model, train.scored_windows())
    np.testing.assert_array_equal(logits.argmax(axis=1), train.labels)
    assert torch.equal(model.head.weight[0], torch.zeros_like(model.head.weight[0]))


def test_one_class_is_refused():
    with pytest.raises(SpecError, match=r"at least two classes, got class 1 only\. Add recordings"):
        fit_baseline(network(2), windows([1, 1, 1]))
