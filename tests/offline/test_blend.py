"""Blends: on the simplex, the best there is, and never judged on rows that had a say in them."""

from __future__ import annotations

import numpy as np
import pytest

from bci.decision import softmax
from bci.errors import SpecError
from offline.blend import Blend, cross_fitted, even, fit_blend
from offline.classification import divergences

N_ROWS, N_CLASSES = 600, 4


def problem(n_rows: int = N_ROWS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a good, a poor and a useless model, and the labels as distributions."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(N_CLASSES, n_rows, p=(0.4, 0.3, 0.2, 0.1))
    right = np.eye(N_CLASSES)[labels]
    logits = [strength * right + rng.standard_normal(right.shape) for strength in (1.2, 1.0, 0.0)]
    return np.stack([softmax(x, 1.0) for x in logits]), right


def loss(blend: Blend, probabilities: np.ndarray, targets: np.ndarray) -> float:
    return float(divergences(targets, blend(probabilities)).mean())


def test_the_fit_is_better_than_its_members_and_their_mean():
    probabilities, targets = problem()
    blend = fit_blend(probabilities, targets)
    assert min(blend.weights) >= 0
    assert sum(blend.weights) == pytest.approx(1)
    assert sum(blend.bias) == pytest.approx(0, abs=1e-9)
    assert blend.weights[0] > blend.weights[1] > blend.weights[2]
    assert blend.bias[0] > blend.bias[3], "frequent classes gain"
    alone = min(float(divergences(targets, p).mean()) for p in probabilities)
    assert loss(blend, probabilities, targets) < alone
    assert loss(blend, probabilities, targets) < loss(even(3, N_CLASSES), probabilities, targets)


def test_the_fit_is_a_minimum():
    """A step to any side costs, beyond what the prior is worth."""
    probabilities, targets = problem(20_000)
    blend = fit_blend(probabilities, targets)
    best = loss(blend, probabilities, targets)
    for i in range(N_CLASSES):
        for step in (-0.05, 0.05):
            bias = np.array(blend.bias)
            bias[i] += step
            assert loss(Blend(blend.weights, tuple(bias)), probabilities, targets) > best
    for step in (-0.05, 0.05):
        moved = (blend.weights[0] + step, blend.weights[1] - step, blend.weights[2])
        assert loss(Blend(moved, blend.bias), probabilities, targets) > best


def test_a_class_without_votes_gets_no_endless_bias():
    probabilities, targets = problem(12)
    targets = targets[:, [0, 1, 2, 3]]
    targets[:, 3] = 0
    targets[targets.sum(axis=1) == 0] = (1, 0, 0, 0)
    assert -3 < fit_blend(probabilities, targets).bias[3] < 0


def test_probabilities_of_zero_are_survived():
    probabilities, targets = problem(40)
    probabilities[0] = 1 - targets  # certain, and wrong
    probabilities[0] /= 3
    blend = fit_blend(probabilities, targets)
    assert np.isfinite(blend(probabilities)).all()
    assert blend.weights[0] < 0.2
    assert np.isfinite(divergences(np.eye(N_CLASSES)[[1]], np.eye(N_CLASSES)[[0]]))


def test_the_divergence_is_that_of_the_definition():
    target, p = np.array([[0.5, 0.5, 0.0]]), np.array([[0.25, 0.5, 0.25]])
    np.testing.assert_allclose(divergences(target, p), [0.5 * np.log(2)])
    np.testing.assert_allclose(divergences(np.eye(3)[[0]], p), [np.log(4)])


def test_a_row_has_no_say_in_its_own_prediction():
    probabilities, targets = problem(60)
    groups = [f"fold-{i % 3}" for i in range(60)]
    before = cross_fitted(probabilities, targets, groups)
    np.testing.assert_allclose(before.sum(axis=1), 1)
    changed = targets.copy()
    mine = np.arange(60) % 3 == 1
    changed[mine] = np.roll(targets[mine], 1, axis=1)
    after = cross_fitted(probabilities, changed, groups)
    np.testing.assert_array_equal(after[mine], before[mine])
    assert not np.allclose(after[~mine], before[~mine])


def test_what_cannot_be_blended():
    probabilities, targets = problem(6)
    with pytest.raises(SpecError, match=r"weights from 0 on that sum to 1, got weights \(0\.5, 0\.6\)"):
        Blend((0.5, 0.6), (0.0,))
    with pytest.raises(SpecError, match=r"The blend needs 2 models and 4 classes, got 3 and 4\. Fit it again"):
        even(2, 4)(probabilities)
    with pytest.raises(SpecError, match=r"at least one row and a target for each, got 6 rows and targets of shape \(5"):
        fit_blend(probabilities, targets[:5])
    with pytest.raises(SpecError, match=r"not fitted to: at least two are needed, got 1\. Use runs with more folds"):
        cross_fitted(probabilities, targets, ["all"] * 6)
