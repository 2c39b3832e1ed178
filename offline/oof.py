"""Out-of-fold predictions: what the folds of a finished run gave for people that their models had not met."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bci.bundle import load_bundle
from bci.decision import softmax
from bci.errors import UsageError
from bci.texts import printable
from offline.checkpoint import write_atomic
from offline.fold import Scored, read_fold
from offline.identity import FILE
from offline.splits import split_from


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """All scored stretches of a run.

    Parameters
    ----------
    run : str
        Name of its folder; of several with one name, with the folders above that tell them apart.
    model, task : str
        What was trained, for what.
    classes : tuple of str
        In the order of the probabilities.
    rows : tuple of Scored
        Scored stretches, fold by fold.
    labels : tuple of int
        Their classes.
    folds : tuple of str
        Name of the fold in which each was scored.
    probabilities : ndarray of float64, shape (n_rows, n_classes)
        Of the fold's model, with the temperature that the people who stopped its training gave.
    temperature : float
        Median of those temperatures.
    data : mapping of str to str
        Hash of what was learnt from each session, by name.
    bundle_sha256 : str or None
        Hash of the manifest of the run's bundle; None if it has none.
    """

    run: str
    model: str
    task: str
    classes: tuple[str, ...]
    rows: tuple[Scored, ...]
    labels: tuple[int, ...]
    folds: tuple[str, ...]
    probabilities: np.ndarray
    temperature: float
    data: Mapping[str, str]
    bundle_sha256: str | None

    @property
    def targets(self) -> np.ndarray:
        """Distribution of the votes, or of the label, float64 (n_rows, n_classes)."""
        return np.array([row.target for row in self.rows])

    @property
    def groups(self) -> tuple[str, ...]:
        """What is set apart together, one name a row: its fold; the person where folds share people, as in time."""
        folds: dict[str, set[str]] = {}
        for row, fold in zip(self.rows, self.folds, strict=True):
            folds.setdefault(row.subject, set()).add(fold)
        if any(len(names) > 1 for names in folds.values()):
            return tuple(row.subject for row in self.rows)
        return self.folds

    def with_votes(self, least: float) -> OutOfFold:
        """Return the stretches with at least so many votes.

        Raises
        ------
        UsageError
            If no stretch has.
        """
        kept = [i for i, row in enumerate(self.rows) if row.n_votes >= least]
        if not kept:
            most = max(row.n_votes for row in self.rows)
            raise UsageError(
                f"{printable(self.run)} needs stretches with at least {least:g} votes, the most that one has is "
                f"{most:g}. Lower --votes."
            )
        return replace(
            self,
            rows=tuple(self.rows[i] for i in kept),
            labels=tuple(self.labels[i] for i in kept),
            folds=tuple(self.folds[i] for i in kept),
            probabilities=self.probabilities[kept],
        )


def read_runs(folders: Sequence[Path]) -> list[OutOfFold]:
    """Return the out-of-fold predictions of several finished runs, each with a name of its own.

    Parameters
    ----------
    folders : sequence of Path
        As in `read_run`.

    Returns
    -------
    predictions : list of OutOfFold
        In the same order.

    Raises
    ------
    UsageError
        If a folder holds no finished run of folds, or is named twice.
    SchemaError
        If a fold is damaged.
    """
    places = [folder.resolve() for folder in folders]
    if twice := [place for place in places if places.count(place) > 1]:
        raise UsageError(f"Runs that are taken together must differ, {twice[0]} is named twice. Name each once.")
    runs = [read_run(folder) for folder in folders]
    if len({run.run for run in runs}) < len(runs):
        above = os.path.commonpath(places)
        runs = [replace(run, run=str(place.relative_to(above))) for run, place in zip(runs, places, strict=True)]
    return runs


def read_run(folder: Path) -> OutOfFold:
    """Return the out-of-fold predictions of a finished run.

    Parameters
    ----------
    folder : Path
        Folder of the run; the archive it learnt from is not needed.

    Returns
    -------
    predictions : OutOfFold

    Raises
    ------
    UsageError
        If the folder holds no finished run of folds.
    SchemaError
        If a fold is damaged.
    """
    try:
        metrics = json.loads((folder / "metrics.json").read_text())
        data = dict(json.loads((folder / FILE).read_text())["data"])
        splits = [split_from(record) for record in metrics["folds"]]
        classes, model, task = metrics["scores"]["classes"], metrics["run"]["model"], metrics["run"]["task"]
        folds = [read_fold(_inside(folder / "folds", f"{split.name}.json")) for split in splits]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"Out-of-fold predictions need a finished run with folds, {folder} holds none ({_shown(error)}). Name the "
            "--out of a bci-train run that has ended."
        ) from error
    for split, fold in zip(splits, folds, strict=True):
        if fold.split != split or len(fold.logits[0]) != len(classes):
            raise UsageError(
                f"Out-of-fold predictions need the folds that the run's figures are of, {folder} has another one for "
                f"{printable(split.name)}. Train it anew."
            )
    bundle = folder / "bundle"
    return OutOfFold(
        folder.resolve().name,
        model,
        task,
        tuple(classes),
        tuple(row for fold in folds for row in fold.scored),
        tuple(label for fold in folds for label in fold.labels),
        tuple(fold.split.name for fold in folds for _ in fold.labels),
        np.concatenate([softmax(np.array(fold.logits), fold.temperature) for fold in folds]),
        float(np.median([fold.temperature for fold in folds])),
        data,
        load_bundle(bundle).sha256 if bundle.is_dir() else None,
    )


def write_table(runs: Sequence[OutOfFold], path: Path) -> None:
    """Write predictions of runs below each other as CSV.

    Parameters
    ----------
    runs : sequence of OutOfFold
        For the same classes.
    path : Path
        The columns are ``run``, ``subject``, ``session``, ``start`` (first sample of the stretch), ``label``, ``fold``,
        then ``vote_CLASS`` (empty where there is a label only) and ``p_CLASS`` for each class. Replaced in one step.

    Raises
    ------
    UsageError
        If the runs have other classes, or the file cannot be written.
    """
    classes = [printable(name) for name in runs[0].classes]
    for run in runs:
        if run.classes != runs[0].classes:
            raise UsageError(
                f"A table needs runs for the same classes, {printable(run.run)} has "
                f"{', '.join(map(printable, run.classes))} beside {', '.join(classes)}. Write one each."
            )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["run", "subject", "session", "start", "label", "fold"]
    writer.writerow([*head, *(f"vote_{name}" for name in classes), *(f"p_{name}" for name in classes)])
    for run in runs:
        for row, label, fold, chances in zip(run.rows, run.labels, run.folds, run.probabilities, strict=True):
            names = [printable(name) for name in (run.run, row.subject, row.session)]
            votes = [f"{share * row.n_votes:.6g}" if row.n_votes else "" for share in row.target]
            place = [*names, row.start, classes[label], printable(fold)]
            writer.writerow([*place, *votes, *(f"{p:.9g}" for p in chances)])
    try:
        write_atomic(path, text.getvalue())
    except OSError as error:
        raise UsageError(f"The table needs a file that can be written, got {path} ({error.strerror}).") from error


def _inside(folder: Path, name: str) -> Path:
    if name != Path(name).name:
        raise ValueError(f"{name} is no name of a file")
    return folder / name


def _shown(error: Exception) -> str:
    return printable(" ".join(f"{type(error).__name__}: {error}".split()))
