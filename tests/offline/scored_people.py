"""Folds of people with one label each, scored by a model that knows as much as it is told, and their run folder."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from offline.datasets.base import Dataset
from offline.fold import FoldResult, Scored
from offline.splits import k_fold, sides
from tests.offline.toy_task import dataset


def patients() -> Dataset:
    """Return twelve people, every third of class 1, with four stretches each."""
    toy = dataset(12, n_trials=4)
    sessions = tuple(
        replace(session, stretches=tuple(replace(stretch, label=int(i % 3 == 0)) for stretch in session.stretches))
        for i, session in enumerate(toy.sessions)
    )
    return replace(toy, sessions=sessions)


def scored_folds(people: Dataset, strength: float, seed: int = 0, deal: int = 0) -> tuple[FoldResult, ...]:
    """Return three folds, which `deal` decides, of a model whose logits hold the truth with some strength."""
    labels = {session.subject: session.stretches[0].label for session in people.sessions}
    rng = np.random.default_rng(seed)
    results = []
    for split in k_fold(labels, 3, deal):
        pairs = [(session, stretch) for session in sides(people, split)[2] for stretch in session.stretches]
        truth = np.array([stretch.label for _, stretch in pairs])
        logits = rng.standard_normal((len(pairs), 2)) + strength * np.eye(2)[truth]
        scored = tuple(Scored(a.subject, a.name, b.start, tuple(np.eye(2)[b.label].tolist())) for a, b in pairs)
        said, rows = tuple(logits.argmax(axis=1).tolist()), tuple(map(tuple, logits.tolist()))
        results.append(FoldResult(split, 0, (), tuple(truth.tolist()), said, rows, 1.0, 0.0, 0, scored))
    return tuple(results)


def write_run(folder: Path, model: str, results: tuple[FoldResult, ...], seed: int = 0, **changes) -> Path:
    """Write the files of a finished run that are read when runs are compared, and return the folder."""
    (folder / "folds").mkdir(parents=True)
    for fold in results:
        (folder / "folds" / f"{fold.split.name}.json").write_text(json.dumps({**asdict(fold), "settings": {}}))
    content = {"task": "toy", "classes": ["quiet", "loud"], "data": {"a": "1", "b": "2"}} | changes
    splits = [{"name": fold.split.name, **asdict(fold.split)} for fold in results]
    metrics = {"run": {"model": model, "task": content["task"]}, "scores": {"classes": content["classes"]}}
    (folder / "metrics.json").write_text(json.dumps(metrics | {"folds": splits}))
    record = {"settings": {"model": model, "seed": seed}, "resolved": {"training": {"seed": seed}}}
    (folder / "run.json").write_text(json.dumps(record | {"data": content["data"]}))
    return folder
