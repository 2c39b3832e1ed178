"""Simulated patients as a data set: disjoint cohorts, exact truth, windows by index, outputs kept on disk."""

from __future__ import annotations

import itertools
from dataclasses import replace
from multiprocessing import active_children

import numpy as np
import pytest

from bci.chunk import Signal
from bci.errors import SpecError, UsageError
from bci.pipeline import PipelineSpec, Window, window_starts
from bci.sources.head_model import CHANNELS
from bci.sources.simulated_patient import PatientSpec, simulate
from bci.stages.channels import AverageReference
from bci.stages.filters import Bandpass
from bci.stages.logmel import LogMel
from offline.datasets.registry import load_dataset
from offline.datasets.simulated import (
    COHORTS,
    Cohort,
    Labelling,
    PatientFeatures,
    cache_key,
    features,
    labelled_windows,
    load,
    log_mel,
    truth,
    window_bounds,
)
from offline.seizure_detectors import BandPowerDetector, LineLengthDetector, every_label, track
from offline.seizure_events import Span

PIPELINE = PipelineSpec(
    Signal(256.0, CHANNELS),
    (Bandpass(0.5, 40.0), AverageReference(), LogMel(512, 512, 64, 16, 0.5, 40.0)),
    Window(4.0, 0.5),
    reference_hz=3.0,
)
SMALL = Cohort("small", 77, 2, 60.0, 12.0)


@pytest.fixture(scope="module")
def patients(tmp_path_factory) -> tuple[PatientFeatures, ...]:
    return features(PIPELINE, SMALL.specs(), tmp_path_factory.mktemp("features"))


def test_no_patient_is_in_two_cohorts():
    seeds = [spec.seed for cohort in COHORTS for spec in cohort.specs()]
    assert len(seeds) == len(set(seeds))


def test_truth_is_what_the_simulation_says():
    spec = SMALL.specs()[0]
    _, seizures = simulate(spec)
    assert truth(spec) == tuple(Span(s.onset_s, s.onset_s + s.duration_s) for s in seizures)
    assert truth(spec)


def test_features_are_the_pipeline_over_the_whole_recording(patients):
    for patient in patients:
        data, _ = simulate(patient.spec)
        np.testing.assert_array_equal(patient.data, PIPELINE.build().process(data).data.astype(np.float32))
        assert isinstance(patient.data, np.memmap)


def test_line_length_is_the_mean_step_of_the_filtered_signal(patients):
    data, _ = simulate(patients[0].spec)
    y = replace(PIPELINE, stages=PIPELINE.stages[:-1]).build().process(data).data
    for column in (0, 7, patients[0].line_length.shape[-1] - 1):
        steps = np.abs(np.diff(y, prepend=y[:, :1]))[:, column * 64 : column * 64 + 512]
        np.testing.assert_allclose(patients[0].line_length[:, column], steps.mean(axis=1), rtol=1e-5)
    assert patients[0].line_length.shape[-1] == patients[0].data.shape[-1]


def test_what_is_there_is_not_computed_again(tmp_path):
    cohort = replace(SMALL, n_patients=1, duration_s=10.0)
    counted: list[int] = []
    features(PIPELINE, cohort.specs(), tmp_path, on_patient=counted.append)
    files = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npy")}
    again = features(PIPELINE, cohort.specs(), tmp_path)
    assert counted == [1]
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npy")} == files
    assert len(files) == 2
    assert again[0].data.shape == (19, 16, 33)


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(patients, tmp_path):
    again = features(PIPELINE, SMALL.specs(), tmp_path, n_processes=2)
    for one, other in zip(patients, again, strict=True):
        np.testing.assert_array_equal(one.data, other.data)


def test_an_interruption_ends_the_simulating_processes(tmp_path):
    """They have most of an hour of EEG to simulate and are not waited for."""
    before = active_children()

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    specs = [PatientSpec(1, duration_s=2.0), *(PatientSpec(seed, duration_s=3000.0) for seed in (2, 3, 4))]
    with pytest.raises(KeyboardInterrupt):
        features(PIPELINE, specs, tmp_path, n_processes=2, on_patient=interrupt)
    assert active_children() == before


