"""Simulated patients as a data set: disjoint cohorts, exact truth, windows by index, outputs kept on disk."""

from __future__ import annotations

import itertools
from dataclasses import replace
from multiprocessing import active_children

import numpy as np
import pytest
from pyriemann.geometry.tangentspace import tangent_space

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
    FRAMES,
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
from offline.seizure_comparison import DETECTORS, classical
from offline.seizure_detectors import TangentDetector, every_label, track
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


@pytest.fixture(scope="module")
def filtered(patients) -> np.ndarray:
    """The first patient's signal before the spectra."""
    data, _ = simulate(patients[0].spec)
    return replace(PIPELINE, stages=PIPELINE.stages[:-1]).build().process(data).data


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


def test_line_length_is_the_mean_step_of_the_filtered_signal(patients, filtered):
    for column in (0, 7, patients[0].line_length.shape[-1] - 1):
        steps = np.abs(np.diff(filtered, prepend=filtered[:, :1]))[:, column * 64 : column * 64 + 512]
        np.testing.assert_allclose(patients[0].line_length[:, column], steps.mean(axis=1), rtol=1e-5)
    assert patients[0].line_length.shape[-1] == patients[0].data.shape[-1]


def test_covariances_are_those_of_the_filtered_signal_over_each_frame(patients, filtered):
    found = patients[0].covariance
    assert found.shape == (190, patients[0].data.shape[-1])
    assert (found.dtype, isinstance(found, np.memmap)) == (np.float32, True)
    for column in (0, 7, FRAMES, found.shape[-1] - 1):  # several parts, up to the last column
        frame = filtered[:, column * 64 : column * 64 + 512]
        np.testing.assert_allclose(found[:, column], (frame @ frame.T / 512)[np.triu_indices(19)], rtol=1e-5, atol=1e-3)


def test_a_folder_of_an_earlier_version_gets_what_it_lacks(tmp_path):
    """The rest is neither read as something else nor computed again."""
    specs = replace(SMALL, n_patients=2, duration_s=10.0).specs()
    whole = features(PIPELINE, specs, tmp_path)
    lacking = sorted(tmp_path.rglob("*-covariance.npy"))
    assert len(lacking) == 2
    for file in lacking:
        file.unlink()
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npy")}
    again = features(PIPELINE, specs, tmp_path)
    assert before.items() <= {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npy")}.items()
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one.covariance, other.covariance)
        np.testing.assert_array_equal(one.data, other.data)
        np.testing.assert_array_equal(one.line_length, other.line_length)


def test_what_is_there_is_not_computed_again(tmp_path):
    cohort = replace(SMALL, n_patients=1, duration_s=10.0)
    counted: list[int] = []
    features(PIPELINE, cohort.specs(), tmp_path, on_patient=counted.append)
    files = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npy")}
    again = features(PIPELINE, cohort.specs(), tmp_path)
    assert counted == [1]
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npy")} == files
    assert len(files) == 3
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
    for detector in [made(PIPELINE) for made in DETECTORS.values()]:
        detector.fit(patients, Labelling())
        for patient in patients:
            labels = every_label(PIPELINE, patient, Labelling())
            score = detector.track(patient).logits[:, 1]
            pairs = itertools.product(score[labels == 1], score[labels == 0])
            assert np.mean([a > b for a, b in pairs]) > 0.7


def test_detectors_are_scored_like_a_network(patients):
    """Here on those that they have seen."""
    found = classical(PIPELINE, dict.fromkeys(("train", "validation", "test"), patients), Labelling(), 0, ("tangent",))
    assert list(found) == ["tangent"]
    assert found["tangent"]["hours"] == pytest.approx(2 / 60)
    assert found["tangent"]["n_seizures"] == sum(len(patient.seizures) for patient in patients)
    assert found["tangent"]["window_auc"]["value"] > 0.9


def test_tangent_vectors_are_those_of_the_correlations_in_a_window(patients, filtered):
    """Against pyriemann; weights of the samples are how many frames of the window hold them."""
    found = TangentDetector(PIPELINE).features(patients[0])
    n_frames = PIPELINE.build().window_frames
    starts = window_starts(patients[0].data.shape[-1], PIPELINE.build())
    assert found.shape == (len(starts), 190)
    weights = sum(np.pad(np.ones(512), (64 * k, 64 * (n_frames - 1 - k))) for k in range(n_frames))
    for window in (0, len(starts) - 1):
        part = filtered[:, starts[window] * 64 :][:, : len(weights)]
        products = (part * weights) @ part.T
        spread = np.sqrt(np.diagonal(products))
        shrunk = 0.9 * products / np.outer(spread, spread) + 0.1 * np.eye(19)
        expected = tangent_space(shrunk[None], np.eye(19), metric="logeuclid")[0]
        np.testing.assert_allclose(found[window], expected, atol=1e-4)


def test_amplitudes_and_flat_channels_do_not_enter_tangent_vectors(patients):
    detector = TangentDetector(PIPELINE)
    gains = np.geomspace(0.1, 10, 19)
    rows, columns = np.triu_indices(19)
    louder = replace(patients[0], covariance=patients[0].covariance * (gains[rows] * gains[columns])[:, None])
    np.testing.assert_allclose(detector.features(louder), detector.features(patients[0]), atol=1e-4)
    flat = replace(patients[0], covariance=np.where(((rows == 3) | (columns == 3))[:, None], 0, patients[0].covariance))
    assert np.isfinite(detector.features(flat)).all()


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
