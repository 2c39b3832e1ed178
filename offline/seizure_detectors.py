"""Detectors that a network has to beat: line length, and logistic regressions on band powers and on tangent vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bci.pipeline import PipelineSpec, window_starts
from offline.datasets.simulated import Labelling, PatientFeatures, labelled_windows, log_mel, window_bounds
from offline.seizure_alarm import Track

BANDS_HZ = ((0.5, 4.0), (4.0, 8.0), (8.0, 13.0), (13.0, 30.0), (30.0, 40.0))
JOINS: dict[str, Callable[..., np.ndarray]] = {"mean": np.mean, "median": np.median, "max": np.max}
INVERSE_PENALTY = 0.1
SHRINKAGE = 0.1
"""Share of the identity in correlations."""
SMALLEST = 1e-12
"""Power below which a channel is flat, in µV²; it correlates with none."""


class LineLengthDetector:
    """Line length of each window against the median of the recording, joined over channels.

    The median is taken over the whole recording, later samples included: what no live detector has, in its favour.

    Parameters
    ----------
    pipeline : PipelineSpec
        Gives the windows.
    """

    def __init__(self, pipeline: PipelineSpec) -> None:
        self._pipeline = pipeline
        self.join = "mean"
        self._centre, self._spread = 0.0, 1.0

    def fit(self, patients: Sequence[PatientFeatures], labelling: Labelling) -> None:
        """Choose how channels are joined by the area under the ROC curve over the windows of some patients."""
        labels = np.concatenate([every_label(self._pipeline, p, labelling) for p in patients])
        areas = {}
        for join in JOINS:
            score = np.concatenate([self._score(p, join) for p in patients])
            areas[join] = roc_auc_score(labels[labels >= 0], score[labels >= 0])
        self.join = max(areas, key=lambda join: areas[join])
        score = np.concatenate([self._score(p, self.join) for p in patients])
        self._centre, self._spread = float(score.mean()), float(score.std())

    def track(self, patient: PatientFeatures) -> Track:
        """Return the detector's output over a recording."""
        score = (self._score(patient, self.join) - self._centre) / self._spread
        return track(self._pipeline, patient, np.stack([np.zeros(len(score)), score], axis=1))

    def _score(self, patient: PatientFeatures, join: str) -> np.ndarray:
        length = _window_means(np.asarray(patient.line_length), self._pipeline)
        relative = length / np.median(length, axis=1, keepdims=True)
        return np.log(JOINS[join](relative, axis=0))


class RegressionDetector(ABC):
    """Logistic regression on features of each window, every one scaled by its spread.

    Parameters
    ----------
    pipeline : PipelineSpec
        Gives the windows.
    """

    def __init__(self, pipeline: PipelineSpec) -> None:
        self._pipeline = pipeline
        self._model = make_pipeline(StandardScaler(), LogisticRegression(C=INVERSE_PENALTY, max_iter=2000))

    @abstractmethod
    def features(self, patient: PatientFeatures) -> np.ndarray:
        """Return what the regression reads of every window of a recording, (n_windows, n_features)."""

    def fit(self, patients: Sequence[PatientFeatures], labelling: Labelling) -> None:
        """Learn from every window of some patients that has a class; both classes weigh the same."""
        every = [every_label(self._pipeline, p, labelling) for p in patients]
        rows = np.concatenate([self.features(p)[found >= 0] for p, found in zip(patients, every, strict=True)])
        labels = np.concatenate([found[found >= 0] for found in every])
        weight = 1.0 / np.bincount(labels)[labels]
        self._model.fit(rows, labels, logisticregression__sample_weight=weight * len(labels) / 2)

    def track(self, patient: PatientFeatures) -> Track:
        """Return the detector's output over a recording."""
        logit = self._model.decision_function(self.features(patient))
        return track(self._pipeline, patient, np.stack([np.zeros(len(logit)), logit], axis=1))


class BandPowerDetector(RegressionDetector):
    """Logistic regression on the mean log power of five bands at each electrode."""

    def features(self, patient: PatientFeatures) -> np.ndarray:
        """Return mean log powers in dB, band by band, (n_windows, 5 * n_channels)."""
        centres_hz = log_mel(self._pipeline).centres_hz
        bands = [
            np.asarray(patient.data[:, (low_hz <= centres_hz) & (centres_hz < high_hz)]).mean(axis=1)
            for low_hz, high_hz in BANDS_HZ
        ]
        return _window_means(np.concatenate(bands), self._pipeline).T


