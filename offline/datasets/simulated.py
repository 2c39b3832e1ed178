"""Simulated patients as a data set: made from seeds, so that nothing has to be downloaded and nobody is recorded.

The patients of the three cohorts have different seeds, hence different heads, rhythms, artefacts and seizures. Outputs
of the pipeline are kept in a folder and mapped from there: a corpus is never in memory as a whole.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bci.chunk import Signal, samples
from bci.errors import SpecError
from bci.pipeline import PipelineSpec
from bci.records import to_json
from bci.sources import artefacts, clinical_course, cortex, head_model, neural_mass, simulated_patient
from bci.sources.head_model import CHANNELS
from bci.sources.simulated_patient import PatientSpec, SimulatedPatient, simulate
from bci.stages.logmel import LogMel
from bci.stages.registry import stage_to_dict
from offline.datasets.base import Dataset, Session, Stretch
from offline.seizure_events import Span
from offline.windows import SessionWindows

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

CLASSES = ("background", "seizure")
TASK = "seizure-sim"
_BACKGROUND, _SEIZURE, _NEITHER = 0, 1, -1
FRAMES = 128
"""Frames of which products are made at a time: all of them together would be eight recordings."""
_SIMULATOR = (artefacts, clinical_course, cortex, head_model, neural_mass, simulated_patient)


@dataclass(frozen=True, slots=True)
class Cohort:
    """Simulated patients with consecutive seeds.

    Parameters
    ----------
    name : str
        What they are for.
    first_seed, n_patients : int
        Seeds are ``first_seed`` to ``first_seed + n_patients - 1``.
    duration_s, seizures_per_hour : float
        Of each recording.
    """

    name: str
    first_seed: int
    n_patients: int
    duration_s: float
    seizures_per_hour: float

    def specs(self) -> tuple[PatientSpec, ...]:
        """Return what to simulate."""
        return tuple(
            PatientSpec(self.first_seed + i, duration_s=self.duration_s, seizures_per_hour=self.seizures_per_hour)
            for i in range(self.n_patients)
        )


TRAIN = Cohort("train", 10_000, 240, 480.0, 24.0)
# with more seizures the tolerances of the score would cover most of a recording, and any alarm would find some
VALIDATION = Cohort("validation", 20_000, 60, 1200.0, 3.0)
# 75 h: with fewer than 72 h, no false alarm at all would not yet mean fewer than one a day
TEST = Cohort("test", 60_000, 150, 1800.0, 2.0)
COHORTS = (TRAIN, VALIDATION, TEST)


@dataclass(frozen=True, slots=True)
class Labelling:
    """Which windows are learnt from, and as what.

    Parameters
    ----------
    min_seizure_s : float, default=2.0
        A window that holds at least this much of a seizure is of the seizure class; one that holds less is not used.
    seizure_piece_s, background_piece_s : float, default=4.0 and 10.0
        Each epoch draws one window from every piece of this length: shorter pieces are seen more often.
    recent_s : float or None, default=None
        Only so many seconds at the end of a window decide its class; None takes all of it.
    """

    min_seizure_s: float = 2.0
    seizure_piece_s: float = 4.0
    background_piece_s: float = 10.0
    recent_s: float | None = None


@dataclass(frozen=True, slots=True)
class PatientFeatures:
    """The output of the pipeline over one simulated recording.

    Parameters
    ----------
    spec : PatientSpec
        The patient.
    data : ndarray of float32, shape (19, n_features, n_columns)
        Log-mel frames, mapped from a file.
    line_length : ndarray of float32, shape (19, n_columns)
        Mean absolute difference between neighbouring filtered samples, over each frame; mapped from a file.
    covariance : ndarray of float32, shape (190, n_columns)
        Mean products of the filtered channels over each frame, upper triangle row by row; mapped from a file.
    seizures : tuple of Span
        Truth.
    """

    spec: PatientSpec
    data: np.ndarray
    line_length: np.ndarray
    covariance: np.ndarray
    seizures: tuple[Span, ...]


def load(folder: None = None) -> Dataset:
    """Return all patients as sessions whose samples are simulated when they are read.

    Parameters
    ----------
    folder : None
        There is nothing to read.
    """
    return Dataset(TASK, CLASSES, tuple(_session(c, spec) for c in COHORTS for spec in c.specs()))


@cache
def truth(spec: PatientSpec) -> tuple[Span, ...]:
    """Return the seizures of a simulated patient, without simulating the recording."""
    return tuple(Span(s.onset_s, s.onset_s + s.duration_s) for s in SimulatedPatient(spec).seizures)


def features(
    pipeline: PipelineSpec,
    specs: Sequence[PatientSpec],
    folder: Path,
    n_processes: int = 1,
    on_patient: Callable[[int], None] | None = None,
) -> tuple[PatientFeatures, ...]:
    """Return the pipeline's output over simulated recordings; what is not in the folder yet is computed.

    Parameters
    ----------
    pipeline : PipelineSpec
        Ends with a log-mel stage.
    specs : sequence of PatientSpec
        Patients.
    folder : Path
        Where outputs are kept, in a subfolder for each pipeline and version of the simulator.
    n_processes : int, default=1
        Processes that simulate. The result does not depend on it.
    on_patient : callable or None, default=None
        Called with the number of patients that are there.

    Returns
    -------
    features : tuple of PatientFeatures
        In the order of `specs`.

    Raises
    ------
    SpecError
        If the pipeline does not end with a log-mel stage.
    """
    log_mel(pipeline)
    place = folder / cache_key(pipeline)
    place.mkdir(parents=True, exist_ok=True)
    work = partial(_compute, pipeline, place)
    if n_processes == 1:
        _count(map(work, specs), on_patient)
    else:
        others = active_children()
        with ProcessPoolExecutor(n_processes, get_context("spawn"), end_with_parent) as pool:
            futures = [pool.submit(work, spec) for spec in specs]
            try:
                _count((future.result() for future in futures), on_patient)
            except BaseException:  # the pool would let them finish and, interrupted, may wait for them for ever
                for child in active_children():
                    if child not in others:
                        child.terminate()
                raise
    return tuple(_kept(place, spec) for spec in specs)


def end_with_parent() -> None:
    """Let this process end when the one that started it does, however that ended."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def cache_key(pipeline: PipelineSpec) -> str:
    """Return a name for the outputs of a pipeline over what this version of the simulator makes."""
    digest = hashlib.sha256(to_json([stage_to_dict(stage) for stage in pipeline.stages]).encode())
    for module in _SIMULATOR:
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()[:16]


