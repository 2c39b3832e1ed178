"""Each loss against its formula, written out with numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from bci.errors import SpecError
from offline.losses import VOTE_STEPS, LossSpec, distributions, vote_weights

RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((7, 4)) * 3
TARGET = RNG.dirichlet(np.full(4, 0.5), 7)
TARGET[0] = (0.0, 1.0, 0.0, 0.0)
P = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)


def losses(spec: LossSpec, logits=LOGITS, target=TARGET) -> np.ndarray:
    return spec(torch.from_numpy(logits), torch.from_numpy(target)).numpy()


def test_cross_entropy_is_its_formula():
    np.testing.assert_allclose(losses(LossSpec(label_smoothing=0.0)), -(TARGET * np.log(P)).sum(axis=1))
    smooth = 0.8 * TARGET + 0.2 / 4
    np.testing.assert_allclose(losses(LossSpec(label_smoothing=0.2)), -(smooth * np.log(P)).sum(axis=1))


def test_cross_entropy_of_labels_is_that_of_torch():
    labels = torch.tensor([0, 3, 1, 2, 2, 0, 1])
    expected = functional.cross_entropy(torch.from_numpy(LOGITS), labels, label_smoothing=0.05, reduction="none")
    np.testing.assert_allclose(losses(LossSpec(), target=np.eye(4)[labels]), expected.numpy())


def test_divergence_is_its_formula_and_zero_where_both_agree():
    terms = TARGET * np.log(np.where(TARGET > 0, TARGET, 1.0) / P)
    np.testing.assert_allclose(losses(LossSpec("kl", 0.0)), terms.sum(axis=1))
    np.testing.assert_allclose(losses(LossSpec("kl", 0.0), target=P), 0.0, atol=1e-12)


def test_focal_loss_is_its_formula_and_without_gamma_the_cross_entropy():
    expected = -(TARGET * (1 - P) ** 2 * np.log(P)).sum(axis=1)
    np.testing.assert_allclose(losses(LossSpec("focal", 0.0, 2.0)), expected)
    np.testing.assert_allclose(losses(LossSpec("focal", 0.1, 0.0)), losses(LossSpec("cross_entropy", 0.1)))


def test_half_precision_logits_are_computed_in_single():
    half = torch.tensor([[12.0, -12.0]], dtype=torch.float16)
    loss = LossSpec("kl", 0.0)(half, torch.tensor([[0.0, 1.0]]))
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(24.0, abs=1e-4)


@pytest.mark.parametrize("setting", [{"label_smoothing": 1.0}, {"label_smoothing": -0.1}, {"focal_gamma": -1.0}])
def test_numbers_out_of_range_are_refused(setting):
    with pytest.raises(SpecError, match="label_smoothing from 0 to below 1 and focal_gamma of at least 0"):
        LossSpec(**setting)


def test_votes_become_distributions_and_labels_stand_in_for_none():
    votes = np.array([[3.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    found = distributions(np.array([0, 2]), votes, 3)
    np.testing.assert_allclose(found, [[0.75, 0.25, 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(distributions(np.array([1]), None, 3), [[0.0, 1.0, 0.0]])


def test_votes_weigh_as_the_rule_says():
    votes = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [4.0, 4.0], [5.0, 4.0]])
    np.testing.assert_allclose(vote_weights(votes, 5, "count"), [0, 2, 3, 8, 9])
    np.testing.assert_allclose(vote_weights(votes, 5, "steps"), [0.3, 0.3, 0.5, 0.5, 1.0])
    np.testing.assert_allclose(vote_weights(None, 5, "none"), 1.0)
    assert VOTE_STEPS[0][0] == 0, "every count has a weight"
    with pytest.raises(SpecError, match="'count' need votes, the stretches have labels only"):
        vote_weights(None, 5, "count")
