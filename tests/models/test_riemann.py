"""The classical classifier against pyriemann, scikit-learn and a CCA written out here."""

import numpy as np
import pytest
import torch
from pyriemann.geometry.mean import mean_riemann
from pyriemann.geometry.tangentspace import tangent_space
from scipy.linalg import subspace_angles
from sklearn.covariance import oas
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from models.registry import ModelSpec, build
from models.riemann import TangentCcaClassifier

FREQS = (13.0, 21.0, 17.0)
SIZES = {"n_channels": 4, "n_bands": 3, "n_times": 256, "sfreq": 256.0, "n_classes": 4, "freqs": FREQS}


@pytest.fixture
def windows():
    """Correlated noise with a 13 Hz response in half of the windows, in µV."""
    rng = np.random.default_rng(0)
    x = np.einsum("ij,bjt->bit", rng.normal(size=(12, 12)), rng.normal(size=(40, 12, 256)))
    x[::2] += 2 * np.sin(2 * np.pi * 13 * np.arange(256) / 256)
    return 10 * x


def test_tangent_vectors_are_those_of_pyriemann(windows):
    model = TangentCcaClassifier(**SIZES, cca_bands=())
    covariances = np.stack([oas(window.T)[0] for window in windows])
    np.testing.assert_allclose(model.covariances(torch.from_numpy(windows)), covariances, rtol=1e-10)
    reference = mean_riemann(covariances)
    model.load_reference(reference)
    expected = tangent_space(covariances, reference)
    np.testing.assert_allclose(model.features(torch.from_numpy(windows)), expected, rtol=1e-6, atol=1e-6)


def reference_score(rows, hz):
    """Return the squared cosine of the smallest angle between signals and references."""
    phase = 2 * np.pi * hz * np.arange(256) / 256
    waves = np.stack([f(h * phase) for h in (1, 2, 3) for f in (np.sin, np.cos)])
    centred = rows - rows.mean(axis=-1, keepdims=True)
    return np.cos(subspace_angles(centred.T, (waves - waves.mean(axis=-1, keepdims=True)).T).min()) ** 2


def test_scores_are_canonical_correlations(windows):
    model = TangentCcaClassifier(**SIZES, tangent_bands=(), cca_bands=(0, 2))
    expected = [
        [reference_score(window[band * 4 : band * 4 + 4], hz) for band in (0, 2) for hz in FREQS] for window in windows
    ]
    scores = model.features(torch.from_numpy(windows)).numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    assert (scores[::2, :3].argmax(axis=1) == 0).mean() > 0.9


def test_average_reference_keeps_scores(windows):
    """A direction without signal must not correlate by its rounding error."""
    rows = windows[:, :4] - windows[:, :4].mean(axis=1, keepdims=True)
    model = TangentCcaClassifier(**SIZES | {"n_bands": 1}, tangent_bands=())
    reduced = TangentCcaClassifier(**SIZES | {"n_bands": 1, "n_channels": 3}, tangent_bands=())
    full, three = model.features(torch.from_numpy(rows)), reduced.features(torch.from_numpy(rows[:, :3].copy()))
    torch.testing.assert_close(full, three, rtol=1e-6, atol=1e-6)


def test_fitted_model_gives_the_probabilities_of_the_offline_fit(windows):
    """Reference, scaling and coefficients set from scikit-learn; served in float32."""
    model = TangentCcaClassifier(**SIZES)
    x = torch.from_numpy(windows)
    model.load_reference(mean_riemann(model.covariances(x).numpy()))
    features = model.features(x).numpy()
    scaler = StandardScaler().fit(features)
    labels = np.arange(40) % 4
    fit = LogisticRegression(max_iter=1000).fit(scaler.transform(features), labels)
    model.load_classifier(fit.coef_, fit.intercept_, scaler.mean_, scaler.scale_)
    probabilities = torch.softmax(model(x.float()), dim=1).detach().numpy()
    np.testing.assert_allclose(probabilities, fit.predict_proba(scaler.transform(features)), rtol=0, atol=1e-4)


def test_flat_windows_give_finite_features():
    model = TangentCcaClassifier(**SIZES)
    assert torch.isfinite(model.features(torch.zeros(1, 12, 256))).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tangent_bands": (), "cca_bands": ()}, "needs bands for at least one part"),
        ({"cca_bands": (0, 3)}, r"Bands must be 0 to 2 \(n_bands=3\), got \[3\]"),
        ({"n_harmonics": 7}, r"7 harmonics stay below 128 Hz \(Nyquist\), got freqs=\(13.0, 21.0, 17.0\)"),
    ],
)
def test_wrong_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        TangentCcaClassifier(**SIZES | change)


def test_rows_that_do_not_divide_by_bands_are_refused():
    with pytest.raises(ValueError, match=r"in n_bands equal groups, got 8 rows and n_bands=3"):
        build(ModelSpec("tangent_cca", SIZES | {"n_channels": 8}))


def test_wrong_fits_are_refused():
    model = TangentCcaClassifier(**SIZES, cca_bands=())
    with pytest.raises(ValueError, match=r"reference must have shape \(12, 12\), got \(4, 4\)"):
        model.load_reference(np.eye(4))
    with pytest.raises(ValueError, match=r"must be positive definite, got smallest eigenvalue 0\. Leave out"):
        model.load_reference(np.zeros((12, 12)))
    with pytest.raises(ValueError, match=r"coef must have shape \(4, 78\), got \(1, 78\)"):
        model.load_classifier(np.zeros((1, 78)), np.zeros(4), np.zeros(78), np.ones(78))
