"""The closed fits of the classical baselines: logistic regressions on fixed features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from pyriemann.tangentspace import TangentSpace
from sklearn.linear_model import LogisticRegression

from bci.errors import SpecError
from models.riemann import TangentCcaClassifier
from offline.choices import Balance
from offline.losses import distributions
from offline.windows import WindowSet

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.closed_form import ClosedForm

TANGENT_WEIGHT = 0.1
"""Spread of the tangent block beside 1 for the correlations: 300 tangent numbers carry less than 12 correlations."""
INVERSE_PENALTY = 1.0
"""For blocks that are scaled as a whole."""
BAND_INVERSE_PENALTY = 1.12
"""For features that each have the spread 1: divided by the number of windows, so that it is a share of the mean loss.

Hundreds of features stand against few people, whose windows are alike: 1e-3 of a sum over 1120 windows.
"""


def fit_baseline(network: nn.Module, train: WindowSet, balance: Balance = "none") -> None:
    """Fit a network that is a regression on fixed features, in place, to the scored window of every stretch.

    A `models.riemann.TangentCcaClassifier` gets the Riemannian mean of the training covariances as reference; each
    block of its features (tangent vectors, correlations) is scaled as a whole, so that the many tangent vectors do not
    drown the few correlations. Features of others are scaled one by one. A stretch with votes counts for each class by
    its share of them.

    Parameters
    ----------
    network : nn.Module
        Fresh classifier, a `models.closed_form.ClosedForm`; ends in evaluation mode.
    train : WindowSet
        The training split.
    balance : {"none", "classes"}, default="none"
        Whether classes count alike, however many windows they have.

    Raises
    ------
    SpecError
        If it holds one class only.
    """
    model = cast("ClosedForm", network.eval())
    shares = distributions(train.labels, train.votes, len(model.head.bias))
    rows, labels = np.nonzero(shares)
    found = np.unique(labels)
    if len(found) < 2:
        raise SpecError(
            f"A classifier needs stretches of at least two classes, got class {found[0]} only. "
            "Add recordings of the others."
        )
    with torch.no_grad():
        if isinstance(network, TangentCcaClassifier):
            _load_reference(network, train)
        features = torch.cat([model.features(part) for part in _windows(train)]).numpy()
    mean = features.mean(axis=0)
    scale = _scale(network, features)
    penalty = INVERSE_PENALTY if isinstance(network, TangentCcaClassifier) else BAND_INVERSE_PENALTY / len(train)
    regression = LogisticRegression(C=penalty, max_iter=2000, class_weight="balanced" if balance == "classes" else None)
    regression.fit(((features - mean) / scale)[rows], labels, sample_weight=shares[rows, labels])
    coef, intercept = np.zeros(model.head.weight.shape), np.full(len(model.head.bias), -1e3)
    slopes, constants = regression.coef_, regression.intercept_
    if len(found) == 2:  # one row then: the log odds of the second class
        slopes = np.concatenate([np.zeros_like(slopes), slopes])
        constants = np.concatenate([np.zeros_like(constants), constants])
    coef[found], intercept[found] = slopes, constants
    model.load_classifier(coef, intercept, mean, scale)


def _load_reference(model: TangentCcaClassifier, train: WindowSet) -> None:
    if len(model.whitening):
        covariances = torch.cat([model.covariances(part) for part in _windows(train)]).numpy()
        model.load_reference(TangentSpace(metric="riemann").fit(covariances).reference_)


def _scale(network: nn.Module, features: np.ndarray) -> np.ndarray:
    """Return what the features are divided by."""
    spread = features.std(axis=0)
    if not isinstance(network, TangentCcaClassifier):
        return np.where(spread > 0, spread, 1.0)
    scale = np.empty(len(spread))
    n_tangent = len(network.whitening) * (len(network.whitening) + 1) // 2
    for block, weight in ((slice(0, n_tangent), TANGENT_WEIGHT), (slice(n_tangent, None), 1.0)):
        scale[block] = np.sqrt((spread[block] ** 2).sum()) / weight
    return scale


def _windows(train: WindowSet) -> Iterator[Tensor]:
    """Yield the scored windows in parts."""
    return map(torch.from_numpy, train.batches(train.scored))