def labelled_windows(pipeline: PipelineSpec, patient: PatientFeatures, labelling: Labelling) -> SessionWindows:
    """Return where windows of each class may start in a recording.

    Parameters
    ----------
    pipeline : PipelineSpec
        Gives the length of a window.
    patient : PatientFeatures
        Its output for `patient`.
    labelling : Labelling
        Rule.

    Returns
    -------
    windows : SessionWindows
        Its stretches are pieces of the recording in which every start gives a window of one class. Windows that begin
        before the pipeline has settled are not among the background.
    """
    begin, end = window_bounds(pipeline, patient.data.shape[-1])
    sfreq = pipeline.signal.sfreq
    decisive = begin if labelling.recent_s is None else np.maximum(begin, end - round(labelling.recent_s * sfreq))
    inside_s = np.zeros(len(begin))
    for seizure in patient.seizures:
        inside_s = np.maximum(
            inside_s, np.minimum(end / sfreq, seizure.stop_s) - np.maximum(decisive / sfreq, seizure.start_s)
        )
    running = pipeline.build()
    labels = np.where((inside_s <= 0) & (begin >= running.warmup_s * sfreq), _BACKGROUND, _NEITHER)
    labels[inside_s >= labelling.min_seizure_s] = _SEIZURE
    rate = running.signal_out.sfreq
    steps = {
        _BACKGROUND: samples(labelling.background_piece_s, rate, "A piece of background"),
        _SEIZURE: samples(labelling.seizure_piece_s, rate, "A piece of a seizure"),
    }
    pieces = np.array(
        [
            (at, min(at + steps[label], stop) - 1, label)
            for start, stop, label in _runs(labels)
            if label != _NEITHER
            for at in range(start, stop, steps[label])
        ],
        dtype=np.int64,
    ).reshape(-1, 3)
    return SessionWindows(patient.data, *pieces.T)


