"""The alarm of a run: chosen in each fold on people who are not scored, and for the bundle on all folds together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bci.decision import DecisionSpec
from bci.errors import UsageError
from bci.pipeline import window_starts
from bci.records import record_from_dict
from offline.checkpoint import load_checkpoint, save_checkpoint
from offline.config import TrainConfig
from offline.datasets.base import Dataset, Session
from offline.evaluate import Fitted, feature_cache
from offline.feature_cache import FeatureCache
from offline.seizure_alarm import Track, choose_alarm, figures, of_people, score_tracks
from offline.seizure_events import EventScore, Span, score_events
from offline.splits import Split, sides
from offline.temporal import TemporalSplit
from offline.training_loop import logits_along, logits_of

_BATCH = 256


class AlarmFolds:
    """Alarms of the folds of a run, kept beside them.

    Parameters
    ----------
    dataset : Dataset
        Stretches of the watched class are the events.
    config : TrainConfig
        Its ``alarm_class`` is watched; None chooses no alarm.
    folder : Path
        Where the folds are kept.

    Raises
    ------
    UsageError
        If there is no such class.
    """

    def __init__(self, dataset: Dataset, config: TrainConfig, folder: Path) -> None:
        self._dataset = dataset
        self._label = config.alarm_class
        self._hop_s = config.hop_s
        self._seed = config.seed
        self._folder = folder
        self._cache = feature_cache(config)
        if self._label is not None and config.split == "temporal":
            raise UsageError("An alarm is chosen on other people, got a split in time. Leave --alarm-class out.")
        if self._label is not None and self._label not in dataset.classes:
            raise UsageError(
                f"An alarm watches one of the classes {', '.join(dataset.classes)}, got {self._label!r}. "
                "Change --alarm-class."
            )

    def keep(self, split: Split | TemporalSplit, fitted: Fitted, inner: Sequence[Path] = ()) -> None:
        """Choose the alarm of a fold without the people it scores, and write what it gives on those.

        Parameters
        ----------
        split : Split or TemporalSplit
            The fold.
        fitted : Fitted
            Its model.
        inner : sequence of Path, default=()
            Files of `keep_inner`: the alarm is chosen on the people whom the inner folds scored, each by a model that
            had not met them. Without any, on the people who stopped the training.

        Raises
        ------
        SpecError
            If those people have no event to choose by.
        """
        if self._label is None:
            return
        _, stopping, scored = sides(self._dataset, split)
        if inner:
            met = [track for path in inner for track in _read_tracks(path)[0]]
        else:
            met = [self._track(fitted, session) for session in stopping]
        decision = choose_alarm(met, self._dataset.classes, self._hop_s, fitted.temperature, self._label)
        outer = [self._track(fitted, session) for session in scored]
        _write_tracks(alarm_file(self._folder, split), outer, decision)

    def keep_inner(self, folder: Path, split: Split | TemporalSplit, fitted: Fitted) -> None:
        """Write what the model of an inner fold gives on the people it scores, for `keep`."""
        if self._label is None:
            return
        _write_tracks(alarm_file(folder, split), [self._track(fitted, s) for s in sides(self._dataset, split)[2]])

    def final(
        self, splits: Sequence[Split | TemporalSplit], temperature: float
    ) -> tuple[DecisionSpec, dict[str, Any] | None]:
        """Return the decision for the bundle and the event figures of the folds.

        Parameters
        ----------
        splits : sequence of Split or TemporalSplit
            All folds: people who are scored in one of them choose the bundle's alarm, by models that had not met them.
        temperature : float
            What divides the logits of the final model.

        Returns
        -------
        decision : DecisionSpec
        events : dict or None
            Figures of each fold's own alarm on its scored people, with intervals over people, and beside them
            (``always``) those of an alarm that never ends; None without alarm.
        """
        if self._label is None:
            return DecisionSpec(self._dataset.classes, temperature), None
        tracks: list[Track] = []
        scores: list[EventScore] = []
        subjects: list[str] = []
        for split in splits:
            decision, found = self._read(split)
            tracks += found
            scores += score_tracks(found, decision, self._hop_s)
            subjects += [session.subject for session in sides(self._dataset, split)[2]]
        chosen = choose_alarm(tracks, self._dataset.classes, self._hop_s, temperature, self._label)
        always = [score_events(t.seizures, [Span(0.0, t.duration_s)], t.duration_s) for t in tracks]
        # the same seed for both: the same resamples of people
        own, never_ending = (
            figures(of_people(subjects, found), np.random.default_rng(self._seed)) for found in (scores, always)
        )
        return chosen, {
            "scored": "SzCORE event rules, pooled over people; 95 % percentile bootstrap over people, and the exact "
            "95 % Poisson interval of the false alarms",
            "label": self._label,
            "n_people": len(set(subjects)),
            "n_recordings": len(subjects),
            **own,
            "always": never_ending,
        }

    def _read(self, split: Split | TemporalSplit) -> tuple[DecisionSpec, list[Track]]:
        tracks, kept = _read_tracks(alarm_file(self._folder, split))
        decision: DecisionSpec = record_from_dict(DecisionSpec, kept["decision"], "decision")
        return decision, tracks

    def _track(self, fitted: Fitted, session: Session) -> Track:
        label = self._dataset.classes.index(str(self._label))
        sfreq = session.signal.sfreq
        events = tuple(Span(s.start / sfreq, s.stop / sfreq) for s in session.stretches if s.label == label)
        return session_track(fitted, session, events, self._cache)


def alarm_file(folder: Path, split: Split | TemporalSplit) -> Path:
    """Return where the tracks of a fold's scored people are kept."""
    return folder / f"{split.name}.alarm.safetensors"


