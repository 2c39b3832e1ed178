"""Several runs as one model: which, with what weights, and what that gains on folds it was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bci.errors import SchemaError, SpecError, UsageError
from bci.records import json_object, record_from_dict, record_to_dict, to_json
from bci.texts import printable
from offline.blend import Blend, cross_fitted, even, fit_blend
from offline.checkpoint import write_atomic
from offline.classification import divergences
from offline.oof import OutOfFold
from offline.people import mean_figure

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Loss:
    """A mean divergence with its interval.

    Parameters
    ----------
    mean : float
        Over stretches.
    low, high : float
        95 % percentile interval of it when people are drawn anew, each with all stretches.
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return such as ``0.612 [0.544, 0.690]``."""
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True, slots=True)
class Member:
    """One run of an ensemble.

    Parameters
    ----------
    run, model : str
        Name of its folder, and what was trained.
    bundle_sha256 : str or None
        Which bundle predicts for it; None if it has none.
    temperature : float
        What divides that bundle's logits before they are blended: the median of the folds', whose probabilities the
        blend was fitted to. The bundle's own temperature is fitted to all folds together.
    loss : Loss
        Of its out-of-fold predictions, alone.

    Raises
    ------
    SpecError
        If the temperature is not above 0.
    """

    run: str
    model: str
    bundle_sha256: str | None
    temperature: float
    loss: Loss

    def __post_init__(self) -> None:
        if not 0 < self.temperature < np.inf:
            raise SpecError(f"A run in a blend needs a temperature above 0, got {self.temperature:g}. Blend it anew.")


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Runs with the blend of their predictions.

    Parameters
    ----------
    task : str
        What they were trained for.
    classes : tuple of str
        In the order of the bias.
    members : tuple of Member
        In the order of the weights.
    blend : Blend
        Fitted to all rows.
    n_rows, n_people : int
        What it was fitted to.
    least_votes : float
        Votes that a stretch needed to count.
    even_loss : Loss
        Of the plain mean of the members.
    blend_loss : Loss
        Of blends that were fitted without the fold that they are judged on: not of `blend` on the rows it has seen.
    gain : Loss
        Of the best member, by these rows, less `blend_loss`; above 0 the blend is better.
    schema : int, default=1
        Version of the file.
    """

    task: str
    classes: tuple[str, ...]
    members: tuple[Member, ...]
    blend: Blend
    n_rows: int
    n_people: int
    least_votes: float
    even_loss: Loss
    blend_loss: Loss
    gain: Loss
    schema: int = SCHEMA

    def lines(self) -> list[str]:
        """Return the figures in words."""
        votes = f" with at least {self.least_votes:g} votes" if self.least_votes else ""
        names = [f"{printable(member.run)} ({member.model})" for member in self.members]
        weights = ", ".join(f"{n} {w:.3f}" for n, w in zip(names, self.blend.weights, strict=True))
        bias = ", ".join(f"{printable(n)} {b:+.3f}" for n, b in zip(self.classes, self.blend.bias, strict=True))
        return [
            f"divergence from votes and labels, {self.n_rows} stretches{votes} of {self.n_people} people [95 %]:",
            *(f"  {name}: {member.loss}" for name, member in zip(names, self.members, strict=True)),
            f"  plain mean: {self.even_loss}",
            f"  blend, each fold by weights of the others: {self.blend_loss}; gain over the best run {self.gain}",
            f"weights: {weights}",
            f"bias: {bias}",
        ]


