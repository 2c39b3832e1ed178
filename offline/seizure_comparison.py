"""The classical detectors of simulated seizures: fitted, given an alarm and scored in the same way as a network."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bci.pipeline import PipelineSpec
from offline.datasets.simulated import CLASSES, TEST, TRAIN, VALIDATION, Labelling, PatientFeatures
from offline.seizure_alarm import Track, choose_alarm, figures, score_tracks
from offline.seizure_detectors import BandPowerDetector, LineLengthDetector, TangentDetector, every_label, window_auc
from offline.seizure_events import EventScore

log = logging.getLogger(__name__)

DETECTORS: dict[str, type[TangentDetector | BandPowerDetector | LineLengthDetector]] = {
    "tangent": TangentDetector,
    "band_powers": BandPowerDetector,
    "line_length": LineLengthDetector,
}
"""What stands beside every network."""


def classical(
    pipeline: PipelineSpec,
    patients: Mapping[str, Sequence[PatientFeatures]],
    labelling: Labelling,
    seed: int,
    names: Sequence[str] = tuple(DETECTORS),
) -> dict[str, dict[str, Any]]:
    """Return the figures of detectors that learn from the first cohort and whose alarm is chosen on the second.

    Parameters
    ----------
    pipeline : PipelineSpec
        Gives the windows.
    patients : mapping of str to sequence of PatientFeatures
        The three cohorts by name; the third is scored.
    labelling : Labelling
        Which windows are of which class.
    seed : int
        Seed of the resamples of patients, the same for every detector.
    names : sequence of str, default=all of `DETECTORS`
        Which.

    Returns
    -------
    figures : dict of str to dict
        As `detector_figures`, for each detector.
    """
    hop_s = pipeline.window.hop_s
    labels = [every_label(pipeline, patient, labelling) for patient in patients[TEST.name]]
    found = {}
    for name in names:
        detector = DETECTORS[name](pipeline)
        detector.fit(patients[TRAIN.name], labelling)
        alarm = choose_alarm([detector.track(p) for p in patients[VALIDATION.name]], CLASSES, hop_s)
        tracks = [detector.track(p) for p in patients[TEST.name]]
        found[name] = detector_figures(tracks, score_tracks(tracks, alarm, hop_s), labels, seed)
        log.info("%s is scored", name)
    return found


def detector_figures(
    tracks: Sequence[Track], scores: Sequence[EventScore], labels: Sequence[np.ndarray], seed: int
) -> dict[str, Any]:
    """Return the event figures of a detector, and its area under the ROC curve over windows.

    Parameters
    ----------
    tracks : sequence of Track
        One per scored patient.
    scores : sequence of EventScore
        What its alarms did.
    labels : sequence of ndarray of int64
        From `offline.seizure_detectors.every_label`.
    seed : int
        Seed of the resamples of patients.

    Returns
    -------
    figures : dict
        As `offline.seizure_alarm.figures`, and ``window_auc``.
    """
    events: dict[str, Any] = figures(scores, np.random.default_rng(seed))
    return events | {"window_auc": window_auc(tracks, labels, np.random.default_rng(seed))}