def _write_tracks(path: Path, tracks: Sequence[Track], decision: DecisionSpec | None = None) -> None:
    tensors = {}
    for i, track in enumerate(tracks):
        for name in ("logits", "times_s", "settled"):
            tensors[f"{i}/{name}"] = torch.from_numpy(np.ascontiguousarray(getattr(track, name)))
    events = [{"seizures": [asdict(s) for s in t.seizures], "duration_s": t.duration_s} for t in tracks]
    chosen = None if decision is None else json.loads(decision.to_json())
    save_checkpoint(path, tensors, {"decision": chosen, "tracks": events})


def _read_tracks(path: Path) -> tuple[list[Track], dict[str, Any]]:
    tensors, kept = load_checkpoint(path)
    tracks = [
        Track(
            tensors[f"{i}/logits"].numpy(),
            tensors[f"{i}/times_s"].numpy(),
            tensors[f"{i}/settled"].numpy(),
            tuple(Span(**span) for span in track["seizures"]),
            float(track["duration_s"]),
        )
        for i, track in enumerate(kept["tracks"])
    ]
    return tracks, kept


def session_track(
    fitted: Fitted, session: Session, events: tuple[Span, ...], cache: FeatureCache | None = None
) -> Track:
    """Return what a model gives over a whole recording, at every hop.

    Parameters
    ----------
    fitted : Fitted
        Model.
    session : Session
        Recording.
    events : tuple of Span
        Truth.
    cache : FeatureCache or None, default=None
        Where outputs of pipelines are kept.
    """
    running = fitted.pipeline.build()
    if cache is None:
        block = running.process(session.read())
    else:
        block = cache.block(fitted.pipeline, session.sha256, session.read)
    columns = block.data.astype(np.float32, copy=False)
    n = running.window_frames
    starts = window_starts(columns.shape[-1], running)
    if hasattr(fitted.network, "step"):
        logits = logits_along(fitted.network, columns)[starts + n - 1]
    else:
        parts = (starts[i : i + _BATCH] for i in range(0, len(starts), _BATCH))
        logits = logits_of(fitted.network, (np.stack([columns[..., s : s + n] for s in part]) for part in parts))
    sfreq = session.signal.sfreq
    first = block.last_input[starts] - block.last_input[0]
    settled = first >= running.warmup_s * sfreq
    return Track(logits, block.last_input[starts + n - 1] / sfreq, settled, events, session.n_samples / sfreq)