class TangentDetector(RegressionDetector):
    """Logistic regression on the matrix logarithm of the correlations between electrodes.

    The correlations are those of the filtered signal over the window, with less weight for what only the first and the
    last frames hold, and shrunk as in `models.band_features.tangent_correlation`: the average reference leaves one
    direction without power. Amplitudes do not enter.

    References
    ----------
    Barachant et al. (2012), doi:10.1109/TBME.2011.2172210 (tangent space). Arsigny et al. (2006),
    doi:10.1002/mrm.20965 (log-Euclidean metric).
    """

    def features(self, patient: PatientFeatures) -> np.ndarray:
        """Return log-Euclidean tangent vectors at the identity, (n_windows, n_channels * (n_channels + 1) / 2)."""
        n_channels = len(patient.data)
        rows, columns = np.triu_indices(n_channels)
        means = _window_means(np.asarray(patient.covariance), self._pipeline)
        found = np.empty((means.shape[1], n_channels, n_channels))
        found[:, rows, columns] = found[:, columns, rows] = means.T
        spread = np.sqrt(np.maximum(np.diagonal(found, axis1=1, axis2=2), SMALLEST))
        correlations = found / (spread[:, :, None] * spread[:, None])
        values, vectors = np.linalg.eigh((1 - SHRINKAGE) * correlations + SHRINKAGE * np.eye(n_channels))
        logarithms = (vectors * np.log(values)[:, None]) @ vectors.swapaxes(1, 2)
        # off-diagonals stand for two entries, so that norms are kept
        return logarithms[:, rows, columns] * np.where(rows == columns, 1.0, np.sqrt(2.0))


def track(pipeline: PipelineSpec, patient: PatientFeatures, logits: np.ndarray) -> Track:
    """Return logits of all windows of a recording with their times and the truth."""
    starts = window_starts(patient.data.shape[-1], pipeline.build())
    begin, end = (bound[starts] for bound in window_bounds(pipeline, patient.data.shape[-1]))
    sfreq = pipeline.signal.sfreq
    settled = begin >= pipeline.build().warmup_s * sfreq
    return Track(logits, (end - 1) / sfreq, settled, patient.seizures, patient.spec.duration_s)


def every_label(pipeline: PipelineSpec, patient: PatientFeatures, labelling: Labelling) -> np.ndarray:
    """Return the class of every window of a recording, -1 where it has none, as int64, shape (n_windows,)."""
    pieces = labelled_windows(pipeline, patient, labelling)
    by_column = np.full(patient.data.shape[-1], -1)
    for first, last, label in zip(pieces.first, pieces.last, pieces.labels, strict=True):
        by_column[first : last + 1] = label
    return by_column[window_starts(patient.data.shape[-1], pipeline.build())]


def window_auc(
    tracks: Sequence[Track], labels: Sequence[np.ndarray], rng: np.random.Generator, n_draws: int = 200
) -> dict[str, Any]:
    """Return the area under the ROC curve over the windows of all recordings.

    Parameters
    ----------
    tracks : sequence of Track
        One per patient.
    labels : sequence of ndarray of int64
        From `every_label`; windows without a class do not count.
    rng : Generator
        Source of the resamples.
    n_draws : int, default=200
        Resamples of patients, with replacement.

    Returns
    -------
    area : dict
        ``value`` and ``interval``, the 95 % percentile interval over patients.
    """
    scores = [(t.logits[:, 1] - t.logits[:, 0])[used >= 0] for t, used in zip(tracks, labels, strict=True)]
    classes = [used[used >= 0] for used in labels]

    def area(chosen: Sequence[int]) -> float:
        return float(
            roc_auc_score(np.concatenate([classes[i] for i in chosen]), np.concatenate([scores[i] for i in chosen]))
        )

    draws = [area(rng.integers(0, len(tracks), len(tracks)).tolist()) for _ in range(n_draws)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"value": area(range(len(tracks))), "interval": [float(low), float(high)]}


def _window_means(columns: np.ndarray, pipeline: PipelineSpec) -> np.ndarray:
    """Return the mean over each window of (n_rows, n_columns) as (n_rows, n_windows)."""
    running = pipeline.build()
    sums = np.concatenate([np.zeros((len(columns), 1)), columns.astype(np.float64).cumsum(axis=1)], axis=1)
    starts = window_starts(columns.shape[-1], running)
    return (sums[:, starts + running.window_frames] - sums[:, starts]) / running.window_frames