def window_bounds(pipeline: PipelineSpec, n_columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first raw sample of the window that starts at each column, and the one after its last."""
    running = pipeline.build()
    last = running.last_input(np.arange(n_columns))
    return last[: n_columns - running.window_frames + 1] - last[0], last[running.window_frames - 1 :] + 1


def _session(cohort: Cohort, spec: PatientSpec) -> Session:
    name = f"{cohort.name}-{spec.seed}"
    signal = Signal(spec.sfreq, CHANNELS)
    n_samples = round(spec.duration_s * spec.sfreq)
    stretches: list[Stretch] = []
    at = 0
    for span in truth(spec):
        start, stop = round(span.start_s * spec.sfreq), round(span.stop_s * spec.sfreq)
        stretches += [Stretch(at, start, _BACKGROUND), Stretch(start, stop, _SEIZURE)]
        at = stop
    stretches.append(Stretch(at, n_samples, _BACKGROUND))
    return Session(name, name, Path(name), signal, n_samples, tuple(stretches), partial(_read, spec))


def _read(spec: PatientSpec, start: int = 0, stop: int | None = None) -> np.ndarray:
    return simulate(spec)[0][:, start:stop]


def _compute(pipeline: PipelineSpec, place: Path, spec: PatientSpec) -> None:
    missing = [what for what in _KINDS if not _file(place, spec, what).is_file()]
    if not missing:
        return
    data, _ = simulate(spec)
    for what in missing:
        file = _file(place, spec, what)
        partial_file = file.with_name(f".{os.getpid()}.{file.name}")
        np.save(partial_file, _KINDS[what](pipeline, data), allow_pickle=False)
        partial_file.replace(file)


def _mel(pipeline: PipelineSpec, data: np.ndarray) -> np.ndarray:
    return pipeline.build().process(data).data.astype(np.float32)


def _line_length(pipeline: PipelineSpec, data: np.ndarray) -> np.ndarray:
    filtered, begin, length = _frames(pipeline, data)
    steps = np.abs(np.diff(filtered, axis=1, prepend=filtered[:, :1])).cumsum(axis=1)
    steps = np.concatenate([np.zeros((len(steps), 1)), steps], axis=1)
    return ((steps[:, begin + length] - steps[:, begin]) / length).astype(np.float32)


def _covariance(pipeline: PipelineSpec, data: np.ndarray) -> np.ndarray:
    filtered, begin, length = _frames(pipeline, data)
    rows, columns = np.triu_indices(len(filtered))
    found = np.empty((len(rows), len(begin)), dtype=np.float32)
    frames = sliding_window_view(filtered, length, axis=1)
    for at in range(0, len(begin), FRAMES):
        part = frames[:, begin[at : at + FRAMES]].swapaxes(0, 1)
        found[:, at : at + FRAMES] = (part @ part.swapaxes(1, 2) / length)[:, rows, columns].T
    return found


_KINDS: dict[str, Callable[[PipelineSpec, np.ndarray], np.ndarray]] = {
    "mel": _mel,
    "line": _line_length,
    "covariance": _covariance,
}
"""What is kept of a patient, each in a file of its own: a kind that is new is added to those that are there."""


def _kept(place: Path, spec: PatientSpec) -> PatientFeatures:
    maps = {what: np.load(_file(place, spec, what), mmap_mode="r") for what in _KINDS}
    return PatientFeatures(spec, maps["mel"], maps["line"], maps["covariance"], truth(spec))


def _frames(pipeline: PipelineSpec, data: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the signal before the log-mel stage, the first sample of each of its frames, and their length."""
    filtered = replace(pipeline, stages=pipeline.stages[:-1]).build().process(data).data
    stage = log_mel(pipeline)
    return filtered, np.arange(0, filtered.shape[-1] - stage.win_length + 1, stage.hop_length), stage.win_length


def log_mel(pipeline: PipelineSpec) -> LogMel:
    """Return the last stage of a pipeline, which must be a log-mel.

    Raises
    ------
    SpecError
        If it is another.
    """
    stage = pipeline.stages[-1] if pipeline.stages else None
    if not isinstance(stage, LogMel):
        raise SpecError("Features of simulated patients need a pipeline that ends with LogMel. Append one.")
    return stage


def _file(place: Path, spec: PatientSpec, what: str) -> Path:
    name = hashlib.sha256(repr(spec).encode()).hexdigest()[:12]
    return place / f"{spec.seed}-{name}-{what}.npy"


def _runs(labels: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Yield start, stop and value of each run of equal values."""
    cuts = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    for start, stop in itertools.pairwise(cuts):
        if stop > start:
            yield start, stop, int(labels[start])


def _count(done: Iterator[None], on_patient: Callable[[int], None] | None) -> None:
    for n, _ in enumerate(done, start=1):
        if on_patient is not None:
            on_patient(n)
