"""The closed fit of the classical baseline: a mean covariance and a logistic regression."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from pyriemann.tangentspace import TangentSpace
from sklearn.linear_model import LogisticRegression

from bci.errors import SpecError
from offline.windows import WindowSet

if TYPE_CHECKING:
    from torch import nn

    from models.riemann import TangentCcaClassifier

TANGENT_WEIGHT = 0.1
"""Spread of the tangent block beside 1 for the correlations: 300 tangent numbers carry less than 12 correlations."""
INVERSE_PENALTY = 1.0
BATCH = 64


def fit_baseline(network: nn.Module, train: WindowSet) -> None:
    """Fit a `models.riemann.TangentCcaClassifier` in place to the earliest window of every stretch.

    The reference is the Riemannian mean of the training covariances. Each block of features (tangent vectors,
    correlations) is scaled as a whole, so that the many tangent vectors do not drown the few correlations.

    Parameters
    ----------
    network : nn.Module
        Fresh classifier; ends in evaluation mode.
    train : WindowSet
        The training split.

    Raises
    ------
    SpecError
        If it holds one class only.
    """
    found = np.unique(train.labels)
    if len(found) < 2:
        raise SpecError(
            f"A classifier needs stretches of at least two classes, got class {found[0]} only. "
            "Add recordings of the others."
        )
    model = cast("TangentCcaClassifier", network).eval()
    windows = [torch.from_numpy(part) for part in _parts(train.scored_windows())]
    n_tangent = len(model.whitening) * (len(model.whitening) + 1) // 2
    with torch.no_grad():
        if n_tangent:
            covariances = torch.cat([model.covariances(part) for part in windows]).numpy()
            model.load_reference(TangentSpace(metric="riemann").fit(covariances).reference_)
        features = torch.cat([model.features(part) for part in windows]).numpy()
    mean = features.mean(axis=0)
    scale = np.empty(features.shape[1])
    for block, weight in ((slice(0, n_tangent), TANGENT_WEIGHT), (slice(n_tangent, None), 1.0)):
        scale[block] = np.sqrt(features[:, block].var(axis=0).sum()) / weight
    regression = LogisticRegression(C=INVERSE_PENALTY, max_iter=2000)
    regression.fit((features - mean) / scale, train.labels)
    coef, intercept = np.zeros(model.head.weight.shape), np.full(len(model.head.bias), -1e3)
    rows, constants = regression.coef_, regression.intercept_
    if len(found) == 2:  # one row then: the log odds of the second class
        rows = np.concatenate([np.zeros_like(rows), rows])
        constants = np.concatenate([np.zeros_like(constants), constants])
    coef[found], intercept[found] = rows, constants
    model.load_classifier(coef, intercept, mean, scale)


def _parts(windows: np.ndarray) -> list[np.ndarray]:
    return [windows[i : i + BATCH] for i in range(0, len(windows), BATCH)]
