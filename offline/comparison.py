"""Several finished runs on the same folds: their figures, and what each gains over the first, paired by person."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bci.errors import UsageError
from bci.texts import printable
from offline.identity import FILE
from offline.metrics import GAINS, figure_levels, gain_levels
from offline.oof import OutOfFold, read_runs
from offline.people import FIGURES, Predictions, arranged
from offline.report import figure_text

SEED = 0
"""Seed of the resamples of people."""
LEVELS = {"people": "people, mean of their stretches", "stretches": "stretches"}


@dataclass(frozen=True, slots=True, eq=False)
class Repeats:
    """Runs that differ in nothing but their seed, by seed.

    Parameters
    ----------
    runs : tuple of OutOfFold
        At least one.
    seeds : tuple of int
        Their seeds, ascending.
    """

    runs: tuple[OutOfFold, ...]
    seeds: tuple[int, ...]

    @property
    def name(self) -> str:
        """Model and folder of the first run, once where they are called the same."""
        run, n_more = self.runs[0], len(self.runs) - 1
        if n_more:
            return f"{run.model} ({run.run} and {n_more} more)"
        return run.model if run.run == run.model else f"{run.model} ({run.run})"

    @property
    def predictions(self) -> tuple[Predictions, ...]:
        """What each run predicted, all in the same order of rows."""
        return tuple(arranged(run.rows, run.labels, run.probabilities) for run in self.runs)


def compare_runs(folders: Sequence[Path], least_votes: float = 0.0) -> dict[str, Any]:
    """Return figures and paired gains of finished runs.

    Parameters
    ----------
    folders : sequence of Path
        Folders of runs. Those that differ in their seed only are repeats of one cross-validation: their figures are
        averaged, in each resample of people. All others are compared with the first.
    least_votes : float, default=0.0
        Only stretches with so many votes count.

    Returns
    -------
    comparison : dict
        ``task``, ``classes``, ``seed`` (of the resamples), ``least_votes`` and ``runs``, each with ``name``, ``model``,
        ``folders``, ``seeds``, ``figures`` (see `offline.metrics.figure_levels`) and ``gains`` over the first (see
        `offline.metrics.gain_levels`; None for itself), of runs on votes in KL, too.

    Raises
    ------
    UsageError
        If a folder holds no finished run, one is named twice, the runs are of other tasks, data or folds, or no stretch
        has so many votes.
    SchemaError
        If a fold is damaged.
    """
    groups = _grouped(folders)
    first = groups[0]
    for group in groups:
        for run in group.runs:
            _require_same_data(first.runs[0], run)
        _require_same_folds(first, group)
    if least_votes:
        groups = [Repeats(tuple(run.with_votes(least_votes) for run in g.runs), g.seeds) for g in groups]
        first = groups[0]
    on_votes = any(row.n_votes for row in first.runs[0].rows)
    gained = (*GAINS, "kl") if on_votes else GAINS
    reference = first.predictions
    runs = []
    for group in groups:
        predictions = group.predictions
        runs.append(
            {
                "name": group.name,
                "model": group.runs[0].model,
                "folders": [run.run for run in group.runs],
                "seeds": list(group.seeds),
                "figures": figure_levels(predictions, first.runs[0].classes, SEED),
                "gains": None if group is first else gain_levels(predictions, reference, SEED, gained),
            }
        )
    record = {"task": first.runs[0].task, "classes": list(first.runs[0].classes), "seed": SEED}
    return record | {"least_votes": least_votes, "runs": runs}


def comparison_lines(comparison: Mapping[str, Any]) -> list[str]:
    """Return a comparison as tables in Markdown."""
    runs = comparison["runs"]
    first = runs[0]
    lines = [f"{printable(comparison['task'])}: {first['figures']['over']}."]
    if any(len(run["seeds"]) > 1 for run in runs):
        lines.append(f"Mean figures of repeats with the seeds {', '.join(map(str, first['seeds']))}.")
    if comparison["least_votes"]:
        lines.append(f"Only stretches with at least {comparison['least_votes']:g} votes.")
    levels = [level for level in LEVELS if first["figures"][level] is not None]
    for level in levels:
        head = (f"{first['figures'][level]['n']} {LEVELS[level]}", *FIGURES.values())
        rows = [_row(run["name"], [run["figures"][level][name] for name in FIGURES]) for run in runs]
        lines += ["", *_table(head, rows)]
    if len(runs) > 1:
        names = tuple(runs[1]["gains"]["stretches"])
        head = (
            f"gain over {printable(first['name'])}, paired",
            *(f"{FIGURES[name]} of {level}" for level in levels for name in names),
        )
        rows = [
            _row(run["name"], [run["gains"][level][name] for level in levels for name in names], sign=True)
            for run in runs[1:]
        ]
        lines += ["", *_table(head, rows)]
        if "kl" in names:
            lines += ["", "KL falls as a model gets better: there, a gain is below 0."]
    return lines


def _row(name: str, figures: Sequence[Mapping[str, Any]], sign: bool = False) -> list[str]:
    return [printable(name), *(figure_text(figure, sign) for figure in figures)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    ruled = [f"| {' | '.join(cell.ljust(n) for cell, n in zip(row, widths, strict=True))} |" for row in (head, *rows)]
    return [ruled[0], f"|{'|'.join('-' * (n + 2) for n in widths)}|", *ruled[1:]]


def _grouped(folders: Sequence[Path]) -> list[Repeats]:
    """Return runs by all of their settings but the seed, in the order in which they are named."""
    groups: dict[str, dict[int, OutOfFold]] = {}
    for folder, run in zip(folders, read_runs(folders), strict=True):
        key, seed = _settings(folder)
        group = groups.setdefault(key, {})
        if seed in group:
            raise UsageError(
                f"A comparison needs runs that differ, {printable(group[seed].run)} and {printable(run.run)} have the "
                "same settings. Name each once."
            )
        group[seed] = run
    return [Repeats(tuple(group[seed] for seed in sorted(group)), tuple(sorted(group))) for group in groups.values()]


def _settings(folder: Path) -> tuple[str, int]:
    """Return what makes a run a repeat of another one, and its seed."""
    try:
        record = json.loads((folder / FILE).read_text())
        settings, resolved = dict(record["settings"]), dict(record["resolved"])
        seed = int(settings.pop("seed"))
        training = {name: value for name, value in (resolved.pop("training") or {}).items() if name != "seed"}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{printable(str(folder))} must hold the settings of a run in {FILE}, it does not. Train it anew."
        ) from error
    return json.dumps([settings, resolved, training], sort_keys=True), seed


def _require_same_data(a: OutOfFold, b: OutOfFold) -> None:
    names = f"{printable(a.run)} and {printable(b.run)}"
    if (a.task, a.classes) != (b.task, b.classes):
        raise UsageError(
            f"A comparison needs runs of one task for the same classes, {names} are of {a.task} and {b.task}. "
            "Train them with the same --task and --classes."
        )
    different = [name for name in sorted({*a.data, *b.data}) if a.data.get(name) != b.data.get(name)]
    if different:
        raise UsageError(
            f"A comparison needs runs on the same people and data, {names} differ in {printable(different[0])} and "
            f"{len(different) - 1} more. Train them on the same archive."
        )


def _require_same_folds(first: Repeats, other: Repeats) -> None:
    if [_folds(run) for run in first.runs] != [_folds(run) for run in other.runs]:
        raise UsageError(
            f"A comparison needs runs with the same folds, those of {printable(first.runs[0].run)} and "
            f"{printable(other.runs[0].run)} differ. Train them with the same --split, --n-folds and --seed; with "
            "several seeds, each model with all of them."
        )


def _folds(run: OutOfFold) -> dict[tuple[str, int], frozenset[tuple[str, int]]]:
    """Return for every stretch with which others it was scored."""
    together: dict[str, set[tuple[str, int]]] = {}
    places = [(row.session, row.start) for row in run.rows]
    for place, fold in zip(places, run.folds, strict=True):
        together.setdefault(fold, set()).add(place)
    sides = {fold: frozenset(members) for fold, members in together.items()}
    return {place: sides[fold] for place, fold in zip(places, run.folds, strict=True)}