def ensemble(runs: Sequence[OutOfFold], least_votes: float = 0.0, seed: int = 0) -> Ensemble:
    """Return runs with the blend that explains their scored stretches best.

    Parameters
    ----------
    runs : sequence of OutOfFold
        With the same stretches in the same folds. One alone gets a bias.
    least_votes : float, default=0.0
        Only stretches with so many votes count.
    seed : int, default=0
        Seed of the intervals.

    Returns
    -------
    ensemble : Ensemble

    Raises
    ------
    UsageError
        If the runs differ in their stretches or folds, or no stretch has so many votes.
    SpecError
        If there is one fold only.
    """
    first = runs[0]
    for other in runs[1:]:
        _require_alike(first, other)
    first = first.with_votes(least_votes)
    probabilities = np.stack([_in_order(first, run) for run in runs])
    targets = first.targets
    people = [row.subject for row in first.rows]
    blended = cross_fitted(probabilities, targets, first.groups)
    losses = [divergences(targets, p) for p in probabilities]
    best = min(losses, key=lambda values: float(values.mean()))
    after = divergences(targets, blended)
    mean = divergences(targets, even(len(runs), len(first.classes))(probabilities))
    members = [
        Member(r.run, r.model, r.bundle_sha256, r.temperature, _loss(x, people, seed))
        for r, x in zip(runs, losses, strict=True)
    ]
    return Ensemble(
        first.task,
        first.classes,
        tuple(members),
        fit_blend(probabilities, targets),
        len(people),
        len(set(people)),
        float(least_votes),
        _loss(mean, people, seed),
        _loss(after, people, seed),
        _loss(best - after, people, seed),
    )


def write_ensemble(found: Ensemble, path: Path) -> None:
    """Write an ensemble as JSON, in one step.

    Parameters
    ----------
    found : Ensemble
        What is written.
    path : Path
        The file; replaced if it is there.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    try:
        write_atomic(path, to_json(record_to_dict(found)))
    except OSError as error:
        raise UsageError(f"The blend needs a file that can be written, got {path} ({error.strerror}).") from error


def read_ensemble(path: Path) -> Ensemble:
    """Return what `write_ensemble` wrote.

    Raises
    ------
    UsageError
        If there is no such file.
    SchemaError
        If it holds something else.
    """
    try:
        found: Ensemble = record_from_dict(Ensemble, json_object(path.read_text(), "A blend"), "A blend")
    except OSError as error:
        raise UsageError(f"The blend needs a file of bci-train oof, got {path} ({error.strerror}).") from error
    except (SpecError, UnicodeDecodeError) as error:
        raise SchemaError(f"{path.name} must be a blend that bci-train oof wrote, it is not: {error}") from error
    n = len(found.members), len(found.classes)
    if found.schema != SCHEMA or n != (len(found.blend.weights), len(found.blend.bias)):
        raise SchemaError(
            f"{path.name} must be a blend of schema {SCHEMA} with a weight for each of {n[0]} members and a bias for "
            f"each of {n[1]} classes, got schema {found.schema} and {len(found.blend.weights)} and "
            f"{len(found.blend.bias)}. Make it anew."
        )
    return found


def _require_alike(first: OutOfFold, other: OutOfFold) -> None:
    place = {_key(first, i): fold for i, fold in enumerate(first.folds)}
    same = {_key(other, i): fold for i, fold in enumerate(other.folds)}
    if first.classes != other.classes or first.data != other.data or place.keys() != same.keys():
        raise UsageError(
            f"A blend needs runs that scored the same stretches for the same classes, {printable(first.run)} and "
            f"{printable(other.run)} did not. Train them with the same data, --classes and --piece-s."
        )
    if place != same:
        raise UsageError(
            f"A blend needs runs with the same folds, those of {printable(first.run)} and {printable(other.run)} "
            "differ. Train them with the same --split, --n-folds and --seed."
        )


def _in_order(first: OutOfFold, run: OutOfFold) -> np.ndarray:
    """Return the probabilities of a run in the order of another one's rows."""
    place = {_key(run, i): i for i in range(len(run.rows))}
    return run.probabilities[[place[_key(first, i)] for i in range(len(first.rows))]]


def _key(run: OutOfFold, i: int) -> tuple[str, int]:
    return run.rows[i].session, run.rows[i].start


def _loss(values: np.ndarray, people: Sequence[str], seed: int) -> Loss:
    found = mean_figure(values, people, seed)
    return Loss(found["value"], *found["interval"])