def test_the_cache_key_follows_what_is_computed():
    """Another window cuts the same columns; another stage computes others."""
    assert cache_key(PIPELINE) == cache_key(replace(PIPELINE, window=Window(8.0, 1.0)))
    assert cache_key(PIPELINE) != cache_key(replace(PIPELINE, stages=(Bandpass(1.0, 40.0), *PIPELINE.stages[1:])))


def test_every_window_of_a_piece_has_its_class(patients):
    """Against a plain count of the seizure's samples among those behind the window."""
    labelling = Labelling(min_seizure_s=1.5, seizure_piece_s=2.0, background_piece_s=5.0)
    running = PIPELINE.build()
    seen = set()
    for patient in patients:
        ictal = np.zeros(60 * 256, bool)
        for span in patient.seizures:
            ictal[round(span.start_s * 256) : round(span.stop_s * 256)] = True
        windows = labelled_windows(PIPELINE, patient, labelling)
        starts = np.concatenate([np.arange(a, b + 1) for a, b in zip(windows.first, windows.last, strict=True)])
        labels = np.repeat(windows.labels, windows.last - windows.first + 1)
        assert len(starts) == len(set(starts.tolist()))
        for start, label in zip(starts, labels, strict=True):
            first = start * 64
            inside = ictal[first : first + 15 * 64 + 512].sum()
            assert inside >= 1.5 * 256 if label else inside == 0
            assert label or first >= running.warmup_s * 256
        limits = {0: 20, 1: 8}
        assert all(b - a < limits[k] for a, b, k in zip(windows.first, windows.last, windows.labels, strict=True))
        seen |= set(labels.tolist())
    assert seen == {0, 1}


def test_window_bounds_are_the_samples_behind_a_window():
    begin, end = window_bounds(PIPELINE, 20)
    assert (begin[0], end[0]) == (0, 15 * 64 + 512)
    assert (begin[-1], end[-1]) == (4 * 64, 19 * 64 + 512)


def test_tracks_have_one_row_for_each_prediction(patients):
    n_windows = len(window_starts(patients[0].data.shape[-1], PIPELINE.build()))
    labels = every_label(PIPELINE, patients[0], Labelling())
    made = track(PIPELINE, patients[0], np.zeros((n_windows, 2)))
    assert len(labels) == len(made.times_s) == n_windows
    assert made.times_s[0] == (15 * 64 + 512 - 1) / 256
    assert set(labels.tolist()) == {-1, 0, 1}
    assert not made.settled[0]
    assert made.settled[-1]


def test_the_classical_detectors_learn(patients):
    """They score the patients they have seen far above chance."""
    for detector in (BandPowerDetector(PIPELINE), LineLengthDetector(PIPELINE)):
        detector.fit(patients, Labelling())
        for patient in patients:
            labels = every_label(PIPELINE, patient, Labelling())
            score = detector.track(patient).logits[:, 1]
            pairs = itertools.product(score[labels == 1], score[labels == 0])
            assert np.mean([a > b for a, b in pairs]) > 0.7


def test_sessions_are_covered_by_labelled_stretches(monkeypatch):
    monkeypatch.setattr("offline.datasets.simulated.COHORTS", (SMALL,))
    dataset = load()
    assert dataset.subjects == ("small-77", "small-78")
    for session, spec in zip(dataset.sessions, SMALL.specs(), strict=True):
        edges = [0, *[stretch.stop for stretch in session.stretches]]
        assert [stretch.start for stretch in session.stretches] == edges[:-1]
        assert edges[-1] == session.n_samples == 60 * 256
        assert {stretch.label for stretch in session.stretches} == {0, 1}
        np.testing.assert_array_equal(session.read(), simulate(spec)[0])


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"seizure-sim makes its own data, got the folder .*Leave --data out"):
        load_dataset("seizure-sim", tmp_path)


def test_another_task_needs_a_folder():
    with pytest.raises(UsageError, match=r"task ssvep must be a folder, got None"):
        load_dataset("ssvep", None)


def test_a_pipeline_without_log_mel_is_refused(tmp_path):
    plain = replace(PIPELINE, stages=PIPELINE.stages[:-1])
    with pytest.raises(SpecError, match=r"needs? a pipeline that ends with LogMel"):
        features(plain, [PatientSpec(1, duration_s=5.0)], tmp_path)
    with pytest.raises(SpecError, match=r"ends with LogMel\. Append one"):
        log_mel(replace(PIPELINE, stages=()))
